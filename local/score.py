"""Rate recordings without references: DNSMOS of each, before and after separation.

    winnow score noisy.wav                              # the model that ships
    winnow score FOLDER --model rnnoise --model exp/DATA/dprnn --out ratings
    winnow score FOLDER --model A,B                     # the mean of two models is one system

``--out`` gets scores.csv, a row per recording and system, and index.html to listen to all of them
side by side. The same command again continues; another ``--model`` is added to what is there.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from local.base import progress
from local.base.command_line import parse_inputs
from local.base.errors import CONTINUES, Parser, UserError, guard
from local.base.file_kind import irregular
from local.base.names import shown

OUT = Path("winnow_score")
SECONDS = 60  # of each recording that the page plays


class Rated(NamedTuple):
    """A recording that was rated: its hash, system -> where estimates are kept, whether it is cut
    off."""

    sha256: str
    stores: dict
    cut: bool


def main() -> None:
    """Rate what the command line names."""
    args = _parse()
    from local.reporting import rating_page
    from local.scoring import dnsmos, ratings

    dnsmos.check()
    rejected: dict[Path, str] = {}
    recordings = _recordings(args, rejected)
    rating_page.check_folder(args.out)
    systems = _systems(args.model, args.device)
    for path, reason in rejected.items():
        say(f"{path}: {reason}")
    count, failed, cut, rated = len(recordings) + len(rejected), len(rejected), 0, {}
    with ratings.Ratings(args.out) as held:
        for path in progress.bar(recordings, "recordings", unit="files", disable=count == 1):
            try:
                rated[str(path)] = found = _rate(path, systems, held, args.out)
                cut += found.cut
            except (UserError, OSError) as error:
                failed += 1
                say(f"{path}: {getattr(error, 'strerror', None) or error}")
        table = held.table(rated, [ratings.MIXTURE, *systems])
    if rated:
        _report(args.out, table, rated, systems)
    if failed and count > 1:
        say(f"{failed} of {count} recordings could not be rated")
    raise SystemExit(1 if failed or cut else 0)


def say(text: str) -> None:
    """One line on standard error, above the progress bars."""
    from tqdm import tqdm

    tqdm.write(f"winnow score: {shown(text)}", file=sys.stderr)


def _parse() -> argparse.Namespace:
    parser = Parser(
        prog="winnow score",
        usage="winnow score INPUT... [options]",
        description="DNSMOS of recordings, before and after separation: a table, and a page to"
        " listen to.\nNo references are needed.",
        epilog="INPUT: a file, a folder with all below it, or a 'pattern'. Ratings are predicted"
        "\nopinions from 1 to 5, at 16 kHz, of the mean of the channels.",
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, 2, 24, 80),
    )
    add = parser.add_argument
    add("inputs", nargs="*", metavar="INPUT", help=argparse.SUPPRESS)
    add("--model", action="append", metavar="NAME[,...]",
        help="recipe, experiment or file; again for each system to compare")  # fmt: skip
    add("--out", type=Path, default=OUT, metavar="DIR", help=f"default: {OUT}")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or mps")
    args = parse_inputs(parser, sys.argv[1:])
    if not args.inputs:
        raise UserError("expected an INPUT: a recording or a folder; winnow score --help says more")
    if "-" in args.inputs:
        raise UserError("standard input cannot be rated: write it to a file")
    return args


def _recordings(args: argparse.Namespace, rejected: dict[Path, str]) -> list[Path]:
    """The recordings to rate, in order; what cannot be one goes to ``rejected``."""
    from local.separation import outputs

    found = []
    for job in outputs.jobs(args.inputs, (), args.out, reject=rejected.setdefault):
        what = irregular(job.source)
        if what:
            rejected[job.source] = f"expected a file, found {what}"
        else:
            found.append(job.source)
    return found


def _systems(models: list[str] | None, device: str) -> dict:
    """The separators to compare, by what ``--model`` calls them; each with its hash."""
    from local.model import pretrained
    from local.scoring import ratings

    place, found = pretrained.choose_device(device), {}
    for name in models or [pretrained.default()]:
        if name == ratings.MIXTURE:  # is rated anyway
            continue
        separator = pretrained.open_model(name if models else None)
        separator.to(place)
        found[name] = separator, ratings.sha256(*pretrained.files(name))
    return found


def _rate(path: Path, systems: dict, held, out: Path) -> Rated:
    """Rate one recording and what each system makes of it, as far as this is not done."""
    from local.scoring import kept, ratings
    from local.separation.recordings import Recording

    sha, stores, name = ratings.sha256(path), {}, shown(path.name)
    with Recording(path, mono=True) as recording:
        frames = min(recording.frames, SECONDS * recording.rate)
        subject = ratings.Subject(str(path), ratings.MIXTURE, sha)
        if not held.has(subject):
            held.add(subject, recording.rate, *_dnsmos(_finite(recording), recording.rate, name))
        for system, (separator, system_sha) in systems.items():
            subject = ratings.Subject(str(path), system, sha, system_sha)
            store = stores[system] = kept.Kept(out / ratings.FILE, system_sha)
            wanted = not store.has(sha) and store.has_room(frames)
            if wanted or not held.has(subject):
                excerpt: list[np.ndarray] = []
                voice = _voice(recording, separator, frames, excerpt)
                label = f"{name}, {shown(system)}"
                held.add(subject, recording.rate, *_dnsmos(voice, recording.rate, label))
                if wanted:
                    store.keep(sha, np.concatenate(excerpt, -1))
        for remark in recording.remarks:
            say(f"{path}: {remark}")
        return Rated(sha, stores, recording.cut)


def _finite(recording) -> Iterator:
    """The samples of a recording, (time,) tensors."""
    from local.model import windows

    return (block[0] for block in windows.checked(recording.blocks(), recording.rate))


def _voice(recording, separator, frames: int, excerpt: list) -> Iterator:
    """The voice in a recording, (time,) tensors; the first ``frames`` samples of all estimates
    go to ``excerpt``, (source, time)."""
    from local import SOURCES
    from local.model import windows

    left = frames
    for estimates in windows.estimate_finite(separator, recording.blocks, recording.rate):
        if left > 0:
            excerpt.append(estimates[:, 0, :left].numpy().copy())
            left -= excerpt[-1].shape[-1]
        yield estimates[SOURCES.index("voice"), 0]


def _dnsmos(blocks: Iterable, rate: int, label: str) -> tuple[float, dict]:
    """Length in seconds, and DNSMOS, of a stream of (time,) tensors of any length."""
    from local.model import windows
    from local.scoring import dnsmos, metric_values

    with tempfile.TemporaryFile() as file:  # 64 kB a second
        for block in windows.resampled(blocks, rate, dnsmos.RATE):
            file.write(block.contiguous().numpy())
        file.flush()
        samples = np.memmap(file, np.float32, "r")

        def through(items):
            return progress.bar(items, label, unit="windows", leave=False)

        return len(samples) / dnsmos.RATE, metric_values.dnsmos(samples, dnsmos.RATE, through)


def _report(out: Path, table, rated: dict[str, Rated], systems: dict) -> None:
    """Print the tables and write the page."""
    from local.reporting import rating_page, tables
    from local.scoring import ratings

    for part in rating_page.overview(table):
        print(tables.text(part))
    about = {name: {"file": separator.infos["file"], "sample_rate": separator.sample_rate,
                    "sha256": sha} for name, (separator, sha) in systems.items()}  # fmt: skip
    page = rating_page.write(out, table, _excerpts(rated), about)
    print(f"ratings: {shown(out / ratings.FILE)}\npage: {shown(page)}")


def _excerpts(rated: dict[str, Rated]) -> Iterator:
    """What the page plays: name, mixture (time,), system -> estimates (source, time), rate."""
    from local.separation.recordings import Recording

    for name, of in rated.items():
        with contextlib.suppress(UserError, OSError), Recording(name, mono=True) as recording:
            blocks, left = [], SECONDS * recording.rate
            for block in _finite(recording):
                blocks.append(block[:left].numpy())
                left -= len(blocks[-1])
                if not left:
                    break
            mix = np.concatenate(blocks)
            made = {system: store.estimates(of.sha256, len(mix))
                    for system, store in of.stores.items()}  # fmt: skip
            if all(estimates is not None for estimates in made.values()):
                yield name, mix, made, recording.rate


if __name__ == "__main__":
    guard(main, "winnow score", CONTINUES)
