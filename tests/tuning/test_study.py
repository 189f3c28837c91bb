"""What a search does next: in which order, what it repeats, when it ends. In memory."""

import os

import optuna
import pytest
from optuna.trial import TrialState

from local.base import processes
from local.base.errors import UserError
from local.training import pruning
from local.tuning import study
from local.tuning.space import Dimension, Space
from local.tuning.study import Limits, Search

NO_LIMIT = Limits(None, None)
GAIN = Dimension(("model.gain",), ("1", "2"))
LR = Dimension(("optim.lr",), None, 1e-4, 1e-2, True)


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


def search(storage, *dimensions, sampler="grid", pruner="none", asked=None):
    space = Space(("one",), None, dimensions, {}, ())
    return Search(space, storage, "a search", asked or {"data": "d"}, sampler, pruner, seed=3)


def test_a_grid_in_its_order_and_nothing_twice(storage):
    of = search(storage, GAIN, Dimension(("seed",), ("5", "6")))
    done = []
    while (trial := of.next(NO_LIMIT)) is not None:
        done.append(tuple(trial.params.values()))
        of.tell(trial, 1.0)
    assert done == [("1", "5"), ("1", "6"), ("2", "5"), ("2", "6")]
    assert of.count() == "4/4"
    assert search(storage, GAIN, Dimension(("seed",), ("5", "6"))).next(NO_LIMIT) is None


def test_what_failed_or_was_left_behind_is_taken_up_again(storage, monkeypatch):
    of = search(storage, GAIN)
    of.fail(of.next(NO_LIMIT), "no room")
    left = of.next(NO_LIMIT)
    assert of.next(NO_LIMIT) is None
    # its process lives: nobody else takes it
    again = search(storage, GAIN)
    trial = again.next(NO_LIMIT)
    assert trial.params == {"model.gain": "1"}
    again.tell(trial, 1.0)
    assert again.next(NO_LIMIT) is None
    monkeypatch.setattr(processes, "runs", lambda pid, since: pid != os.getpid())
    last = search(storage, GAIN)
    trial = last.next(NO_LIMIT)
    assert trial.params == left.params == {"model.gain": "2"}
    last.tell(trial, 2.0)
    assert last.count() == "2/2"
    assert [of.state for of in last.trials] == [TrialState.COMPLETE] * 2


def test_what_another_machine_runs_is_left_to_it(storage, monkeypatch):
    search(storage, GAIN).next(NO_LIMIT)
    monkeypatch.setattr(processes, "machine", lambda: "another")
    monkeypatch.setattr(processes, "runs", lambda pid, since: False)
    of = search(storage, GAIN)
    assert of.next(NO_LIMIT).params == {"model.gain": "2"}
    assert of.next(NO_LIMIT) is None


def drawn(of, count):
    found = []
    for _ in range(count):
        trial = of.next(NO_LIMIT)
        found.append(trial.params)
        of.tell(trial, -abs(trial.params["optim.lr"] - 0.003))
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_that_was_interrupted_draws_what_it_would_have(sampler):
    whole = drawn(search(optuna.storages.InMemoryStorage(), LR, GAIN, sampler=sampler), 14)
    storage = optuna.storages.InMemoryStorage()
    parts = drawn(search(storage, LR, GAIN, sampler=sampler), 4)
    of = search(storage, LR, GAIN, sampler=sampler)
    of.fail(of.next(NO_LIMIT), "interrupted")
    parts += drawn(search(storage, LR, GAIN, sampler=sampler), 10)
    assert parts == whole
    assert len({values["optim.lr"] for values in whole}) == 14
    assert all(1e-4 <= values["optim.lr"] <= 1e-2 for values in whole)


def test_limits_count_all_runs_of_the_command(storage, monkeypatch):
    of = search(storage, LR, sampler="random")
    drawn(of, 2)
    of = search(storage, LR, sampler="random")
    assert of.next(Limits(2, None)) is None
    assert of.next(Limits(None, 0.0)) is None
    of.refuse(of.next(Limits(3, 1.0)), "too much")
    assert of.next(Limits(3, None)) is None
    assert of.next(Limits(None, 1e-9)) is None
    assert of.count() == "3"


@pytest.mark.parametrize("of", [GAIN, Dimension(("model.size",), None, 3, 4)])
def test_a_search_ends_when_there_is_nothing_new_to_try(storage, of):
    found = search(storage, of, sampler="random")
    for _ in range(100):  # the first two may be the same
        if (trial := found.next(NO_LIMIT)) is None:
            break
        twin = found.twin(trial)
        found.tell(trial, 1.0) if twin is None else found.repeat(trial, twin)
    assert trial is None
    assert len({study.key(trial) for trial in found.trials}) == 2


def test_a_grid_that_two_processes_queued_at_once_is_run_once(storage):
    made = optuna.create_study(storage=storage, study_name="a search", direction="maximize")
    for _ in range(2):
        made.enqueue_trial({"model.gain": "1"})
    of = search(storage, GAIN)
    trials = [of.next(NO_LIMIT), of.next(NO_LIMIT)]
    assert [trial.params for trial in trials] == of.grid
    assert of.next(NO_LIMIT) is None
    of.tell(trials[0], 1.0)
    of.fail(trials[1], "no room")
    assert of.count() == "2/2"
    trial = search(storage, GAIN).next(NO_LIMIT)
    assert trial.params == {"model.gain": "2"}
    of.tell(trial, 2.0)
    assert [trial.state for trial in of.trials] == [TrialState.COMPLETE] * 2


def test_the_same_settings_once_more_have_the_same_result(storage):
    of = search(storage, GAIN, sampler="random")
    first = of.next(NO_LIMIT)
    first.set_user_attr("result", {"voice": 3.0})
    first.report(2.0, 1)
    of.study.enqueue_trial(first.params)
    twin = of.next(NO_LIMIT)
    with pytest.raises(UserError, match="trial 0, which runs, has the same settings"):
        of.repeat(twin, of.twin(twin))
    of.tell(first, 3.0)
    assert of.repeat(twin, of.twin(twin)) == "as trial 0, which has the same settings"
    found = of.study.trials[1]
    assert found.value == 3.0
    assert found.user_attrs["result"] == {"voice": 3.0}
    assert found.intermediate_values == {1: 2.0}
    of.study.enqueue_trial({"model.gain": "2" if first.params == {"model.gain": "1"} else "1"})
    assert of.twin(of.next(NO_LIMIT)) is None


def test_the_same_settings_once_more_end_as_early(storage):
    of = search(storage, GAIN, sampler="random")
    first = of.next(NO_LIMIT)
    first.report(2.0, 1)
    first.set_user_attr(pruning.PRUNED, 1)
    of.pruned_at(first)
    of.study.enqueue_trial(first.params)
    twin = of.next(NO_LIMIT)
    of.repeat(twin, of.twin(twin))
    assert of.study.trials[1].state is TrialState.PRUNED
    assert of.study.trials[1].user_attrs[pruning.PRUNED] == 1


def test_another_search_of_the_same_name_is_refused(storage):
    search(storage, GAIN, asked={"data": "d", "objective": "voice"})
    with pytest.raises(UserError, match="made with other objective: voice, not noise; give a new"):
        search(storage, GAIN, asked={"data": "d", "objective": "noise"})


def test_stage_1_is_told_only_where_there_is_a_pruner(storage):
    of = search(storage, GAIN)
    assert of.environment(of.next(NO_LIMIT), ("voice",)) == {}
    of = search(storage, GAIN, pruner="median")
    of.url = "sqlite:///x"
    [words] = of.environment(of.next(NO_LIMIT), ("voice",)).values()
    assert '"storage": "sqlite:///x"' in words
    assert '"pruner": "median"' in words


def test_a_trial_that_was_ended_early(storage):
    of = search(storage, GAIN)
    trial = of.next(NO_LIMIT)
    assert of.pruned_at(trial) is None
    trial.set_user_attr(pruning.PRUNED, 4)
    assert of.pruned_at(trial) == 4
    assert of.study.trials[0].state is TrialState.PRUNED


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "--storage nonsense: Could not parse"),
        ("sqlite:////no/such/folder/x.db", "--storage sqlite:////no/such/folder/x.db: "),
        ("oracle://me:secret@host/db", "--storage oracle://me:***@host/db: "),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_line(url, said):
    with pytest.raises(UserError) as caught:
        search(url, GAIN)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_password_of_a_storage_is_written_down():
    words = ["--storage=postgresql://me:secret@host/db", "mysql://me:secret@host/db", "--name=d"]
    assert [study.shown_word(word) for word in words] == [
        "--storage=postgresql://me:***@host/db", "mysql://me:***@host/db", "--name=d",
    ]  # fmt: skip


def test_distributions():
    whole = Dimension(("data.batch_size",), None, 2, 16)
    found = [study.distribution(of) for of in (GAIN, LR, whole)]
    assert found == [
        optuna.distributions.CategoricalDistribution(("1", "2")),
        optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
        optuna.distributions.IntDistribution(2, 16),
    ]
