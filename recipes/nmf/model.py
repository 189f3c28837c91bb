"""NMF: the spectrogram as a sum of spectra that switch on and off, some voice and some noise."""

import torch
from asteroid.models import BaseModel

from local import SOURCES
from local.blocks import masks
from local.blocks.stft import STFT

TINY = 1e-12  # against a largest magnitude of 1: keeps quotients finite


class NMF(BaseModel):
    """Non-negative matrix factorisation with dictionaries, and Wiener-like masks.

    Magnitudes (frequency, frame) are modelled as W H: spectra, one per component, times their
    activations over time, at the least ``objective``. The model's share of each source gives
    its mask.

    ``dictionaries: learnt``: the spectra of each source are learnt from its own frames in the
    training set; for a mixture they stay fixed, and the activations are computed. ``dictionaries:
    none``: spectra and activations are computed for each mixture, from random spectra drawn when
    the model is built. The more a component's activations vary, the more of it is voice: v^4 /
    (v^4 + ``variation``^4), with v their standard deviation over their mean; the rest is noise.
    Speech comes and goes, most noise is steadier.

    Args:
        window: samples.
        hop: samples.
        dictionaries: learnt | none.
        voice_components, noise_components: spectra per source; without dictionaries only their sum
            counts.
        sparsity: weight of the activations' sum in the objective, for a mixture; 0 for none.
        iterations: updates for a mixture.
        fit_frames: frames of each source that its spectra are learnt from, at most.
        fit_iterations: updates of the spectra while they are learnt.
        fit_sparsity: that weight, while the spectra are learnt.
        variation: without dictionaries: v of a component with equal shares.
        sample_rate: Hz.

    Raises:
        ValueError: a setting out of its range, or sizes from which a signal could not be
            recovered.
    """

    def __init__(
        self, window=1024, hop=256, dictionaries="learnt", voice_components=64,
        noise_components=64, sparsity=2.0, iterations=50, fit_frames=10000, fit_iterations=60,
        fit_sparsity=4.0, variation=1.4, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        if dictionaries not in ("learnt", "none"):
            raise ValueError(f"dictionaries {dictionaries!r}: learnt or none")
        counts = {"voice_components": voice_components, "noise_components": noise_components,
                  "iterations": iterations, "fit_frames": fit_frames,
                  "fit_iterations": fit_iterations}  # fmt: skip
        weights = {"sparsity": sparsity, "fit_sparsity": fit_sparsity}
        for least, values in ((1, counts), (0, weights)):
            for name, value in values.items():
                if value < least:
                    raise ValueError(f"{name} {value}: at least {least}")
        if variation <= 0:
            raise ValueError(f"variation {variation}: more than 0")
        self.arguments = {"window": window, "hop": hop, "dictionaries": dictionaries,
                          "variation": variation, "sample_rate": sample_rate}  # fmt: skip
        self.arguments |= counts | weights
        self.learnt = dictionaries == "learnt"
        self.sparsity, self.iterations, self.variation = sparsity, iterations, variation
        self.fit_frames = fit_frames
        self.fit_sparsity, self.fit_iterations = fit_sparsity, fit_iterations
        self.stft = STFT(window, hop)
        for source, count in zip(SOURCES, (voice_components, noise_components), strict=True):
            self.register_buffer(source, unit(torch.rand(self.stft.frequencies, count))[0])

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        spectrum = self.stft(mix)
        magnitudes = spectrum.abs()
        magnitudes = magnitudes / magnitudes.amax((1, 2), keepdim=True).clamp_min(TINY)
        spectra = torch.cat((self.voice, self.noise), 1).expand(len(mix), -1, -1)
        spectra, activations = factorise(
            magnitudes, spectra, self.sparsity, self.iterations, adapt=not self.learnt
        )
        if self.learnt:
            voiced = torch.arange(spectra.shape[-1], device=mix.device) < self.voice.shape[1]
            voiced = voiced.to(mix.dtype)
        else:
            mean = activations.mean(-1).clamp_min(TINY)
            varying = (activations.std(-1, correction=0) / (mean * self.variation)) ** 4
            voiced = varying / (varying + 1)
        shares = (voiced.unsqueeze(-1), 1 - voiced.unsqueeze(-1))  # (..., component, 1)
        parts = [spectra @ (activations * share) for share in shares]
        return self.stft.inverse(masks.apply(masks.wiener(*parts), spectrum), mix.shape[-1])

    def fit(self, batches) -> None:
        """Learn the spectra of each source, from frames drawn uniformly.

        Args:
            batches: of (mix (batch, time), sources (batch, source, time)).
        """
        if not self.learnt:
            return
        for source, frames in zip(SOURCES, self._draw(batches), strict=True):
            frames = frames / frames.amax().clamp_min(TINY)
            getattr(self, source).copy_(self._learn(frames, getattr(self, source).shape[1]))

    def _draw(self, batches) -> list[torch.Tensor]:
        """Magnitudes (frequency, frame) of each source: at most ``fit_frames`` of all frames."""
        kept = [torch.empty(self.stft.frequencies, 0) for _ in SOURCES]
        keys = torch.empty(0)
        for _, sources in batches:
            magnitudes = self.stft(sources).abs()  # (batch, source, frequency, frame)
            new = magnitudes.permute(1, 2, 0, 3).flatten(2)
            # those with the largest random keys: a uniform draw
            keys, index = torch.cat((keys, torch.rand(new.shape[-1]))).sort(descending=True)
            keys, index = keys[: self.fit_frames], index[: self.fit_frames]
            kept = [torch.cat(pair, 1)[:, index] for pair in zip(kept, new, strict=True)]
        return kept

    def _learn(self, frames: torch.Tensor, count: int) -> torch.Tensor:
        """So many spectra (frequency, component) for magnitudes (frequency, frame)."""
        # the start: frames drawn at random; a little of the mean keeps them positive and apart
        drawn = frames[:, torch.randperm(frames.shape[1])[torch.arange(count) % frames.shape[1]]]
        start = drawn + frames.mean(1, keepdim=True) * torch.rand(len(frames), count)
        spectra, _ = factorise(
            frames, unit(start)[0], self.fit_sparsity, self.fit_iterations, adapt=True
        )
        return spectra

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


def objective(magnitudes, spectra, activations, sparsity: float) -> torch.Tensor:
    """Kullback-Leibler divergence of the model from the magnitudes, plus sparsity times the sum
    of the activations, the spectra having norm 1.

    The divergence is sum V log(V / X) - V + X, with V the magnitudes and X the model (Lee and
    Seung 2001, "Algorithms for non-negative matrix factorization", eq. 3).

    Args:
        magnitudes: (..., frequency, frame).
        spectra: (..., frequency, component).
        activations: (..., component, frame).

    Returns:
        (...).
    """
    model = spectra @ activations
    ratio = magnitudes / model.clamp_min(TINY)
    divergence = torch.xlogy(magnitudes, ratio) - magnitudes + model
    return divergence.sum((-2, -1)) + sparsity * activations.sum((-2, -1))


def factorise(magnitudes, spectra, sparsity: float, iterations: int, adapt: bool):
    """Multiplicative updates, none of which lets ``objective`` rise.

    Activations are updated after Lee and Seung 2001, eq. 5, with the penalty's weight in the
    denominator. Spectra of norm 1 would not stay so in their update, and a penalty on the
    activations alone would be undone by longer spectra. So each penalty is read as the norm of
    the spectrum times the sum of its activations, which rescaling does not change, and the norm is
    bounded by its tangent: |w| <= (1 + |w|^2) / 2 around norm 1. The least of that bound and
    Lee and Seung's together solves a quadratic equation, and rescaling makes the norm 1 again.

    Args:
        magnitudes: (..., frequency, frame).
        spectra: where to start, (..., frequency, component), of norm 1.
        sparsity: see ``objective``.
        iterations: how often.
        adapt: update the spectra too, or only the activations.

    Returns:
        spectra of norm 1, and activations (..., component, frame).
    """
    activations = spectra.mT @ magnitudes
    for _ in range(iterations):
        pull = spectra.mT @ _ratio(magnitudes, spectra, activations)
        weight = spectra.sum(-2).unsqueeze(-1) + sparsity
        activations = activations * pull / weight.clamp_min(TINY)
        if adapt:
            pull = spectra * (_ratio(magnitudes, spectra, activations) @ activations.mT)
            weight = activations.sum(-1).unsqueeze(-2)
            root = (weight.square() + 4 * sparsity * weight * pull).sqrt()
            spectra, norm = unit(2 * pull / (weight + root).clamp_min(TINY))
            activations = activations * norm.mT
    return spectra, activations


def unit(spectra: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Spectra (..., frequency, component) of norm 1, and the norms (..., 1, component) they had."""
    norm = spectra.norm(dim=-2, keepdim=True)
    return spectra / norm.clamp_min(TINY), norm


def _ratio(magnitudes, spectra, activations):
    return magnitudes / (spectra @ activations).clamp_min(TINY)
