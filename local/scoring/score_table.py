"""scores.csv: its rows, its metric columns, what failed and why."""

from collections.abc import Sequence
from pathlib import Path

import pandas

from local import SOURCES
from local.base.errors import UserError
from local.base.experiment import NUMBER

KEYS = ("id", "snr_db", "group", "source")


TEXTS = ("id", "group", "source", "failed")


MIXTURE, IMPROVEMENT = "_mix", "_imp"
NO_ARTEFACTS = tuple(f"{name}{MIXTURE}" for name in ("si_sar", "sar_v4", "sar_v3"))
SCORED = {"version": int | None, "test_hash": str, "engine": str, "metrics": list,
          "model_sha256": str, "recipe": str, "needs_sources": bool | None, "provenance": dict,
          "parameters": NUMBER, "macs_per_second": NUMBER, "audio_seconds_seen": NUMBER,
          "real_time_factor": NUMBER}  # fmt: skip
"""What scores.yml must hold, and the types of what it may hold."""


def read_scores(path: Path | str) -> pandas.DataFrame:
    """Read a scores.csv: one row per example and source.

    Raises:
        UserError: missing (the line names stage 2), or not a table of scores.
    """
    path = Path(path)
    if not path.is_file():
        interrupted = path.with_name("scores.partial.csv").is_file()
        what = "was interrupted and continues" if interrupted else "makes it"
        raise UserError(f"{path}: not there; stage 2 {what} (--stage 2 with the same options)")
    try:
        columns = pandas.read_csv(path, nrows=0).columns
        missing = [key for key in KEYS if key not in columns]
        if missing:
            raise UserError(f"{path}: expected a column {missing[0]!r}; run stage 2 again")
        # a group may be called NA: only scores may be missing
        numbers = {name: ["", "nan", "NaN"] for name in columns if name not in TEXTS}
        scores = pandas.read_csv(
            path,
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
