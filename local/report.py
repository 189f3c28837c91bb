"""Stage 3: scores summed up per SNR, with figures and a page to listen to.

    python -m local.report --model convtasnet [--num-examples N]

Beside scores.csv it leaves by_snr.csv, summary.md, figures/, audio/ and index.html, which opens
without a server or a network. Scores are those of scores.csv; what is heard is what stage 2 kept,
or else separated anew by the model that was scored.
"""

import math
import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pandas

from local import SOURCES
from local.base import command_line, disk, experiment
from local.base.errors import Parser, UserError, guard
from local.base.names import TEXT
from local.corpus import manifest
from local.model import pretrained
from local.reporting import examples, figures, filterbank_figure, pages, statistics, tables
from local.reporting.statistics import ALL
from local.scoring import kept, score_table, seed_runs
from local.scoring.score_table import IMPROVEMENT, MIXTURE

SEED = 0  # of the bootstrap and of the sample of examples
NUM_EXAMPLES = 5
PARTS = ("figures", "audio", "by_snr.csv", "summary.md", "index.html")  # the page comes last
KINDS = (MIXTURE, "", IMPROVEMENT)
HEADS = ("Training", "Evaluation", "Report")
STARTED = "Weights at the start"


def main() -> None:
    """Report on the experiment that the command line names; write beside its scores."""
    parser = Parser(prog="python -m local.report", description=__doc__.split("\n")[0])
    experiment.add_arguments(parser)
    parser.add_argument(
        "--num-examples", type=int, default=NUM_EXAMPLES, metavar="N",
        help=f"examples to listen to per SNR: worst, median, best, then a sample"
             f" (default: {NUM_EXAMPLES})",
    )  # fmt: skip
    command_line.add_device(parser)
    args = parser.parse_args()
    pretrained.check_device(args.device)
    if args.num_examples < 0:
        raise UserError(f"--num-examples expects 0 or more, found {args.num_examples}")
    of = experiment.Experiment(experiment.locate(args))
    test = manifest.read(experiment.data_dir(of.data) / "test.csv")
    place = of.scores(test.hash)
    scores = score_table.read_scores(place)
    seed_runs.check_model(of.model, place.with_suffix(".yml"))

    held = kept.Kept(place, disk.read_yaml(place.with_suffix(".yml"))["model_sha256"])
    estimate = kept.heard(test, held, of.model, args.device)
    table = write_report(of, test, scores, estimate, args.num_examples)
    print(terminal(table))
    print(f"report: {place.parent / 'index.html'}")


def write_report(
    of: experiment.Experiment,
    test: manifest.Manifest,
    scores: pandas.DataFrame,
    estimate: Callable,
    num_examples: int = NUM_EXAMPLES,
) -> pandas.DataFrame:
    """Write the whole report, or leave what was there.

    Args:
        of: the experiment; the report is written beside its scores.
        test: the manifest that was scored.
        scores: what ``score_table.read_scores`` read there.
        estimate: index of an example -> estimates (2, time), see ``kept.heard``.
        num_examples: to listen to, per SNR level.

    Returns:
        the table of ``statistics.by_snr``.
    """
    scored_by = of.scores(test.hash).with_suffix(".yml")
    place = scored_by.parent
    table = statistics.by_snr(scores, SEED)
    metric = score_table.headline(table["metric"])
    seeds = {seed: statistics.by_snr(theirs, SEED)
             for seed, theirs in seed_runs.scores_of_seeds(of, test.hash).items()}  # fmt: skip
    seed_tables = [tables.seeds(seeds, source, metric + IMPROVEMENT)
                   for source in _sources(table, metric) if len(seeds) > 1]  # fmt: skip
    failures = tables.failures(score_table.failures(scores))
    scored = disk.read_yaml(scored_by, score_table.SCORED)
    made = scored.pop("provenance")
    about = {
        HEADS[0]: of.facts | {"init": None},
        **_starts(of.facts),
        HEADS[1]: scored | made,
        HEADS[2]: experiment.provenance() | {"bootstrap_and_sample_seed": SEED},
    }
    title = f"{of.name} on {of.data}"
    with disk.scratch(place) as stage:
        stage.mkdir()
        table.to_csv(stage / "by_snr.csv", index=False, float_format=f"%.{tables.DIGITS}g")
        shown = write_figures(stage, of, table, scores, metric)
        cards, more = write_examples(stage, test, scores, estimate, num_examples)
        shown += more
        sections = {"scores": "Scores", "seeds": "Training seeds", "figures": "Figures",
                    "examples": "Examples"}  # fmt: skip
        absent = {"seeds": not seed_tables, "examples": not cards}
        held = {anchor: head for anchor, head in sections.items() if not absent.get(anchor)}
        framed = pages.frame(title, "report", held, tables.notes(table), table["metric"], about)
        common = {"framed": framed, "table": table, "metric": metric, "failures": failures,
                  "seed_tables": seed_tables, "about": about, "shown": shown}  # fmt: skip
        (stage / "summary.md").write_text(summary(**common), **TEXT)
        context = _context(**common, scores=scores, seeds=list(seeds), cards=cards)
        pages.write_page(stage / "index.html", "report.html", **context)
        (stage / "audio").mkdir(exist_ok=True)  # with no example it replaces what was there
        for part in PARTS:
            with disk.replace(place / part) as temporary:
                os.replace(stage / part, temporary)
    return table


def write_figures(
    stage: Path,
    of: experiment.Experiment,
    table: pandas.DataFrame,
    scores: pandas.DataFrame,
    metric: str,
) -> list[pages.Figure]:
    """Write the figures of scores, and of a learnt filterbank, below ``stage``."""
    name = tables.column(metric)
    gain = f"improvement in {tables.about(metric).label}"
    made = {
        "improvement.svg": (
            figures.improvement(table, metric),
            f"Mean {gain} against input SNR, with 95 % intervals.",
            _said(table, metric),
        ),
        "distribution.svg": (
            figures.distribution(scores, metric),
            f"Distribution of the {gain} over the examples: median, quartiles, and the range"
            " within 1.5 times their distance.",
            _said(table, metric, "median"),
        ),
        "output_against_input.svg": (
            figures.output_against_input(scores, metric),
            f"{name} of each estimate against that of its mixture. Above the line it is better.",
            "",
        ),
    }  # fmt: skip
    if filters := filterbank_figure.learnt(of):
        made["filterbank.png"] = (
            filters,
            "Frequency responses of the encoder's filters, sorted by centre; lines: 6 dB below the"
            " peak.",
            "",
        )
    found = []
    for file, (figure, caption, numbers) in made.items():
        figures.write(figure, stage / "figures" / file)
        found.append(pages.Figure(f"figures/{file}", f"{caption} {numbers}".strip(), caption))
    return found


def write_examples(
    stage: Path, test: manifest.Manifest, scores: pandas.DataFrame, estimate: Callable, number: int
) -> tuple[list[examples.Card], list[pages.Figure]]:
    """Write what is heard and seen of the chosen examples below ``stage``.

    Returns:
        cards: what a page says of each, by SNR.
        figures: spectrograms of the worst, the median and the best of all.
    """
    rank = statistics.ranking(scores)
    ends = statistics.extremes(rank)
    voices = scores[scores["source"] == SOURCES[0]].sort_values("snr_db", kind="stable")
    labels, levels = statistics.levels(voices.set_index("id")["snr_db"])
    why: dict[str, list[str]] = {}
    for picked in statistics.pick_examples(rank, labels, number, SEED):
        why.setdefault(picked.id, []).append(f"{picked.role} at {picked.level} dB")
    for role, name in ends.items():
        why.setdefault(name, []).append(f"{role} of all")
    chosen = sorted(why, key=lambda name: levels.index(labels[name]))

    def estimates(i):
        return {"estimate": estimate(i)}

    cards, found = [], {}
    for example in examples.separated(test, chosen, estimates):
        name = example.id
        if number:
            said = _of_example(scores[scores["id"] == name])
            cards.append(examples.card(stage, example, len(cards) + 1, ", ".join(why[name]),
                                       level=labels[name], **said))  # fmt: skip
        for role in (role for role, of in ends.items() if of == name):
            path = f"figures/spectrograms_{role}.png"
            figures.write(figures.spectrograms(*example[1:]), stage / path)
            value = tables.Number(rank[name], tables.decimals(rank.name), True)
            what = f"{SOURCES[0]}, {tables.column(rank.name)}: {value}"
            caption = f"{role.capitalize()} of all: {name} ({what})."
            alt = f"Spectrograms of mixture, references and estimates. {caption}"
            sound = f"#{cards[-1].anchor}" if number else None
            found[role] = pages.Figure(path, alt, caption, sound)
    return cards, [found[role] for role in statistics.ROLES if role in found]


def terminal(table: pandas.DataFrame) -> str:
    """The scores as plain text, for a terminal of 100 columns."""
    metric = score_table.headline(table["metric"])
    shown = [tables.per_level(table, source, metric) for source in _sources(table, metric)]
    shown += [tables.overview(table, source) for source in _sources(table)]
    notes = [textwrap.fill(note, 100) for note in tables.notes(table)]
    return "\n".join([*map(tables.text, shown), *notes])


def summary(
    framed: dict,
    table: pandas.DataFrame,
    metric: str,
    failures: tables.Table,
    seed_tables: list[tables.Table],
    about: dict,
    shown: list[pages.Figure],
) -> str:
    """The report as Markdown: the tables that a paper would print, and what they mean."""
    makers = (tables.means, tables.improvements, tables.medians)
    parts = [f"# {framed['title']}", *(tables.plain(cell) for cell in _lead(table, metric))]
    parts.append("\n".join(f"- {name}: {fact}" for name, fact in key_facts(about, table).items()))
    for source in _sources(table):
        parts.append(f"## {source.capitalize()}")
        if source in _sources(table, metric):
            parts.append(tables.markdown(tables.per_level(table, source, metric)))
        parts += [tables.markdown(make(table, source)) for make in makers]
    if failures.rows:
        parts += ["## Failed scores", tables.markdown(failures)]
    if seed_tables:
        parts += ["## Training seeds", *map(tables.markdown, seed_tables)]
    parts += ["## Figures", *(f"![{figure.alt}]({figure.href})" for figure in shown)]
    parts += pages.markdown_foot(framed)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _starts(training: dict) -> dict[str, dict]:
    """The weights that the training started from and how they were made, the nearest first."""
    found = {}
    for number, init in enumerate(experiment.starts(training)):
        head = STARTED + ", before that" * number
        found[head] = init | (init["provenance"] | {"init": None}) | {"provenance": None}
    return found


def key_facts(about: dict, table: pandas.DataFrame) -> dict[str, str]:
    """What one wants to know first of an experiment, in words."""
    training, scored = about[HEADS[0]], about[HEADS[1]]
    overall = table[table["snr_db"] == ALL]
    return {
        "recipe": scored["recipe"],
        "preset": _preset(training),
        **_started(about.get(STARTED)),
        "training seed": str(training.get("seed", tables.NOTHING)),
        "audio seen in training": pages.duration(training.get("audio_seconds_seen")),
        "time of training": pages.duration(training.get("training_seconds")),
        "parameters": pages.quantity(scored.get("parameters")),
        "multiply-accumulates": pages.quantity(scored.get("macs_per_second"), "per s of audio"),
        "real-time factor": pages.quantity(scored.get("real_time_factor")),
        "test set": f"{overall['n'].max()} mixtures in {overall['n_groups'].max()} groups",
        "test hash": scored["test_hash"],
    }


def _preset(training: dict) -> str:
    """Name of the preset and what it is for."""
    if not training.get("preset"):
        return "none, its full settings"
    return ": ".join(filter(None, (training["preset"], training.get("preset_is"))))


def _started(init: dict | None) -> dict[str, str]:
    """Which weights a training started from, where they were not random."""
    if init is None:
        return {}
    return {"started from": f"{init['given']} ({init['file']}, SHA-256 {init['sha256'][:12]})"}


def _context(framed, table, metric, failures, seed_tables, about, shown, scores, seeds, cards):
    """What report.html is filled with."""
    sources = _sources(table)
    return framed | {
        "summary": _lead(table, metric),
        "key_facts": key_facts(about, table),
        "main_tables": [
            tables.per_level(table, source, metric) for source in _sources(table, metric)
        ],
        "more_tables": {
            name: [make(table, source) for source in sources]
            for name, make in {
                "Every metric over all SNRs": tables.overview,
                "Every metric by SNR: means": tables.means,
                "Every metric by SNR: improvements": tables.improvements,
                "Every metric by SNR: medians and MAD": tables.medians,
            }.items()
        },
        "failures": failures,
        "seeds": seeds,
        "seed_tables": seed_tables,
        "figures": shown,
        "cards": cards,
        "levels": statistics.level_names(table),
        "score_options": _score_options(scores),
        "ranked_by": f"{SOURCES[0]} in {tables.about(metric).label}",
    }


def _lead(table: pandas.DataFrame, metric: str) -> list[tuple]:
    """The result in a sentence per source, as cells."""
    unit = tables.about(metric).unit
    unit = f" {unit}" if unit else ""
    lines = []
    for source in _sources(table, metric):
        mixture, estimate, gain = (
            tables.row_of(table, ALL, source, metric + suffix) for suffix in KINDS
        )
        places = tables.decimals(metric)
        ends = tables.interval(gain["ci_low"], gain["ci_high"], places)
        lines.append((
            f"{source.capitalize()}: {tables.about(metric).label} ",
            tables.Number(gain["mean"], places, True), unit,
            *((" ", *ends) if math.isfinite(gain["ci_low"]) else ()),
            ", from ", tables.Number(mixture["mean"], places),
            " to ", tables.Number(estimate["mean"], places), f"{unit}.",
        ))  # fmt: skip
    return lines


def _said(table: pandas.DataFrame, metric: str, statistic: str = "mean") -> str:
    """The numbers that a figure of improvements shows, for who cannot see it."""
    said = []
    for source in _sources(table, metric):
        numbers = []
        for level in statistics.level_names(table):
            value = tables.row_of(table, level, source, metric + IMPROVEMENT)[statistic]
            numbers.append(f"{tables.Number(value, tables.decimals(metric), True)} at {level} dB")
        said.append(f"{source.capitalize()}: {', '.join(numbers)}.")
    return " ".join(said)


def _of_example(rows: pandas.DataFrame) -> dict:
    """What a card says of the scores of an example."""
    first = rows.iloc[0]
    values = {
        f"{row['source']} {column}": row[column]
        for row in rows.to_dict("records")
        for column in _sortable(rows)
    }
    return {
        "snr_db": float(first["snr_db"]),
        "scores": values,
        "table": tables.example(rows),
        "remarks": [f"{row['source']}: {why}" for row in rows.to_dict("records")
                    if (why := score_table.remark(row.get("failed", "")))],
    }  # fmt: skip


def _score_options(scores: pandas.DataFrame) -> list[tuple[str, list[tuple[str, str]]]]:
    """What examples can be sorted by: source -> (key of a card's scores, name)."""
    options = []
    for source in SOURCES:
        part = scores[scores["source"] == source]
        columns = [name for name in _sortable(scores) if part[name].notna().any()]
        options.append((source, [(f"{source} {name}", tables.column(name)) for name in columns]))
    return [item for item in options if item[1]]


def _sortable(scores: pandas.DataFrame) -> list[str]:
    """Improvement and score of every metric."""
    names = score_table.metrics(score_table.metric_columns(scores))
    return [column for name in names for column in (name + IMPROVEMENT, name)]


def _sources(table: pandas.DataFrame, metric: str | None = None) -> list[str]:
    """The sources that a metric is for, or any metric."""
    rows = table if metric is None else table[table["metric"] == metric]
    return [source for source in SOURCES if (rows["source"] == source).any()]


if __name__ == "__main__":
    guard(main)
