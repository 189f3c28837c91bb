"""What becomes of a separator's output in bfloat16."""

import warnings

import torch

from local.training.precision import has_bfloat16


def error_in_bfloat16(estimate, x: torch.Tensor) -> float:
    """Energy of the difference from the output in float32, by that of the output.

    oneDNN has no LSTM in bfloat16 where the CPU has no such numbers; torch's own is everywhere.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of TF32, when oneDNN is switched
        exact = estimate(x)
        onednn = torch.backends.mkldnn.flags(enabled=has_bfloat16("cpu"))
        with onednn, torch.autocast("cpu", torch.bfloat16):
            rough = estimate(x)
    assert rough.dtype == torch.float32
    return float((rough - exact).square().sum() / exact.square().sum())
