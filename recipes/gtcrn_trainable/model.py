"""GTCRN: small grouped layers over bands of the ear, causal, for the smallest devices."""

import math

import numpy as np
import torch
from asteroid.models import BaseModel
from torch import nn
from torch.nn import functional as F

from local.blocks.input_statistics import standardise
from local.blocks.level import no_frames, unit_frames
from local.blocks.real_spectra import VIEWS, masked, views
from local.blocks.stft import STFT
from local.blocks.stft_frames import Frames, VoiceLive

KERNEL = 5  # bands that a convolution sees that halves or doubles their number
NEIGHBOURS = 3  # bands, one on each side, that are seen together
TAPS = 3  # frames that a temporal convolution sees
SPREAD = 0.1  # of the first masks around half the mixture, before their limit


class GTCRN(VoiceLive, BaseModel):
    """Log-magnitude and compressed real and imaginary parts in, a complex mask for the voice out.

    After Rong, Sun, Zhang, Hu, Zhu and Lu 2024, "GTCRN: A Speech Enhancement Model Requiring
    Ultralow Computational Resources" (ICASSP), section 2, and its authors' code: high frequencies
    are merged into bands of equal width on the ERB scale; convolutions halve the bands twice;
    temporal blocks see the past at growing distances; dual-path blocks pass along the bands of a
    frame and along time; the same way back, with skips that are added. The noise is the mixture
    minus the voice.

    It looks back only, and can run live (``start``, ``step``, ``finish``).

    Departures:

    - The input is not the magnitude and the real and imaginary part as they are but
      ``views``, in units of the level of the last ``level`` frames, merged and then standardised in
      each band by statistics of the training mixtures. So the estimates move with the level of
      the mixture, and a network of this size need not learn levels.
    - The first masks are about half the mixture, not of any phase: it learns from there at once.
    - The grouped recurrent layers do not shuffle their outputs, as in the authors' code: the linear
      layer after them mixes the groups.

    Equal to the paper, though written otherwise: three neighbours of a band followed by a
    convolution of one band are a convolution of three; a transposed convolution of stride 1 is a
    convolution.

    Args:
        window: samples.
        hop: samples between frames.
        low: frequencies, from 0 Hz on, that are bands of their own.
        bands: that the frequencies above are merged into.
        channels: of every layer, a multiple of 4.
        dilations: frames between those that each temporal block sees; the decoder has them in
            reverse.
        blocks: dual-path blocks.
        level: frames over which the level is taken, the last one included.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered; more bands than frequencies;
            a number of channels that does not divide by 4.
    """

    def __init__(
        self, window=512, hop=256, low=65, bands=64, channels=16, dilations=(1, 2, 5), blocks=2,
        level=125, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        dilations = list(dilations)
        self.arguments = {
            "window": window, "hop": hop, "low": low, "bands": bands, "channels": channels,
            "dilations": dilations, "blocks": blocks, "level": level, "sample_rate": sample_rate,
        }  # fmt: skip
        if channels < 4 or channels % 4:
            raise ValueError(f"channels {channels}: a multiple of 4, for two groups in halves")
        if min(*dilations, blocks, level) < 1:
            raise ValueError(f"dilations {dilations}, blocks {blocks}, level {level}: at least 1")
        self.stft = STFT(window, hop)
        self.stft.window.sqrt_()  # twice the root is the window, whose sum needs no division
        self.frames = Frames(self.stft)
        self.low, self.level, self.channels = low, level, channels
        triangles = torch.from_numpy(erb_triangles(self.stft.frequencies, low, bands, sample_rate))
        self.register_buffer("triangles", triangles, persistent=False)
        whole, half, self.size = low + bands, halved(low + bands), halved(halved(low + bands))
        self.register_buffer("mean", torch.zeros(VIEWS, 1, whole))
        self.register_buffer("deviation", torch.ones(VIEWS, 1, whole))
        self.down = nn.ModuleList([
            Down(NEIGHBOURS * VIEWS, channels), Down(channels, channels, groups=2)
        ])  # fmt: skip
        self.back = nn.ModuleList(Temporal(channels, dilation) for dilation in dilations)
        self.blocks = nn.ModuleList(DualPath(self.size, channels) for _ in range(blocks))
        self.forth = nn.ModuleList(Temporal(channels, dilation) for dilation in dilations[::-1])
        self.up = nn.ModuleList([
            Up(channels, channels, half, nn.PReLU(), groups=2), Up(channels, 2, whole, nn.Tanh())
        ])  # fmt: skip
        with torch.no_grad():
            _, norm, _ = self.up[-1]
            norm.weight.fill_(SPREAD)
            norm.bias[0] = math.atanh(0.5)

    def voice(self, parts: torch.Tensor, memory: list) -> tuple[torch.Tensor, list]:
        """See ``VoiceLive``."""
        memory = iter(memory)
        x, kept = self._features(parts, next(memory))
        after, skips = [kept], []
        x = neighbours(x)
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        for layer in self.back:
            x, *kept = layer(x, next(memory), next(memory))
            after += kept
            skips.append(x)
        x = x.permute(0, 2, 3, 1)  # (batch, frame, band, channel)
        for block in self.blocks:
            x, kept = block(x, next(memory))
            after.append(kept)
        x = x.permute(0, 3, 1, 2)
        for layer in self.forth:
            x, *kept = layer(x + skips.pop(), next(memory), next(memory))
            after += kept
        for layer in self.up:
            x = layer(x + skips.pop())
        return masked(self.split(x.float()).transpose(2, 3), parts), after

    def merge(self, x: torch.Tensor) -> torch.Tensor:
        """(..., frequency) -> (..., band): every frequency is shared out among its bands."""
        return torch.cat((x[..., : self.low], x[..., self.low :] @ self.triangles.T), -1)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """(..., band) -> (..., frequency), on straight lines between the centres of bands."""
        return torch.cat((x[..., : self.low], x[..., self.low :] @ self.triangles), -1)

    def _features(self, parts: torch.Tensor, before: torch.Tensor):
        """Parts (batch, 2, frequency, frame) -> (batch, VIEWS, frame, band) of mean 0."""
        parts, after = unit_frames(parts, before, self.level)
        return (self.merge(views(parts.transpose(2, 3))) - self.mean) / self.deviation, after

    def memory(self, batch: int) -> list[torch.Tensor]:
        """What every layer remembers before the first frame."""
        zeros, size = self.mean.new_zeros, self.size

        def temporal(layers):
            for layer in layers:
                yield zeros(batch, self.channels, layer.span, size)
                yield zeros(1, batch, self.channels)

        paths = [zeros(1, batch * size, self.channels) for _ in self.blocks]
        level = no_frames(batch, self.level, self.mean)
        return [level, *temporal(self.back), *paths, *temporal(self.forth)]

    def fit(self, batches) -> None:
        """Mean and deviation of every feature in every band.

        Args:
            batches: of mix (batch, time) and sources, which are not used.
        """

        def features(mix):
            seen, _ = self._features(self.stft.parts(mix), self.memory(len(mix))[0])
            return seen.transpose(1, 2).flatten(0, 1)

        standardise(self, batches, features)

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


def erb_triangles(frequencies: int, low: int, bands: int, rate: float) -> np.ndarray:
    """(band, frequency from ``low`` on): triangles of equal width on the ERB scale.

    Their centres are the nearest frequencies, the first is ``low`` and the last half the rate; each
    falls to 0 at its neighbours' centres, so they sum to 1 everywhere. The scale is that of
    Glasberg and Moore 1990, "Derivation of auditory filter shapes from notched-noise data", eq. 4.

    Raises:
        ValueError: two bands would have the same centre.
    """
    step = rate / 2 / (frequencies - 1)
    ends = 21.4 * np.log10(1 + 0.00437 * step * np.array([low, frequencies - 1]))
    scale = np.linspace(*ends, bands)
    centres = np.rint((10 ** (scale / 21.4) - 1) / 0.00437 / step)
    if not 1 <= low < frequencies or (np.diff(centres) < 1).any():
        raise ValueError(f"low {low}, bands {bands}: too many bands for {frequencies} frequencies")
    places = np.arange(low, frequencies)
    return np.stack([np.interp(places, centres, row) for row in np.eye(bands)]).astype(np.float32)


def halved(size: int) -> int:
    """Bands that a convolution of stride 2 leaves."""
    return (size + 1) // 2


def neighbours(x: torch.Tensor) -> torch.Tensor:
    """(batch, channel, frame, band) -> (batch, 3 * channel, ...): each band between its neighbours.

    The subband feature extraction of section 2.2, with zeros beyond the ends.
    """
    padded, size = F.pad(x, (1, 1)), x.shape[-1]
    return torch.stack([padded[..., k : k + size] for k in range(NEIGHBOURS)], 2).flatten(1, 2)


class Down(nn.Sequential):
    """A convolution over bands that halves their number, norm, rectifier."""

    def __init__(self, inputs: int, outputs: int, groups: int = 1):
        shape = ((1, KERNEL), (1, 2), (0, KERNEL // 2))
        super().__init__(
            nn.Conv2d(inputs, outputs, *shape, groups=groups), nn.BatchNorm2d(outputs), nn.PReLU()
        )


class Up(nn.Sequential):
    """The transpose of ``Down``, which gives ``size`` bands."""

    def __init__(self, inputs: int, outputs: int, size: int, activation, groups: int = 1):
        shape = ((1, KERNEL), (1, 2), (0, KERNEL // 2), (0, (size - 1) % 2))
        convolution = nn.ConvTranspose2d(inputs, outputs, *shape, groups=groups)
        super().__init__(convolution, nn.BatchNorm2d(outputs), activation)


class Temporal(nn.Module):
    """Convolutions over time on one half of the channels; then both halves in turns (section 2.3).

    Attributes:
        span: frames before the first that it sees.
    """

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        half, self.span = channels // 2, (TAPS - 1) * dilation
        self.wide = nn.Sequential(
            nn.Conv2d(half, channels, (1, NEIGHBOURS), padding=(0, 1)),
            nn.BatchNorm2d(channels), nn.PReLU(),
        )  # fmt: skip
        self.deep = nn.Sequential(
            nn.Conv2d(
                channels, channels, (TAPS, NEIGHBOURS), padding=(0, 1), dilation=(dilation, 1),
                groups=channels,
            ),
            nn.BatchNorm2d(channels), nn.PReLU(),
        )  # fmt: skip
        self.narrow = nn.Sequential(nn.Conv2d(channels, half, 1), nn.BatchNorm2d(half))
        self.attention = Attention(half)

    def forward(self, x, before, hidden):
        """(batch, channel, frame, band), the frames before, the attention's memory -> the same."""
        x, kept = x.chunk(2, 1)
        x = self.wide(x)
        x = torch.cat((before.to(x.dtype), x), 2)
        after = x[:, :, x.shape[2] - self.span :]
        x, hidden = self.attention(self.narrow(self.deep(x)), hidden)
        return torch.stack((x, kept), 2).flatten(1, 2), after, hidden


class Attention(nn.Module):
    """A gain from 0 to 1 for every channel of a frame, from its energy up to then (section 2.4)."""

    def __init__(self, channels: int):
        super().__init__()
        self.recurrent = Recurrent(1, channels, 2 * channels)
        self.linear = nn.Linear(2 * channels, channels)

    def forward(self, x, before):
        """(batch, channel, frame, band), the hidden state before -> the same."""
        energy = x.square().mean(3).permute(2, 0, 1)
        out, after = self.recurrent(energy, before)
        return x * self.linear(out).sigmoid().permute(1, 2, 0).unsqueeze(3), after


class DualPath(nn.Module):
    """Along the bands of every frame, then along time in every band (section 2.5).

    Each way a recurrent layer for each half of the channels, a linear one, a norm over the frame,
    and a skip around them.
    """

    def __init__(self, bands: int, channels: int):
        super().__init__()
        half = channels // 2
        self.across = Recurrent(4, half, half // 2)  # each half upwards, each half downwards
        self.along = Recurrent(2, half, half)
        self.linear = nn.ModuleList(nn.Linear(channels, channels) for _ in range(2))
        self.norm = nn.ModuleList(nn.LayerNorm((bands, channels), 1e-8) for _ in range(2))

    def forward(self, x, before):
        """(batch, frame, band, channel), the hidden state before -> the same."""
        batch, frames, bands, channels = x.shape
        sequence = x.permute(2, 0, 1, 3).reshape(bands, -1, channels)
        both = torch.cat((sequence, sequence.flip(0)), 2)
        out, _ = self.across(both, torch.zeros_like(sequence[:1]))
        up, down = out.chunk(2, 2)
        out = self.linear[0](torch.cat((up, down.flip(0)), 2))
        x = x + self.norm[0](out.view(bands, batch, frames, channels).permute(1, 2, 0, 3))
        out, after = self.along(x.transpose(0, 1).reshape(frames, -1, channels), before)
        out = self.linear[1](out).view(frames, batch, bands, channels).transpose(0, 1)
        return x + self.norm[1](out), after


class Recurrent(nn.Module):
    """GRUs side by side, each with its own part of the channels.

    They are computed as one whose weights are 0 between them: layers this narrow cost what it takes
    to start a step, not to compute it.

    Args:
        groups: GRUs.
        inputs: channels of each.
        hidden: channels that each gives.
    """

    def __init__(self, groups: int, inputs: int, hidden: int):
        super().__init__()
        bound = hidden**-0.5  # as in nn.GRU
        shapes = ((inputs,), (hidden,), (), ())
        self.parts = nn.ParameterList(
            torch.empty(groups, 3, hidden, *shape).uniform_(-bound, bound) for shape in shapes
        )  # of inputs, of the hidden state, and what is added to each

    def forward(self, x, before):
        """(step, batch, group * inputs), (1, batch, group * hidden) -> (step, ...), the last."""
        *matrices, first, second = self.parts
        eye = torch.eye(len(first), dtype=first.dtype, device=first.device)
        weights = [
            torch.einsum("gkoi,gf->kgofi", part, eye).flatten(3, 4).flatten(0, 2)
            for part in matrices
        ]  # (gate * group * hidden, group * inputs)
        weights += [part.transpose(0, 1).flatten() for part in (first, second)]
        if x.shape[0] == 1:  # the same without what it costs to set a layer up, for live use
            after = torch.gru_cell(x[0], before[0], *weights).unsqueeze(0)
            return after, after
        return torch.gru(x, before, weights, True, 1, 0.0, self.training, False, False)
