"""What is refused before stage 0: nothing that is committed, and quickly where names are usual."""

import subprocess
import sys

import pytest
from conftest import ROOT

from local.base import config
from local.base.errors import UserError
from local.training import refusals


@pytest.mark.parametrize("recipe", config.recipes())
def test_no_committed_settings_are_refused(recipe):
    for preset in (None, *config.presets(recipe)):
        refusals.check(config.read(recipe, preset))


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("scheduler.arguments", "{factr: 0.5}", ["scheduler.arguments", "'factr'", "'factor'"]),
        ("optim.optimizer", "ranger", ["optim.optimizer", "'ranger'"]),
        ("loss.snr", "0", ["every weight is 0"]),
        ("data.augment.speed", "[1.1, 0.9]", None),  # of no augmentation that is applied
    ],
)
def test_what_training_would_refuse(key, value, parts):
    conf = config.read("convtasnet", None, {key: value})
    if parts is None:
        refusals.check(conf)
        return
    with pytest.raises(UserError) as caught:
        refusals.check(conf)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_the_usual_names_cost_no_import_of_torch():
    code = (
        "import sys; from local.base import config; from local.training import refusals;"
        "refusals.check(config.read('convtasnet', 'tiny', {'data.gain_db': '[-1, 1]'}));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
