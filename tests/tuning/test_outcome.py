"""What comes out of a search: its figures."""

import optuna

from local.tuning import outcome
from local.tuning.space import Dimension, Space
from local.tuning.study import Limits, Search

LR = Dimension(("optim.lr",), None, 1e-4, 1e-2, True)


def test_many_trials_of_which_one_tells_its_validation(tmp_path):
    asked = {"data": "d", "objective": "voice"}
    storage = optuna.storages.InMemoryStorage()
    space = Space(("one",), None, (LR,), {}, ())
    search = Search(space, storage, "a search", asked, "random", "none", seed=3)
    for number in range(outcome.MANY + 1):
        trial = search.next(Limits(None, None))
        if number == outcome.MANY:  # the search was continued, now with a pruner
            trial.report(2.0, 1)
        search.tell(trial, 3.0)
    assert "validation.svg" in outcome.plots(tmp_path, search, outcome.ended(search))
