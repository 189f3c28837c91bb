"""Band-split RNN: recurrent layers along time and across the bands of a spectrogram, in turns."""

import itertools

import torch
from asteroid.models import BaseModel
from torch import nn

from local.blocks import level
from local.blocks.real_spectra import VIEWS, gain_and_turn, masked, views
from local.blocks.stft import STFT

SMALL = 1e-7  # variance of nothing
TIME, BAND = (0, 3), (2, 3)  # axes of (frame, batch, band, channel) that a norm is over


class BSRNN(BaseModel):
    """Real and imaginary parts in, a complex mask and a residual spectrum for the voice out.

    After Luo and Yu 2023, "Music Source Separation with Band-Split RNN" (IEEE/ACM TASLP), and for
    speech Yu and Luo 2023, "Efficient monaural speech enhancement with universal sample rate
    band-split RNN" (ICASSP), and Yu et al. 2023, "High Fidelity Speech Enhancement with Band-split
    RNN" (Interspeech), which adds the residual. A norm and a linear layer for each band bring it to
    ``channels`` features; pairs of residual recurrent layers pass along time and across bands; a
    perceptron for each band, with tanh and GLU, estimates its bins. The noise is the mixture minus
    the voice. The network sees the mixture at a level of 1, and its estimates move with the level.

    Args:
        window: samples.
        hop: samples between frames.
        widths: Hz, of the bands from 0 up.
        ends: Hz, where the bands of each width end; what is left above is one band.
        channels: features of a band, half the cells of a recurrent layer in each direction.
        layers: pairs of recurrent layers.
        views: True: the input is log-magnitude and compressed real and imaginary part.
        mask: ``complex``: of any value, with a residual; ``polar``: a gain from 0 to 1 and a turn
            of the phase, none at first, without a residual.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered; bands that cannot be.
    """

    def __init__(
        self, window=320, hop=160, widths=(200, 500, 2000), ends=(4000, 7000, 21000), channels=128,
        layers=6, views=False, mask="complex", sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        self.arguments = {
            "window": window, "hop": hop, "widths": list(widths), "ends": list(ends),
            "channels": channels, "layers": layers, "views": views, "mask": mask,
            "sample_rate": sample_rate,
        }  # fmt: skip
        self.stft = STFT(window, hop)
        self.views, self.mask = views, mask
        sizes = band_sizes(self.stft.fft, sample_rate, widths, ends)
        inputs = VIEWS if views else 2
        self.split = nn.ModuleList(Split(inputs * size, channels) for size in sizes)
        self.layers = nn.ModuleList(
            Residual(channels, axes) for _ in range(layers) for axes in (TIME, BAND)
        )
        outputs = (2, 2) if mask == "complex" else (3,)
        self.estimates = nn.ModuleList(Estimate(channels, sizes, parts) for parts in outputs)
        self.sizes = sizes

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        scaled, scale = level.unit(mix)
        parts = self.stft.parts(scaled)
        x = (views(parts) if self.views else parts).permute(3, 0, 1, 2)
        bands = x.split(self.sizes, 3)
        x = torch.stack([split(band) for split, band in zip(self.split, bands, strict=True)], 2)
        for layer in self.layers:
            x = layer(x)
        outputs = [estimate(x).float() for estimate in self.estimates]
        if self.mask == "complex":
            mask, residual = outputs
            voice = masked(mask, parts) + residual
        else:
            voice = masked(gain_and_turn(outputs[0]), parts)
        voice = scale * self.stft.inverse_parts(voice, mix.shape[-1])
        return torch.stack((voice, mix - voice), 1)

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


def band_sizes(fft: int, sample_rate: int, widths, ends) -> list[int]:
    """How many frequencies each band has, from 0 to half the sample rate.

    A band holds its upper edge, not its lower one, and the first also 0: with edges at the
    frequencies of the transform it is the split of Yu and Luo 2023.

    Raises:
        ValueError: lists of unequal length; an end that is no edge; a band without a frequency.
    """
    if len(widths) != len(ends):
        raise ValueError(f"widths {list(widths)}, ends {list(ends)}: one each")
    edges = [0]
    for width, end in zip(widths, ends, strict=True):
        if width < 1 or end <= edges[-1] or (end - edges[-1]) % width:
            raise ValueError(f"ends {end}: expected {edges[-1]} Hz and some times {width} Hz")
        edges += range(edges[-1] + width, end + 1, width)
    inner = [edge for edge in edges[1:] if edge < sample_rate / 2]
    starts = [0, *(edge * fft // sample_rate + 1 for edge in inner), fft // 2 + 1]
    sizes = [end - start for start, end in itertools.pairwise(starts)]
    if min(sizes) < 1:
        raise ValueError(
            f"widths {list(widths)}: below the {sample_rate / fft:g} Hz of a frequency"
        )
    return sizes


class Norm(nn.Module):
    """Mean 0 and deviation 1 over some axes, then a scale and an offset for each channel.

    With the axes of a sequence it is the group norm of one group.
    """

    def __init__(self, channels: int, axes: tuple[int, ...]):
        super().__init__()
        self.axes = axes
        self.weight, self.bias = (nn.Parameter(f(channels)) for f in (torch.ones, torch.zeros))

    def forward(self, x):
        """(..., channel) -> the same shape."""
        x = x - x.mean(self.axes, keepdim=True)
        scale = (x.square().mean(self.axes, keepdim=True) + SMALL).rsqrt()
        return torch.addcmul(self.bias, x * scale, self.weight)


class Split(nn.Module):
    """The features of a band."""

    def __init__(self, inputs: int, channels: int):
        super().__init__()
        self.norm, self.linear = Norm(inputs, (0, 2)), nn.Linear(inputs, channels)

    def forward(self, x):
        """(frame, batch, part, frequency) -> (frame, batch, channel)."""
        return self.linear(self.norm(x.flatten(2)))


class Residual(nn.Module):
    """A recurrent layer in both directions along frames or bands, with norm and skip."""

    def __init__(self, channels: int, axes: tuple[int, int]):
        super().__init__()
        self.norm, self.along_time = Norm(channels, axes), axes == TIME
        self.recurrent = nn.LSTM(
            channels, 2 * channels, batch_first=not self.along_time, bidirectional=True
        )
        self.linear = nn.Linear(4 * channels, channels)

    def forward(self, x):
        """(frame, batch, band, channel) -> the same shape."""
        sequences = self.norm(x).flatten(1, 2) if self.along_time else self.norm(x).flatten(0, 1)
        out, _ = self.recurrent(sequences)
        return x + self.linear(out).view(x.shape)


class Estimate(nn.Module):
    """A perceptron for each band that gives values for its frequencies."""

    def __init__(self, channels: int, sizes: list[int], parts: int):
        super().__init__()
        self.parts = parts
        self.bands = nn.ModuleList(
            nn.Sequential(
                Norm(channels, (0, 2)), nn.Linear(channels, 4 * channels), nn.Tanh(),
                nn.Linear(4 * channels, 2 * parts * size), nn.GLU(),
            )
            for size in sizes
        )  # fmt: skip

    def forward(self, x):
        """(frame, batch, band, channel) -> (batch, part, frequency, frame)."""
        bands = [band(y) for band, y in zip(self.bands, x.unbind(2), strict=True)]
        bands = [y.unflatten(2, (self.parts, -1)) for y in bands]
        return torch.cat(bands, 3).permute(1, 2, 3, 0)
