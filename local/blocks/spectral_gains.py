"""Gains for a mixture's spectrum that keep the voice, computed from the noise's power.

Each rule is called with ``power``, the squared magnitudes of a mixture's STFT, and ``noise``, the
estimated power of its noise, both (..., frequency, frame) and not negative, and returns gains from
0 to 1 of the same shape. Only the ratio of the two matters, not their level. Where both are 0 the
gain is finite.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from local.base.compiled import compiled

TINY = 1e-30  # power, far below that of any float32 sample: keeps divisions finite
EXPONENTS = {"power": 2, "magnitude": 1}


@dataclass(frozen=True)
class Subtraction:
    """Spectral subtraction with over-subtraction and a spectral floor.

    Berouti, Schwartz and Makhoul 1979, "Enhancement of speech corrupted by acoustic noise"
    (Loizou, "Speech Enhancement", chapter 5). With Y the mixture and D the noise, the voice's
    ``|Y|^p - a |D|^p``, at least ``floor * |D|^p``; a is linear in the frame's SNR (power of the
    mixture over that of the noise, over all frequencies), from ``over_subtraction`` at 0 dB to 1
    at 20 dB; it is constant below -5 dB and above 20 dB.

    Args:
        domain: ``power`` (p = 2) or ``magnitude`` (p = 1).
        over_subtraction: a at 0 dB, at least 1; 4 is the paper's.
        floor: from 0 to 1.

    Raises:
        ValueError: settings out of range.
    """

    domain: str = "power"
    over_subtraction: float = 4.0
    floor: float = 0.01

    def __post_init__(self):
        if self.domain not in EXPONENTS:
            raise ValueError(f"domain {self.domain!r}: expected {' or '.join(EXPONENTS)}")
        if not 1 <= self.over_subtraction < math.inf:
            raise ValueError(f"over_subtraction {self.over_subtraction}: at least 1")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor {self.floor}: from 0 to 1")

    def __call__(self, power: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Powers -> gains; see the module."""
        exponent = EXPONENTS[self.domain]
        ratio = (power.sum(-2, keepdim=True) + TINY) / (noise.sum(-2, keepdim=True) + TINY)
        snr = (10 * ratio.log10()).clamp(-5, 20)
        factor = self.over_subtraction - (self.over_subtraction - 1) / 20 * snr
        relative = ((noise + TINY) / (power + TINY)) ** (exponent / 2)  # |D|^p over |Y|^p
        left = torch.maximum(1 - factor * relative, self.floor * relative)
        # where the mixture is much weaker than the noise, even the floor exceeds it
        return left.clamp(max=1) ** (1 / exponent)


@dataclass(frozen=True)
class DecisionDirected:
    """The Wiener or the log-MMSE gain, with the a-priori SNR by the decision-directed rule.

    The a-priori SNR is ``smoothing`` times the previous frame's voice estimate over the noise,
    plus ``1 - smoothing`` times ``max(|Y|^2 / noise - 1, 0)`` (Ephraim and Malah 1984, "Speech
    enhancement using a minimum mean-square error short-time spectral amplitude estimator"; Scalart
    and Filho 1996, "Speech enhancement based on a priori signal to noise estimation").

    Args:
        gain: ``wiener``: x / (1 + x) of the a-priori SNR x (Loizou, "Speech Enhancement",
            chapter 6); ``logmmse``: the gain with the least error of the log-amplitude (Ephraim
            and Malah 1985, "Speech enhancement using a minimum mean-square error log-spectral
            amplitude estimator"), here at most 1.
        smoothing: of the a-priori SNR, from 0, below 1, per frame.
        floor_db: the least a-priori SNR in dB.

    Raises:
        ValueError: settings out of range.
    """

    gain: str = "wiener"
    smoothing: float = 0.98
    floor_db: float = -25.0

    def __post_init__(self):
        if self.gain not in ("wiener", "logmmse"):
            raise ValueError(f"gain {self.gain!r}: expected wiener or logmmse")
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing {self.smoothing}: from 0, below 1")
        if not math.isfinite(self.floor_db):
            raise ValueError(f"floor_db {self.floor_db}: a finite number")

    def __call__(self, power: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Powers -> gains; see the module."""
        posterior = power.double() / (noise.double() + TINY)
        settings = self.gain == "logmmse", self.smoothing, 10 ** (self.floor_db / 10)
        return by_frames(_decision_directed, posterior, *settings).to(power)


def by_frames(loop, power: torch.Tensor, *arguments) -> torch.Tensor:
    """Run a compiled recursion over frames, on the CPU.

    Args:
        loop: called with two float64 arrays (frame, frequency), its input and the output to fill
            in, and ``arguments``: plain numbers and arrays.
        power: (..., frequency, frame).

    Returns:
        the output, float64 (..., frequency, frame), on the device of ``power``.
    """
    frames = power.detach().double().transpose(-1, -2).cpu().contiguous().numpy()
    found = np.empty_like(frames)
    run = compiled(loop) or loop
    for given, filled in zip(
        frames.reshape(-1, *frames.shape[-2:]), found.reshape(-1, *frames.shape[-2:]), strict=True
    ):
        run(given, filled, *arguments)
    return torch.from_numpy(found).to(power.device).transpose(-1, -2)


def _half_integral(x):
    """exp(E1(x) / 2) with the exponential integral E1, for x > 0.

    Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", 5.1.53 and 5.1.56: E1 is
    off by less than 2e-7.
    """
    if x < 1:
        series = 0.05519968 + x * (-0.00976004 + x * 0.00107857)
        series = -0.57721566 + x * (0.99999193 + x * (-0.24991055 + x * series))
        return math.exp(series / 2) / math.sqrt(x)
    over = 18.0590169730 + x * (8.5733287401 + x)
    over = 0.2677737343 + x * (8.6347608925 + x * over)
    under = 25.6329561486 + x * (9.5733223454 + x)
    under = 3.9584969228 + x * (21.0996530827 + x * under)
    return math.exp(over / under / x * math.exp(-x) / 2)


half_integral = compiled(_half_integral) or _half_integral


def log_mmse(prior, posterior):
    """Gain of an a-priori and an a-posteriori SNR (Ephraim and Malah 1985, eq. 20), at most 1."""
    wiener = prior / (1 + prior)
    return min(1.0, wiener * half_integral(max(wiener * posterior, 1e-12)))


log_mmse = compiled(log_mmse) or log_mmse


def _decision_directed(posterior, gains, logarithmic, smoothing, floor):
    """See ``DecisionDirected``; ``posterior``: power over noise; ``floor``: not in dB."""
    frames, frequencies = posterior.shape
    before = np.ones(frequencies)  # power of the voice over that of the noise
    for m in range(frames):
        for k in range(frequencies):
            now = posterior[m, k]
            prior = smoothing * before[k] + (1 - smoothing) * max(now - 1, 0.0)
            prior = max(prior, floor)
            gain = log_mmse(prior, now) if logarithmic else prior / (1 + prior)
            gains[m, k] = gain
            before[k] = gain * gain * now
