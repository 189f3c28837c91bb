"""A fully connected network on windows of frames that finds where the voice is louder."""

import torch
from torch import nn
from torch.nn import functional as F

from local.blocks import masks
from local.blocks.input_statistics import standardise
from local.blocks.on_stft import SpectrogramSeparator, level

FLOOR = 1e-4  # magnitude under the logarithm, in units of the mixture's level: -80 dB


class DeepKaraoke(SpectrogramSeparator):
    """Windows of frames in; for each of their bins, the probability that the voice dominates out.

    After Simpson, Roma and Plumbley 2015, "Deep Karaoke: Extracting vocals from musical mixtures
    using a convolutional deep neural network": one hidden layer, sigmoids, the ideal binary mask
    as the target. Windows overlap, and the mean of their predictions for a bin is compared with a
    threshold: the voice takes the bins above it, the noise those where the probability of noise is
    above it.

    Args:
        window: samples of a frame.
        hop: samples between frames.
        frames: of a window, the network's input.
        step: frames between windows when separating.
        training_step: frames between windows in training.
        hidden_size: units between input and output.
        threshold: 0 to below 1.
        logarithmic: whether the network sees log-magnitudes of mean 0 and deviation 1 over the
            training set at each frequency (``fit``), not the paper's magnitudes.
        weighted: whether a bin counts in the loss by the mixture's magnitude there; otherwise all
            count alike.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered, steps that leave frames
            out, or a threshold out of range.
    """

    def __init__(
        self, window=1024, hop=256, frames=20, step=1, training_step=10, hidden_size=10260,
        threshold=0.5, logarithmic=False, weighted=False, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(
            window, hop, None, sample_rate, target="binary", frames=frames, step=step,
            training_step=training_step, hidden_size=hidden_size, threshold=threshold,
            logarithmic=logarithmic, weighted=weighted,
        )  # fmt: skip
        for name, value in {"step": step, "training_step": training_step}.items():
            if not 1 <= value <= frames:
                raise ValueError(f"{name} {value}: from 1 to the {frames} frames of a window")
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold {threshold}: from 0 to below 1")
        self.frames, self.step, self.training_step = frames, step, training_step
        self.threshold, self.logarithmic, self.weighted = threshold, logarithmic, weighted
        if logarithmic:
            self.register_buffer("mean", torch.zeros(self.stft.frequencies, 1))
            self.register_buffer("deviation", torch.ones(self.stft.frequencies, 1))
        size = self.stft.frequencies * frames
        self.network = nn.Sequential(
            nn.Linear(size, hidden_size), nn.Sigmoid(), nn.Linear(hidden_size, size)
        )

    def estimate(self, magnitude: torch.Tensor) -> torch.Tensor:
        """(batch, frequency, frame) -> probabilities (batch, source, frequency, frame)."""
        probabilities = torch.sigmoid(self._logits(magnitude, self.step).float())
        voice = overlapped_mean(probabilities, magnitude.shape[-1], self.step)
        return torch.stack((voice, 1 - voice), 1)

    def applied(self, estimate: torch.Tensor) -> torch.Tensor:
        """Probabilities -> masks of 0 and 1, of the same shape."""
        return (estimate > self.threshold).to(estimate.dtype)

    def loss(self, mix: torch.Tensor, sources: torch.Tensor):
        """Cross-entropy of every window's prediction with the voice's ideal binary mask.

        Args:
            mix: (batch, time).
            sources: (batch, source, time).

        Returns:
            scalar, and {"cross_entropy": the same without gradient}.
        """
        magnitude = self.stft(mix).abs()
        magnitude = magnitude / level(magnitude)
        voice = masks.binary(*self.stft(sources).unbind(1))[:, 0]
        logits = self._logits(magnitude, self.training_step)
        wanted = windows(voice, self.frames, self.training_step)
        weights = windows(magnitude, self.frames, self.training_step) if self.weighted else None
        entropy = F.binary_cross_entropy_with_logits(logits.float(), wanted, weights)
        return entropy, {"cross_entropy": entropy.detach()}

    def fit(self, batches) -> None:
        """Mean and deviation of the log-magnitudes at every frequency, where they are used.

        Args:
            batches: of mix (batch, time) and sources (batch, source, time).
        """

        def features(mix):
            magnitude = self.stft(mix).abs()
            return _log(magnitude / level(magnitude)).transpose(1, 2).flatten(0, 1)

        if self.logarithmic:
            standardise(self, batches, features)

    def _logits(self, magnitude, step):
        """(batch, frequency, frame) -> (batch, window, frequency, frame of it)."""
        if self.logarithmic:
            magnitude = (_log(magnitude) - self.mean) / self.deviation
        seen = windows(magnitude, self.frames, step)
        return self.network(seen.flatten(2)).view(seen.shape)


def _log(magnitude):
    return magnitude.clamp(min=FLOOR).log()


def windows(x: torch.Tensor, frames: int, step: int) -> torch.Tensor:
    """Overlapping windows over the frames of ``x``, the last one padded with zeros.

    Args:
        x: (batch, frequency, frame).
        frames: of a window.
        step: frames between windows, at most ``frames``.

    Returns:
        (batch, window, frequency, frame of it), as many as it takes for every frame to be in one.
    """
    total = x.shape[-1]
    missing = frames - total if total < frames else (frames - total) % step
    return F.pad(x, (0, missing)).unfold(-1, frames, step).transpose(1, 2)


def overlapped_mean(x: torch.Tensor, total: int, step: int) -> torch.Tensor:
    """The mean over the windows of ``windows`` for each frame.

    Args:
        x: (batch, window, frequency, frame of it).
        total: frames.
        step: frames between windows.

    Returns:
        (batch, frequency, total).
    """
    _, count, _, frames = x.shape
    length = (count - 1) * step + frames

    def added(columns):
        """(batch, channel x frame of a window, window) -> (batch, channel, frame)."""
        return F.fold(columns, (1, length), (1, frames), stride=(1, step)).squeeze(2)

    sums = added(x.flatten(2).transpose(1, 2))
    return (sums / added(x.new_ones(1, frames, count)))[..., :total]
