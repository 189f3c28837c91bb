"""Convolutional autoencoders, one per source, from the mixture's magnitudes to the source's."""

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from local.blocks.on_stft import SpectrogramSeparator, on_grid, squared_error

POOLS = ((5, 3), (5, 1))  # frequencies and frames pooled into one, after the first two layers
TINY = 1e-30  # a sum of magnitudes under the division
KERNEL = 3  # frequencies and frames


class ConvolutionalAutoencoder(SpectrogramSeparator):
    """Convolutions and pooling down, convolutions and repetition up, the magnitude itself out.

    After Grais and Plumbley 2017, "Single channel audio source separation using convolutional
    denoising autoencoders": 3x3 convolutions with rectifiers, of 12, 20, 30, 40, 30, 20, 12
    channels and one, one network per source. To each, the other source is noise to remove. Departs
    from it in the last ReLU, which is a softplus here: otherwise a network whose only output
    channel starts below 0 would get no gradient.

    Args:
        window: samples.
        hop: samples between frames.
        channels: of the layers down to the middle, three or more.
        output: ``magnitude``, as in the paper; ``mask``: each network's magnitude over the sum of
            all, so that the mixture gives the detail that pooling removes.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered, or too few layers.
    """

    loss = squared_error

    def __init__(
        self, window=1024, hop=256, channels=(12, 20, 30, 40), output="magnitude", n_src=2,
        sample_rate=16000,
    ):  # fmt: skip
        channels = list(channels)
        super().__init__(window, hop, None, sample_rate, output, channels=channels, n_src=n_src)
        if len(channels) <= len(POOLS):
            raise ValueError(f"channels {channels}: more than {len(POOLS)} layers")
        self.networks = nn.ModuleList(autoencoder(channels) for _ in range(n_src))

    def estimate(self, magnitude: torch.Tensor) -> torch.Tensor:
        """(batch, frequency, frame) -> magnitudes or masks (batch, source, frequency, frame)."""
        strides = tuple(math.prod(sizes) for sizes in zip(*POOLS, strict=True))
        values = on_grid(
            lambda x: torch.cat([network(x.unsqueeze(1)) for network in self.networks], 1),
            magnitude, strides,
        )  # fmt: skip
        magnitudes = F.softplus(values.float())
        if self.output == "magnitude":
            return magnitudes
        return magnitudes / magnitudes.sum(1, keepdim=True).clamp(min=TINY)


def autoencoder(channels: list[int]) -> nn.Sequential:
    """(batch, 1, frequency, frame) -> the same shape, of sizes that the ``POOLS`` divide."""
    down = [
        [*convolution(inside, out), *([nn.MaxPool2d(POOLS[i])] if i < len(POOLS) else [])]
        for i, (inside, out) in enumerate(pairwise([1, *channels]))
    ]
    up = []
    back = [*channels[::-1], 1]
    for i, (inside, out) in enumerate(pairwise(back)):
        place = len(channels) - 1 - i  # of the layer down whose size this one has
        if place < len(POOLS):
            up.append([nn.Upsample(scale_factor=POOLS[place])])
        up.append(convolution(inside, out))
    layers = [layer for level in (*down, *up) for layer in level]
    return nn.Sequential(*layers[:-1])  # no rectifier at the end


def convolution(inside: int, out: int) -> list[nn.Module]:
    """A convolution that keeps the sizes, and a rectifier."""
    return [nn.Conv2d(inside, out, KERNEL, padding=KERNEL // 2), nn.ReLU(inplace=True)]
