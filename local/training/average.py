"""The weights of a training, averaged over its steps."""

import torch
from torch.optim.swa_utils import AveragedModel


def exponential(model: torch.nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a model's weights and buffers, in ``.module``.

    After n steps, step k counts as decay^(n - k) over the sum of all of these, as in Demucs
    (Défossez 2021, "Hybrid spectrogram and waveform source separation"): random weights at the
    start leave no trace. It is called for after every step, by ``update_parameters``.

    Args:
        model: what is trained; copied.
        decay: per step, from 0 to below 1; half of the average is younger than
            log(0.5) / log(decay) steps: 693 for 0.999.
    """

    def update(averaged, current, number) -> None:
        share = (1 - decay) / (1 - decay ** (int(number) + 1))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.to(mean), share)
            else:  # a count
                mean.copy_(value)

    average = AveragedModel(model, multi_avg_fn=update, use_buffers=True)
    return average.requires_grad_(False)
