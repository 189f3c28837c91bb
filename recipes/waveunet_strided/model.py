"""A Wave-U-Net that halves the resolution by strides instead of dropping every other step."""

from itertools import pairwise

import torch
from asteroid.models import BaseModel
from torch import nn
from torch.nn import functional as F

from local.blocks.first_weights import begin_with_mixture, keep_level
from local.training.losses import SourceLoss

SLOPE = 0.2  # of the LeakyReLU below zero, as in Wave-U-Net
QUIET = 1e-8  # peak, -160 dB of full scale; quieter signals are not amplified


class StridedWaveUNet(BaseModel):
    """Strided convolutions down, transposed ones up, one for each level; two waveforms out.

    The blocks' numbers of features grow geometrically. The input of a block on the way down is
    appended to the output of its counterpart on the way up. As in Wave-U-Net, a convolution of one
    step over the last features and the mixture gives the waveforms (Stoller, Ewert and Dixon
    2018). Each mixture is scaled to a peak of 1 and its estimates back, so the level of a
    recording does not matter and silence stays silence.

    Args:
        n_src: sources.
        levels: blocks down and blocks up, each of which halves or doubles the resolution.
        first_features, last_features: of the first and of the last block down.
        kernel_down, kernel_up: steps of the filters, odd.
        mse, sisdr, snr: weights of the losses of the waveforms, as in the section ``loss``.
        latent_l1: weight of the mean absolute value of the lowest features.
        batch_norm: whether a batch normalisation follows every convolution but the last.
        sample_rate: Hz.

    Raises:
        ValueError: a kernel of even length, or all losses of the waveforms have weight 0.
    """

    def __init__(
        self, n_src, levels=12, first_features=16, last_features=512, kernel_down=15, kernel_up=5,
        mse=1.0, sisdr=1.0, snr=0.0, latent_l1=1e-3, batch_norm=False, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        if not (mse or sisdr or snr):
            raise ValueError("mse, sisdr and snr are all 0: nothing to learn")
        if not kernel_down % 2 or not kernel_up % 2:
            raise ValueError(f"kernels {kernel_down} and {kernel_up}: odd numbers of steps")
        self.arguments = {
            "n_src": n_src, "levels": levels, "first_features": first_features,
            "last_features": last_features, "kernel_down": kernel_down, "kernel_up": kernel_up,
            "mse": mse, "sisdr": sisdr, "snr": snr, "latent_l1": latent_l1,
            "batch_norm": batch_norm, "sample_rate": sample_rate,
        }  # fmt: skip
        self.levels, self.latent_l1 = levels, latent_l1
        self.source_loss = SourceLoss({
            "sisdr": sisdr, "snr": snr, "mse": mse, "l1": 0.0, "stft": 0.0, "stft_windows": [],
            "permutation": "fixed",
        })  # fmt: skip
        features = geometric(first_features, last_features, levels)
        self.down = nn.ModuleList(
            _normalised(
                nn.Conv1d(above, here, kernel_down, 2, kernel_down // 2, bias=not batch_norm)
            )
            for above, here in pairwise([1, *features])
        )
        # a block up gets twice its features, those of the skip among them; the lowest has no skip
        given = [features[-1], *(2 * count for count in features[-2::-1])]
        self.up = nn.ModuleList(
            _normalised(
                nn.ConvTranspose1d(
                    below, here, kernel_up, 2, kernel_up // 2, 1, bias=not batch_norm
                )
            )
            for below, here in zip(given, [*features[-2::-1], features[0]], strict=True)
        )
        self.output = nn.Conv1d(features[0] + 1, n_src, 1)
        keep_level(self, SLOPE)
        begin_with_mixture(self.output, n_src)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        peak = mix.abs().amax(-1, keepdim=True)
        estimates, _ = self._separate(mix / peak.clamp(min=QUIET))
        return estimates * peak.unsqueeze(-1)

    def loss(self, mix: torch.Tensor, sources: torch.Tensor):
        """The losses of the waveforms and of the lowest features.

        Args:
            mix: (batch, time).
            sources: (batch, source, time).

        Returns:
            the weighted sum, and its parts before they are weighted.
        """
        peak = mix.abs().amax(-1, keepdim=True).clamp(min=QUIET)
        estimates, latent = self._separate(mix / peak)
        value, terms = self.source_loss(estimates, sources / peak.unsqueeze(-1))
        size = latent.float().abs().mean()
        return value + self.latent_l1 * size, terms | {"latent": size.detach()}

    def _separate(self, mix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, time) -> (batch, source, time) and the lowest features (batch, channel, step)."""
        time = mix.shape[-1]
        x = F.pad(mix, (0, -time % 2**self.levels)).unsqueeze(1)
        skips = []
        for convolution in self.down:
            skips.append(x)
            x = F.leaky_relu(convolution(x), SLOPE, inplace=True)
        latent = x
        for convolution in self.up:
            x = F.leaky_relu(convolution(x), SLOPE, inplace=True)
            # in the type of the features: under autocast the mixture's wider type would win
            x = torch.cat((x, skips.pop().to(x.dtype)), 1)
        return self.output(x)[..., :time].float(), latent

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


def _normalised(convolution: nn.Module) -> nn.Module:
    """A convolution, followed by a batch normalisation if it has no offset of its own."""
    if convolution.bias is not None:
        return convolution
    return nn.Sequential(convolution, nn.BatchNorm1d(convolution.out_channels))


def geometric(first: int, last: int, count: int) -> list[int]:
    """``count`` whole numbers from first to last, in a geometric series as nearly as possible."""
    ratio = (last / first) ** (1 / max(1, count - 1))
    return [round(first * ratio**i) for i in range(count)]
