"""Work in other processes and on a cluster: what goes wrong there is one line."""

import os
import sys

import pytest

from local.base import parallel
from local.base.errors import UserError
from local.corpus import manifest


def test_workers_that_die_are_one_line():
    with pytest.raises(UserError, match="worker process died"):
        list(parallel.results(os._exit, [1, 1], jobs=2))


def test_workers_that_die_on_short_tasks_are_one_line():
    with pytest.raises(UserError, match="worker process died"):
        list(parallel.in_order(os._exit, [(1,), (1,)], 2))


def test_short_tasks_are_in_order():
    assert list(parallel.in_order(divmod, [(i, 3) for i in range(20)], 2)) == [
        divmod(i, 3) for i in range(20)
    ]


def test_a_fault_within_a_worker_keeps_its_line():
    with pytest.raises(UserError, match=r"nowhere\.csv: not there; stage 0 makes it"):
        list(parallel.results(manifest.read, ["nowhere.csv"] * 2, jobs=2))


@pytest.mark.parametrize("jobs", [1, 2])
def test_items_are_made_while_others_are_worked_on(jobs):
    made = []

    def items():
        for i in range(40):
            made.append(i)
            yield -i

    arriving = parallel.streamed(abs, items(), jobs)
    first = next(arriving)
    assert len(made) <= parallel.AHEAD * jobs + 1
    assert sorted([first, *arriving]) == list(range(40))


@pytest.mark.parametrize("jobs", [1, 2])
def test_faults_of_items_and_of_work_on_them(jobs):
    def items():
        yield -1
        raise UserError("no second one")

    with pytest.raises(UserError, match="no second one"):
        list(parallel.streamed(abs, items(), jobs))
    with pytest.raises(UserError, match=r"nowhere\.csv: not there"):
        list(parallel.streamed(manifest.read, ["nowhere.csv"] * 3, jobs))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "carrier-pigeon://x", "127.0.0.1:x"])
def test_a_scheduler_that_does_not_answer(address, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "ANSWER_SECONDS", 0.5)
    with pytest.raises(UserError, match=f"--scheduler {address}: no Dask scheduler answers"):
        list(parallel.results(len, ["a"], scheduler=address))


def test_without_dask_a_scheduler_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install 'winnow\[cluster\]'"):
        list(parallel.results(len, ["a"], scheduler="tcp://127.0.0.1:8786"))
