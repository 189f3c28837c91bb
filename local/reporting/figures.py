"""Figures of scores and signals, readable in grey and for the colour-blind.

Sources differ in colour (Okabe and Ito 2008), marker, line and hatching at once. Functions return
matplotlib figures, which never touch a display; ``write`` makes them files.
"""

import functools
import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pandas
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter
from PIL import Image

from local import SOURCES
from local.base.disk import replace
from local.reporting import tables
from local.reporting.statistics import ALL, binned, level_names, levels
from local.scoring.score_table import IMPROVEMENT, MIXTURE

STYLE = {
    "voice": {"color": "#0072B2", "marker": "o", "linestyle": "-", "markerfacecolor": "#0072B2"},
    "noise": {"color": "#D55E00", "marker": "s", "linestyle": "--", "markerfacecolor": "white"},
}
DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))  # of lines across a figure
HATCH = {"voice": "", "noise": "/////"}
SETTINGS = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "winnow",  # the same figure is the same file
}
MANY = 60  # more points than this in a box are not drawn one by one
DOTS = 120  # per inch
MAP = "magma"  # darkens evenly, so that it also reads in grey
WINDOW, HOP = 0.032, 0.008  # seconds
RANGE = 80.0  # dB, from black to white
WIDTH, PANEL, GAP, LOW = 7.2, 1.25, 0.26, 0.45  # inches: figure; panels, between, and below them
COLUMNS = 800  # frames of a spectrogram, more would not be seen


def improvement(table: pandas.DataFrame, metric: str) -> Figure:
    """Mean improvement of both sources against SNR, with 95 % intervals.

    Args:
        table: as ``statistics.by_snr`` makes it.
        metric: such as ``si_sdr``.
    """
    with matplotlib.rc_context(SETTINGS):
        figure, axes = blank(6.0, 3.6)
        names = level_names(table)
        places = _places(table)
        axes.axhline(0, color="#555555", linewidth=0.8)
        step = float(np.diff(places).min()) if len(places) > 1 else 1.0
        for k, source in enumerate(SOURCES):
            rows = table[(table["source"] == source) & (table["metric"] == metric + IMPROVEMENT)]
            if rows.empty:
                continue
            rows = rows.set_index("snr_db")
            shown = rows.reindex(names)
            mean = shown["mean"].to_numpy(float)
            ends = np.abs(shown[["ci_low", "ci_high"]].to_numpy(float).T - mean)
            overall = tables.Number(rows["mean"].get(ALL, math.nan), tables.decimals(metric), True)
            axes.errorbar(
                # side by side, so that no interval hides another
                places + (k - 0.5) * 0.05 * step, mean, ends, capsize=3, markersize=6,
                label=f"{source} ({overall} over all)", **STYLE[source],
            )  # fmt: skip
        _levels_axis(axes, table, places)
        axes.set_ylabel(f"improvement in {tables.column(metric)}")
        _legend(axes)
    return figure


def settings(table: pandas.DataFrame) -> Figure:
    """Mean SI-SDR of both sources for each setting, with 95 % intervals.

    Args:
        table: setting (its name), source, mean, ci_low, ci_high.
    """
    with matplotlib.rc_context(SETTINGS):
        names = list(dict.fromkeys(table["setting"]))
        figure, axes = blank(6.0, 1.2 + 0.35 * len(names))
        for k, source in enumerate(SOURCES):
            rows = table[table["source"] == source]
            mean = rows["mean"].to_numpy(float)
            ends = np.abs(rows[["ci_low", "ci_high"]].to_numpy(float).T - mean)
            # one below the other, so that no interval hides another
            places = np.arange(len(names)) + (k - 0.5) * 0.2
            style = STYLE[source] | {"linestyle": ""}
            axes.errorbar(mean, places, xerr=ends, capsize=3, markersize=6, label=source, **style)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(tables.column("si_sdr"))
        _legend(axes)
    return figure


def distribution(scores: pandas.DataFrame, metric: str) -> Figure:
    """Improvement of single examples at every SNR: quartiles, range without outliers, points."""
    labels, names = levels(scores["snr_db"])
    with matplotlib.rc_context(SETTINGS):
        figure, axes = blank(6.0, 3.6)
        axes.axhline(0, color="#555555", linewidth=0.8)
        handles = []
        sources = _scored(scores, metric)
        for k, source in enumerate(sources):
            style = STYLE[source]
            for place, level in enumerate(names):
                part = scores[(scores["source"] == source) & (labels == level)]
                values = _finite(part[metric + IMPROVEMENT])
                few = len(values) <= MANY
                center = place + (k - 0.5) * 0.4
                box = axes.boxplot(
                    values, positions=[center], widths=0.32, patch_artist=True, showfliers=not few,
                    flierprops={"marker": style["marker"], "markersize": 3,
                                "markeredgecolor": style["color"]},
                    medianprops={"color": "black", "linewidth": 1.6},
                    boxprops={"edgecolor": style["color"], "hatch": HATCH[source],
                              "facecolor": style["color"] + "38" if not HATCH[source] else "white"},
                    whiskerprops={"color": style["color"], "linestyle": style["linestyle"]},
                    capprops={"color": style["color"]},
                )  # fmt: skip
                if few:
                    # spread evenly in the order they come in: nothing drawn by chance
                    across = center + 0.24 * ((np.arange(len(values)) + 0.5) / len(values) - 0.5)
                    axes.plot(across, values, linestyle="", marker=style["marker"], markersize=3,
                              color=style["color"], markerfacecolor=style["markerfacecolor"],
                              markeredgewidth=0.7, alpha=0.8)  # fmt: skip
            handles.append(box["boxes"][0])
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_xticks(range(len(names)), [_signed(name) for name in names])
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("input SNR (dB)")
        axes.set_ylabel(f"improvement in {tables.column(metric)}")
        _legend(axes, handles, sources)
    return figure


def output_against_input(scores: pandas.DataFrame, metric: str) -> Figure:
    """Score of each estimate against that of its mixture; on the diagonal nothing has changed."""
    with matplotlib.rc_context(SETTINGS):
        sources = _scored(scores, metric)
        figure, axes = blank(6.4, 3.4, columns=len(sources))
        for panel, source in zip(np.atleast_1d(axes), sources, strict=True):
            part = scores[scores["source"] == source]
            x, y = (part[name].to_numpy(float) for name in (metric + MIXTURE, metric))
            good = np.isfinite(x) & np.isfinite(y)
            x, y, style = x[good], y[good], STYLE[source]
            panel.plot(
                x, y, linestyle="", marker=style["marker"], markersize=4, color=style["color"],
                markerfacecolor=style["markerfacecolor"], markeredgewidth=0.8, alpha=0.7,
                rasterized=len(x) > 2000,
            )  # fmt: skip
            if len(x):
                ends = min(x.min(), y.min()), max(x.max(), y.max())
                panel.plot(ends, ends, color="#555555", linewidth=0.8, linestyle=":")
                panel.annotate("unchanged", (ends[0], ends[0]), (12, 0), color="#555555",
                               textcoords="offset points", va="center")  # fmt: skip
            panel.set_title(f"{source}, n = {len(x)}")
            panel.set_xlabel(f"mixture's {tables.column(metric)}")
            panel.set_ylabel(f"estimate's {tables.column(metric)}")
            panel.set_aspect("equal", adjustable="datalim")
    return figure


def quality_against_cost(table: pandas.DataFrame, metric: str, costs: dict[str, str]) -> Figure:
    """Quality of several systems against what they cost, a row per source, a panel per cost.

    Args:
        table: a row per source and system: source, system, mean, ci_low, ci_high (of ``metric``),
            the columns of ``costs``, and ``line``: drawn across, as what has no cost of its own.
        metric: such as ``si_sdr``.
        costs: column -> what to write on its axis.
    """
    sources = [source for source in SOURCES if (table["source"] == source).any()]
    styles = dict(zip(table["system"][~table["line"]].unique(), _marks(), strict=False))
    across = dict(zip(table["system"][table["line"]].unique(), itertools.cycle(DASHES)))
    rows = math.ceil((len(styles) + len(across)) / 3)  # of the legend
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(10.0, 2.5 * len(sources) + 0.5 + 0.2 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(sources), len(costs), sharex="col", sharey="row", squeeze=False)
        for panels, source in zip(axes, sources, strict=True):
            panels[0].set_ylabel(f"{source} {tables.column(metric)}")
            part = table[table["source"] == source]
            for row, (panel, cost) in itertools.product(
                part.to_dict("records"), zip(panels, costs, strict=True)
            ):
                name, mean = row["system"], row["mean"]
                if row["line"]:
                    panel.axhline(mean, color="#555555", linestyle=across[name], label=name)
                    continue
                ends = np.abs([[mean - row["ci_low"]], [mean - row["ci_high"]]])
                # what was not counted has no place across, but stands in the legend
                panel.errorbar([row[cost]], [mean], ends, capsize=3, linestyle="", markersize=7,
                               label=name, **styles[name])  # fmt: skip
        for panel, (cost, label) in zip(axes[-1], costs.items(), strict=True):
            _decades(panel, table[cost][~table["line"]].dropna())
            panel.set_xlabel(label)
        found = axes[0, 0].get_legend_handles_labels()
        figure.legend(*found, loc="outside upper left", ncols=3)
    return figure


def spectrograms(
    mix: np.ndarray, sources: np.ndarray | None, estimates: dict[str, np.ndarray], rate: int
) -> Figure:
    """Spectrograms of a mixture, its sources and estimates of them, all in one scale.

    Args:
        mix: (time,).
        sources: (source, time), the references; None: there are none.
        estimates: who made it -> (source, time).
        rate: Hz.
    """
    lines = rows(sources, estimates)
    with matplotlib.rc_context(SETTINGS | {"axes.grid": False}):
        height = LOW + (PANEL + GAP) * (1 + len(lines))
        figure = Figure(figsize=(WIDTH, height), dpi=DOTS)
        FigureCanvasAgg(figure)
        axes = figure.subplots(
            1 + len(lines), len(SOURCES), sharex=True, sharey=True, squeeze=False,
            gridspec_kw={"left": 0.085, "right": 0.985, "wspace": 0.09, "hspace": GAP / PANEL,
                         "bottom": LOW / height, "top": 1 - GAP / height},
        )  # fmt: skip
        power = spectrogram(mix, rate)
        top = max(10 * math.ceil(np.nanmax(power) / 10), -100) if np.isfinite(power).any() else 0
        seconds = len(mix) / rate
        image = _show(axes[0, 0], power, seconds, rate, top, "mixture")
        for panels, (who, signals) in zip(axes[1:], lines.items(), strict=True):
            for panel, source, signal in zip(panels, SOURCES, signals, strict=True):
                _show(panel, spectrogram(signal, rate), seconds, rate, top, f"{source}, {who}")
        for panel in axes[0, 1:]:
            panel.set_axis_off()
        bar = axes[0, 1].inset_axes((0.03, 0.45, 0.7, 0.12))
        figure.colorbar(image, cax=bar, orientation="horizontal", label="level (dB re full scale)")
        figure.supxlabel("time (s)", fontsize="medium")
        figure.supylabel("frequency (kHz)", fontsize="medium")
    return figure


def rows(sources: np.ndarray | None, estimates: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Who made it -> (source, time), in the order of lines and players: references go first."""
    return estimates if sources is None else {"reference": sources} | estimates


def spectrogram(x: np.ndarray, rate: int) -> np.ndarray:
    """Levels over frequency and time: (frequency, frame), dB; a full-scale sine is at 0 dB.

    Hann windows of 32 ms, every 8 ms, or as far apart as COLUMNS frames need. ``x``: (time,).
    """
    size, hop = round(WINDOW * rate), max(1, round(HOP * rate), len(x) // COLUMNS)
    window = np.hanning(size + 1)[:-1]
    padded = np.pad(np.asarray(x, np.float32), (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: max(1, len(x)) : hop]
    magnitude = np.abs(np.fft.rfft(frames * window, axis=1)).T * 2 / window.sum()
    with np.errstate(divide="ignore"):
        return 20 * np.log10(magnitude)


def write(figure: Figure, path: Path | str) -> None:
    """Write a figure atomically, as .svg or .png by its extension."""
    path = Path(path)
    with matplotlib.rc_context(SETTINGS), replace(path) as temporary:
        if path.suffix == ".svg":
            figure.savefig(temporary, format="svg", metadata={"Date": None})
            return
        figure.canvas.draw()
        drawn = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
        # a palette takes a third of the space, and a page has a spectrogram for each example
        drawn.quantize(palette=_palette(), dither=Image.Dither.NONE).save(temporary, "png")


@functools.cache
def _palette() -> Image.Image:
    """The colours of a .png: those of spectrograms, and greys for what is written."""
    colours = matplotlib.colormaps[MAP](np.linspace(0, 1, 224), bytes=True)[:, :3]
    greys = np.repeat(np.linspace(0, 255, 32).astype(np.uint8)[:, None], 3, axis=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([colours, greys]).ravel().tolist())
    return palette


def blank(width: float, height: float, columns: int = 1):
    """A figure of so many inches and its axes; several in a row, if there are columns."""
    figure = Figure(figsize=(width, height), dpi=DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    return figure, axes if columns > 1 else axes[0]


def _places(table: pandas.DataFrame) -> np.ndarray:
    """Where levels lie on an axis: at their SNR; bins one after the other."""
    names = level_names(table)
    if binned(table):
        return np.arange(len(names), dtype=float)
    return np.array([float(name) for name in names])


def _levels_axis(axes, table: pandas.DataFrame, places: np.ndarray) -> None:
    if len(places) == 1:
        axes.set_xlim(places[0] - 1, places[0] + 1)
    axes.set_xticks(places, [_signed(name) for name in level_names(table)])
    axes.set_xlabel("input SNR (dB)")


def _signed(level: str) -> str:
    """A level with the minus sign that axes have."""
    return re.sub(r"(^| )-", "\\1\N{MINUS SIGN}", level)


def _legend(axes, *what) -> None:
    """A legend above the axes, where it hides nothing."""
    axes.legend(*what, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(SOURCES), borderaxespad=0)


def _marks() -> Iterator[dict]:
    """Markers and colours (Okabe and Ito 2008) for systems: 56 pairs before one comes again."""
    colors = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
    for marker, color in zip(itertools.cycle("os^DvP*X"), itertools.cycle(colors)):
        yield {"marker": marker, "color": color}


def _decades(panel, values: pandas.Series) -> None:
    """A logarithmic axis over whole decades; zero, where it occurs, has a place left of them."""
    positive = values[values > 0]
    if positive.empty:
        return
    # a little more than the values, so that no marker is cut
    first = math.floor(math.log10(positive.min() / 1.3))
    last = math.ceil(math.log10(positive.max() * 1.3))
    ticks = [10.0**k for k in range(first, last + 1, 1 + (last - first) // 5)]
    zero = len(positive) < len(values)
    if zero:
        panel.set_xscale("symlog", linthresh=ticks[0], linscale=0.5)
        panel.set_xlim(-ticks[0] / 2, 10.0**last)
    else:
        panel.set_xscale("log")
        panel.set_xlim(ticks[0], 10.0**last)
    panel.set_xticks([0.0, *ticks] if zero else ticks)
    prefixed = EngFormatter(sep="")
    panel.xaxis.set_major_formatter(lambda x, _: prefixed(x) if x >= 1000 else f"{x:g}")
    panel.xaxis.set_minor_formatter(NullFormatter())


def _show(panel, power: np.ndarray, seconds: float, rate: int, top: float, title: str):
    """Draw a spectrogram into a panel."""
    extent = (0, max(seconds, 1 / rate), 0, rate / 2000)
    image = panel.imshow(
        np.clip(power, top - RANGE, top), extent=extent, origin="lower", aspect="auto",
        cmap=MAP, vmin=top - RANGE, vmax=top, interpolation="nearest",
    )  # fmt: skip
    panel.set_title(title)
    return image


def _scored(scores: pandas.DataFrame, metric: str) -> list[str]:
    """The sources that a metric has values for; all where every score failed."""
    given = scores.loc[scores[metric].notna(), "source"]
    return [source for source in SOURCES if (given == source).any()] or list(SOURCES)


def _finite(values: pandas.Series) -> np.ndarray:
    values = values.to_numpy(float)
    return values[np.isfinite(values)]
