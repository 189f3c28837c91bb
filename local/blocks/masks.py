"""Ideal masks for a mixture's spectrum, computed from the spectra of its sources.

Each formula takes the spectra ``voice`` and ``noise``, complex (..., frequency, frame), and
returns the masks of both, (..., source, frequency, frame) in the order of ``SOURCES``. The masks
``binary`` to ``wiener`` need only magnitudes and accept them too. Masks are always finite: where
both spectra are 0, the sources count as equally strong.

Below, V and N are the spectra and X = V + N the mixture's. The voice's mask is given; for the
noise's, exchange V and N.
"""

import torch


def binary(voice: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """1 where |V| > |N|, else 0 (Wang 2005, "On ideal binary mask as the computational goal of
    auditory scene analysis", with a criterion of 0 dB); a tie is noise; the masks sum
    to 1."""
    louder = (voice.abs() > noise.abs()).to(voice.real.dtype)
    return torch.stack((louder, 1 - louder), -3)


def ratio(voice: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """|V| / (|V| + |N|) (Huang et al. 2015, "Joint optimization of masks and deep recurrent
    neural networks for monaural source separation"); the masks sum to 1."""
    levels = _relative_levels(voice, noise)
    return levels / levels.sum(-3, keepdim=True)


def square_root_ratio(voice: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """|V| / sqrt(|V|^2 + |N|^2) (Wang and Chen 2018, "Supervised speech separation based on deep
    learning: an overview", the ideal ratio mask with exponent 1/2); the squared masks sum to 1."""
    return wiener(voice, noise).sqrt()


def wiener(voice: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """|V|^2 / (|V|^2 + |N|^2) (Wang and Chen 2018, exponent 1; the Wiener filter of known
    powers: Loizou, "Speech Enhancement", chapter 6); the masks sum to 1."""
    powers = _relative_levels(voice, noise).square()
    return powers / powers.sum(-3, keepdim=True)


def phase_sensitive(voice: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Re(V / X) = |V| / |X| cos(angle V - angle X), not limited to 0 to 1 (Erdogan et al. 2015,
    "Phase-sensitive and recognition-boosted speech separation using deep recurrent neural
    networks"): the real mask of least error; the masks sum to 1."""
    return complex_ratio(voice, noise).real


def complex_ratio(voice: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """V / X, complex (Williamson, Wang and Wang 2016, "Complex ratio masking for monaural speech
    separation", not compressed): recovers the sources; the masks sum to 1.

    Where X is only the rounding error of V + N, the masks are 1/2.
    """
    mix = voice + noise
    rounding = torch.finfo(mix.real.dtype).eps * (voice.abs() + noise.abs())
    nothing = (mix.abs() <= rounding).unsqueeze(-3)
    quotients = torch.stack((voice, noise), -3) / mix.unsqueeze(-3)
    return torch.where(nothing, torch.full_like(quotients, 0.5), quotients)


MASKS = {
    "binary": binary,
    "ratio": ratio,
    "square_root_ratio": square_root_ratio,
    "wiener": wiener,
    "phase_sensitive": phase_sensitive,
    "complex": complex_ratio,
}


def apply(masks: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    """Masks (..., source, frequency, frame) times a mixture's (..., frequency, frame)."""
    return masks * spectrum.unsqueeze(-3)


def _relative_levels(voice: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Magnitudes over the larger of the two, so that squares cannot underflow; 1 and 1 at 0, 0.

    Returns:
        (..., source, frequency, frame).
    """
    levels = torch.stack((voice.abs(), noise.abs()), -3)
    largest = levels.amax(-3, keepdim=True)
    return torch.where(largest > 0, levels / largest, torch.ones_like(levels))
