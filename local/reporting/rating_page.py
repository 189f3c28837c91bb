"""What ``winnow score`` shows: tables of ratings, and a page to listen to every system."""

import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas

from local.base import disk, experiment
from local.base.errors import UserError
from local.base.names import shown
from local.reporting import examples, pages, tables
from local.scoring import dnsmos, metrics, ratings

PAGE = "index.html"
PARTS = (pages.AUDIO, PAGE)  # the page comes last
FIRST = dnsmos.NAMES[0]  # the rating of the whole, which tables show of each recording
NOTES = (
    "Ratings are what a network predicts that listeners would say, from 1 (bad) to 5 (excellent),"
    " of each recording at 16 kHz (what lies above 8 kHz is not heard), the mean of its channels. "
    " They are no measurement: differences of a few hundredths mean nothing, and a voice that is"
    " missing altogether may still be rated. Listen.",
    "Means are over the recordings that all systems have a rating of.",
)


def check_folder(folder: Path) -> None:
    """Raise a UserError where what is written into a folder would replace what is not ours."""
    if ratings.is_ours(folder / ratings.FILE):
        return
    for name in (ratings.FILE, *PARTS):
        if (folder / name).exists():
            raise UserError(f"--out {folder}: holds {name}, which would be replaced, and no"
                            f" {ratings.FILE} of winnow score; name another folder")  # fmt: skip


def overview(table: pandas.DataFrame) -> list[tables.Table]:
    """Means of each system, and the rating of the whole of each recording.

    Args:
        table: of ``ratings.Ratings.table``.
    """
    return [means(table), each(table, FIRST)]


def means(table: pandas.DataFrame) -> tables.Table:
    """Mean ratings of each system, and how far the rating of the whole is above the mixture's."""
    whole = _wide(table, FIRST).dropna()
    gain = whole.mean() - whole[ratings.MIXTURE].mean()
    averages = {name: _wide(table, name).loc[whole.index].mean() for name in dnsmos.NAMES}
    rows = tuple(
        ((shown(system),), *((tables.Number(averages[name][system]),) for name in dnsmos.NAMES),
         (tables.Number(gain[system], 2, True) if system != ratings.MIXTURE
          else tables.Number(math.nan),))
        for system in whole.columns
    )  # fmt: skip
    heads = [metrics.METRICS[name].label for name in dnsmos.NAMES]
    caption = f"Mean ratings, n = {len(whole)}"
    return tables.Table(caption, ("", *heads, f"{heads[0]}, improvement"), rows)


def each(table: pandas.DataFrame, name: str) -> tables.Table:
    """A rating of each recording, a column for each system."""
    caption = f"{metrics.METRICS[name].label} of each recording"
    wide = _wide(table, name)
    rows = tuple(
        ((shown(recording),), *((tables.Number(value),) for value in row))
        for recording, *row in wide.itertuples(name=None)
    )
    return tables.Table(caption, ("recording", *map(shown, wide.columns)), rows)


def of_recording(of: pandas.DataFrame) -> tables.Table:
    """The ratings of one recording, of its rows."""
    rows = tuple(
        ((shown(row["system"]),), *((tables.Number(row[name]),) for name in dnsmos.NAMES))
        for row in of.to_dict("records")
    )
    heads = [metrics.METRICS[name].label for name in dnsmos.NAMES]
    return tables.Table("Ratings", ("", *heads), rows)


def write(
    folder: Path,
    table: pandas.DataFrame,
    heard: Iterable[tuple[str, np.ndarray, dict[str, np.ndarray], int]],
    about: dict[str, dict],
) -> Path:
    """Write index.html and what it plays, or leave what was there.

    Args:
        folder: of the page, in which scores.csv lies.
        table: of ``ratings.Ratings.table``.
        heard: what the page plays: recording, mixture (time,), system -> estimates
            (source, time), Hz.
        about: system -> facts about it.

    Returns:
        the path of the page.
    """
    with disk.scratch(folder) as stage:
        stage.mkdir()
        cards = [_card(stage, table, number, *of) for number, of in enumerate(heard, 1)]
        pages.write_page(stage / PAGE, "score.html", **_context(table, cards, about))
        (stage / pages.AUDIO).mkdir(
            exist_ok=True
        )  # with nothing to play it replaces what was there
        for part in PARTS:
            with disk.replace(folder / part) as temporary:
                os.replace(stage / part, temporary)
    return folder / PAGE


def _card(
    stage: Path, table: pandas.DataFrame, number: int, name: str, mix, estimates: dict, rate: int
) -> examples.Card:
    """The card of a recording; what it plays is written below ``stage``."""
    of = table[table["recording"] == name]
    first = of.iloc[0]
    estimates = {shown(system): made for system, made in estimates.items()}
    # the name of a recording may be a long path, or any bytes
    example = examples.Example(first["recording_sha256"], mix, None, estimates, rate)
    why = f"{pages.duration(first['seconds'])} at {first['sample_rate']:.0f} Hz"
    failed = [f"{shown(system)}: {why}" for system, why in _failed(of)]
    card = examples.card(stage, example, number, why, None, "", {}, of_recording(of), failed)
    return card._replace(id=shown(name))


def _context(table: pandas.DataFrame, cards: list[examples.Card], about: dict) -> dict:
    """What score.html is filled with."""
    sections = {"overview": "Overview", "recordings": "Recordings"}
    sections |= {"examples": "Listen"} if cards else {}
    origins = {"Ratings": experiment.provenance()}
    origins |= {shown(name): facts for name, facts in about.items()}
    title = "Recordings before and after separation"
    framed = pages.frame(title, "score", sections, list(NOTES), dnsmos.NAMES, origins)
    recordings = table["recording"].nunique()
    return framed | {
        "metric_notes": (),
        "summary": [],
        "key_facts": {"recordings": str(recordings), "systems": str(len(about)),
                      "to listen to": str(len(cards))},
        "overview": means(table),
        "main_table": each(table, FIRST),
        "more_tables": {metrics.METRICS[name].label: [each(table, name)]
                        for name in dnsmos.NAMES[1:]},
        "failures": [f"{shown(name)}, {shown(system)}: {why}" for name, of in
                     table.groupby("recording", sort=False) for system, why in _failed(of)],
        "cards": cards,
        "silent": recordings - len(cards),
    }  # fmt: skip


def _wide(table: pandas.DataFrame, name: str) -> pandas.DataFrame:
    """Recordings by systems, both in the order in which they stand; NaN where there is none."""
    order = list(dict.fromkeys(table["recording"])), list(dict.fromkeys(table["system"]))
    wide = table.pivot_table(name, "recording", "system", dropna=False)
    return wide.reindex(index=order[0], columns=order[1])


def _failed(of: pandas.DataFrame) -> list[tuple[str, str]]:
    """(system, why it has no rating) of a recording's rows."""
    pairs = zip(of["system"], of["failed"], strict=True)
    return [(system, why) for system, why in pairs if why]
