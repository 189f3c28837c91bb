"""scores.csv: its rows, its metric columns, what failed and why.

Stage 2 writes the scores of a model's estimates. Those of the mixtures lie in a file of the same
form, once for all models of a data set, and are joined here on reading.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas

from local import SOURCES
from local.base import disk
from local.base.errors import UserError
from local.base.experiment import NUMBER, Experiment
from local.scoring.metrics import ENGINES, EXTRAS

KEYS = ("id", "snr_db", "group", "source")
ROW = ["id", "source"]
TEXTS = ("id", "group", "source", "failed")
MIXTURE, IMPROVEMENT = "_mix", "_imp"
NO_ARTEFACTS = tuple(f"{name}{MIXTURE}" for name in ("si_sar", "sar_v4", "sar_v3"))
SCORED = {"version": int | None, "test_hash": str, "engine": str, "metrics": list,
          "model_sha256": str, "recipe": str, "needs_sources": bool | None, "provenance": dict,
          "parameters": NUMBER, "macs_per_second": NUMBER, "audio_seconds_seen": NUMBER,
          "real_time_factor": NUMBER}  # fmt: skip
"""What scores.yml must hold, and the types of what it may hold."""
ALIKE = ("version", "test_hash", "engine")
"""What scores of estimates and of mixtures must have in common."""


def read_scores(path: Path | str) -> pandas.DataFrame:
    """Read a scores.csv, with the scores of the mixtures.

    Returns:
        a row per example and source; behind each metric, that of the mixture (``_mix``) and the
        improvement over it (``_imp``).

    Raises:
        UserError: missing (the line names stage 2), or not a table of scores; so for the mixtures.
    """
    path = Path(path)
    scores = read_file(path)
    about = disk.read_yaml(path.with_suffix(".yml"), SCORED)
    rows = pandas.MultiIndex.from_frame(scores[ROW])
    names = [name for name in metric_columns(scores) if name not in EXTRAS]
    mixtures = _read_mixtures(mixtures_of(path, about["engine"]), about, rows, names)
    columns = {key: scores[key] for key in KEYS}
    for name in names:
        columns[name] = scores[name]
        columns[f"{name}{MIXTURE}"] = mixtures[name]
        columns[f"{name}{IMPROVEMENT}"] = scores[name] - mixtures[name]
    columns |= {name: scores[name] for name in EXTRAS if name in scores}
    columns["failed"] = [
        write_failed(read_failed(own) | _marked(read_failed(of_mixture), names))
        for own, of_mixture in zip(scores["failed"], mixtures["failed"], strict=True)
    ]
    return pandas.DataFrame(columns)


def mixtures_of(path: Path, engine: str) -> Path:
    """The path of the mixtures' scores that belong to a scores.csv."""
    suffix = "" if engine == ENGINES[0] else f".{engine}"
    return Experiment(path.parents[2]).mixtures(path.parent.name, suffix)


def _read_mixtures(path, about, rows, names) -> pandas.DataFrame:
    """The scores of the mixtures in these metrics, in the order of ``rows``."""
    again = "run stage 2 again with the same options (it scores only what is missing)"
    try:
        held, mixtures = disk.read_yaml(path.with_suffix(".yml")), read_file(path)
    except UserError:
        raise UserError(f"{path}: no scores of the mixtures, or damaged ones; {again}") from None
    for key in ALIKE:
        if held.get(key) != about.get(key):
            raise UserError(f"{path}: scores of the mixtures with {key} {held.get(key)}, expected"
                            f" {about.get(key)} as of the estimates; {again}")  # fmt: skip
    mixtures = mixtures.set_index(ROW).reindex(rows).reset_index()
    missing = [name for name in names if name not in mixtures]
    if missing or mixtures["failed"].isna().any():
        what = f"in {', '.join(missing)}" if missing else "of every example"
        raise UserError(f"{path}: no scores of the mixtures {what}; {again}")
    return mixtures


def _marked(failed: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    return {f"{name}{MIXTURE}": why for name, why in failed.items() if name in names}


def read_file(path: Path) -> pandas.DataFrame:
    """Read the scores of estimates or of mixtures alone: a row per example and source.

    Raises:
        UserError: see ``read_scores``.
    """
    if not path.is_file():
        interrupted = path.with_name("scores.partial.csv").is_file()
        what = "was interrupted and continues" if interrupted else "makes it"
        raise UserError(f"{path}: not there; stage 2 {what} (--stage 2 with the same options)")
    try:
        columns = pandas.read_csv(path, nrows=0).columns
        columns = [name for name in columns if not name.endswith((MIXTURE, IMPROVEMENT))]
        missing = [key for key in (*KEYS, "failed") if key not in columns]
        if missing:
            raise UserError(f"{path}: expected a column {missing[0]!r}; run stage 2 again")
        # a group may be called NA: only scores may be missing
        numbers = {name: ["", "nan", "NaN"] for name in columns if name not in TEXTS}
        scores = pandas.read_csv(
            path,
            usecols=columns,
            dtype={name: str if name in TEXTS else float for name in columns},
            keep_default_na=False,
            na_values=numbers,
        )
    except ValueError as error:  # pandas' own faults of parsing are ValueErrors
        fault = str(error).strip().partition("\n")[0]
        raise UserError(f"{path}: not a table of scores ({fault}); run stage 2 again") from None
    if scores.empty:
        raise UserError(f"{path}: holds no scores; run stage 2 again")
    of_id = scores.groupby("id")["source"].agg(sorted)
    odd = of_id[of_id.map(lambda found: found != sorted(SOURCES))]
    if len(odd):
        raise UserError(f"{path}: expected a row for {' and '.join(SOURCES)} of each example, found"
                        f" {odd.iloc[0]} of {odd.index[0]!r}; run stage 2 again")  # fmt: skip
    return scores


def metric_columns(scores: pandas.DataFrame) -> list[str]:
    """All columns that hold scores: of estimates, mixtures (_mix), improvements (_imp), others."""
    return [name for name in scores.columns if name not in (*KEYS, *TEXTS)]


def metrics(columns: Sequence[str]) -> list[str]:
    """The metrics proper: those that also have a mixture and an improvement column."""
    columns = list(dict.fromkeys(columns))
    return [name for name in columns if f"{name}{IMPROVEMENT}" in columns]


def headline(columns: Sequence[str]) -> str:
    """The metric of figures and rankings: SI-SDR, or the first if it was not chosen."""
    found = metrics(columns)
    if not found:
        raise UserError("the scores hold no metric; run stage 2 again")
    return "si_sdr" if "si_sdr" in found else found[0]


def base(column: str) -> str:
    """The metric of a column: ``si_sdr`` of ``si_sdr_mix`` and of ``si_sdr_imp``."""
    return column.removesuffix(MIXTURE).removesuffix(IMPROVEMENT)


def failures(scores: pandas.DataFrame) -> pandas.DataFrame:
    """What failed, where and why, without what ``is_by_definition``: source, metric, reason, n."""
    found = [of for of in reasons(scores) if not is_by_definition(*of[1:])]
    table = pandas.DataFrame(found, columns=["source", "metric", "reason"])
    return table.value_counts(sort=False).rename("n").reset_index()


def is_by_definition(name: str, reason: str) -> bool:
    """Whether a score cannot be finite: a mixture is the sum of its sources, without artefacts."""
    return name in NO_ARTEFACTS and reason.startswith("infinite")


def reasons(scores: pandas.DataFrame) -> list[tuple[str, str, str]]:
    """(source, metric, reason) of each failure."""
    if "failed" not in scores.columns:
        return []
    return [
        (source, name, reason)
        for source, text in zip(scores["source"], scores["failed"], strict=True)
        for name, reason in read_failed(text).items()
    ]


def write_failed(failed: dict[str, str]) -> str:
    """The column ``failed`` of {metric: reason}: ``metric: reason; ...``; no reason holds ";"."""
    return "; ".join(f"{name}: {reason}" for name, reason in failed.items())


def read_failed(text: str) -> dict[str, str]:
    """{metric: reason}, of what ``write_failed`` wrote."""
    return {
        name: reason
        for name, _, reason in (item.partition(": ") for item in filter(None, text.split("; ")))
    }


def remark(text: str) -> str:
    """The column ``failed``, without what ``is_by_definition``."""
    failed = read_failed(text)
    return write_failed({name: why for name, why in failed.items()
                         if not is_by_definition(name, why)})  # fmt: skip
