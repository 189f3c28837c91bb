"""Recurrent layers over the frames of an STFT that give a complex mask for the voice."""

import torch
from asteroid.models import BaseModel
from torch import nn
from torch.nn import functional as F

from local.blocks.input_statistics import standardise
from local.blocks.real_spectra import VIEWS, masked, views
from local.blocks.stft import STFT
from local.blocks.stft_frames import Frames, VoiceLive


class ComplexMaskLSTM(VoiceLive, BaseModel):
    """Log-magnitude and compressed real and imaginary parts in, a complex mask for the voice out.

    The mask (Williamson, Wang and Wang 2016, "Complex ratio masking for monaural speech
    separation") may have any value; the noise is the mixture minus the voice. Statistics of the
    training mixtures bring every part of the input to mean 0 and deviation 1 at each frequency, as
    Open-Unmix does with magnitudes (Stöter et al. 2019).

    With layers that look back only it can run live (``start``, ``step``, ``finish``).

    Args:
        window: samples.
        hop: samples between frames.
        input_size: width of the layer that reduces a frame.
        hidden_size: cells of a recurrent layer, in each direction.
        num_layers: recurrent layers.
        dropout: share of outputs dropped between recurrent layers, in training.
        bidirectional: False: no frame sees a later one, and an estimated sample depends on at most
            the next ``window - 1`` samples.
        shifts: when separating, the estimate is the mean of this many, of the mixture delayed by
            equal parts of a hop (the "shift trick" of Défossez et al. 2019, "Music source
            separation in the waveform domain", there at random). Their errors differ and partly
            cancel. Live it is one.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered; shifts that do not divide
            the hop; several shifts of a network that looks back only.
    """

    def __init__(
        self, window=512, hop=256, input_size=256, hidden_size=256, num_layers=2, dropout=0.0,
        bidirectional=True, shifts=1, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        self.arguments = {
            "window": window, "hop": hop, "input_size": input_size, "hidden_size": hidden_size,
            "num_layers": num_layers, "dropout": dropout, "bidirectional": bidirectional,
            "shifts": shifts, "sample_rate": sample_rate,
        }  # fmt: skip
        self.stft = STFT(window, hop)
        if shifts < 1 or hop % shifts:
            raise ValueError(f"shifts {shifts}: expected a divisor of the hop of {hop} samples")
        if shifts > 1 and not bidirectional:
            raise ValueError(f"shifts {shifts}: a network that looks back only has one")
        self.shifts = shifts
        self.frames = Frames(self.stft)
        bins = self.stft.frequencies
        self.register_buffer("mean", torch.zeros(VIEWS * bins))
        self.register_buffer("deviation", torch.ones(VIEWS * bins))
        self.reduce = nn.Linear(VIEWS * bins, input_size)
        self.recurrent = nn.LSTM(
            input_size, hidden_size, num_layers, batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0, bidirectional=bidirectional,
        )  # fmt: skip
        self.mask = nn.Linear(hidden_size * (1 + bidirectional), 2 * bins)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        if self.training or self.shifts == 1:
            voice = self._voice(mix)
        else:
            hop, time = self.stft.hop, mix.shape[-1]
            delays = range(0, hop, hop // self.shifts)
            # all in one batch: for recurrent layers, several examples cost little more than one
            delayed = self._voice(torch.cat([F.pad(mix, (n, hop - n)) for n in delays]))
            estimates = zip(delays, delayed.chunk(self.shifts), strict=True)
            voice = sum(x[:, n : n + time] for n, x in estimates) / self.shifts
        return torch.stack((voice, mix - voice), 1)

    def _voice(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, time)."""
        parts = self.stft.parts(mix)
        voice, _ = self.voice(parts)
        return self.stft.inverse_parts(voice, mix.shape[-1])

    @property
    def latency(self) -> int | None:
        """Samples by which the output of ``step`` lags its input; None: it cannot run live."""
        return None if self.recurrent.bidirectional else super().latency

    def memory(self, batch: int) -> torch.Tensor:
        """What the recurrent layers hold before the first frame."""
        layers = self.recurrent
        return self.mean.new_zeros(2, layers.num_layers, batch, layers.hidden_size)

    def voice(self, parts: torch.Tensor, memory=None) -> tuple[torch.Tensor, tuple]:
        """The frames that follow.

        Args:
            parts: (batch, 2, frequency, frame).
            memory: of ``memory``, or of the frames before.

        Returns:
            the voice's parts (batch, 2, frequency, frame); the memory after the last frame.
        """
        scaled = (features(parts) - self.mean) / self.deviation
        hidden, memory = self.recurrent(torch.relu(self.reduce(scaled)), memory)
        mask = self.mask(hidden).float().transpose(1, 2).unflatten(1, (2, self.stft.frequencies))
        return masked(mask, parts), memory

    def fit(self, batches) -> None:
        """Mean and deviation of every part at every frequency.

        Args:
            batches: of mix (batch, time) and sources, which are not used.
        """
        standardise(self, batches, lambda mix: features(self.stft.parts(mix)).flatten(0, 1))

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


def features(parts: torch.Tensor) -> torch.Tensor:
    """(batch, 2, frequency, frame) -> (batch, frame, VIEWS * frequency)."""
    return views(parts).flatten(1, 2).transpose(1, 2)
