"""noisereduce: what the package gives, and silence, of which it makes NaN."""

import pytest
import torch

from local.model import separators

noisereduce = pytest.importorskip("noisereduce.noisereduce")


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_voice_is_the_packages_and_the_noise_the_rest():
    mix = noise(2, 20001)
    estimates = separators.build("noisereduce")(mix)
    for example, estimate in zip(mix, estimates, strict=True):
        expected = noisereduce.reduce_noise(example.double().numpy(), 16000)
        torch.testing.assert_close(estimate[0].double().numpy(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(estimates.sum(1), mix, rtol=0, atol=1e-6)


def test_silence_stays_and_does_not_touch_the_examples_beside_it():
    mix = noise(3, 8000)
    mix[1] = 0
    estimates = separators.build("noisereduce")(mix)
    assert not estimates[1].any()
    assert estimates.isfinite().all()
    assert estimates[0, 0].any()


def test_a_rate_that_the_package_refuses_is_one_line():
    network = separators.network_class("noisereduce", "NoiseReduce")
    with pytest.raises(ValueError, match="time_mask_smooth_ms"):
        network(sample_rate=2000)
