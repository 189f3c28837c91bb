"""What a learnt filterbank has become: frequency responses before and after training.

torch, which takes seconds to import, is needed only where there is a filterbank.
"""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from local.base.experiment import Experiment
from local.reporting import figures

RANGE = 40.0  # dB below a filter's peak that are shown
EDGE = 6.0  # dB below a filter's peak: its cut-offs
POINTS = 1024  # frequencies of a response
EDGES = "#56B4E9"  # stands out from every colour of the map


def learnt(of: Experiment) -> Figure | None:
    """Responses of the analysis filters at the start of a training and at its end.

    The start is what the settings and their seed give, also where a training began from weights.

    Returns:
        None where there is no filterbank, or none that learns.
    """
    if "fb_name" not in of.conf.get("model", {}):
        return None
    from local.model import separators

    separator = separators.load(of.model)
    trained = _filterbank(separator)
    if trained is None:
        return None
    start = _filterbank(separators.construct(of.conf, separator.recipe))
    return draw({"before training": responses(start), "after training": responses(trained)},
                trained.sample_rate)  # fmt: skip


def responses(filterbank) -> np.ndarray:
    """Gains in dB below each filter's peak, (filter, frequency), sorted by centre.

    The centre is the mean frequency, weighted by power.

    Args:
        filterbank: of asteroid_filterbanks.
    """
    import torch

    with torch.no_grad():
        gains = torch.fft.rfft(filterbank.filters().squeeze(1).double(), 2 * POINTS - 2).abs()
    power = gains.square().numpy()
    centres = power @ np.arange(POINTS) / power.sum(1).clip(min=1e-30)
    power = power[np.argsort(centres, kind="stable")]
    peaks = power.max(1, keepdims=True).clip(min=1e-30)
    return 10 * np.log10((power / peaks).clip(min=1e-12))


def cut_offs(gains: np.ndarray) -> np.ndarray:
    """Where each filter is 6 dB below its peak, on both sides: (filter, 2), indices."""
    below = gains < -EDGE
    found = []
    for row, peak in zip(below, gains.argmax(1), strict=True):
        under, over = np.flatnonzero(row[:peak]), np.flatnonzero(row[peak:])
        found.append((under[-1] + 1 if len(under) else 0,
                      peak + over[0] - 1 if len(over) else len(row) - 1))  # fmt: skip
    return np.array(found)


def draw(panels: dict[str, np.ndarray], rate: float) -> Figure:
    """A panel for each title: responses in grey levels, cut-offs as lines.

    Args:
        panels: title -> what ``responses`` gives.
        rate: Hz.
    """
    with matplotlib.rc_context(figures.SETTINGS | {"axes.grid": False}):
        figure, axes = figures.blank(figures.WIDTH, 3.4, len(panels))
        top = rate / 2000
        for panel, (title, gains) in zip(axes, panels.items(), strict=True):
            image = panel.imshow(
                gains.T, origin="lower", aspect="auto", cmap=figures.MAP, vmin=-RANGE, vmax=0,
                extent=(0.5, len(gains) + 0.5, 0, top),
            )  # fmt: skip
            edges = cut_offs(gains) * top / (POINTS - 1)
            panel.plot(np.arange(1, len(gains) + 1), edges, color=EDGES, linewidth=0.8)
            panel.set(title=title, xlabel="filter, by centre", ylabel="frequency (kHz)")
        figure.colorbar(image, ax=list(axes), label="gain (dB re its peak)")
    return figure


def _filterbank(separator):
    """The encoder's filterbank, or None, also where it does not learn."""
    from asteroid_filterbanks import Filterbank

    found = getattr(getattr(separator.network, "encoder", None), "filterbank", None)
    if isinstance(found, Filterbank) and any(p.requires_grad for p in found.parameters()):
        return found
    return None
