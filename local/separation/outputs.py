"""The recordings that a command line names, and the paths of their outputs."""

import glob
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from local import SOURCES
from local.base import names as file_names
from local.base.errors import UserError
from local.base.file_kind import irregular

SUFFIXES = (
    ".8svx", ".aif", ".aifc", ".aiff", ".au", ".avr", ".bwf", ".caf", ".flac", ".iff", ".ircam",
    ".mp2", ".mp3", ".nist", ".oga", ".ogg", ".opus", ".paf", ".pvf", ".rf64", ".sds", ".sf",
    ".snd", ".sph", ".svx", ".voc", ".w64", ".wav", ".wave", ".wve", ".xi",
)  # fmt: skip
"""What soundfile reads, by the names that files have: what is taken from a folder."""
FOREIGN = (
    ".3gp", ".aac", ".ac3", ".adts", ".amr", ".ape", ".dff", ".dsf", ".dts", ".eac3", ".m4a",
    ".m4b", ".m4r", ".mka", ".mkv", ".mov", ".mp4", ".mpc", ".ra", ".spx", ".tak", ".tta", ".weba",
    ".webm", ".wma", ".wv",
)  # fmt: skip
"""What soundfile does not read, and ffmpeg does."""
REMIX = "remix"
OUTPUTS = (*SOURCES, REMIX)
SYSTEM = (("/", "dev"), ("/", "proc"))  # where no outputs can lie


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
    words: Sequence[str],
    names: Sequence[str],
    out: Path | None = None,
    suffix: str | None = None,
    reject: Callable[[Path, str], None] = lambda path, reason: None,
    leave: Callable[[Path], None] = lambda path: None,
) -> list[Job]:
    """What to separate, in the order given; what a folder or a pattern holds is sorted.

    ``<name>.<suffix>`` becomes ``<name>_<output>.<suffix>`` beside it or below ``out``, where the
    folders below a given one are kept. What looks like such an output of another of the
    recordings is left out. Those of a pipe that no file can lie beside, such as ``<(command)`` of
    a shell, go to the current folder.

    Args:
        words: files, folders (searched recursively), patterns; ``-`` for standard input.
        names: of the outputs.
        out: folder; None: beside each recording; of standard input, to standard output.
        suffix: of the outputs, with its dot; None: that of the recording.
        reject: told of whatever a folder or a pattern holds that looks like a recording and cannot
            be one, and of folders that cannot be searched: path, reason.
        leave: told of what is left out and is not among the outputs: its path.

    Raises:
        UserError: nothing there, two recordings with the same output, or an output whose name
            would be too long.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: expected a folder, found a file")
    found: dict[Path, Path] = {}  # recording -> the folder that its place below ``out`` is below
    for word in words:
        for path, top in _expand(word, out, reject):
            found.setdefault(path, top)
    stems = {(path.parent, f"{path.stem}_{name}") for path in found for name in OUTPUTS}
    planned, taken, left = [], {}, []
    for path, top in found.items():
        if (path.parent, path.stem) in stems:
            left.append(path)
            continue
        if str(path) == "-" and out is None:
            outputs = dict.fromkeys(names, path)
        else:
            beside = Path() if path.parts[:2] in SYSTEM else path.parent
            folder = beside if out is None else out / path.parent.relative_to(top)
            stem = "stdin" if str(path) == "-" else path.stem
            ending = suffix
            if suffix is None:
                ending = path.suffix or (".wav" if path.is_fifo() else "")
            outputs = {name: folder / f"{stem}_{name}{ending}" for name in names}
            for output in outputs.values():
                _check_name(output, path)
                if output in taken:
                    raise UserError(f"{taken[output]} and {path} would both be written to {output};"
                                    " separate them one at a time with another --out")  # fmt: skip
                taken[output] = path
        planned.append(Job(path, outputs))
    for path in left:
        if path not in taken:
            leave(path)
    return planned


def _check_name(output: Path, path: Path) -> None:
    length, longest = len(os.fsencode(output.name)), file_names.longest(output.parent)
    if length > longest:
        raise UserError(f"{path}: its output {output.name} would have a name of {length} bytes,"
                        f" expected at most {longest}; rename the recording")  # fmt: skip


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


def _expand(word: str, out: Path | None, reject: Callable) -> list[tuple[Path, Path]]:
    """The recordings that one word means, each with the folder that it was searched in."""
    path = Path(word)
    if word == "-":
        return [(path, path.parent)]
    rejected = []

    def note(path: Path, reason: str) -> None:
        rejected.append(path)
        reject(path, reason)

    if path.is_dir():
        found = [p for p in _search(path, out, note) if _is_recording(p, note)]
        if not found and not rejected:
            raise UserError(f"{path}: holds no recordings (files such as .wav, .flac, .mp3)")
        return [(p, path) for p in found]
    if os.path.lexists(path) or not glob.has_magic(word):
        what = irregular(path)
        if what == "nothing there":
            raise UserError(f"{path}: no such file")
        if what not in (None, "a pipe"):
            raise UserError(f"{path}: expected a recording, found {what}")
        if what is None and _is_foreign(path):
            note(path, _advice(path))
            return []
        return [(path, path.parent)]
    top = Path(*_before_magic(path))
    matches = sorted(map(Path, glob.glob(word, recursive=True)))
    # a pattern may mean files of any name, but folders and the like only by the name of a recording
    found = [p for p in matches
             if (p.is_file() and not _is_foreign(p)) or _is_recording(p, note)]  # fmt: skip
    if not found and not rejected:
        raise UserError(f"{word}: no file fits this pattern")
    return [(p, top) for p in found]


def _search(top: Path, out: Path | None, reject: Callable) -> list[Path]:
    """All below a folder that is not hidden, sorted; links to folders are not followed."""
    found = []

    def refuse(error: OSError) -> None:
        reject(Path(os.fsdecode(error.filename)), f"cannot be searched ({error.strerror})")

    # results of another time: a folder of outputs inside the one that is searched
    inside = out.resolve() if out is not None and out.resolve() != top.resolve() else None
    for at, folders, files in os.walk(top, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if inside:
            folders[:] = [name for name in folders if (Path(at) / name).resolve() != inside]
        for name in folders:
            path = Path(at) / name
            if path.is_symlink() and not _looks_like_one(path):
                reject(path, "is a link to a folder, and is not searched")
        found += [Path(at) / name for name in (*folders, *files) if not name.startswith(".")]
    return sorted(found)


def _is_recording(path: Path, reject: Callable) -> bool:
    """Whether a file found has the name of a recording and is one that can be read."""
    if not _looks_like_one(path):
        return False
    what = irregular(path)
    if what:
        reject(path, f"expected a recording, found {what}")
    elif _is_foreign(path):
        if not any(path.with_suffix(suffix).exists() for suffix in SUFFIXES):  # converted before
            reject(path, _advice(path))
    else:
        return True
    return False


def _looks_like_one(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES or _is_foreign(path)


def _is_foreign(path: Path) -> bool:
    return path.suffix.lower() in FOREIGN


def _advice(path: Path) -> str:
    names = (shlex.quote(str(name)) for name in (path, path.with_suffix(".wav")))
    return "soundfile does not read {}; convert it: ffmpeg -i {} {}".format(path.suffix, *names)


def _before_magic(pattern: Path) -> list[str]:
    parts = list(pattern.parts[:-1])
    for index, part in enumerate(parts):
        if glob.has_magic(part):
            return parts[:index]
    return parts
