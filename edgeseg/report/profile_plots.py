"""Own the plots of a profile as inline SVG: bars of modules or layers, the roofline. Write no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeseg.report.drawing import INK, MUTED, new_figure, style, svg_of
from edgeseg.report.profile_record import LayerTime, Profile, Roofs
from edgeseg.report.profile_text import MOST_LAYERS, type_of
from edgeseg.report.text import milliseconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["colour_of_type", "roofline", "time_bars", "types_in"]

TYPE_COLOURS = {
    "INT8": "#2ba37f", "FP8": "#2ba37f", "INT4": "#17794e", "FP4": "#17794e", "FP16": "#e3a34f", "BF16": "#c29a1a",
    "FP32": "#5b6ee1", "moving": "#d6506b",
}  # fmt: skip
OTHER = "#8a929c"
LABEL_WIDTH = 34


def colour_of_type(kind: str) -> str:
    """The colour of a precision, ``moving`` or ``not told`` in both plots, ``#rrggbb``."""
    return TYPE_COLOURS.get(kind, OTHER)


def types_in(profile: Profile) -> list[str]:
    """What the layers' times are counted under, the longest first."""
    times: dict[str, float] = {}
    for one in profile.layers:
        times[type_of(one)] = times.get(type_of(one), 0.0) + one.median_ms
    return sorted(times, key=lambda kind: -times[kind])


def time_bars(profile: Profile, *, name: str) -> str:
    """Milliseconds of every module in the net's order, or of the slowest layers where no module is known.

    Args:
        profile: what is drawn.
        name: of the element, unique in the page.
    """
    rows = _modules(profile) or {one.name: [one] for one in profile.slowest()[:MOST_LAYERS]}
    with style():
        figure = new_figure(height_in=0.75 + 0.27 * len(rows))
        axis = figure.subplots()
        longest_ms = max(sum(one.median_ms for one in layers) for layers in rows.values())
        for row, layers in enumerate(rows.values()):
            _stack(axis, row, layers, types_in(profile), longest_ms)
        axis.set_yticks(range(len(rows)), [_label(one) for one in rows], color=INK)
        axis.invert_yaxis()
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        axis.set_xlim(0, longest_ms * 1.1)
        axis.set_xlabel("milliseconds, sum of the layers' medians")
        return svg_of(figure, name=name)


def roofline(profile: Profile, *, name: str) -> str:
    """Operations a second against operations a byte, both logarithmic: a point a layer, a roof a precision.

    Args:
        profile: with roofs; layers without operations, or of unknown bytes, are not drawn.
        name: of the element, unique in the page.
    Raises:
        ValueError: the profile has no roofs.
    """
    if profile.roofs is None:
        raise ValueError(f"the profile of {profile.engine} has no roofs")
    points = [one for one in profile.layers if one.macs and one.moved_bytes and one.median_ms]
    with style():
        figure = new_figure(height_in=3.4)
        axis = figure.subplots()
        axis.set_xscale("log")
        axis.set_yscale("log")
        _roof_lines(axis, profile.roofs, [2 * (one.macs or 0) / (one.moved_bytes or 1) for one in points])
        for one in points:
            _point(axis, one)
        for ticks in (axis.xaxis, axis.yaxis):
            ticks.set_major_formatter("{x:g}")  # the usual one writes powers as mathematics, which pages do not set
            ticks.set_minor_formatter("")
        axis.grid(which="major")
        axis.set_xlabel("operations a byte")
        axis.set_ylabel("G operations a second")
        return svg_of(figure, name=name)


def _modules(profile: Profile) -> dict[str, list[LayerTime]]:
    groups: dict[str, list[LayerTime]] = {}
    for one in profile.layers:
        groups.setdefault(one.group or "no module", []).append(one)
    return {} if set(groups) == {"no module"} else groups


def _stack(axis: Axes, row: int, layers: list[LayerTime], kinds: list[str], longest_ms: float) -> None:
    begin = 0.0
    for kind in kinds:
        taken = sum(one.median_ms for one in layers if type_of(one) == kind)
        if taken:
            axis.barh(row, taken, left=begin, height=0.66, color=colour_of_type(kind))
            begin += taken
    axis.text(begin + 0.008 * longest_ms, row, milliseconds(begin), va="center")


def _roof_lines(axis: Axes, roofs: Roofs, found: list[float]) -> None:
    ridges = [peak / roofs.copy_bytes_per_s for peak in roofs.operations_per_s.values()]
    low, high = min([*found, *ridges, 1.0]) / 3, max([*found, *ridges, 1.0]) * 3
    at = np.geomspace(low, high, 200)
    for kind, peak in roofs.operations_per_s.items():
        height = np.minimum(peak, at * roofs.copy_bytes_per_s) / 1e9
        axis.plot(at, height, color=colour_of_type(kind), linewidth=1.4)
        axis.annotate(f"{kind} {peak / 1e9:,.0f}", (high, peak / 1e9), ha="right", va="bottom", color=MUTED)
    if not roofs.operations_per_s:
        axis.plot(at, at * roofs.copy_bytes_per_s / 1e9, color=MUTED, linewidth=1.4)


def _point(axis: Axes, layer: LayerTime) -> None:
    operations = 2 * (layer.macs or 0)
    axis.scatter(
        operations / (layer.moved_bytes or 1),
        operations / layer.median_ms / 1e6,
        s=18 + 500 * layer.share,
        color=colour_of_type(type_of(layer)),
        alpha=0.75,
        linewidths=0,
    )


def _label(name: str) -> str:
    return name if len(name) <= LABEL_WIDTH else f"{name[: LABEL_WIDTH - 1]}\N{HORIZONTAL ELLIPSIS}"
