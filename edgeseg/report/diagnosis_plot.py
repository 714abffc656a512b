"""Own the picture of a diagnosis, as inline SVG or PNG. Write no file, compute no figure."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from edgeseg.graph.effects import Diagnosis, NodeEffect
from edgeseg.packages import require
from edgeseg.report.drawing import INK, MUTED, RULE, WIDTH_IN, new_figure, style, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["png", "svg", "width_px"]

LAYER, FOLLOWER = "#2f7fd6", "#8a97a6"
RING = {"color": "#2ba37f", "marker": "o", "fillstyle": "none", "markersize": 7.0, "markeredgewidth": 1.6}
DOT = {"color": "#e0762f", "marker": "D", "markersize": 3.6}
#: up to so many nodes every name is legible; above it the worst are named
MOST_NAMED, WORST_NAMED = 44, 16
WIDEST_IN, NODE_IN = 18.0, 0.13
LINE_IN = 0.11  # a name's height
#: of the page in its light form; white paper shows no placeholder
PAPER = {INK: "#1b1f24", MUTED: "#5a636e", RULE: "#d0d5db"}
DPI, PX_PER_IN = 150, 96
LONGEST_NAME = 30


def width_px(found: Diagnosis) -> int:
    """How wide the picture must be shown at least for its names to be read; 0 where any page is wide enough."""
    width_in = _width_in(found.nodes)
    return round(width_in * PX_PER_IN) if width_in > WIDTH_IN else 0


def svg(found: Diagnosis) -> str:
    """The picture as an ``<svg>`` element in the page's colours.

    Above, what each node alone changes of the masks, in the order of the graph; below, the signal-to-noise ratios at
    its own output and at the logits. A triangle above all others stands where nothing changes.
    """
    with style():
        return svg_of(_figure(found), name="diagnosis")


def png(found: Diagnosis) -> bytes:
    """The same picture as a PNG file on white."""
    with style():
        parameters = require("matplotlib").rcParams
        for name, value in dict(parameters).items():
            if isinstance(value, str) and value in PAPER:
                parameters[name] = PAPER[value]
        buffer = io.BytesIO()
        _figure(found).savefig(buffer, format="png", dpi=DPI, facecolor="white")
        return buffer.getvalue()


def _figure(found: Diagnosis) -> Figure:
    nodes = found.in_order
    figure = new_figure(height_in=5.2, width_in=_width_in(nodes))
    masks, ratios = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.1))
    _bars(masks, nodes)
    _dots(ratios, nodes)
    ticks = _named(found, nodes)
    ratios.set_xticks(list(ticks), [_short(name) for name in ticks.values()], rotation=90, fontsize=7)
    ratios.set_xlim(-0.8, len(nodes) - 0.2)
    for axis in (masks, ratios):
        axis.grid(axis="y")
        axis.tick_params(axis="x", length=2)
    masks.tick_params(axis="x", labelbottom=False)
    figure.draw_without_rendering()  # the layout takes hidden names for shown ones in its first pass (matplotlib 3.11)
    return figure


def _width_in(nodes: Sequence[NodeEffect]) -> float:
    return min(max(WIDTH_IN, NODE_IN * len(nodes)), WIDEST_IN)


def _bars(axis: Axes, nodes: Sequence[NodeEffect]) -> None:
    for label, colour, is_layer in (("layer", LAYER, True), ("follows a layer", FOLLOWER, False)):
        places = [place for place, one in enumerate(nodes) if one.is_layer == is_layer]
        if places:
            axis.bar(places, [100 * nodes[place].disagreement for place in places], 0.8, color=colour, label=label)
    axis.set_ylim(bottom=0)
    axis.set_ylabel("pixels changed, %")
    axis.set_title("What each node alone changes of the masks", loc="left")
    _legend(axis)


def _dots(axis: Axes, nodes: Sequence[NodeEffect]) -> None:
    own = {one.order: one.output_snr_db for one in nodes}
    logits = {one.order: one.logits_snr_db for one in nodes if one.logits_snr_db is not None}
    shown = [value for value in (*own.values(), *logits.values()) if isfinite(value)]
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    room = 0.08 * (high - low) or 1.0
    top = high + room * (inf in (*own.values(), *logits.values()))
    # a ring around a dot, so that both are seen where they coincide, as at the last layer
    _series(axis, own, "own output", RING, top)
    if logits:
        _series(axis, logits, "logits", DOT, top)
    axis.set_ylim(low - room, top + room)
    axis.set_ylabel("signal to noise, dB")
    axis.set_title("Signal to noise, at the node's own output and at the logits (low is bad)", loc="left")
    _legend(axis)


def _series(axis: Axes, values: Mapping[int, float], label: str, form: Mapping[str, Any], top: float) -> None:
    finite = {place: value for place, value in values.items() if isfinite(value)}
    axis.plot(list(finite), list(finite.values()), linestyle="", label=label, **form)
    endless = [place for place, value in values.items() if value == inf]
    axis.plot(endless, [top] * len(endless), linestyle="", **{**form, "marker": "^"})


def _legend(axis: Axes) -> None:
    """Beside the title, where nothing is drawn."""
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), borderpad=0.0, frameon=False, ncols=2)


def _named(found: Diagnosis, nodes: Sequence[NodeEffect]) -> dict[int, str]:
    """Where a name stands on the axis: everywhere, or at the worst nodes that do not stand too close together."""
    if len(nodes) <= MOST_NAMED:
        return {place: one.name for place, one in enumerate(nodes)}
    apart, named = LINE_IN * len(nodes) / _width_in(nodes), dict[int, str]()
    for one in found.nodes[:WORST_NAMED]:
        if all(abs(one.order - place) >= apart for place in named):
            named[one.order] = one.name
    return named


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"\N{HORIZONTAL ELLIPSIS}{name[1 - LONGEST_NAME :]}"
