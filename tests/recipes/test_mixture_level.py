"""Networks that bring the mixture to one level: their estimates move with its own."""

import pytest
import torch

from local.model import separators


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("dpcrn", {}),
        ("gtcrn_trainable", {}),
        ("bsrnn", {}),
        ("bsrnn", {"mask": "complex", "views": False}),
        ("tf_gridnet", {}),
        ("tf_gridnet", {"output": "mapping", "views": False, "stride": 2}),
    ],
)
@pytest.mark.parametrize("gain", [1e-2, 8.0])
def test_estimates_move_with_the_level(recipe, changes, gain):
    separator = separators.build(recipe, "tiny", **changes).eval()
    mix = noise(2, 4001)
    with torch.no_grad():
        if hasattr(separator.network, "fit"):
            separator.network.fit([(mix, None)])
        expected, found = gain * separator(mix), separator(gain * mix)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * gain)
