"""Pages that open from the disk, without a server or a network, and what they play and show.

``render`` fills a template of local/templates; style and script stand inside the page. Links are
relative to it. ``write_example`` makes what is heard and seen of one example, for any number of
models, ``facts`` puts provenance into words.
"""

import functools
import hashlib
import math
import re
import shlex
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import jinja2
import numpy as np

from local import SOURCES
from local.base import audio, disk
from local.base.names import TEXT, shown
from local.reporting import figures, tables
from local.scoring import metrics

TEMPLATES = Path(__file__).parent / "templates"
AUDIO = "audio"
LONGEST_PART = 120  # characters; two of them and a source make the name of a file, of 255 bytes
FOOT = {"reading": "What the numbers mean", "provenance": "Where they come from"}


class Recording(NamedTuple):
    """Something to play: what it is, the link to it (None: not written), a remark."""

    label: str
    href: str | None
    remark: str = ""


class Heard(NamedTuple):
    """What there is of one example: recordings, link and size (pixels) of their spectrograms."""

    recordings: tuple[Recording, ...]
    spectrograms: str
    width: int
    height: int


class Figure(NamedTuple):
    """A figure in a page: link, the text for who cannot see it, caption; link to its sound."""

    href: str
    alt: str
    caption: str
    sound: str | None = None


def render(template: str, **context) -> str:
    """The HTML of a template of local/templates, everything in ``context`` escaped."""
    return _environment().get_template(template).render(**context)


def write_page(path: Path | str, template: str, **context) -> None:
    """Render a template into a file, atomically."""
    html = render(template, **context)
    with disk.replace(path) as temporary:
        temporary.write_text(html, **TEXT)


def write_audio(folder: Path, stem: str, label: str, samples: np.ndarray, rate: int) -> Recording:
    """Write a recording at its true level, never rescaled.

    16-bit integers; what they would clip is written as 32-bit float, and the remark says so.
    What holds NaN or infinite samples cannot be played and is not written.

    Args:
        folder: of the page; the file goes to ``audio/`` in it.
        stem: of the file's name.
        label: of the recording.
        samples: (time,), full scale is 1.
        rate: Hz.
    """
    if not np.isfinite(samples).all():
        return Recording(label, None, "holds NaN or infinite samples: not written")
    peak = float(np.abs(samples).max(initial=0))
    clips = bool(np.rint(samples * 32768.0).max(initial=0) > 32767 or peak > 1)
    path = folder / AUDIO / f"{stem}.wav"
    audio.write(path, samples, rate, "FLOAT" if clips else "PCM_16")
    remark = ""
    if clips:
        level = f"{20 * math.log10(peak):+.1f} dB re full scale"
        remark = f"peak {level}: a float file, which your player clips"
    return Recording(label, _href(folder, path), remark)


def write_example(
    folder: Path,
    name: str,
    mix: np.ndarray,
    sources: np.ndarray | None,
    estimates: dict[str, np.ndarray],
    rate: int,
) -> Heard:
    """Write what is heard and seen of one example: mixture, references, estimates, spectrograms.

    Args:
        folder: of the page; the files go to ``audio/`` in it.
        name: of the example, the beginning of the files' names.
        mix: (time,).
        sources: (source, time), the references; None: there are none.
        estimates: who made it (``estimate``, or a model's name) -> (source, time).
        rate: Hz.
    """
    stem = _part(name)
    found = [write_audio(folder, f"{stem}.mixture", "mixture", mix, rate)]
    for k, source in enumerate(SOURCES):
        for who, signals in figures.rows(sources, estimates).items():
            file = f"{stem}.{source}.{_part(who)}"
            found.append(write_audio(folder, file, f"{source}, {who}", signals[k], rate))
    path = folder / AUDIO / f"{stem}.png"
    figure = figures.spectrograms(mix, sources, estimates, rate)
    figures.write(figure, path)
    width, height = (round(inches * figures.DOTS) for inches in figure.get_size_inches())
    return Heard(tuple(found), _href(folder, path), width, height)


def frame(
    title: str, kind: str, sections: dict[str, str], notes: list[str], columns, about: dict
) -> dict:
    """What page.html is filled with on every page: heading, contents and foot.

    Args:
        title, kind: of the page; kind is one word, such as ``report``.
        sections: anchor -> heading of what this page holds before its foot.
        notes: what has to be known to read its tables.
        columns: of scores; the foot says what their metrics are.
        about: heading -> provenance, see ``facts``.
    """
    return {
        "title": title,
        "kind": kind,
        "sections": list((sections | FOOT).items()),
        "notes": notes,
        "metric_list": metric_list(columns),
        "metric_notes": metrics.NOTES,
        "provenance": {head: facts(tree) for head, tree in about.items()},
    }


def markdown_foot(framed: dict) -> list[str]:
    """The foot of a page, of what ``frame`` gave, as parts of a Markdown text."""
    listed = framed["metric_list"].items()
    parts = [f"## {FOOT['reading']}", *framed["notes"]]
    parts += ["\n".join(f"- `{name}`: {text}" for name, text in listed), *framed["metric_notes"]]
    parts.append(f"## {FOOT['provenance']}")
    for head, tree in framed["provenance"].items():
        parts += [f"### {head}", "\n".join(f"- {name}: {fact}" for name, fact in tree.items())]
    return parts


def metric_list(columns) -> dict[str, str]:
    """What the metrics in columns of scores are: name -> description, in their order."""
    given, known = set(columns), metrics.METRICS | metrics.EXTRAS
    return {name: str(metric) for name, metric in known.items() if name in given}


def facts(tree: dict) -> dict[str, str]:
    """Provenance in words: a line per entry, values without a value left out."""
    return {_words(name): _said(name, value) for name, value in tree.items() if value is not None}


def quantity(value: float | None, unit: str = "") -> str:
    """A number to three digits with a prefix: ``1.23 M``; NOTHING for None."""
    if value is None or not math.isfinite(value):
        return tables.NOTHING
    prefixes = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    # from 999.5 on three digits round up to the next prefix
    size, prefix = next((p for p in prefixes if abs(value) >= 0.9995 * p[0]), (1, ""))
    return " ".join(filter(None, (f"{value / size:.3g}", prefix, unit)))


def duration(seconds: float | None) -> str:
    """Seconds in the unit that one would say: ``32 s``, ``12 min``, ``3.5 h``."""
    if seconds is None:
        return tables.NOTHING
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def json_numbers(values: dict[str, float]) -> dict[str, float | None]:
    """Values as JSON has them: None where there is none, to the digits of by_snr.csv."""
    return {name: float(tables.exact(value)) if math.isfinite(value) else None
            for name, value in values.items()}  # fmt: skip


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["number"] = lambda part: isinstance(part, tables.Number)
    environment.filters["minus"] = _minus
    return environment


def _minus(text: str) -> str:
    """The minus signs of numbers as in print; hyphens of words stay."""
    return re.sub(r"(^| )-(?=\d)", "\\1\N{MINUS SIGN}", text)


def _part(name: str) -> str:
    """A name as part of a file's: it leaves no folder, meets no other, and is not too long."""
    part = quote(name, safe="+ ")
    if len(part) > LONGEST_PART:  # such as the path of a model, of three characters a byte
        return part[: LONGEST_PART - 16] + hashlib.sha256(part.encode()).hexdigest()[:16]
    return part


def _href(folder: Path, path: Path) -> str:
    return quote(path.relative_to(folder).as_posix())


def _words(name: str) -> str:
    return str(name).replace("_", " ")


def _said(name: str, value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_words(key)} {_said(key, item)}" for key, item in value.items())
    if isinstance(value, list):
        items = [shown(item) for item in value]
        return shlex.join(items) if name == "command" else ", ".join(items)
    return f"{value:.10g}" if isinstance(value, float) else shown(value)
