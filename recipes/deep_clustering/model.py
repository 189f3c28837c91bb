"""An embedding for every bin of an STFT; the bins of a source lie together."""

import torch
from torch import nn
from torch.nn import functional as F

from local.blocks import masks
from local.blocks.on_stft import SpectrogramSeparator, level

FLOOR = 1e-4  # magnitude under the logarithm, in units of the mixture's level: -80 dB
FOLLOWING = 0.05  # share by which a batch moves the centroids in training
PULL = 0.1  # weight of a cluster's starting centre, as a share of the weight of all points


class DeepClustering(SpectrogramSeparator):
    """Bidirectional LSTMs give a unit vector per bin; k-means over them gives a binary mask.

    After Hershey et al. 2016, "Deep clustering: Discriminative embeddings for segmentation and
    separation". Bins dominated by one source should get equal vectors, bins of two sources
    orthogonal ones. K-means starts from the centroids of both sources over the training set
    (``fit``), so each cluster has a source's name.

    With ``mask_share`` above 0 it is a chimera (Luo et al. 2017, "Deep clustering and
    conventional networks for music separation: Stronger together"): a second layer gives masks,
    which are learnt with the embeddings and then separate.

    Args:
        window: samples.
        hop: samples between frames.
        hidden_size: cells of a recurrent layer, in each direction.
        num_layers: recurrent layers.
        embedding_size: length of a bin's vector.
        silence_db: dB below the mixture's loudest bin; bins further down have no weight.
        mask_share: of the masks in the loss, 0 to below 1; 0: no masks but those of k-means.
        weighted: whether a bin that is not silent counts by the mixture's magnitude there, in the
            loss and in k-means (Wang, Le Roux and Hershey 2018, "Alternative objective functions
            for deep clustering", section 2.1); otherwise all count alike.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered, fewer dimensions than
            sources, or a share out of range.
    """

    def __init__(
        self, window=1024, hop=256, hidden_size=600, num_layers=2, embedding_size=40,
        silence_db=40.0, mask_share=0.0, weighted=False, n_src=2, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(
            window, hop, None, sample_rate, hidden_size=hidden_size, num_layers=num_layers,
            embedding_size=embedding_size, silence_db=silence_db, mask_share=mask_share,
            weighted=weighted, n_src=n_src,
        )  # fmt: skip
        if embedding_size < n_src:
            raise ValueError(f"embedding_size {embedding_size}: at least the {n_src} sources")
        if not 0 <= mask_share < 1:
            raise ValueError(f"mask_share {mask_share}: from 0 to below 1")
        self.silence_db, self.mask_share, self.weighted = silence_db, mask_share, weighted
        bins = self.stft.frequencies
        self.scale = nn.BatchNorm1d(bins, affine=False)
        self.recurrent = nn.LSTM(
            bins, hidden_size, num_layers, batch_first=True, bidirectional=True
        )
        self.embed = nn.Linear(2 * hidden_size, bins * embedding_size)
        self.mask = nn.Linear(2 * hidden_size, bins * n_src) if mask_share else None
        self.register_buffer("centroids", torch.eye(n_src, embedding_size))

    def estimate(self, magnitude: torch.Tensor) -> torch.Tensor:
        """(batch, frequency, frame) -> masks that sum to 1 (batch, source, frequency, frame)."""
        hidden = self._hidden(magnitude)
        if self.mask is not None:
            return self._soft(hidden)
        points = self._embeddings(hidden)
        with torch.autocast(points.device.type, enabled=False):
            centres = k_means(points, self._weights(magnitude), self.centroids)
            labels = one_hot(nearest(points, centres), len(self.centroids), points.dtype)
        frames = labels.unflatten(1, (-1, self.stft.frequencies))
        return frames.permute(0, 3, 2, 1)

    def loss(self, mix: torch.Tensor, sources: torch.Tensor):
        """How far the embeddings' affinities are from the sources', and the masks' error.

        The first is the mean over all pairs of bins that are not silent of (v_i v_j - y_i y_j)^2,
        weighted by the product of both bins' weights, where v is a bin's embedding and y is 1 at
        the source that dominates it (Hershey et al., eq. 1 and 3). Both sources have a place in y,
        also where one of them dominates every bin.

        Args:
            mix: (batch, time).
            sources: (batch, source, time).

        Returns:
            scalar, and {"affinity", "magnitude": scalar without gradient}, the latter the mean
            absolute error of the masked magnitudes, if there are masks.
        """
        magnitude, references = self.stft(mix).abs(), self.stft(sources)
        unit = level(magnitude)
        magnitude = magnitude / unit
        hidden = self._hidden(magnitude)
        points, labels = self._labelled(hidden, magnitude, references)
        with torch.autocast(points.device.type, enabled=False):
            crossed = points.transpose(1, 2) @ labels
            pairs = labels.square().sum((1, 2)).square().clamp(min=1)
            affinity = (_squares(points.transpose(1, 2) @ points) - 2 * _squares(crossed)
                        + _squares(labels.transpose(1, 2) @ labels)) / pairs  # fmt: skip
        affinity = affinity.mean()
        if self.training and self.mask is None:
            self._learn(crossed.detach().sum(0).T, labels.square().sum((0, 1)), FOLLOWING)
        if self.mask is None:
            return affinity, {"affinity": affinity.detach()}
        estimate = masks.apply(self._soft(hidden), magnitude)
        error = F.l1_loss(estimate, references.abs() / unit.unsqueeze(1))
        total = torch.lerp(affinity, error, self.mask_share)
        return total, {"affinity": affinity.detach(), "magnitude": error.detach()}

    def fit(self, batches) -> None:
        """The mean embedding of the bins that each source dominates, where they separate.

        Args:
            batches: of mix (batch, time) and sources (batch, source, time).
        """
        if self.mask is not None:
            return
        sums, counts = 0, 0
        for mix, sources in batches:
            mix, sources = mix.to(self.centroids.device), sources.to(self.centroids.device)
            magnitude = self.stft(mix).abs()
            magnitude = magnitude / level(magnitude)
            points, labels = self._labelled(self._hidden(magnitude), magnitude, self.stft(sources))
            sums = sums + (labels.transpose(1, 2) @ points).sum(0).double()
            counts = counts + labels.square().sum((0, 1)).double()
        self._learn(sums, counts, 1.0)

    def _hidden(self, magnitude):
        """(batch, frequency, frame) -> what the recurrent layers give (batch, frame, channel)."""
        scaled = self.scale(magnitude.clamp(min=FLOOR).log())
        return self.recurrent(scaled.transpose(1, 2))[0]

    def _embeddings(self, hidden):
        """(batch, frame, channel) -> unit vectors (batch, frame and frequency, dimension)."""
        values = torch.tanh_(self.embed(hidden)).float()
        values = values.unflatten(-1, (self.stft.frequencies, -1)).flatten(1, 2)
        return F.normalize(values, dim=-1)

    def _soft(self, hidden):
        """(batch, frame, channel) -> masks that sum to 1 (batch, source, frequency, frame)."""
        values = self.mask(hidden).float().unflatten(-1, (-1, self.stft.frequencies))
        return torch.softmax(values, 2).permute(0, 2, 3, 1)

    def _weights(self, magnitude):
        """0 where a bin is silent, else 1, or the magnitude: (batch, frame and frequency)."""
        loudest = magnitude.amax((1, 2), keepdim=True)
        heard = (magnitude > loudest * 10 ** (-self.silence_db / 20)).to(magnitude.dtype)
        weights = heard * magnitude if self.weighted else heard
        return weights.transpose(1, 2).flatten(1)

    def _labelled(self, hidden, magnitude, references):
        """Embeddings, and 1 at the source that dominates, both times the root of a bin's weight.

        Returns:
            (batch, frame and frequency, dimension) and (batch, frame and frequency, source).
        """
        roots = self._weights(magnitude).sqrt().unsqueeze(-1)
        labels = masks.binary(*references.unbind(1)).permute(0, 3, 2, 1).flatten(1, 2)
        return self._embeddings(hidden) * roots, labels * roots

    def _learn(self, sums, counts, share):
        """Move the centroids by ``share`` to the means; one without members stays."""
        means = (sums / counts.clamp(min=1).unsqueeze(-1)).to(self.centroids.dtype)
        means = torch.where(counts.unsqueeze(-1) > 0, means, self.centroids)
        self.centroids.lerp_(means, share)


def _squares(matrices):
    """(batch, row, column) -> sums of squares (batch,)."""
    return matrices.square().sum((1, 2))


def k_means(
    points: torch.Tensor, weights: torch.Tensor, centres: torch.Tensor, rounds: int = 10
) -> torch.Tensor:
    """Move centres to their points (Lloyd 1982, "Least squares quantization in PCM").

    Every cluster keeps the meaning of its starting centre, which counts as one more member with
    ``PULL`` times the weight of all points. Otherwise, if all points are of one kind, the second
    cluster would take half of them. scikit-learn's KMeans has no such member, and takes one
    example at a time, on the CPU.

    Args:
        points: (batch, point, dimension).
        weights: (batch, point), 0 or more; points of weight 0 do not count.
        centres: (cluster, dimension), where to start.
        rounds: times that points are assigned anew.

    Returns:
        (batch, cluster, dimension).
    """
    known = centres.expand(len(points), -1, -1)
    pull = PULL * weights.sum(1)[:, None, None] + torch.finfo(points.dtype).eps
    centres = known
    for _ in range(rounds):
        members = one_hot(nearest(points, centres), len(known[0]), points.dtype)
        members *= weights.unsqueeze(-1)
        sums = members.transpose(1, 2) @ points + pull * known
        centres = sums / (members.sum(1).unsqueeze(-1) + pull)
    return centres


def nearest(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """(batch, point, dimension), (batch, cluster, dimension) -> index of a cluster (batch, point).

    Of equally near ones it is the first.
    """
    # the squared distance, but for the points' own norms and a factor of -2
    nearness = torch.baddbmm(
        -0.5 * centres.square().sum(-1).unsqueeze(1), points, centres.transpose(1, 2)
    )
    return nearness.argmax(-1)


def one_hot(indices: torch.Tensor, count: int, dtype: torch.dtype) -> torch.Tensor:
    """(...) -> (..., count), 1 at the index and 0 elsewhere."""
    return F.one_hot(indices, count).to(dtype)
