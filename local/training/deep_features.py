"""Deep feature losses: distances of what a network hears (Germain, Chen and Koltun 2018).

``FeatureNetwork`` learns what noise a mixture holds, at which SNR, and whether there is a voice
(``feature_tasks``); ``DeepFeatureLoss`` compares estimate and source by what its first layers make
of them.
"""

import itertools
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from local.base.errors import UserError
from local.model import checkpoint

LAYERS, KERNEL, SLOPE = 14, 3, 0.2
BASE, BLOCK = 32, 5  # channels of the first layers; layers after which they double
COMPARED = 6  # layers whose activations are compared
BALANCED = 10  # epochs after which the layers' distances are brought to equal weight
FORMAT = "deep features 1"


class FeatureNetwork(nn.Module):
    """Convolutions of 3 taps that halve the steps, mean over time, a linear head for each task.

    Section 2.2 and the authors' code: 14 layers of stride 2 but for the last, batch normalisation,
    leaky rectifiers of 0.2; 32 channels in five layers, 64 in five, 128 in four.

    Args:
        classes: task -> number of its classes.
    """

    def __init__(self, classes: dict[str, int]):
        super().__init__()
        self.classes = dict(classes)
        widths = [1] + [BASE * 2 ** (i // BLOCK) for i in range(LAYERS)]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(below, above, KERNEL, stride=1 if i == LAYERS - 1 else 2, padding=1),
                nn.BatchNorm1d(above),
                nn.LeakyReLU(SLOPE),
            )
            for i, (below, above) in enumerate(itertools.pairwise(widths))
        )
        self.heads = nn.ModuleDict({task: nn.Linear(widths[-1], n) for task, n in classes.items()})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Waveforms (batch, time) -> task -> logits (batch, class)."""
        features = self.features(x, LAYERS)[-1].mean(-1)
        return {task: head(features) for task, head in self.heads.items()}

    def features(self, x: torch.Tensor, count: int) -> list[torch.Tensor]:
        """Waveforms (batch, time) -> activations of the first layers, (batch, channel, step)."""
        x, found = x.unsqueeze(1), []
        for layer in self.layers[:count]:
            x = layer(x)
            found.append(x)
        return found


class DeepFeatureLoss(nn.Module):
    """Sum over the first 6 layers of the mean absolute difference of their activations (eq. 2).

    Each layer's is divided by its mean over the tenth epoch, as in the authors' code; before that,
    by 1. The network stays as it was learnt: its batch normalisation uses what it has learnt, not
    the batch (the authors' takes that of the recording), so that equal signals give equal features.

    Args:
        network: a ``FeatureNetwork`` that has learnt.
    """

    def __init__(self, network: FeatureNetwork):
        super().__init__()
        self.network = network.requires_grad_(False)
        self.register_buffer("means", torch.ones(COMPARED))
        self.register_buffer("sums", torch.zeros(COMPARED + 1))
        self.train()

    def train(self, mode: bool = True):
        """Whether distances are counted; the network is never in training."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, estimates: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        """Signals (..., time), which broadcast -> (...). Bring them to one level first."""
        estimates, sources = torch.broadcast_tensors(estimates, sources)
        shape, length = estimates.shape[:-1], estimates.shape[-1]
        with torch.autocast(estimates.device.type, enabled=False):
            pairs = zip(
                self.network.features(estimates.reshape(-1, length), COMPARED),
                self.network.features(sources.reshape(-1, length), COMPARED),
                strict=True,
            )
            distances = torch.stack([(a - b).abs().mean((1, 2)) for a, b in pairs])
        if torch.is_grad_enabled():
            self.sums[:-1] += distances.detach().sum(1)
            self.sums[-1] += distances.shape[1]
        return (distances / self.means.unsqueeze(1)).sum(0).reshape(shape)

    def end_epoch(self, epoch: int) -> bool:
        """Balance the layers after the tenth; epochs count from 0.

        Returns:
            whether they were balanced, so that the loss has another unit from here on.
        """
        balanced = epoch == BALANCED - 1 and bool(self.sums[-1])
        if balanced:
            self.means.copy_((self.sums[:-1] / self.sums[-1]).clamp(min=1e-8))
        self.sums.zero_()
        return balanced


def save(path: Path, network: FeatureNetwork, about: dict) -> None:
    """Write what a network has learnt, atomically, with its provenance."""
    package = {
        "format": FORMAT,
        "classes": network.classes,
        "about": about,
        "state_dict": {key: value.cpu() for key, value in network.state_dict().items()},
    }
    checkpoint.write(path, package)


def load(path: Path | str) -> FeatureNetwork:
    """A network that ``save`` wrote, in eval mode.

    Raises:
        UserError: not there, or another file.
    """
    try:
        package = torch.load(path, map_location="cpu", weights_only=True)
        if package["format"] != FORMAT:
            raise ValueError(package["format"])
        network = FeatureNetwork(package["classes"])
        network.load_state_dict(package["state_dict"])
    except FileNotFoundError:
        raise UserError(f"loss.deep_feature_network: {path}: not there") from None
    except Exception as error:  # torch raises almost anything on other bytes
        raise UserError(
            f"loss.deep_feature_network: {path}: expected the file deep_features.pth of an"
            f" experiment with loss.deep_feature ({type(error).__name__})"
        ) from error
    return network.eval()


def hear(network: FeatureNetwork, x: torch.Tensor, targets: dict[str, torch.Tensor]):
    """The sum over the tasks of the mean cross-entropy, and how many are right of how many.

    Args:
        x: (batch, time), on any device.
        targets: task -> class (batch,); -1: there is no answer.

    Returns:
        scalar; task -> (2,), right and all; on the network's device.
    """
    device = next(network.parameters()).device
    x, targets = x.to(device), {task: classes.to(device) for task, classes in targets.items()}
    loss, counts = x.new_zeros(()), {}
    for task, logits in network(x).items():
        asked = targets[task] >= 0
        if asked.any():
            loss = loss + F.cross_entropy(logits[asked], targets[task][asked])
        right = (logits.argmax(1) == targets[task])[asked].sum()
        counts[task] = torch.stack((right, asked.sum()))
    return loss, counts
