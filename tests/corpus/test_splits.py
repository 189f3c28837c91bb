"""Splits by names: about tenths, none empty, and nobody moves."""

import pytest

from local.base.errors import UserError
from local.corpus.splits import hold_out, rank, share_out

NAMES = [f"speaker {i}" for i in range(1000)]


def of(split, shared):
    return {name for name, where in shared.items() if where == split}


def test_a_tenth_is_valid_and_a_tenth_is_test():
    shared = share_out(NAMES, 0, "voices")
    assert set(shared) == set(NAMES)
    assert 70 < len(of("valid", shared)) < 130
    assert 70 < len(of("test", shared)) < 130


def test_who_comes_later_moves_nobody():
    before, after = share_out(NAMES[:500], 0, ""), share_out(NAMES, 0, "")
    assert before == {name: after[name] for name in NAMES[:500]}


def test_another_seed_is_another_choice():
    assert share_out(NAMES, 0, "") != share_out(NAMES, 1, "")
    assert share_out(reversed(NAMES), 0, "") == share_out(NAMES, 0, "")


@pytest.mark.parametrize("count", range(3, 12))
@pytest.mark.parametrize("seed", range(5))
def test_no_split_is_empty(count, seed):
    shared = share_out(NAMES[:count], seed, "")
    assert set(shared.values()) == {"train", "valid", "test"}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_are_one_line(count):
    with pytest.raises(UserError, match=f"--voices: expected at least 3.*found {count}"):
        share_out(NAMES[:count], 0, "--voices")


@pytest.mark.parametrize(("count", "held"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_what_is_held_out_of_few(count, held):
    assert len(hold_out(NAMES[:count])) == held


def test_a_name_of_any_bytes_has_a_rank():
    assert 0 <= rank("caf\udce9") < 1
