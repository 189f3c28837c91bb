"""Examples of a page: separated one by one, heard and seen, with their scores on a card."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from local.base import progress
from local.corpus import manifest
from local.reporting import pages, tables


class Example(NamedTuple):
    """An example of a manifest and what systems made of it.

    Attributes:
        id: in the manifest.
        mix: (time,).
        sources: (source, time), the references; None: there are none.
        estimates: who made it -> (source, time).
        rate: Hz.
    """

    id: str
    mix: np.ndarray
    sources: np.ndarray | None
    estimates: dict[str, np.ndarray]
    rate: int


class Card(NamedTuple):
    """What a page shows of one example; its script sorts cards by ``level`` and ``scores``."""

    anchor: str
    id: str
    snr_db: float | None
    level: str
    why: str
    heard: pages.Heard
    scores: dict[str, float | None]
    table: tables.Table
    remarks: list[str]


def separated(
    test: manifest.Manifest, ids: Iterable[str], estimates: Callable[[int], dict[str, np.ndarray]]
) -> Iterator[Example]:
    """The examples of these ids, in their order; a bar shows how far it is.

    Args:
        test: the manifest that they are of.
        ids: of the examples.
        estimates: row of the manifest -> who made it -> (source, time).
    """
    places = {test.row(i).id: i for i in range(len(test))}
    for name in progress.bar(list(ids), "examples", unit="examples", leave=False):
        i = places[name]
        yield Example(name, test.mix(i), test.sources(i), estimates(i), test.row(i).sample_rate)


def card(
    folder: Path,
    example: Example,
    number: int,
    why: str,
    snr_db: float | None,
    level: str,
    scores: dict[str, float],
    table: tables.Table,
    remarks: list[str],
) -> Card:
    """Write what is heard and seen of an example; return its card.

    Args:
        folder: of the page.
        example: with its estimates.
        number: of the card, from 1.
        why: the example was chosen.
        snr_db, level: of the mixture, and the level that it counts to; None and empty where there
            are no references.
        scores: what cards can be sorted by: ``<source> <name>`` -> value.
        table: all scores of the example.
        remarks: such as why a score failed.
    """
    heard = pages.write_example(folder, *example)
    values = pages.json_numbers(scores)
    return Card(f"example-{number}", example.id, snr_db, level, why, heard, values, table, remarks)
