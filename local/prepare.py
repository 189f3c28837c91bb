"""Stage 0: check a tree of triplets, or a corpus as it comes, and write its manifests.

``data/<name>/`` gets train.csv, valid.csv and test.csv (see ``local.corpus.manifest``),
rejected.csv (what was left out, and why) and root.yml. ``local.corpus.triplets`` describes a tree
and its possible faults. ``groups.csv`` in a split's folder (folder, group) says which folders are
not independent; otherwise each folder is a group. Without a valid split, a tenth of the groups of
train becomes it, chosen by a hash of the group's name: folders added later move no other. So does
the test split of a corpus that has none. ``local.corpus.layouts`` knows the corpora.
"""

import collections
import contextlib
import csv
import hashlib
import math
import os
from collections.abc import Iterable
from pathlib import Path

from local.base import progress
from local.base.command_line import check_name
from local.base.disk import replace, write_yaml
from local.base.errors import Parser, UserError, guard
from local.base.experiment import data_dir
from local.base.file_kind import irregular
from local.base.names import TEXT, shown
from local.corpus import layouts, manifest
from local.corpus.layouts import Layout
from local.corpus.manifest import ROOT_FILE, Row
from local.corpus.sums import GOOD_DB, Fit, Look, Rejection
from local.corpus.triplets import SPLITS

VALID_SHARE = 0.1  # of the groups of train, where there is no valid split
VALID_SEED, TEST_SEED = 0, 1
MAX_REJECTED = 10.0  # percent of all mixtures
SHOWN = 5  # rejections per reason in the printed summary; rejected.csv holds all
LEVELS = 12  # so many SNRs are listed one by one
FOLDERS_PER_WORKER = 100  # starting a process takes as long as looking at some hundreds


def main() -> None:
    """Check every folder, print the result, write the manifests."""
    parser = Parser(prog="prepare", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="the tree")
    parser.add_argument("--name", help="name of the data set; default: that of the tree")
    parser.add_argument("--corpus", metavar="NAME", help="its layout; default: as it looks")
    parser.add_argument("--channel", type=int, help="of files with several, from 0")
    parser.add_argument(
        "--max-rejected",
        type=float,
        default=MAX_REJECTED,
        metavar="PERCENT",
        help="of the mixtures, that may be left out (default: %(default)g)",
    )
    args = parser.parse_args()
    if args.channel is not None and args.channel < 0:
        raise UserError(f"--channel {args.channel}: channels are counted from 0")
    if not 0 <= args.max_rejected <= 100:
        raise UserError(f"--max-rejected {args.max_rejected:g}: expected 0 to 100")
    root = args.data.resolve()
    out = data_dir(name_of(args.data) if args.name is None else args.name)
    check_place(root, out)
    layout = layouts.find(root, args.corpus)
    check_owner(root, out, layout)

    looks = look_at(root, layout, args.channel)
    splits = {split: seen.examples for split, seen in looks.items()}
    if layout.corpus is None:
        splits = {split: regroup(root / split, examples) for split, examples in splits.items()}
    for split, seed in (("test", TEST_SEED), ("valid", VALID_SEED)):
        if split not in splits:
            splits["train"], splits[split] = hold_out(splits["train"], seed)
    rejections = [rejection for seen in looks.values() for rejection in seen.rejections]
    print("\n".join(summary(root, layout, looks, splits, out)))
    try:
        write_rejected(out / "rejected.csv", rejections)
        check_enough(looks, splits, args.max_rejected, out)
        write_manifests(out, splits, about(root, args.channel, layout))
    except OSError as error:
        raise UserError(f"{out}: cannot be written to ({error.strerror})") from None


def name_of(tree: Path) -> str:
    """What the data set of a tree is called: as its folder.

    Raises:
        UserError: that cannot name a data set.
    """
    own_name = Path(os.path.abspath(tree)).name
    try:
        return check_name(own_name, "--data")
    except UserError as error:
        raise UserError(f"{error}; give another with --name") from None


def check_place(root: Path, out: Path) -> None:
    """Check the tree and the folder for its manifests.

    Raises:
        UserError: no tree; the folder lies in the tree, or holds the manifests of another one.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing there"
        raise UserError(f"--data {root}: expected the folder of a tree, found {found}")
    list_folders(root)
    if out.resolve().is_relative_to(root):
        raise UserError(
            f"{out}: lies inside the tree {root}, which is never written to; move the tree"
        )


def check_owner(root: Path, out: Path, layout: Layout) -> None:
    """Check that the folder for the manifests is that of this tree, or of none.

    Raises:
        UserError: it holds the manifests of another tree, or of another part of this one.
    """
    place = out / ROOT_FILE
    if not place.exists():
        return
    before = manifest.read_root(place)
    other, part = before["root"], before.get("corpus") or layouts.TRIPLETS
    if other != str(root):
        raise UserError(
            f"{place}: {out.name} is the name of the tree {other}, not of {root}; give another"
            f" --name, or edit root there if the tree was moved"
        )
    if part != layout.name:
        raise UserError(
            f"{place}: {out.name} is the name of {part} of this tree, not of {layout.name};"
            " give another --name"
        )


def about(root: Path, channel: int | None, layout: Layout) -> dict:
    """What root.yml says."""
    corpus = {"corpus": layout.name} if layout.corpus else {}
    return {"root": str(root), "channel": channel} | corpus


def list_folders(root: Path) -> list[str]:
    """The folders in a tree that are not hidden and not Python's, sorted.

    Raises:
        UserError: the tree cannot be listed.
    """
    try:
        names = sorted(path.name for path in root.iterdir() if path.is_dir())
    except OSError as error:
        raise UserError(f"--data {root}: cannot be listed ({error.strerror})") from None
    return [name for name in names if not name.startswith((".", "_"))]


def look_at(root: Path, layout: Layout, channel: int | None) -> dict[str, Look]:
    """Check everything in the splits of a tree, with as many processes as are useful.

    Raises:
        UserError: a folder cannot be listed.
    """
    from joblib import Parallel, cpu_count, delayed

    try:
        scanned = layout.scan(root)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be listed ({error.strerror})") from None
    looks, tasks = {}, []
    for split, (found, strays) in scanned.items():
        looks[split] = Look(len([stray for stray in strays if stray.folder]), [], strays, [])
        tasks += [(root, split, each, channel) for each in found]
    unit = "mixtures" if layout.corpus else "folders"
    workers = max(1, min(cpu_count(), len(tasks) // FOLDERS_PER_WORKER))
    results = Parallel(workers, return_as="generator")(
        delayed(layout.look)(*task) for task in tasks
    )
    seen_in_turn = progress.bar(results, "looking", len(tasks), unit)
    for (_, split, *_), seen in zip(tasks, seen_in_turn, strict=True):
        mixtures, examples, rejections, unclosed = looks[split]
        examples += seen.examples
        rejections += seen.rejections
        unclosed += seen.unclosed
        looks[split] = Look(mixtures + seen.mixtures, examples, rejections, unclosed)
    return looks


def regroup(folder: Path, examples: list[tuple[Row, Fit]]) -> list[tuple[Row, Fit]]:
    """The examples of a split with the groups of its groups.csv, where there is one.

    A folder that is not listed there stays a group of its own.

    Raises:
        UserError: groups.csv lacks a column, or gives one folder two groups.
    """
    path = folder / "groups.csv"
    what = irregular(path)
    if what == "nothing there":
        return examples
    if what:
        raise UserError(f"{path}: expected a file, found {what}")
    groups = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if not {"folder", "group"} <= set(table.fieldnames or ()):
                found = ", ".join(table.fieldnames or ())
                raise UserError(f"{path}: expected the columns folder and group, found {found}")
            for line in table:
                number, group = int(line["folder"]), line["group"]
                if not group or groups.setdefault(number, group) != group:
                    raise UserError(
                        f"{path}, line {table.line_num}: expected one group for folder"
                        f" {line['folder']}, found {group!r}"
                        + (f" after {groups[number]!r}" if group else "")
                    )
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: expected a folder's number and its group ({error})") from None
    return [
        (row._replace(group=groups.get(int(row.group), row.group)), fit) for row, fit in examples
    ]


def hold_out(examples: list[tuple[Row, Fit]], seed: int = VALID_SEED) -> tuple[list, list]:
    """Split train into train and valid (or, with another seed, test), whole groups at a time.

    A group is held out if a hash of its name falls into the lowest tenth, whatever else there
    is; at least one group is in each of the two (where there are two).
    """
    ranks = {row.group: _rank(row.group, seed) for row, _ in examples}
    chosen = sum(rank < VALID_SHARE for rank in ranks.values())
    chosen = min(max(chosen, 1), len(ranks) - 1)
    held = set(sorted(ranks, key=ranks.get)[: max(chosen, 0)])
    return (
        [example for example in examples if example[0].group not in held],
        [example for example in examples if example[0].group in held],
    )


def _rank(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group's name and the seed alone."""
    digest = hashlib.sha256(f"{seed} {group}".encode(*TEXT.values())).digest()
    return int.from_bytes(digest[:8]) / 2**64


def summary(
    root: Path, layout: Layout, looks: dict[str, Look], splits: dict[str, list], out: Path
) -> Iterable[str]:
    """What was found, in lines: the splits, what deserves a second look, the rejections."""
    if layout.corpus:
        note = layout.corpus.note(layout.part)
        yield f"{layout.corpus.title} ({layout.name})" + (f"; {note}" if note else "")
    for split in SPLITS:
        rows = [row for row, _ in splits[split]]
        taken = " (groups of train)" if split not in looks else ""
        yield f"{split + taken}: {_describe(rows)}"
    others = [name for name in list_folders(root) if name not in SPLITS]
    if others and layout.corpus is None:
        yield f"not a split, ignored: {', '.join(map(shown, others))}"
    fits = [example for split in SPLITS for example in splits[split]]
    scaled = [fit for _, fit in fits if (fit.voice_gain, fit.noise_gain) != (1, 1)]
    if scaled:
        gains = [gain for fit in scaled for gain in (fit.voice_gain, fit.noise_gain)]
        yield (
            f"{len(scaled)} mixtures hold voice or noise at another level than the files have;"
            f" gains found and used: {min(gains):.3g} to {max(gains):.3g}"
        )
    fair = [(fit.residual_db, row.mix) for row, fit in fits if fit.residual_db > GOOD_DB]
    if fair:
        worst, mix = max(fair)
        yield (
            f"warning: {len(fair)} mixtures differ from voice + noise by {GOOD_DB:g} dB or more"
            f" (clipped?); they are used; the worst: {mix}, {worst:.1f} dB"
        )
    unclosed = [path for seen in looks.values() for path in seen.unclosed]
    if unclosed:
        yield (
            f"{len(unclosed)} files say that they hold no samples; what is there is used;"
            f" the first: {unclosed[0]}"
        )
    by_reason = collections.defaultdict(list)
    for seen in looks.values():
        for rejection in seen.rejections:
            by_reason[rejection.reason].append(rejection)
    inside = layout.corpus is None  # folders of triplets lie in their split's
    for reason, rejections in by_reason.items():
        yield f"rejected, {reason}: {len(rejections)}"
        for split, folder, file, _, expected, found in rejections[:SHOWN]:
            path = "/".join(filter(None, (inside and split, folder, file)))
            yield f"    {path}: expected {expected}, found {found}"
        if len(rejections) > SHOWN:
            yield f"    and {len(rejections) - SHOWN} more, in {out / 'rejected.csv'}"


def _describe(rows: list[Row]) -> str:
    """A split in one line: how much, at which rates and SNRs."""
    if not rows:
        return "0 mixtures"
    minutes = sum(row.num_samples / row.sample_rate for row in rows) / 60
    rates = ", ".join(f"{rate}" for rate in sorted({row.sample_rate for row in rows}))
    levels = collections.Counter(row.snr_db for row in rows)
    if len(levels) <= LEVELS and all(snr == round(snr, 1) for snr in levels):
        snrs = ", ".join(f"{snr:g} dB: {levels[snr]}" for snr in sorted(levels))
    else:
        snrs = f"{len(levels)} SNRs from {min(levels):.3g} to {max(levels):.3g} dB"
    groups = len({row.group for row in rows})
    return f"{len(rows)} mixtures in {groups} groups, {minutes:.1f} minutes at {rates} Hz ({snrs})"


def check_enough(
    looks: dict[str, Look], splits: dict[str, list], max_rejected: float, out: Path
) -> None:
    """Check that enough is left.

    Raises:
        UserError: nothing in a split, or more rejected than ``max_rejected`` percent.
    """
    listed = out / "rejected.csv"
    for split, examples in splits.items():
        mixtures = looks[split].mixtures if split in looks else 0
        if not examples and mixtures:
            raise UserError(f"nothing is left of {split}: see {listed}")
        if not examples and split in looks:
            raise UserError(
                f"{split}/: expected folders such as 0001 with a mixture, or a corpus's mixtures,"
                " found none"
            )
        if not examples:
            raise UserError(
                f"train/ is one group, of which no {split} split can be taken; add {split}/"
            )
    total = sum(seen.mixtures for seen in looks.values())
    rejected = total - sum(map(len, splits.values()))
    percent = 100 * rejected / total
    if percent > max_rejected:
        raise UserError(
            f"{rejected} of {total} mixtures ({percent:.1f} %) rejected, more than"
            f" {max_rejected:g} %: repair the tree (all faults: {listed}) or use the rest with"
            f" --max-rejected {math.ceil(percent)}"
        )


def write_rejected(path: Path, rejections: Iterable[Rejection]) -> None:
    """What was left out, and why, as CSV; only the header where nothing was."""
    with replace(path) as temporary, open(temporary, "w", newline="", **TEXT) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(Rejection._fields)
        table.writerows(rejections)


def write_manifests(out: Path, splits: dict[str, list], tree: dict) -> None:
    """The manifests and root.yml: all are written before the first takes its place."""
    with contextlib.ExitStack() as stack:
        write_yaml(stack.enter_context(replace(out / ROOT_FILE)), tree)
        for split, examples in splits.items():
            temporary = stack.enter_context(replace(out / f"{split}.csv"))
            manifest.write(temporary, [row for row, _ in examples])


if __name__ == "__main__":
    guard(main)
