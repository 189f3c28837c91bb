"""Augmentations: small changes of the stacked sources, before they are mixed.

Each is called as ``sources (2, time), rng -> sources (2, time)`` on float32 arrays and draws only
from ``rng`` (numpy). The SNR is set and the mixture summed after them, so the drawn SNR is that of
the training mixture. One that uses up more samples than it gives has a method ``reach``.
"""

import math
from fractions import Fraction

import numpy as np

from local.base import audio
from local.base.errors import UserError, nearest
from local.training.augment_channel import BandLimit, Clipping, Codec, Equaliser
from local.training.augment_spectra import Envelope, Pitch, Stretch
from local.training.ranges import pair

Sources = np.ndarray
STEPS = (
    100  # speeds are drawn in hundredths: resampling tabulates one filter per phase of the ratio
)
KNOTS_PER_SECOND = 1.0  # how fast a gain curve moves


class Speed:
    """Another speed and pitch for each source, by resampling (as Ko et al. 2015, section 2).

    The output has the length that the fastest speed leaves: ``time / high``; ``reach`` is the
    input that it needs.

    Args:
        bounds: lowest and highest factor, in hundredths; above 1 is faster and higher.
    """

    def __init__(self, bounds: list[float], sample_rate: int):
        low, high = pair("data.augment.speed", bounds, above=0)
        self.low, self.high = (round(bound * STEPS) for bound in (low, high))
        if not np.allclose([self.low, self.high], [low * STEPS, high * STEPS], atol=1e-6):
            raise UserError(f"data.augment.speed expects hundredths, found {bounds}")

    def reach(self, frames: int) -> int:
        """How many samples in give ``frames`` samples out."""
        return math.ceil(Fraction(frames * self.high, STEPS))

    def __call__(self, sources: Sources, rng: np.random.Generator) -> Sources:
        frames = sources.shape[1] * STEPS // self.high
        factors = rng.integers(self.low, self.high, size=len(sources), endpoint=True)
        faster = [
            audio.resample(x, int(f), STEPS)[:frames] for x, f in zip(sources, factors, strict=True)
        ]
        return np.stack(faster)


class Polarity:
    """A random sign for each source.

    Args:
        probability: of a turn.
    """

    def __init__(self, probability: float, sample_rate: int):
        self.probability = probability

    def __call__(self, sources: Sources, rng: np.random.Generator) -> Sources:
        turned = rng.random(len(sources)) < self.probability
        return sources * np.where(turned, -1, 1).astype(np.float32)[:, None]


class GainCurve:
    """A slow change of each source's level, like a speaker who turns away or a passing car.

    A level is drawn for every second; between them it is linear in dB.

    Args:
        largest: deviation in dB, up or down.
    """

    def __init__(self, largest: float, sample_rate: int):
        self.largest, self.spacing = largest, sample_rate / KNOTS_PER_SECOND

    def __call__(self, sources: Sources, rng: np.random.Generator) -> Sources:
        count, time = sources.shape
        places = np.arange(time) / self.spacing
        knots = np.arange(math.floor(time / self.spacing) + 2)
        levels = rng.uniform(-self.largest, self.largest, size=(count, len(knots)))
        curves = np.stack([np.interp(places, knots, level) for level in levels])
        return sources * (10 ** (curves / 20)).astype(np.float32)


KINDS = {
    "speed": Speed,
    "stretch": Stretch,
    "pitch": Pitch,
    "envelope": Envelope,
    "band_limit": BandLimit,
    "equaliser": Equaliser,
    "clipping": Clipping,
    "codec": Codec,
    "polarity": Polarity,
    "gain_curve": GainCurve,
}


class Chain:
    """The augmentations that ``apply`` names, in its order.

    Args:
        conf: the section ``data.augment``: ``apply``, and for each name its setting.
        sample_rate: Hz.

    Raises:
        UserError: an unknown name (the line has the nearest), a setting out of range.
    """

    def __init__(self, conf: dict, sample_rate: int):
        for name in conf["apply"]:
            if name not in list(KINDS):  # it may be any type of YAML
                raise UserError(
                    f"data.augment.apply: expected some of {', '.join(KINDS)}, found {name!r}"
                    f"{nearest(name, KINDS)}"
                )
        self.steps = [KINDS[name](conf[name], sample_rate) for name in conf["apply"]]

    def reach(self, frames: int) -> int:
        """How many samples in give ``frames`` samples out: a change of speed uses up more."""
        for step in reversed(self.steps):
            frames = step.reach(frames) if hasattr(step, "reach") else frames
        return frames

    def __call__(self, sources: Sources, rng: np.random.Generator) -> Sources:
        """(2, reach(time)) -> (2, time)."""
        for step in self.steps:
            sources = step(sources, rng)
        return sources
