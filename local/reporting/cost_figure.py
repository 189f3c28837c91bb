"""The figure of recipes/RESULTS.md: quality of all recipes against what separation costs."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from local.reporting import figures, published, speeds, tables
from local.reporting.result_tables import VOICE, Rows
from local.reporting.statistics import ALL
from local.scoring.score_table import MIXTURE

KINDS = {
    True: {"label": "network, trained here", "marker": "o", "color": "#0072B2"},
    False: {"label": "not trained here", "marker": "s", "color": "#D55E00"},
}
PLACES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1),
          (1, 2), (1, -2), (-1, 2), (-1, -2), (0, 2), (0, -2))  # fmt: skip
"""Where a label may stand beside its point, in the order of preference."""


def points(rows: Rows, speed: list[dict[str, str]]) -> tuple[list[tuple], float | None]:
    """The best experiment of each recipe on the test set that most were scored on.

    Bounds, what was not timed, and what leaves the mixture as it is are left out.

    Args:
        rows: of all results.csv.
        speed: of speed.csv.

    Returns:
        (recipe, seconds of CPU time per second of audio, mean SI-SDR of the voice in dB, whether
        it was trained by gradients), sorted by recipe; and the mean of the mixtures.
    """
    key = (VOICE.source, VOICE.metric, ALL)
    means = [r for r in rows if (r["source"], r["metric"], r["snr_db"]) == key]
    sets = [row["test_hash"] for row in means]
    means = [r for r in means if r["test_hash"] == max(sorted(set(sets)), key=sets.count)]
    key = (VOICE.source, VOICE.metric + MIXTURE, ALL)
    of_mixture = {
        (r["test_hash"], r["experiment"]): float(r["mean"])
        for r in rows
        if (r["source"], r["metric"], r["snr_db"]) == key
    }
    best, mixture = {}, None
    for row in means:
        mixture = of_mixture.get((row["test_hash"], row["experiment"]), mixture)
        cost, mean = speeds.of_experiment(row, speed), float(row["mean"])
        if cost is None or row["bound"] or mean == mixture:
            continue
        if row["recipe"] not in best or mean > best[row["recipe"]][2]:
            best[row["recipe"]] = row["recipe"], cost, mean, bool(row["training_seconds"])
    return [best[recipe] for recipe in sorted(best)], mixture


def draw(found: list[tuple], mixture: float | None) -> Figure:
    """The figure of ``points``, each with its name, the cost in decades."""
    with matplotlib.rc_context(figures.SETTINGS):
        figure, axes = figures.blank(9.0, 6.0)
        axes.set_xscale("log")
        for trained, style in KINDS.items():
            kind = [point for point in found if point[3] == trained]
            _, x, y, _ = zip(*kind, strict=True) if kind else ((), (), (), ())
            axes.plot(x, y, linestyle="", markersize=5, **style)
        if mixture is not None:
            axes.axhline(mixture, color="#555555", linestyle=":", label="mixture, as it is")
        axes.margins(x=0.1, y=0.06)
        ticks = [digit * 10.0**k for k in range(-4, 2) for digit in (1, 2, 5)]
        low, high = axes.get_xlim()
        axes.set_xticks([tick for tick in ticks if low <= tick <= high])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("seconds of CPU time per second of audio")
        axes.set_ylabel(f"{VOICE.source} {tables.column(VOICE.metric)}, mean")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0)
        figure.draw_without_rendering()
        _name(figure, axes, found)
    return figure


def _name(figure: Figure, axes, found: list[tuple]) -> None:
    """Write each name beside its point, where it hides least of points and other names."""
    renderer = figure.canvas.get_renderer()
    places = axes.transData.transform([(x, y) for _, x, y, _ in found] or np.zeros((0, 2)))
    boxes = [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    for (name, *_), (x, y) in zip(found, places, strict=True):
        label = axes.annotate(name, (0, 0), xycoords="figure pixels", fontsize="small")
        extent = label.get_window_extent(renderer)
        width, height = extent.width, extent.height
        tried = []
        for k, (right, up) in enumerate(PLACES):
            left = x + right * 6 - width * (1 - right) / 2
            low = y + up * (height * 0.5 + 4) - height / 2
            box = (left, low, left + width, low + height)
            hidden = sum(_shared(box, other) for other in boxes)
            outside = width * height - _shared(box, axes.bbox.extents)
            tried.append((hidden + outside, k, box))
        _, _, box = min(tried)
        boxes.append(box)
        label.remove()
        at = axes.transData.inverted().transform(box[:2])
        axes.annotate(name, at, fontsize="small", va="bottom")


def _shared(one: tuple, other: tuple) -> float:
    """The area that two boxes (left, low, right, high) share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0.0) * max(up, 0.0)


def write() -> bool:
    """Write the figure; whether it is another one than before."""
    rows = published.read_all(published.known_tables())
    found, mixture = points(rows, speeds.read(published.ROOT)) if rows else ([], None)
    path = published.ROOT / published.FIGURE
    before = path.read_bytes() if path.is_file() else None
    if found:
        figures.write(draw(found, mixture), path)
    return bool(found) and path.read_bytes() != before
