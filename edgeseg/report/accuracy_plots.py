"""Own the plots of an accuracy report as inline SVG. Write no file, compute no accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.accuracy.results import EngineAccuracy
from edgeseg.report.accuracy_record import AccuracyReport
from edgeseg.report.drawing import INK, MUTED, WIDTH_IN, colour_among, new_figure, style, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HIT_COLOUR", "MISS_COLOUR", "colour_of", "confusion", "confusion_width_px", "trimap"]

HIT_COLOUR, MISS_COLOUR = "#2f7fd6", "#e0562f"
UNSEEN_NAME = "(not seen)"
MOST_NUMBERED = 20  # classes: above it, numbers do not fit a cell
CELL_IN, LABELS_IN = 0.165, 2.6  # of a matrix with many classes: one line of text a class
PX_PER_IN = 96
LONGEST_NAME = 24


def colour_of(report: AccuracyReport, engine: str) -> str:
    """The colour of an engine in every plot and table, ``#rrggbb``."""
    return colour_among([one.name for one in report.engines], engine)


def trimap(report: AccuracyReport) -> str:
    """mIoU and pixel accuracy within bands around the label's boundaries, as an ``<svg>`` element.

    Dashes are the same figure of whole frames.
    """
    with style():
        figure = new_figure(height_in=2.9)
        left, right = figure.subplots(1, 2, sharey=True)
        for place, one in enumerate(report.engines, start=1):
            points, colour = one.boundaries.trimap, colour_of(report, one.name)
            widths, line = [point.width_px for point in points], _line(colour, behind=len(report.engines) - place)
            _curve(left, widths, [point.miou for point in points], one.accuracy.miou, line)
            _curve(right, widths, [point.pixel_accuracy for point in points], one.accuracy.pixel_accuracy, line)
        for axis, title in ((left, "mIoU"), (right, "pixel accuracy")):
            axis.set_title(f"{title}, percent", loc="left")
            axis.set_xlabel("width of the band, pixels on each side")
            axis.set_xticks([point.width_px for point in report.engines[0].boundaries.trimap])
            axis.grid(axis="y")
        return svg_of(figure, name="trimap")


def _line(colour: str, *, behind: int) -> dict[str, Any]:
    """Wider where other engines are drawn over it: engines of one net lie on each other."""
    return {"color": colour, "linewidth": 1.6 + 3.0 * behind}


def _curve(axis: Axes, widths: list[int], shares: list[float], whole: float, line: dict[str, Any]) -> None:
    axis.plot(widths, np.multiply(shares, 100), "o-", markersize=3 + 1.5 * line["linewidth"], **line)
    if np.isfinite(whole):
        axis.axhline(whole * 100, linestyle=(0, (3, 3)), **line | {"linewidth": 0.7 * line["linewidth"]})


def confusion_width_px(engine: EngineAccuracy) -> int:
    """How wide the matrix must be shown at least for its names to be read; a narrower page scrolls."""
    return round(_width_in(len(engine.classes)) * PX_PER_IN) if len(engine.classes) > MOST_NUMBERED else 0


def confusion(engine: EngineAccuracy, *, name: str) -> str:
    """The confusion matrix, every row the pixels of one class in the labels, as an ``<svg>`` element.

    Hits are shaded by their share of the row, misses by its square root, so that one pixel in a hundred is seen.

    Args:
        engine: whose.
        name: unique in the page.
    """
    rows, columns, shares = _shares(engine)
    width_in = _width_in(len(rows))
    with style():
        height_in = max(2.2, (width_in - LABELS_IN) * (0.55 if len(rows) <= MOST_NUMBERED else 1.0) + 1.4)
        figure = new_figure(height_in=height_in, width_in=width_in)
        axis = figure.subplots()
        axis.imshow(_shades(shares), aspect="auto", interpolation="nearest")
        axis.set_xticks(range(len(columns)), columns, rotation=90 if len(columns) > 6 else 0)
        axis.set_yticks(range(len(rows)), rows)
        axis.tick_params(length=0, labelcolor=INK)
        axis.set_xlabel("class in the mask")
        axis.set_ylabel("class in the label")
        if len(rows) > MOST_NUMBERED:
            axis.tick_params(labeltop=True, labelright=True, labelrotation=90, axis="x")
            axis.tick_params(labelright=True, axis="y")
        else:
            _number(axis, shares)
        return svg_of(figure, name=name)


def _width_in(classes: int) -> float:
    return max(WIDTH_IN, classes * CELL_IN + LABELS_IN)


def _shares(engine: EngineAccuracy) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Names of rows and columns, and every row as shares of its sum; rows without pixels are NaN."""
    counts = np.array(engine.confusion, np.float64)
    names = [_short(one) for one in engine.classes]
    columns = [*names, UNSEEN_NAME]
    if not counts[:, -1].any():
        counts, columns = counts[:, :-1], names
    total = counts.sum(1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    return names, columns, shares


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _shades(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """RGBA (rows, columns, 4), 0 to 1: the page shows through where nothing is."""
    from matplotlib.colors import to_rgb

    known = np.nan_to_num(shares)
    is_hit = np.eye(*shares.shape, dtype=np.bool_)
    shades = np.empty((*shares.shape, 4))
    shades[..., :3] = np.where(is_hit[..., None], to_rgb(HIT_COLOUR), to_rgb(MISS_COLOUR))
    shades[..., 3] = np.where(is_hit, 0.85 * known, np.sqrt(known))
    return shades


def _number(axis: Axes, shares: NDArray[np.float64]) -> None:
    for row, values in enumerate(shares):
        for column, value in enumerate(values):
            if value >= 0.0005:
                digits = f"{value * 100:.0f}" if value >= 0.0995 else f"{value * 100:.1f}"
                axis.text(column, row, digits, ha="center", va="center", color=INK if value >= 0.0095 else MUTED)
