"""The training losses, and SI-SDR to monitor training.

Every value and gradient is finite, for silence, for identical signals and for amplitudes up to
1e12. Decibels are limited by adding ``LIMIT`` of one energy to the other (SI-SDR to +-100 dB, SNR
to 100 dB), not a constant, so the level of a recording does not matter. A target whose mean square
is ``SILENCE`` or less is silent: it adds neither loss nor gradient to terms in dB. The other terms
are in units of the mixture's level, so that it does not matter to them either: in absolute units
the loudest tenth of remixed mixtures would carry half of a squared error, and the quieter half
nearly nothing. Half precision becomes float32 first, and autocast lowers no operation here.
"""

from itertools import permutations

import torch
from torch import nn

from local.base.errors import UserError
from local.training.deep_features import DeepFeatureLoss

LIMIT = 1e-10  # relative to an energy: 100 dB
SILENCE = 1e-16  # mean square, -160 dB of full scale: under the steps of 24 bits
QUIET = 1e-8  # mean square of voice and noise, -80 dB; less has no level to be a unit
TINY = 1e-27  # mean square; keeps the logarithm of a silent estimate finite, even times ``LIMIT``
FLOOR = 1e-7  # power of a bin of the STFT, of Parallel WaveGAN's code


class SourceLoss(nn.Module):
    """A weighted sum of terms, each the mean over the sources and the batch.

    - ``sisdr``: negative SI-SDR in dB (Le Roux et al. 2019, eq. 5), means removed.
    - ``snr``: negative SNR in dB; a constant offset is an error like any other.
    - ``mse``, ``l1``: mean squared and mean absolute error of the waveform, in units of the
      mixture's level: the root of the sum of the sources' mean squares. Sources whose sum is
      ``QUIET`` or less are in units of full scale.
    - ``stft``: multi-resolution STFT magnitude error: spectral convergence plus the mean absolute
      difference of the log magnitudes, the mean over the windows (Yamamoto et al. 2020, "Parallel
      WaveGAN", section 2.2; Défossez et al. 2020 for denoising), computed for each signal in the
      same units, in which the logarithm has its floor. The spectral convergence is relative to the
      target, so a silent target has none.
    - ``deep_feature``: ``deep_features.DeepFeatureLoss``, in the same units.

    A silent target counts as 0 in the mean: the loss of a batch is the mean of its examples'
    losses, however they are distributed.

    Args:
        conf: the section ``loss`` of the settings; a term that it does not name has no weight.
        features: the ``FeatureNetwork`` that ``deep_feature`` needs.

    Raises:
        UserError: all weights are 0, or a window is too short.
    """

    def __init__(self, conf: dict, features: nn.Module | None = None):
        super().__init__()
        names = (*TERMS, DEEP)
        self.weights = {name: conf[name] for name in names if conf.get(name)}
        if not self.weights:
            raise UserError(f"loss: every weight is 0; give one of {', '.join(names)} some")
        self.deep = None if features is None else DeepFeatureLoss(features)
        self.pit = conf["permutation"] == "pit"
        self.windows = conf["stft_windows"]
        if "stft" in self.weights and min(self.windows) < 4:
            raise UserError(f"loss.stft_windows expects 4 samples or more, found {self.windows}")

    def forward(
        self, estimates: torch.Tensor, sources: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss and its unweighted terms.

        Args:
            estimates, sources: (batch, source, time).

        Returns:
            loss: scalar.
            terms: name -> scalar without gradient, of the terms whose weight is not 0.
        """
        estimates, sources = _exact(estimates), _exact(sources)
        unit = _unit(sources)
        if self.pit:
            order = self.best_order(estimates, sources)
            estimates = estimates.gather(1, order.unsqueeze(-1).expand_as(estimates))
        values = self._terms(estimates, sources, unit)
        means = {name: value.mean() for name, value in values.items()}
        total = sum(self.weights[name] * mean for name, mean in means.items())
        return total, {name: mean.detach() for name, mean in means.items()}

    @torch.no_grad()
    def best_order(self, estimates: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        """The order of estimates with the least loss; of equals the given one.

        Args:
            estimates, sources: (batch, source, time).

        Returns:
            (batch, source): the index of the estimate of each source.
        """
        estimates, sources = _exact(estimates), _exact(sources)
        unit = _unit(sources).unsqueeze(-1)
        # (batch, source, estimate): every estimate against every source
        terms = self._terms(estimates.unsqueeze(1), sources.unsqueeze(2), unit)
        loss = sum(self.weights[name] * value for name, value in terms.items())
        count = sources.shape[1]
        orders = torch.tensor(list(permutations(range(count))), device=loss.device)
        # (batch, order, source)
        chosen = loss[:, torch.arange(count, device=loss.device), orders]
        return orders[chosen.sum(-1).argmin(-1)]

    def _terms(self, estimates, sources, unit) -> dict[str, torch.Tensor]:
        """Each term of weight, (batch, source) or whatever the leading axes broadcast to."""
        relative = estimates / unit, sources / unit
        values = {
            name: TERMS[name](*((estimates, sources) if name in IN_DB else relative), self.windows)
            for name in self.weights
            if name != DEEP
        }
        return values | ({DEEP: self.deep(*relative)} if DEEP in self.weights else {})


def si_sdr(estimates: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """SI-SDR in dB with the means removed (Le Roux et al. 2019, eq. 5), within +-100 dB.

    Args:
        estimates, sources: (..., time), which broadcast.

    Returns:
        (...), NaN where the source is silent (once its mean is removed).
    """
    values, silent = _si_sdr(_exact(estimates), _exact(sources))
    return values.masked_fill(silent, torch.nan)


def _si_sdr(estimates, sources):
    """SI-SDR (...) in dB, finite everywhere, and where the source is silent."""
    level = _energy(sources)
    sources = sources - sources.mean(-1, keepdim=True)
    estimates = estimates - estimates.mean(-1, keepdim=True)
    energy = _energy(sources)
    # rounding leaves a little of a constant, whose mean is removed
    silent = energy <= SILENCE + LIMIT * level
    scale = (estimates * sources).mean(-1) / energy.clamp(min=SILENCE)
    projection = scale.unsqueeze(-1) * sources
    wanted, error = _energy(projection), _energy(estimates - projection)
    ratio = _decibels(wanted + LIMIT * (error + TINY)) - _decibels(error + LIMIT * wanted + TINY)
    return ratio, silent.expand_as(ratio)


def _neg_si_sdr(estimates, sources, windows):
    values, silent = _si_sdr(estimates, sources)
    return -values.masked_fill(silent, 0)


def _neg_snr(estimates, sources, windows):
    energy = _energy(sources)
    error = _energy(estimates - sources)
    wanted = energy.clamp(min=SILENCE)
    ratio = _decibels(wanted) - _decibels(error + LIMIT * wanted)
    return -ratio.masked_fill(energy <= SILENCE, 0)


def _mse(estimates, sources, windows):
    return _energy(estimates - sources)


def _l1(estimates, sources, windows):
    return (estimates - sources).abs().mean(-1)


def _stft_error(estimates, sources, windows):
    silent = _energy(sources) <= SILENCE
    errors = []
    for window in windows:
        estimate, source = _magnitude(estimates, window), _magnitude(sources, window)
        norms = [torch.linalg.vector_norm(x, dim=(-2, -1)) for x in (source - estimate, source)]
        convergence = (norms[0] / norms[1]).masked_fill(silent, 0)
        errors.append(convergence + (source.log() - estimate.log()).abs().mean((-2, -1)))
    return sum(errors) / len(errors)


TERMS = {
    "sisdr": _neg_si_sdr,
    "snr": _neg_snr,
    "mse": _mse,
    "l1": _l1,
    "stft": _stft_error,
}
DEEP = "deep_feature"  # the one that has learnt, and is a module
IN_DB = ("sisdr", "snr")  # their level cancels; a silent target is silent at its own level


def _magnitude(x, window: int):
    """STFT magnitude (..., frequency, frame), Hann window, hop a quarter, zeros around ``x``."""
    shape = torch.hann_window(window, dtype=x.dtype, device=x.device)
    bins = torch.stft(
        x.flatten(0, -2), window, window // 4, window=shape, pad_mode="constant",
        return_complex=True,
    )  # fmt: skip
    power = bins.real.square() + bins.imag.square()
    return power.clamp(min=FLOOR).sqrt().unflatten(0, x.shape[:-1])


def _unit(sources):
    """The mixture's level (batch, 1, 1) for sources (batch, source, time) with nothing in common.

    Of the sources, not of their sum: where they cancel, the errors are still theirs.
    """
    energy = _energy(sources).sum(-1)[:, None, None]
    return torch.where(energy > QUIET, energy, torch.ones_like(energy)).sqrt()


def _energy(x):
    return x.square().mean(-1)


def _decibels(energy):
    return 10 * torch.log10(energy)


def _exact(x):
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
