"""What stage 0 has found: in lines for the terminal, and whether it is enough."""

import collections
import math
from collections.abc import Iterable
from pathlib import Path

from local import SOURCES
from local.base.errors import UserError
from local.base.names import shown
from local.corpus.manifest import Row
from local.corpus.splits import SPLITS
from local.corpus.sums import GOOD_DB, Look

SHOWN = 5  # rejections per reason in the printed summary; rejected.csv holds all
LEVELS = 12  # so many SNRs are listed one by one


def summary(
    looks: dict[str, Look], splits: dict[str, list], listed: Path, inside: bool
) -> Iterable[str]:
    """What was found, in lines: the splits, what deserves a second look, the rejections.

    Args:
        looks: of the splits that there were.
        splits: the examples of each.
        listed: the file that lists all rejections.
        inside: whether the folders that rejections name lie in their split's.
    """
    for split in SPLITS:
        rows = [row for row, _ in splits[split]]
        taken = " (groups of train)" if split not in looks else ""
        yield f"{split + taken}: {_describe(rows)}"
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
            f" (clipped?); they are used; the worst: {shown(mix)}, {worst:.1f} dB"
        )
    unclosed = [path for seen in looks.values() for path in seen.unclosed]
    if unclosed:
        yield (
            f"{len(unclosed)} files say that they hold no samples; what is there is used;"
            f" the first: {shown(unclosed[0])}"
        )
    by_reason = collections.defaultdict(list)
    for seen in looks.values():
        for rejection in seen.rejections:
            by_reason[rejection.reason].append(rejection)
    for reason, rejections in by_reason.items():
        yield f"rejected, {reason}: {len(rejections)}"
        for split, folder, file, _, expected, found in rejections[:SHOWN]:
            path = "/".join(filter(None, (inside and split, folder, file)))
            yield f"    {path}: expected {expected}, found {found}"
        if len(rejections) > SHOWN:
            yield f"    and {len(rejections) - SHOWN} more, in {listed}"


def _describe(rows: list[Row]) -> str:
    """A split in one line: how much, at which rates and SNRs."""
    if not rows:
        return "0 mixtures"
    if not all(row.holds(source) for row in rows for source in SOURCES):
        return "; ".join(_describe_alone(rows, source) for source in SOURCES)
    minutes = sum(row.num_samples / row.sample_rate for row in rows) / 60
    rates = ", ".join(f"{rate}" for rate in sorted({row.sample_rate for row in rows}))
    levels = collections.Counter(row.snr_db for row in rows)
    if len(levels) <= LEVELS and all(snr == round(snr, 1) for snr in levels):
        snrs = ", ".join(f"{snr:g} dB: {levels[snr]}" for snr in sorted(levels))
    else:
        snrs = f"{len(levels)} SNRs from {min(levels):.3g} to {max(levels):.3g} dB"
    groups = len({row.group for row in rows})
    return f"{len(rows)} mixtures in {groups} groups, {minutes:.1f} minutes at {rates} Hz ({snrs})"


def _describe_alone(rows: list[Row], source: str) -> str:
    """The voices, or the noises, of a split that is not mixed yet."""
    own = [row for row in rows if row.holds(source)]
    minutes = sum(row.num_samples / row.sample_rate for row in own) / 60
    rates = ", ".join(f"{rate}" for rate in sorted({row.sample_rate for row in own}))
    owners = len({row.group for row in own})
    of = {"voice": f"voices of {owners} speakers", "noise": f"noises of {owners} recordings"}
    return f"{len(own)} {of[source]}, {minutes:.1f} minutes at {rates} Hz"


def check_enough(
    looks: dict[str, Look], splits: dict[str, list], max_rejected: float, listed: Path
) -> None:
    """Check that enough is left; the arguments are those of ``summary``.

    Raises:
        UserError: nothing in a split, or more rejected than ``max_rejected`` percent.
    """
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
    check_share(total - sum(map(len, splits.values())), total, max_rejected, listed)


def check_share(
    rejected: int, total: int, max_rejected: float, listed: Path, what: str = "mixtures"
) -> None:
    """Check how many mixtures, or files that are not mixed yet, were rejected.

    Raises:
        UserError: more than ``max_rejected`` percent.
    """
    percent = 100 * rejected / total
    if percent > max_rejected:
        raise UserError(
            f"{rejected} of {total} {what} ({percent:.1f} %) rejected, more than"
            f" {max_rejected:g} %: repair the tree (all faults: {listed}) or use the rest with"
            f" --max-rejected {math.ceil(percent)}"
        )
