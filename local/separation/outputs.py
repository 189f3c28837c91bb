"""The recordings that a command line names, and the paths of their outputs."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from local import SOURCES
from local.base.errors import UserError

SUFFIXES = (
    ".8svx", ".aif", ".aifc", ".aiff", ".au", ".avr", ".bwf", ".caf", ".flac", ".iff", ".ircam",
    ".mp3", ".nist", ".oga", ".ogg", ".opus", ".paf", ".pvf", ".rf64", ".sds", ".sf", ".snd",
    ".sph", ".svx", ".voc", ".w64", ".wav", ".wave", ".wve", ".xi",
)  # fmt: skip
"""Suffixes of files that soundfile reads: these are taken from a folder."""
OUTPUTS = (*SOURCES, "remix")


class Job(NamedTuple):
    """One recording and its outputs.

    Attributes:
        source: path of the recording, ``-`` for standard input.
        outputs: name of an output, such as voice -> path, ``-`` for standard output.
    """

    source: Path
    outputs: dict[str, Path]

    @property
    def done(self) -> bool:
        """Whether all outputs are there."""
        return all(path.exists() for path in self.outputs.values())


def jobs(
    words: Sequence[str], names: Sequence[str], out: Path | None = None, suffix: str | None = None
) -> list[Job]:
    """What to separate, in the order given; what a folder or a pattern holds is sorted.

    ``<name>.<suffix>`` becomes ``<name>_<output>.<suffix>`` beside it or below ``out``, where the
    folders below a given one are kept. What looks like such an output of another of the
    recordings is left out.

    Args:
        words: files, folders (searched recursively), patterns; ``-`` for standard input.
        names: of the outputs.
        out: folder; None: beside each recording; of standard input, to standard output.
        suffix: of the outputs, with its dot; None: that of the recording.

    Raises:
        UserError: nothing there, or two recordings with the same output.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: expected a folder, found a file")
    found: dict[Path, Path] = {}  # recording -> the folder that its place below ``out`` is below
    for word in words:
        for path, top in _expand(word, out):
            found.setdefault(path, top)
    stems = {(path.parent, f"{path.stem}_{name}") for path in found for name in OUTPUTS}
    planned, taken = [], {}
    for path, top in found.items():
        if (path.parent, path.stem) in stems:
            continue
        if str(path) == "-" and out is None:
            outputs = dict.fromkeys(names, path)
        else:
            folder = path.parent if out is None else out / path.parent.relative_to(top)
            stem = "stdin" if str(path) == "-" else path.stem
            ending = path.suffix if suffix is None else suffix
            outputs = {name: folder / f"{stem}_{name}{ending}" for name in names}
            for output in outputs.values():
                if output in taken:
                    raise UserError(f"{taken[output]} and {path} would both be written to {output};"
                                    " separate them one at a time with another --out")  # fmt: skip
                taken[output] = path
        planned.append(Job(path, outputs))
    return planned


def settle(planned: Sequence[Job], overwrite: bool, skip_existing: bool) -> list[Job]:
    """What is left to do if some outputs exist.

    Raises:
        UserError: they exist and neither option is given; one of them is a folder.
    """
    outputs = [path for job in planned for path in job.outputs.values() if str(path) != "-"]
    for path in outputs:
        if path.is_dir():
            raise UserError(f"{path}: expected a file to write, found a folder")
    if skip_existing:
        return [job for job in planned if not job.done]
    there = [path for path in outputs if path.exists()]
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise UserError(f"{there[0]}: exists already{more}; --overwrite replaces it,"
                        " --skip-existing skips it")  # fmt: skip
    return list(planned)


def _expand(word: str, out: Path | None) -> list[tuple[Path, Path]]:
    """The recordings that one word means, each with the folder that it was searched in."""
    path = Path(word)
    if word == "-":
        return [(path, path.parent)]
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if _is_recording(p, path, out))
        if not found:
            raise UserError(f"{path}: holds no recordings (files such as .wav, .flac, .mp3)")
        return [(p, path) for p in found]
    if path.exists() or not glob.has_magic(word):
        if not path.exists():
            raise UserError(f"{path}: no such file")
        return [(path, path.parent)]
    top = Path(*_before_magic(path))
    found = sorted(p for p in map(Path, glob.glob(word, recursive=True)) if p.is_file())
    if not found:
        raise UserError(f"{word}: no file fits this pattern")
    return [(p, top) for p in found]


def _is_recording(path: Path, top: Path, out: Path | None) -> bool:
    below = path.relative_to(top)
    if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") for part in below.parts):
        return False
    # earlier results: a folder of outputs inside the searched one
    inside = out is not None and out.resolve() != top.resolve() and out.resolve() in [
        parent.resolve() for parent in path.parents
    ]  # fmt: skip
    return path.is_file() and not inside


def _before_magic(pattern: Path) -> list[str]:
    parts = list(pattern.parts[:-1])
    for index, part in enumerate(parts):
        if glob.has_magic(part):
            return parts[:index]
    return parts


REMIX = "remix"
