"""RNNoise: what only its library could spoil; the rest stands in test_public_tools.py."""

import pytest
from test_public_tools import speech

from local.model import separators

pytest.importorskip("pyrnnoise")


def test_loud_samples_are_not_clipped():
    mix = speech(16000)
    mix = 3 * mix / mix.abs().amax()
    assert separators.build("rnnoise")(mix)[:, 0].abs().amax() > 1.5
