"""Who is in which split: speakers and recordings, whole, by a hash of their names.

Whose name falls into the lowest tenth is in test, the next tenth is valid: what is added later
moves no other from one split to another.
"""

import hashlib
from collections.abc import Iterable

from local.base.errors import UserError

SHARE = 0.1  # of the speakers or recordings that is valid, and that is test
SPLITS = ("train", "valid", "test")


def rank(name: str, seed: int = 0) -> float:
    """A number in [0, 1) that depends on the name and the seed alone."""
    digest = hashlib.sha256(f"{seed} {name}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8]) / 2**64


def share_out(names: Iterable[str], seed: int, what: str) -> dict[str, str]:
    """The split of each name: about eight tenths train, one valid, one test, none of them empty.

    Args:
        names: of speakers, say, each once.
        seed: of another choice.
        what: they are and where, for the error's line.

    Raises:
        UserError: fewer names than splits.
    """
    ranks = {name: rank(name, seed) for name in names}
    if len(ranks) < len(SPLITS):
        raise UserError(
            f"{what}: expected at least 3, one each for train, valid and test,"
            f" found {len(ranks)}: {', '.join(sorted(ranks))}"
        )
    order = sorted(ranks, key=ranks.get)
    low, high = (sum(rank < share for rank in ranks.values()) for share in (SHARE, 2 * SHARE))
    test = min(max(low, 1), len(order) - 2)
    valid = min(max(high - low, 1), len(order) - 1 - test)
    return {
        name: "test" if i < test else "valid" if i < test + valid else "train"
        for i, name in enumerate(order)
    }


def hold_out(names: Iterable[str], seed: int = 0) -> set[str]:
    """The names that become valid where a train split comes without one: about a tenth.

    None where there is only one name, which would leave nothing in train.
    """
    ranks = {name: rank(name, seed) for name in names}
    count = sum(value < SHARE for value in ranks.values())
    count = min(max(count, 1), max(len(ranks) - 1, 0))
    return set(sorted(ranks, key=ranks.get)[:count])
