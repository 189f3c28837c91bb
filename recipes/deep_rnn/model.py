"""A recurrent network with masks as its last layer and a discriminative loss."""

import torch
from torch import nn
from torch.nn import functional as F

from local.blocks.on_stft import SpectrogramSeparator

TINY = 1e-8  # of magnitudes in the quotient, in units of the mixture's level


class DeepRNN(SpectrogramSeparator):
    """Three ReLU layers, the second recurrent; magnitudes of both sources; masks.

    After Huang et al. 2014, "Singing-voice separation from monaural recordings using deep
    recurrent neural networks": the magnitudes y of both sources become masks
    |y_i| / (|y_1| + |y_2|) inside the network, and the masked mixture should be like its source
    and unlike the other one.

    Args:
        window: samples.
        hop: samples between frames.
        context: neighbouring frames that a layer sees on each side.
        hidden_size: units of a layer.
        discrimination: weight of the error to the other source.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered.
    """

    def __init__(
        self, window=1024, hop=512, context=1, hidden_size=1000, discrimination=0.05, n_src=2,
        sample_rate=16000,
    ):  # fmt: skip
        super().__init__(
            window, hop, None, sample_rate, context=context, hidden_size=hidden_size,
            discrimination=discrimination, n_src=n_src,
        )  # fmt: skip
        self.discrimination = discrimination
        bins = self.stft.frequencies
        # a fully connected layer on a frame with its neighbours
        self.first = nn.Conv1d(bins, hidden_size, 2 * context + 1, padding=context)
        self.recurrent = nn.RNN(hidden_size, hidden_size, nonlinearity="relu", batch_first=True)
        self.third = nn.Linear(hidden_size, hidden_size)
        self.last = nn.Linear(hidden_size, n_src * bins)

    def estimate(self, magnitude: torch.Tensor) -> torch.Tensor:
        """(batch, frequency, frame) -> masks that sum to 1 (batch, source, frequency, frame)."""
        hidden = torch.relu(self.first(magnitude)).transpose(1, 2)
        hidden, _ = self.recurrent(hidden)
        values = self.last(torch.relu(self.third(hidden))).float()
        values = values.unflatten(-1, (-1, magnitude.shape[1])).abs() + TINY
        return (values / values.sum(2, keepdim=True)).permute(0, 2, 3, 1)

    def loss(self, mix: torch.Tensor, sources: torch.Tensor):
        """Squared error to each source, minus a share of that to the other one.

        Args:
            mix: (batch, time).
            sources: (batch, source, time).

        Returns:
            scalar, and {"mse", "mse_to_other": scalar without gradient}.
        """
        estimate, wanted = self.compared(mix, sources)
        error = F.mse_loss(estimate, wanted)
        other = F.mse_loss(estimate, wanted.flip(1))
        total = error - self.discrimination * other
        return total, {"mse": error.detach(), "mse_to_other": other.detach()}
