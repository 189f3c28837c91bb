"""What the Python function takes: orders of bytes and of axes, strides, rates."""

import numpy as np
import pytest
import torch

from local import separate
from local.base.errors import UserError
from local.model import separators

RATE = 8000


class Quarter(torch.nn.Module):
    """(batch, time) -> (batch, source, time): a quarter and three quarters."""

    def forward(self, mix):
        return torch.stack((mix / 4, 3 * mix / 4), 1)


MODEL = separators.Separator(Quarter(), "quarter", RATE, "project").eval()


def samples(shape=(2, 500)):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("f4")


def read_only():
    x = samples()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    "mix",
    [
        samples().astype(">f4"), samples().astype(">f8"), samples()[:, ::-1], samples()[::-1, ::2],
        read_only(), samples((500, 2)).T, np.asfortranarray(samples()),
        samples().astype(np.longdouble), samples((1, 1)), samples((3, 3)),
    ],
    ids=["big-endian", "big-endian doubles", "backwards", "strided", "read-only", "transposed",
         "fortran", "long doubles", "one sample", "as many channels as samples"],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_any_array_of_floats(mix):
    before = mix.copy()
    estimates = separate.separate(mix, RATE, MODEL, device="cpu")
    for source, share in (("voice", 0.25), ("noise", 0.75)):
        assert (estimates[source].dtype, estimates[source].shape) == (mix.dtype, mix.shape)
        np.testing.assert_allclose(estimates[source], share * before, atol=1e-6)
    np.testing.assert_array_equal(mix, before)


def test_half_precision():
    for mix in (samples().astype("f2"), torch.from_numpy(samples()).bfloat16()):
        voice = separate.separate(mix, RATE, MODEL, device="cpu")["voice"]
        assert voice.dtype == mix.dtype
        error = torch.as_tensor(voice).float() - torch.as_tensor(mix).float() / 4
        assert error.abs().max() < 4e-3


@pytest.mark.parametrize("rate", [8000.0, np.int64(8000), np.float32(8000), torch.tensor(8000)])
def test_a_whole_rate_of_any_type(rate):
    voice = separate.separate(samples(), rate, MODEL, device="cpu")["voice"]
    np.testing.assert_allclose(voice, samples() / 4, atol=1e-6)


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -float("inf"), "8000", None, 8000.5])
def test_a_rate_that_is_none(rate):
    with pytest.raises(UserError, match="expected a rate from 1000 to 768000 Hz, found"):
        separate.separate(samples(), rate, MODEL)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_the_order_of_axes_that_soundfile_has_is_refused(kind):
    expected = r"expected \(channel, time\), found 500 channels of 2 samples.*give mix.T"
    with pytest.raises(UserError, match=expected):
        separate.separate(kind(samples((500, 2))), RATE, MODEL)


@pytest.mark.parametrize(
    "mix",
    [
        samples().astype("i2"), samples().astype(complex), np.array(["a", "b"]), "noisy.wav", None,
        [[0.0, 1.0], [0.0]], np.array([None, 1.0]), torch.zeros(5, dtype=torch.int16),
        np.float32(0.5), {"mix": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_array_of_floats(mix):
    with pytest.raises(UserError, match=r"expected (floating-point samples|an array)"):
        separate.separate(mix, RATE, MODEL)
