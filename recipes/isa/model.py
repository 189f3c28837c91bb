"""ISA: independent components of the spectrogram, grouped into a voice and a noise subspace."""

import warnings

import torch
from asteroid.models import BaseModel
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

from local import SOURCES
from local.blocks import masks
from local.blocks.stft import STFT

BANDS = 24  # of a component's spectrum, that tell whether it is of the voice
FEATURES = BANDS + 4  # what else tells: see ``features``
RANK = 1e-6  # standard deviation over the largest; a direction below it is rounding
RIDGE = 1.0  # weight of the regression's penalty, in components
TINY = 1e-12


class ISA(BaseModel):
    """Independent subspace analysis: each source is a sum of independent components.

    After Casey and Westner 2000, "Separation of mixed audio sources by independent subspace
    analysis": the frames of the magnitude spectrogram are reduced by PCA and turned by ICA
    (scikit-learn's FastICA), for each mixture anew, into components of one spectrum each, with
    activations that are independent; the components of one source span its subspace. The two
    subspaces' parts of the magnitudes give Wiener-like masks.

    Departs from it: components are not clustered by similarity, but by what ``fit`` learnt from
    training mixtures, whose sources are known: a linear regression of a component's share of voice
    on its ``features``. A component counts in both subspaces by its shares. What PCA leaves out is
    in neither.

    Args:
        window: samples.
        hop: samples.
        components: of each mixture, or fewer if it has fewer.
        iterations: of FastICA, at most; no warning if they do not suffice.
        random_state: seed of FastICA's start.
        sample_rate: Hz.

    Raises:
        ValueError: a setting out of its range, or sizes from which a signal could not be
            recovered.
    """

    def __init__(
        self, window=512, hop=256, components=40, iterations=200, random_state=0,
        sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        for name, value in (("components", components), ("iterations", iterations)):
            if value < 1:
                raise ValueError(f"{name} {value}: at least 1")
        if not 0 <= random_state < 2**32:
            raise ValueError(f"random_state {random_state}: from 0 to 2^32 - 1")
        self.window, self.components = window, components
        self.iterations, self.random_state = iterations, random_state
        self.stft = STFT(window, hop)
        # half of everything to each source, until something is learnt
        self.register_buffer("weights", torch.zeros(FEATURES))
        self.weights[0] = 0.5

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        spectrum = self.stft(mix)
        parts = torch.stack([self._group(example) for example in spectrum.abs()], 1)
        estimates = masks.apply(masks.wiener(*parts.to(mix)), spectrum)
        return self.stft.inverse(estimates, mix.shape[-1])

    def fit(self, batches) -> None:
        """Learn to predict a component's share of voice from its features.

        Args:
            batches: of (mix (batch, time), sources (batch, source, time)).
        """
        square = RIDGE * torch.eye(FEATURES).double()
        product = torch.zeros(FEATURES).double()
        for mix, sources in batches:
            magnitudes = self.stft(mix).abs()
            for example, apart in zip(magnitudes, self.stft(sources).abs().double(), strict=True):
                spectra, unmixing = self._components(example.double())
                powers = (unmixing @ apart).var(-1, correction=0)  # (source, component)
                share = powers[SOURCES.index("voice")] / powers.sum(0).clamp_min(TINY)
                seen = features(spectra, unmixing @ example.double())
                square += seen.T @ seen
                product += seen.T @ share
        self.weights.copy_(torch.linalg.solve(square, product))

    def _group(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Magnitudes (frequency, frame) -> their parts (source, frequency, frame)."""
        magnitudes = magnitudes.double()
        spectra, unmixing = self._components(magnitudes)
        activations = unmixing @ magnitudes
        share = (features(spectra, activations) @ self.weights.double()).clamp(0, 1).unsqueeze(-1)
        parts = [spectra @ (activations * part) for part in (share, 1 - share)]
        return torch.stack(parts).clamp_min(0)

    def _components(self, magnitudes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Independent components of magnitudes (frequency, frame).

        Returns:
            spectra: (frequency, component), each with a sum that is not negative; the
                deviations of the activations over time have a root mean square of 1.
            unmixing: (component, frequency), which gives activations from magnitudes.
        """
        deviations = magnitudes - magnitudes.mean(-1, keepdim=True)
        powers, axes = torch.linalg.eigh(deviations @ deviations.T / deviations.shape[-1])
        # in rising order: the last are the largest
        spread, axes = (x[..., -self.components :] for x in (powers.clamp_min(0).sqrt(), axes))
        real = spread > max(RANK * float(spread[-1]), TINY)
        spread, axes = spread[real], axes[:, real]
        white = (axes / spread).T @ deviations
        turn = torch.from_numpy(self._turn(white.T.cpu().numpy())).to(white)
        spectra, unmixing = (axes * spread) @ turn.T, turn @ (axes / spread).T
        sign = torch.where(spectra.sum(0) < 0, -1.0, 1.0)
        return spectra * sign, unmixing * sign.unsqueeze(-1)

    def _turn(self, white):
        """FastICA's rotation (component, component) of white frames (frame, component)."""
        if not white.shape[1]:  # silence, or one spectrum throughout
            return white[:0]
        ica = FastICA(whiten=False, max_iter=self.iterations, random_state=self.random_state)
        with warnings.catch_warnings():
            # noise has no independent components to converge to; any rotation of it is as good
            warnings.simplefilter("ignore", ConvergenceWarning)
            return ica.fit(white).components_

    def get_model_args(self):
        """Arguments that build an equal model."""
        return {"window": self.window, "hop": self.stft.hop, "components": self.components,
                "iterations": self.iterations, "random_state": self.random_state,
                "sample_rate": self.sample_rate}  # fmt: skip


def features(spectra: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
    """Features of components that predict their share of voice, independent of level.

    Args:
        spectra: (frequency, component).
        activations: (component, frame).

    Returns:
        (component, feature): 1; the shares of its energy in ``BANDS`` bands of equal width on a
        square-root scale of frequency, as magnitudes; how much its activations vary (deviation
        over deviation plus mean), how peaked they are (mean over root mean square of the
        deviations' sizes), and how much they keep from one frame to the next (correlation).
    """
    energies = spectra.square()
    energies = energies / energies.sum(0).clamp_min(TINY)
    place = torch.linspace(0, 1, len(spectra), device=spectra.device).sqrt() * BANDS
    band = place.long().clamp_max(BANDS - 1)
    bands = torch.zeros(BANDS, spectra.shape[1]).to(spectra).index_add_(0, band, energies).sqrt()
    mean = activations.mean(-1, keepdim=True)
    deviations = activations - mean
    size = deviations.square().mean(-1).sqrt().clamp_min(TINY)
    varying = size / (size + mean.squeeze(-1).abs())
    peaked = deviations.abs().mean(-1) / size
    kept = (deviations[:, 1:] * deviations[:, :-1]).mean(-1) / size.square()
    return torch.cat((torch.ones_like(size).unsqueeze(-1), bands.T,
                      torch.stack((varying, peaked, kept), -1)), -1)  # fmt: skip
