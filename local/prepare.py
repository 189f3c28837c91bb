"""Stage 0: check a tree of triplets, or a corpus as it comes, and write its manifests.

``data/<name>/`` gets train.csv, valid.csv and test.csv (see ``local.corpus.manifest``),
rejected.csv (what was left out, and why) and root.yml. ``local.corpus.triplets`` describes a tree
and its possible faults. ``groups.csv`` in a split's folder (folder, group) says which folders are
not independent; otherwise each folder is a group. Without a valid split, a tenth of the groups of
train becomes it, chosen by a hash of the group's name: folders added later move no other. So does
the test split of a corpus that has none. ``local.corpus.layouts`` knows the corpora.

With ``--voices`` and ``--noises`` instead of a tree, ``local.corpus.unmixed`` makes one: valid and
test are mixed into ``data/<name>/triplets``, and checked like any others; train.csv lists what
training mixes. ``--rooms`` besides lists responses in train_rooms.csv; with ``--data`` all of them
are for train.
"""

import contextlib
import csv
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from local.base import parallel, progress
from local.base.command_line import check_name, check_sources
from local.base.disk import replace, write_yaml
from local.base.errors import Parser, UserError, guard
from local.base.experiment import data_dir
from local.base.file_kind import is_there
from local.base.names import TEXT, shown
from local.corpus import findings, layouts, manifest, sources, splits, triplets, unmixed
from local.corpus.layouts import Layout
from local.corpus.manifest import ROOT_FILE, Row
from local.corpus.reverberation import Room
from local.corpus.splits import SPLITS
from local.corpus.sums import Fit, Look, Rejection

VALID_SEED, TEST_SEED = 0, 1
MAX_REJECTED = 10.0  # percent of all mixtures
SNRS = "-5,0,5,10,15"  # dB
SNR = re.compile(r"[+-]?[0-9]{1,2}(\.[0-9]{1,2})?")
HIGHEST_SNR = 40.0  # dB; beyond it the weaker source would be lost in 16 bits
FOLDERS_PER_WORKER = 100  # starting a process takes as long as looking at some hundreds


def main() -> None:
    """Check every folder, print the result, write the manifests."""
    parser = Parser(prog="prepare", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="DIR", help="the tree")
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
    for kind in sources.KINDS:
        parser.add_argument(f"--{kind.option}", type=Path, metavar="DIR", help=kind.meaning)
    parser.add_argument("--snrs", metavar="LIST", help=f"dB, of valid and test (default: {SNRS})")
    args = parser.parse_args()
    if args.channel is not None and args.channel < 0:
        raise UserError(f"--channel {args.channel}: channels are counted from 0")
    if not 0 <= args.max_rejected <= 100:
        raise UserError(f"--max-rejected {args.max_rejected:g}: expected 0 to 100")
    check_sources({name: value for name, value in vars(args).items() if value is not None})
    if args.voices:
        folders = {kind.option: getattr(args, kind.option) for kind in sources.KINDS}
        prepare_unmixed(args, data_dir(args.name), folders)
    elif args.data:
        prepare_tree(args, data_dir(name_of(args.data) if args.name is None else args.name))
    else:
        raise UserError("expected --data DIR, or --voices DIR and --noises DIR")


def prepare_tree(args, out: Path) -> None:
    """The manifests of triplets or of a corpus."""
    root = args.data.resolve()
    check_place(root, out)
    layout = layouts.find(root, args.corpus)
    alone = layout.alone(root)
    if alone:
        print(*remarks(root, layout), sep="\n")
        folders = {"rooms": args.rooms} | {kind.option: root for kind in alone}
        prepare_unmixed(args, out, folders, alone)
        return
    check_owner(root, out, layout)
    rooms, faults = list_rooms(args.rooms, args.channel)
    looks = look_at(root, layout.scan, layout.look, args.channel)
    looks["train"].rejections.extend(faults)
    examples = {split: seen.examples for split, seen in looks.items()}
    if layout.corpus is None:
        examples = {split: regroup(root / split, rows) for split, rows in examples.items()}
    for split, seed in (("test", TEST_SEED), ("valid", VALID_SEED)):
        if split not in examples:
            examples["train"], examples[split] = hold_out(examples["train"], seed)
    for line in remarks(root, layout):
        print(line)
    finish(out, looks, examples, rooms, about(args, layout), args.max_rejected,
           inside=layout.corpus is None)  # fmt: skip


def list_rooms(folder: Path | None, channel: int | None) -> tuple[list[Room], list[Rejection]]:
    """The rooms for the train split of a tree, and the faults of responses.

    Raises:
        UserError: there are none without a fault.
    """
    if folder is None:
        return [], []
    recordings, faults = unmixed.gather(unmixed.Order({"rooms": str(folder)}, channel, []))
    if not recordings:
        raise UserError(f"--rooms {folder}: {faults[0].file}: {faults[0].reason}; so are all")
    whole = [r._replace(file=r.file._replace(split="train")) for r in recordings]
    return unmixed.rooms(whole), faults


def prepare_unmixed(
    args,
    out: Path,
    given: dict[str, Path | None],
    known: unmixed.Known | None = None,
) -> None:
    """The triplets and manifests of voices and noises that are not mixed yet.

    Args:
        given: option -> folder.
        known: what a corpus says of its files.
    """
    folders = {name: str(folder.resolve()) for name, folder in given.items() if folder}
    order = unmixed.Order(folders, args.channel, read_snrs(args.snrs or SNRS))
    unmixed.check(out, order, known)
    recordings, rejections = unmixed.gather(order, known)
    listed = out / "rejected.csv"
    tree, about = out / unmixed.TREE, {"root": unmixed.TREE} | order._asdict()
    try:
        write_rejected(listed, rejections)
        total = len(rejections) + len(recordings)
        findings.check_share(len(rejections), total, args.max_rejected, listed, "files")
        recordings = unmixed.share(recordings, order)
        write_yaml(out / ROOT_FILE, about)  # before the triplets, which belong to this order
        plans = unmixed.mix(tree, recordings, order)
    except OSError as error:
        raise UserError(f"{out}: cannot be written to ({error.strerror})") from None
    looks = {"train": unmixed.train(recordings, rejections)}
    looks |= look_at(tree, unmixed.scan, triplets.look, None)
    examples = {split: regroup(tree / split, seen.examples) for split, seen in looks.items()}
    proof = unmixed.proof(recordings, plans)
    rooms = unmixed.rooms(recordings)
    finish(out, looks, examples, rooms, about, args.max_rejected, inside=True)
    print(proof)


def read_snrs(text: str) -> list[float]:
    """The SNRs of a list with commas between.

    Raises:
        UserError: no numbers, one twice, or one beyond ``HIGHEST_SNR``.
    """
    words = [word.strip() for word in text.split(",")]
    numbers = {float(word) + 0.0: None for word in words if SNR.fullmatch(word)}  # 0.0 is also -0
    if len(numbers) < len(words) or max(map(abs, numbers)) > HIGHEST_SNR:
        raise UserError(
            f"--snrs {text}: expected different numbers from -{HIGHEST_SNR:g} to {HIGHEST_SNR:g}"
            f" with commas between, such as {SNRS}"
        )
    return list(numbers)


def remarks(root: Path, layout: Layout) -> Iterable[str]:
    """Lines on a tree: which corpus it is, what is ignored in it."""
    if layout.corpus:
        note = layout.corpus.note(layout.part)
        yield f"{layout.corpus.title} ({layout.name})" + (f"; {note}" if note else "")
        return
    others = [name for name in list_folders(root) if name not in SPLITS]
    if others:
        yield f"not a split, ignored: {', '.join(map(shown, others))}"


def finish(
    out: Path,
    looks: dict[str, Look],
    examples: dict[str, list],
    rooms: list[Room],
    about: dict,
    max_rejected: float,
    inside: bool,
) -> None:
    """Print what was found, check that it is enough, and write the manifests.

    Args:
        out: their folder.
        looks: of the splits that there were.
        examples: of each split.
        rooms: that training draws from.
        about: what root.yml is to say.
        max_rejected: percent.
        inside: whether the folders that rejections name lie in their split's.
    """
    listed = out / "rejected.csv"
    print("\n".join(findings.summary(looks, examples, listed, inside)))
    if rooms:
        print(f"rooms for training: {len(rooms)} responses")
    try:
        write_rejected(listed, [r for seen in looks.values() for r in seen.rejections])
        findings.check_enough(looks, examples, max_rejected, listed)
        write_manifests(out, examples, rooms, about)
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


def about(args, layout: Layout) -> dict:
    """What root.yml says of a tree."""
    corpus = {"corpus": layout.name} if layout.corpus else {}
    folders = {"folders": {"rooms": str(args.rooms.resolve())}} if args.rooms else {}
    return {"root": str(args.data.resolve()), "channel": args.channel} | corpus | folders


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


def look_at(root: Path, scan: Callable, look: Callable, channel: int | None) -> dict[str, Look]:
    """Check everything in the splits of a tree, with as many processes as are useful.

    Args:
        root: the tree.
        scan, look: as those of ``layouts.Layout``.
        channel: which channel of files with several.

    Raises:
        UserError: a folder cannot be listed; a worker process died.
    """
    from joblib import cpu_count

    try:
        scanned = scan(root)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be listed ({error.strerror})") from None
    looks, tasks = {}, []
    for split, (found, strays) in scanned.items():
        looks[split] = Look(len([stray for stray in strays if stray.folder]), [], strays, [])
        tasks += [(root, split, each, channel) for each in found]
    workers = max(1, min(cpu_count(), len(tasks) // FOLDERS_PER_WORKER))
    results = parallel.in_order(look, tasks, workers)
    seen_in_turn = progress.bar(results, "looking", len(tasks), "places")
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
    if not is_there(path):
        return examples
    groups = {}
    try:
        with open(path, newline="", encoding="utf-8-sig", errors=TEXT["errors"]) as file:
            table = csv.DictReader(file)
            if not {"folder", "group"} <= set(table.fieldnames or ()):
                found = ", ".join(table.fieldnames or ()) or "none"
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

    See ``splits.hold_out``.
    """
    held = splits.hold_out({row.group for row, _ in examples}, seed)
    return (
        [example for example in examples if example[0].group not in held],
        [example for example in examples if example[0].group in held],
    )


def write_rejected(path: Path, rejections: Iterable[Rejection]) -> None:
    """What was left out, and why, as CSV; only the header where nothing was."""
    with replace(path) as temporary, open(temporary, "w", newline="", **TEXT) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(Rejection._fields)
        table.writerows(rejections)


def write_manifests(out: Path, examples: dict[str, list], rooms: list[Room], about: dict) -> None:
    """The manifests and root.yml: all are written before the first takes its place."""
    listed = manifest.rooms_of(out / "train.csv")
    with contextlib.ExitStack() as stack:
        write_yaml(stack.enter_context(replace(out / ROOT_FILE)), about)
        if rooms:
            manifest.write(stack.enter_context(replace(listed)), rooms, Room._fields)
        for split, of_split in examples.items():
            temporary = stack.enter_context(replace(out / f"{split}.csv"))
            manifest.write(temporary, [row for row, _ in of_split])
    if not rooms:
        listed.unlink(missing_ok=True)


if __name__ == "__main__":
    guard(main)
