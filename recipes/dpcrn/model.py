"""DPCRN: convolutions over frequency around recurrent layers along both axes of a spectrogram."""

import torch
from asteroid.models import BaseModel
from torch import nn

from local.blocks.input_statistics import standardise
from local.blocks.level import no_frames, unit_frames
from local.blocks.real_spectra import VIEWS, gain_and_turn, masked, views
from local.blocks.stft import STFT
from local.blocks.stft_frames import Frames, VoiceLive


class DPCRN(VoiceLive, BaseModel):
    """Log-magnitude and compressed real and imaginary parts in, a complex mask for the voice out.

    After Le, Chen, Chen and Lu 2021, "DPCRN: Dual-Path Convolution Recurrent Network for Single
    Channel Speech Enhancement" (Interspeech), section 2, and its authors' code: convolutions over
    frequency, causal in time, halve the frequencies and widen the channels; dual-path blocks pass
    along the frequencies of a frame in both directions and along time forwards; transposed
    convolutions with skips come back. The noise is the mixture minus the voice.

    It looks back only, and can run live (``start``, ``step``, ``finish``).

    Departures:

    - The mask is a gain from 0 to 1 and a turn of the phase, which starts at none, not a real and
      an imaginary part of any value: magnitudes are learnt first and fast.
    - The input is not the real and imaginary part normalised within the frame but ``views``, in
      units of the level of the last ``level`` frames, standardised at each frequency by statistics
      of the training mixtures. So the estimates move with the level of the mixture.
    - Padding over frequency is the same on both sides: 51 and not 50 of 201 frequencies reach the
      recurrent layers. LSTMs have the usual sigmoid, not Keras' hard one. The window is Hann's,
      not a sine.

    Args:
        window: samples.
        hop: samples between frames.
        channels: of every convolution on the way down.
        kernels: frequencies that each of them sees, odd; it sees two frames.
        strides: by which each of them divides the frequencies.
        blocks: dual-path blocks.
        level: frames over which the level is taken, the last one included.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered; lists of unequal length;
            an odd number of channels before the recurrent layers, or an even kernel.
    """

    def __init__(
        self, window=400, hop=200, channels=(32, 32, 32, 64, 128), kernels=(5, 3, 3, 3, 3),
        strides=(2, 2, 1, 1, 1), blocks=2, level=160, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        channels, kernels, strides = list(channels), list(kernels), list(strides)
        self.arguments = {
            "window": window, "hop": hop, "channels": channels, "kernels": kernels,
            "strides": strides, "blocks": blocks, "level": level, "sample_rate": sample_rate,
        }  # fmt: skip
        if not len(channels) == len(kernels) == len(strides) > 0:
            raise ValueError(f"channels {channels}, kernels {kernels}, strides {strides}: one each")
        if min(channels) < 1 or channels[-1] % 2:
            raise ValueError(f"channels {channels}: the last one even, half in each direction")
        if not all(kernel % 2 for kernel in kernels):
            raise ValueError(f"kernels {kernels}: odd numbers")
        if min(strides) < 1 or level < 1:
            raise ValueError(f"strides {strides}, level {level}: at least 1")
        self.stft = STFT(window, hop)
        self.frames = Frames(self.stft)
        self.level = level
        sizes = [self.stft.frequencies]
        for stride in strides:
            sizes.append((sizes[-1] - 1) // stride + 1)
        self.register_buffer("mean", torch.zeros(VIEWS, 1, sizes[0]))
        self.register_buffer("deviation", torch.ones(VIEWS, 1, sizes[0]))
        inputs = [VIEWS, *channels[:-1]]
        levels = list(zip(inputs, channels, kernels, strides, strict=True))
        self.down = nn.ModuleList(Down(*shape) for shape in levels)
        self.blocks = nn.ModuleList(DualPath(sizes[-1], channels[-1]) for _ in range(blocks))
        outputs = [3, *channels[:-1]]
        self.up = nn.ModuleList(
            Up(2 * channels[i], outputs[i], kernels[i], strides[i], sizes[i], last=i == 0)
            for i in reversed(range(len(channels)))
        )

    def voice(self, parts: torch.Tensor, memory: list) -> tuple[torch.Tensor, list]:
        """See ``VoiceLive``."""
        memory = iter(memory)
        x, kept = self._features(parts, next(memory))
        after, skips = [kept], []
        for layer in self.down:
            x, kept = layer(x, next(memory))
            after.append(kept)
            skips.append(x)
        x = x.permute(0, 2, 3, 1)  # (batch, frame, frequency, channel)
        for block in self.blocks:
            x, kept = block(x, (next(memory), next(memory)))
            after += kept
        x = x.permute(0, 3, 1, 2)
        for layer in self.up:
            x, kept = layer(torch.cat((x, skips.pop()), 1), next(memory))
            after.append(kept)
        mask = gain_and_turn(x.float().transpose(2, 3))
        return masked(mask, parts), after

    def _features(self, parts: torch.Tensor, before: torch.Tensor):
        """Parts (batch, 2, frequency, frame) -> (batch, VIEWS, frame, frequency) of mean 0."""
        parts, after = unit_frames(parts, before, self.level)
        return (views(parts.transpose(2, 3)) - self.mean) / self.deviation, after

    def memory(self, batch: int) -> list[torch.Tensor]:
        """What every layer remembers before the first frame."""
        zeros = self.mean.new_zeros
        state = [no_frames(batch, self.level, self.mean)]
        size = self.stft.frequencies
        for layer in self.down:
            state.append(zeros(batch, layer.convolution.in_channels, 1, size))
            size = (size - 1) // layer.convolution.stride[1] + 1
        for block in self.blocks:
            state += [zeros(1, batch * size, block.channels)] * 2
        for layer in self.up:
            state.append(zeros(batch, layer.convolution.in_channels, 1, size))
            size = layer.size
        return state

    def fit(self, batches) -> None:
        """Mean and deviation of every part at every frequency.

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


class Down(nn.Module):
    """A convolution over frequency that sees this frame and the one before, norm, rectifier."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, (2, kernel), (1, stride), (0, kernel // 2))
        self.norm, self.activation = nn.BatchNorm2d(outputs), nn.PReLU(outputs)

    def forward(self, x, before):
        """(batch, channel, frame, frequency), the frame before -> the same, the last frame."""
        x = torch.cat((before.to(x.dtype), x), 2)
        return self.activation(self.norm(self.convolution(x))), x[:, :, -1:]


class Up(nn.Module):
    """The transpose of ``Down``, which the last one is of without norm and rectifier."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, size: int, last: bool):
        super().__init__()
        self.size = size
        more = (size - 1) % stride
        self.convolution = nn.ConvTranspose2d(
            inputs, outputs, (2, kernel), (1, stride), (1, kernel // 2), (0, more)
        )  # of frames and one before: frames out, of which none sees one after it
        self.after = nn.Identity()
        if not last:
            self.after = nn.Sequential(nn.BatchNorm2d(outputs), nn.PReLU(outputs))

    def forward(self, x, before):
        """(batch, channel, frame, frequency), the frame before -> the same, the last frame."""
        x = torch.cat((before.to(x.dtype), x), 2)
        return self.after(self.convolution(x)), x[:, :, -1:]


class DualPath(nn.Module):
    """Along the frequencies of every frame, then along time at every frequency (section 2.2).

    Each way a recurrent layer, a linear one, a norm over the frame, and a skip around them.
    """

    def __init__(self, frequencies: int, channels: int):
        super().__init__()
        self.channels = channels
        self.across = nn.LSTM(channels, channels // 2, batch_first=True, bidirectional=True)
        self.along = nn.LSTM(channels, channels)
        self.linear = nn.ModuleList(nn.Linear(channels, channels) for _ in range(2))
        self.norm = nn.ModuleList(nn.LayerNorm((frequencies, channels)) for _ in range(2))

    def forward(self, x, before):
        """(batch, frame, frequency, channel), (hidden, cell) -> the same."""
        batch, frames, frequencies, channels = x.shape
        out, _ = self.across(x.reshape(-1, frequencies, channels))
        x = x + self.norm[0](self.linear[0](out).view(x.shape))
        sequence = x.transpose(0, 1).reshape(frames, -1, channels)
        if frames == 1:  # the same without what it costs to set a layer up, for live use
            before = [part[0] for part in before]
            after = torch.lstm_cell(sequence[0], before, *self.along.all_weights[0])
            out, after = after[0], [part.unsqueeze(0) for part in after]
        else:
            out, after = self.along(sequence, before)
        out = self.linear[1](out).view(frames, batch, frequencies, channels)
        return x + self.norm[1](out.transpose(0, 1)), after
