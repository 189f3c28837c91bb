"""Results in the READMEs: every number there is a row of a committed CSV.

    python -m local.results add EXPERIMENT_FOLDER... [--table NAME]
    python -m local.results rivals EXPERIMENT_FOLDER RIVAL_FOLDER...
    python -m local.results write

``add`` copies the numbers of experiments for the tables, with their origin, into
``recipes/<recipe>/results.csv``. ``rivals`` tests an experiment's scores against those of others,
and keeps the differences in ``recipes/<recipe>/rivals.csv``, in place of those before. ``write``
rewrites the text between the lines ``<!-- results:NAME -->`` and ``<!-- /results -->`` of
README.md, recipes/README.md, recipes/RESULTS.md, the README of each recipe and the cards of the
weights that ship (``recipes/<recipe>/pretrained/*.md``), and draws recipes/cost.svg. NAME is

- a table of recipes/tables.yml: all its experiments;
- ``short``: the experiments that tables.yml lists under ``short``;
- a recipe: its experiments, also by SNR, and how they were made;
- ``rivals``, on the page or a card of a recipe: the differences in its rivals.csv;
- ``speed``: recipes/speed.csv, which tests/benchmarks/realtime_factor.py writes;
- ``recipes``: the list of recipes.
"""

from pathlib import Path

from local.base import disk
from local.base.errors import Parser, guard
from local.reporting import published


def main() -> None:
    """Add an experiment's scores to the committed results, or write these into the READMEs."""
    parser = Parser(prog="python -m local.results", description=main.__doc__)
    actions = parser.add_subparsers(dest="action", required=True, parser_class=Parser)
    adding = actions.add_parser("add", help="copy experiments' scores into their recipes' folders")
    adding.add_argument("experiment", type=Path, nargs="+", help="exp/<data>/<experiment>")
    adding.add_argument(
        "--table", default=published.DEFAULT_TABLE, help="one of recipes/tables.yml"
    )
    paired = actions.add_parser("rivals", help="test an experiment against others, by SNR")
    paired.add_argument("experiment", type=Path, help="exp/<data>/<experiment>, of the weights")
    paired.add_argument("rivals", type=Path, nargs="+", help="scored on the same test set")
    actions.add_parser("write", help="rewrite the tables of the READMEs")
    args = parser.parse_args()
    if args.action == "add":
        # all are read before the first is written
        for rows in [published.collect(folder, args.table) for folder in args.experiment]:
            path = published.ROOT / "recipes" / rows[0]["recipe"] / published.FILE
            published.write_csv(path, published.replace_rows(published.read_csv(path), rows))
            print(f"{path.relative_to(published.ROOT)}: {len(rows)} rows of"
                  f" {rows[0]['experiment']}")  # fmt: skip
        return
    if args.action == "rivals":
        from local.base.experiment import Experiment
        from local.reporting import rivals

        recipe = Experiment(args.experiment.absolute()).facts["recipe"]
        rows = rivals.against(args.experiment, args.rivals)
        path = published.ROOT / "recipes" / recipe / rivals.FILE
        with disk.replace(path) as temporary:
            temporary.write_text(rivals.text(rows), encoding="utf-8", newline="\n")
        print(f"{path.relative_to(published.ROOT)}: {len(rows)} rows of {len(args.rivals)} rivals")
        return
    from local.reporting import cost_figure, readmes

    for path, text in readmes.texts().items():
        if path.read_text(encoding="utf-8") != text:
            with disk.replace(path) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")
            print(f"{path.relative_to(published.ROOT)}: written")
    if cost_figure.write():
        print(f"{published.FIGURE}: written")


if __name__ == "__main__":
    guard(main)
