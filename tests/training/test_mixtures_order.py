"""The order of mixtures: every run makes the same ones, and each voice comes once an epoch."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked_sources import STEADY, conf, make_manifest, marked, same
from torch.utils.data import DataLoader

from local.base.errors import UserError
from local.training import mixtures
from local.training.augment import KINDS
from local.training.mixtures import BatchIndices


def test_an_item_is_a_function_of_seed_epoch_and_index(tmp_path):
    files, data = make_manifest(tmp_path, marked(4)), conf(apply=list(KINDS))
    items, others = (mixtures.training(files, data, 5) for _ in range(2))
    first = {}
    for epoch, index in itertools.product(range(3), range(4)):
        items.set_epoch(epoch)
        first[epoch, index] = items[index]
    for epoch, index in reversed(list(first)):
        others.set_epoch(epoch)
        assert same(first[epoch, index], others[index])
    heard = {mix.numpy().tobytes() for mix, _ in first.values()}
    assert len(heard) == 12
    reseeded = mixtures.training(files, data, 6)
    assert not any(same(reseeded[i], first[0, i]) for i in range(4))


def test_loader_processes_make_the_same_items(tmp_path):
    items = mixtures.training(make_manifest(tmp_path, marked(4)), conf(), 0)
    batches = [[3, 1], [0, 2]]
    here, there = (
        list(DataLoader(items, batch_sampler=batches, num_workers=workers)) for workers in (0, 2)
    )
    assert all(same(a, b) for a, b in zip(here, there, strict=True))
    assert here[0][1].shape == (2, 2, 1000)


def voices(items, epoch: int) -> list[int]:
    items.set_epoch(epoch)
    return [round(float(items[i][1][0, 0].abs()) * 1000) - 1 for i in range(len(items))]


@pytest.mark.parametrize("remix", [True, False])
def test_every_voice_comes_once_in_an_epoch_in_a_shuffled_order(tmp_path, remix):
    items = mixtures.training(make_manifest(tmp_path, marked(12)), conf(**STEADY, remix=remix), 0)
    orders = [voices(items, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert list(range(12)) not in orders


@pytest.mark.parametrize("size", [1, 5, 12, 17])
def test_with_examples_per_epoch_every_voice_comes_before_one_comes_again(tmp_path, size):
    items = mixtures.training(
        make_manifest(tmp_path, marked(12)), conf(**STEADY, examples_per_epoch=size), 0
    )
    assert len(items) == size
    heard = list(itertools.chain(*(voices(items, epoch) for epoch in range(24 // size + 1))))
    assert sorted(heard[:12]) == sorted(heard[12:24]) == list(range(12))


def test_items_end_where_the_epoch_does(tmp_path):
    items = mixtures.training(make_manifest(tmp_path, marked(2)), conf(), 0)
    for index in (2, -1):
        with pytest.raises(IndexError):
            items[index]


# ---------------------------------------------------------------------- batches


@given(
    size=st.integers(1, 60),
    share=st.integers(1, 5),
    world=st.integers(1, 4),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_ranks_share_the_batches_of_one_process(size, share, world, shuffle, epoch):
    batch_size = share * world
    if size < (batch_size if shuffle else world):
        with pytest.raises(UserError):
            BatchIndices(size, batch_size, 0, shuffle, world=world)
        return

    def epoch_of(rank, world):
        indices = BatchIndices(size, batch_size, 0, shuffle, rank, world)
        indices.set_epoch(epoch)
        batches = list(indices)
        assert len(batches) == len(indices)
        return batches

    alone = epoch_of(0, 1)
    ranks = [epoch_of(rank, world) for rank in range(world)]
    together = [sorted(itertools.chain(*shares)) for shares in zip(*ranks, strict=True)]
    seen = sorted(itertools.chain(*together))
    if shuffle:
        assert together == [sorted(batch) for batch in alone]
        assert all(len(batch) == batch_size for batch in alone)
        assert all(len(part) == share for rank in ranks for part in rank)
        assert len(set(seen)) == len(seen) == size // batch_size * batch_size
    else:
        assert seen == sorted(itertools.chain(*alone)) == list(range(size))
        assert all(part for rank in ranks for part in rank)


def test_batches_are_shuffled_by_seed_and_epoch():
    def order(seed, epoch):
        indices = BatchIndices(20, 4, seed, True)
        indices.set_epoch(epoch)
        return list(indices)

    orders = [order(0, 0), order(0, 1), order(1, 0)]
    assert order(0, 0) == orders[0]
    assert len({str(batches) for batches in orders}) == 3
    fixed = BatchIndices(5, 2, 0, False)
    fixed.set_epoch(3)
    assert list(fixed) == [[0, 1], [2, 3], [4]]


def test_a_continued_epoch_leaves_out_what_was_seen():
    indices = BatchIndices(20, 4, 0, True)
    indices.set_epoch(1)
    whole = list(indices)
    indices.start(3)
    assert list(indices) == whole[3:]
    assert len(indices) == 5
    indices.set_epoch(1)  # Lightning says so once more
    assert list(indices) == whole[3:]
    indices.set_epoch(2)
    assert len(list(indices)) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"batch_size": 3, "world": 2}, "does not divide evenly between 2 processes"),
        ({"batch_size": 11}, "at most the 10 examples"),
        ({"batch_size": 12, "shuffle": False, "world": 12}, "too few"),
    ],
)
def test_batches_that_cannot_be_are_one_line(arguments, said):
    with pytest.raises(UserError, match=said):
        BatchIndices(10, **{"seed": 0, "shuffle": True} | arguments)
