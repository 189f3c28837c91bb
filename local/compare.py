"""Stage 4: every experiment that was scored on one test set, side by side.

    python -m local.compare [--name NAME]

It leaves ``exp/<data>/compare/<test hash>/``: means.csv, differences.csv, systems.csv, compare.yml
(who took part, who did not and why), summary.md, figures/ and index.html, a page on which the same
examples are heard through every model. It is made anew each time, from scores.csv alone; what is
heard is what stage 2 kept, or else separated by the models that were scored.
"""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np

from local import SOURCES
from local.base import command_line, disk, experiment
from local.base.errors import Parser, UserError, guard
from local.base.names import TEXT
from local.corpus import manifest
from local.model import pretrained
from local.reporting import (
    contenders,
    examples,
    figures,
    pages,
    significance,
    standings,
    statistics,
    tables,
)
from local.reporting.standings import Standings
from local.scoring import kept, score_table
from local.scoring.score_table import IMPROVEMENT

EXAMPLES = 3  # to listen to, per SNR: worst, median and best, on average over the contenders
FIGURE = "figures/quality_against_cost.svg"
CAPTION = "Quality against cost: means over all SNRs with 95 % intervals; best is top left."
ORIGIN = ("recipe", "preset", "tag", "seed", "command", "commit", "train_hash", "device", "threads",
          "training_seconds", "audio_seconds_seen")  # fmt: skip


def main() -> None:
    """Compare the experiments of a data set on its test manifest; write beside them."""
    parser = Parser(prog="python -m local.compare", description=__doc__.split("\n")[0])
    parser.add_argument("--name", help="name of the data set, a folder below data/")
    command_line.add_device(parser)
    args = parser.parse_args()
    pretrained.check_device(args.device)
    name = args.name or _only_data_set()
    test = manifest.read(experiment.data_dir(name) / "test.csv")
    folder = experiment.EXPERIMENTS / name
    found, left_out = contenders.find(folder, test.hash)
    if not found:
        reasons = "".join(f"; {of}: {why}" for of, why in left_out.items())
        raise UserError(f"{folder}: no experiment is scored on {test.path} ({test.hash});"
                        f" stage 2 makes scores{reasons}")  # fmt: skip
    result = standings.stand(contenders.group_seeds(found, test.hash))
    place = folder / "compare" / test.hash
    print(
        f"{len(result.contenders)} systems compared; writing tables and the page", file=sys.stderr
    )
    write_comparison(place, test, result, left_out, args.device)
    print(terminal(result, left_out))
    print(f"comparison: {place / 'index.html'}")


def _only_data_set() -> str:
    """The one data set that has experiments.

    Raises:
        UserError: there is none, or there are several.
    """
    names = sorted({of.data for of in experiment.trained()})
    if len(names) > 1:
        raise UserError(f"several data sets have experiments; add --name ({', '.join(names)})")
    if not names:
        where = experiment.EXPERIMENTS / "*" / "*" / experiment.MODEL
        raise UserError(f"{where}: not there; stage 1 makes it")
    return names[0]


def terminal(result: Standings, left_out: dict[str, str]) -> str:
    """What is printed: the headline metric by SNR, costs, and who is left out."""
    shown = [standings.means(result, source, metric) for source, metric in result.contests
             if metric == result.metric]  # fmt: skip
    lines = [tables.text(table) for table in (*shown, standings.costs(result))]
    said = [tables.plain(cell) for cell in standings.lead(result)] + standings.notes(result)[:1]
    lines += [textwrap.fill(text, 100) for text in said]
    lines += [f"left out: {name}: {why}" for name, why in left_out.items()]
    return "\n".join(lines)


def write_comparison(
    place: Path,
    test: manifest.Manifest,
    result: Standings,
    left_out: dict[str, str],
    device: str = "cpu",
) -> None:
    """Write the whole comparison into the folder ``place``, or leave what was there.

    Args:
        place: ``exp/<data>/compare/<test hash>``.
        test: the manifest that was scored.
        result: what ``standings.stand`` made of the scores.
        left_out: experiment -> why it takes no part.
        device: where examples that were not kept are separated.
    """
    data = place.parent.parent.name
    about = {
        "test_hash": test.hash,
        "data": data,
        "metrics": list(dict.fromkeys(metric for _, metric in result.contests)),
        "engine": result.contenders[0].first.about["engine"],
        "significance": significance.ALPHA,
        "bootstrap_seed": standings.SEED,
        "experiments": _origins(result),
        "left_out": left_out,
        "provenance": experiment.provenance(),
    }
    with disk.replace(place) as stage:
        stage.mkdir()
        for file, table in {
            "means.csv": standings.long(result, "means"),
            "differences.csv": standings.long(result, "pairs"),
            "systems.csv": standings.systems(result),
        }.items():
            table.to_csv(stage / file, index=False, float_format=f"%.{tables.DIGITS}g")
        disk.write_yaml(stage / "compare.yml", about)
        figure = figures.quality_against_cost(
            standings.quality_and_cost(result), result.metric, standings.COSTS
        )
        figures.write(figure, stage / FIGURE)
        cards, silent = write_examples(stage, test, result, device)
        sections = {"overview": "Overview", "scores": "Scores", "seeds": "Training seeds",
                    "left-out": "Left out", "examples": "Examples"}  # fmt: skip
        shown = {metric: _tables(result, metric) for metric in _metrics(result)}
        overview, seeds = standings.overview(result), standings.seed_tables(result)
        absent = {"seeds": not seeds, "left-out": not left_out,
                  "examples": not cards}  # fmt: skip
        held = {anchor: head for anchor, head in sections.items() if not absent.get(anchor)}
        columns = [*shown, standings.WORTH]
        framed = pages.frame(f"Comparison on {data}", "comparison", held,
                             standings.notes(result), columns, _provenance(about))  # fmt: skip
        common = {"framed": framed, "result": result, "about": about, "overview": overview,
                  "shown": shown, "seeds": seeds}  # fmt: skip
        (stage / "summary.md").write_text(summary(**common), **TEXT)
        context = _context(**common, cards=cards, silent=silent)
        pages.write_page(stage / "index.html", "compare.html", **context)


def write_examples(
    stage: Path, test: manifest.Manifest, result: Standings, device: str = "cpu"
) -> tuple[list[examples.Card], dict[str, str]]:
    """Write what is heard and seen of the chosen examples below ``stage``.

    Returns:
        cards: what the page says of each, by SNR.
        silent: contender -> why it cannot be heard.
    """
    voices = result.contenders[0].scores.xs(SOURCES[0], level="source")
    voices = voices.sort_values("snr_db", kind="stable")
    labels, _ = statistics.levels(voices["snr_db"])
    rivals = [of for of in result.contenders if not of.bound] or result.contenders
    gains = contenders.scores_of(rivals, SOURCES[0], result.metric + IMPROVEMENT)
    gains = gains.dropna(axis=1, how="all")  # who has no score at all does not rank
    rank = gains.mean(axis=1, skipna=False).loc[voices.index]
    picked = statistics.pick_examples(rank, labels, EXAMPLES, standings.SEED)

    heard = {of.name: _heard(test, of.first, device) for of in result.contenders}
    silent = {}

    def estimates(i):
        made = {}
        for name, estimate in heard.items():
            try:
                made[name] = estimate(i)
            except UserError as error:  # its recipe may have gone since it was scored
                silent[name] = str(error)
        return made

    separated = examples.separated(test, [of.id for of in picked], estimates)
    cards = []
    for number, (of, example) in enumerate(zip(picked, separated, strict=True), 1):
        why = f"{of.role} at {of.level} dB, on average over the systems"
        said = _of_example(result, of.id)
        cards.append(examples.card(stage, example, number, why, float(voices["snr_db"][of.id]),
                                   of.level, **said))  # fmt: skip
    return cards, silent


def _heard(
    test: manifest.Manifest, of: contenders.Scored, device: str
) -> Callable[[int], np.ndarray]:
    """What is played of an experiment, see ``kept.heard``."""
    scores, model = of.experiment.scores(test.hash), of.experiment.model
    return kept.heard(test, kept.Kept(scores, of.about["model_sha256"]), model, device)


def _of_example(result: Standings, name: str) -> dict:
    """What a card says of the scores of an example."""
    shown = list(result.contests)
    lines = {
        standings.MIX: [contenders.mixture_scores(result.contenders, *key)[name] for key in shown]
    }
    for of in result.contenders:
        lines[standings.title(of)] = [of.scores[metric][name, source] for source, metric in shown]
    rows = tuple(
        ((title,), *((tables.Number(value, tables.decimals(metric)),)
                     for value, (_, metric) in zip(values, shown, strict=True)))
        for title, values in lines.items()
    )  # fmt: skip
    header = ("", *(f"{source} {tables.column(metric)}" for source, metric in shown))
    scores = {f"{source} {of.name}": of.scores[result.metric][name, source]
              for of in result.contenders for source in SOURCES}  # fmt: skip
    return {
        "scores": scores,
        "table": tables.Table(f"Scores of {name}", header, rows),
        "remarks": [f"{of.name}, {source}: {why}"
                    for of in result.contenders for source in SOURCES
                    if (why := score_table.remark(of.scores["failed"][name, source]))],
    }  # fmt: skip


def summary(
    framed: dict,
    result: Standings,
    about: dict,
    overview: tables.Table,
    shown: dict[str, list[tables.Table]],
    seeds: list[tables.Table],
) -> str:
    """The comparison as Markdown: every table of the page, and who is left out."""
    parts = [f"# {framed['title']}", *(tables.plain(cell) for cell in standings.lead(result))]
    parts += [tables.markdown(overview), f"![{CAPTION}]({FIGURE})"]
    for metric, of_metric in shown.items():
        parts += [f"## {tables.column(metric)}", *map(tables.markdown, of_metric)]
    if seeds:
        parts += ["## Training seeds", *map(tables.markdown, seeds)]
    if about["left_out"]:
        lines = [f"- {name}: {why}" for name, why in about["left_out"].items()]
        parts += ["## Left out", "\n".join(lines)]
    parts += pages.markdown_foot(framed)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _context(framed, result, about, overview, shown, seeds, cards, silent) -> dict:
    """What compare.html is filled with."""
    overall = next(iter(result.contests.values())).means
    return framed | {
        "summary": standings.lead(result),
        "key_facts": {
            "systems": str(len(result.contenders)),
            "left out": str(len(about["left_out"])),
            "test set": f"{overall['n'].max()} mixtures in {overall['n_groups'].max()} groups",
            "test hash": about["test_hash"],
            "commit": about["provenance"]["commit"],
        },
        "overview": overview,
        "figure": pages.Figure(FIGURE, f"{CAPTION} The table above has the numbers.", CAPTION),
        "main_tables": shown.get(result.metric, []),
        "more_tables": {tables.column(metric): of_metric
                        for metric, of_metric in shown.items() if metric != result.metric},
        "not_compared": [f"{source} {tables.column(metric)}"
                         for source, metric in result.not_compared],
        "seed_tables": seeds,
        "left_out": about["left_out"],
        "silent": silent,
        "cards": cards,
        "levels": list(dict.fromkeys(card.level for card in cards)),
        "score_options": [
            (source, [(f"{source} {of.name}", f"{of.name}, {tables.column(result.metric)}")
                      for of in result.contenders])
            for source in SOURCES
        ],
        "ranked_by": f"{SOURCES[0]} in {tables.about(result.metric).label}",
    }  # fmt: skip


def _metrics(result: Standings) -> list[str]:
    """The metrics compared, the headline first."""
    found = dict.fromkeys(metric for _, metric in result.contests)
    return sorted(found, key=lambda metric: metric != result.metric)


def _tables(result: Standings, metric: str) -> list[tables.Table]:
    """Means and differences of both sources in a metric."""
    found = []
    for source in SOURCES:
        if (source, metric) in result.contests:
            make = (standings.means, standings.differences)
            found += [table for of in make if (table := of(result, source, metric))]
    return found


def _provenance(about: dict) -> dict[str, dict]:
    """Where everything comes from: the comparison, then each experiment."""
    whole = {name: value for name, value in about.items()
             if name not in ("experiments", "left_out", "provenance")}  # fmt: skip
    return {"Comparison": whole | about["provenance"], **about["experiments"]}


def _origins(result: Standings) -> dict[str, dict]:
    """Of each experiment: how it was trained, and which model was scored."""
    found = {}
    for of in result.contenders:
        for member in of.seeds.values():
            training = member.experiment.facts
            kept = {name: training.get(name) for name in ORIGIN}
            kept["model_sha256"] = member.about["model_sha256"]
            found[member.experiment.name] = {"system": of.name} | kept
    return found


if __name__ == "__main__":
    guard(main)
