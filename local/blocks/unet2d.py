"""Convolutions over frequency and time: down in steps of two, and up again with skips."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from local.blocks.on_stft import on_grid

KERNEL = 5  # frequencies and frames
SLOPE = 0.2  # of the leaky ReLUs
DROPPING = 3  # upward levels with dropout: the first ones


class EncoderDecoder(nn.Module):
    """Strided convolutions down, transposed ones up, each followed by batch normalisation.

    After Jansson et al. 2017, "Singing voice separation with deep U-Net convolutional networks":
    5x5 kernels, stride 2 in both directions, leaky ReLUs of slope 0.2 on the way down and ReLUs on
    the way up, with dropout in the first three levels up. Every level up but the first also sees
    the level of its size on the way down. The last level has neither normalisation nor activation.
    A convolution before a normalisation has no bias: the normalisation would remove it.

    The network does not see the highest of an STFT's 2^k + 1 frequencies, like the paper's (512 of
    513); its output copies the one below. Other sizes are padded.

    Args:
        channels: of every level on the way down.
        outputs: channels of the output.
        dropout: share of the values that is dropped in training.
        skip: whether levels up see those down.
    """

    def __init__(self, channels: list[int], outputs: int, dropout: float, skip: bool = True):
        super().__init__()
        self.skip = skip
        self.strides = (2 ** len(channels),) * 2
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inside, out, KERNEL, 2, KERNEL // 2, bias=False), nn.BatchNorm2d(out)
            )
            for inside, out in pairwise([1, *channels])
        )
        sizes = [*channels[::-1], outputs]
        self.up = nn.ModuleList()
        for i, (inside, out) in enumerate(pairwise(sizes)):
            last = i == len(channels) - 1
            wide = inside * (1 + (skip and i > 0))
            level = [nn.ConvTranspose2d(wide, out, KERNEL, 2, KERNEL // 2, 1, bias=last)]
            if not last:
                level += [nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
                level += [nn.Dropout(dropout)] if i < DROPPING else []
            self.up.append(nn.Sequential(*level))

    def forward(self, x: torch.Tensor, modulation=None) -> torch.Tensor:
        """Apply the network to an input of any size.

        Args:
            x: (batch, frequency, frame).
            modulation: for every level down a factor and an offset for its normalised values, each
                (batch, channel or 1, 1, 1); or None.

        Returns:
            (batch, output, frequency, frame).
        """
        beyond = x.shape[-2] % self.strides[0] == 1 < x.shape[-2]
        seen = x[:, :-1] if beyond else x
        out = on_grid(lambda padded: self._levels(padded.unsqueeze(1), modulation), seen,
                      self.strides)  # fmt: skip
        return torch.cat((out, out[..., -1:, :]), -2) if beyond else out

    def _levels(self, x, modulation):
        passed = []
        for i, level in enumerate(self.down):
            x = level(x)
            if modulation is not None:
                factor, term = modulation[i]
                x = torch.addcmul(term, factor, x)
            x = F.leaky_relu_(x, SLOPE)
            passed.append(x)
        for i, level in enumerate(self.up):
            if self.skip and i > 0:
                x = torch.cat((x, passed[-1 - i]), 1)
            x = level(x)
        return x
