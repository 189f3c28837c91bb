"""Results in the READMEs: every number there is a row of a committed CSV.

    python -m local.results add EXPERIMENT_FOLDER [--table NAME]
    python -m local.results write

``add`` copies an experiment's numbers for the tables, with their origin, into
``recipes/<recipe>/results.csv``. ``write`` rewrites the text between the lines ``<!-- results:NAME
-->`` and ``<!-- /results -->`` of README.md, recipes/README.md, recipes/RESULTS.md, the README of
each recipe and the cards of the weights that ship (``recipes/<recipe>/pretrained/*.md``), and
draws recipes/cost.svg. NAME is

- a table of recipes/tables.yml: all its experiments;
- ``short``: the experiments that tables.yml lists under ``short``;
- a recipe: its experiments, also by SNR, and how they were made;
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
    adding = actions.add_parser("add", help="copy an experiment's scores into its recipe's folder")
    adding.add_argument("experiment", type=Path, help="exp/<data>/<experiment>")
    adding.add_argument(
        "--table", default=published.DEFAULT_TABLE, help="one of recipes/tables.yml"
    )
    actions.add_parser("write", help="rewrite the tables of the READMEs")
    args = parser.parse_args()
    if args.action == "add":
        rows = published.collect(args.experiment, args.table)
        path = published.ROOT / "recipes" / rows[0]["recipe"] / published.FILE
        published.write_csv(path, published.replace_rows(published.read_csv(path), rows))
        print(f"{path.relative_to(published.ROOT)}: {len(rows)} rows of {rows[0]['experiment']}")
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
