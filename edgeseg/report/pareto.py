"""Own the Pareto plot: latency against mIoU, the front drawn, the beaten named. Compute no figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.report.drawing import INK, MUTED, colour_among, new_figure, style, svg_of
from edgeseg.report.side_by_side import Contender, SideBySide

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["pareto_plot", "points"]

MARKERS = "osD^vP*X"  # a machine each
WIDE = 4.0  # slowest over fastest: from there on a logarithmic axis keeps the fast ones apart
ROOM = 0.18  # of the axis, at its right, for names


def points(compared: SideBySide) -> list[tuple[Contender, float]]:
    """The engines that have an accuracy, with it, in the order of the command line."""
    return [(one, one.miou) for one in compared.contenders if one.miou is not None]


def pareto_plot(compared: SideBySide) -> str:
    """Milliseconds (left is better) against mIoU (up is better), as an ``<svg>`` element; at least one point."""
    names = [one.name for one in compared.contenders]
    with style():
        figure = new_figure(height_in=4.2)
        axis = figure.subplots()
        for place, machine in enumerate(compared.machines):
            _draw_front(axis, [point for point in points(compared) if point[0].machine == machine])
            for one, miou in points(compared):
                if one.machine == machine:
                    _draw_point(axis, one, miou, colour_among(names, one.name), MARKERS[place % len(MARKERS)])
        _set_axes(axis, compared)
        return svg_of(figure, name="pareto")


def _draw_front(axis: Axes, found: list[tuple[Contender, float]]) -> None:
    front = sorted((one.p50_ms, miou) for one, miou in found if not one.beaten_by)
    axis.plot(
        [p50_ms for p50_ms, _ in front],
        [100 * miou for _, miou in front],
        color=MUTED,
        linewidth=1.2,
        drawstyle="steps-post",
        zorder=1,
    )


def _draw_point(axis: Axes, one: Contender, miou: float, colour: str, marker: str) -> None:
    fill = "none" if one.beaten_by else colour
    axis.scatter([one.p50_ms], [100 * miou], s=52, marker=marker, facecolors=fill, edgecolors=colour, zorder=2)
    words = f"{one.name} (beaten)" if one.beaten_by else one.name
    axis.annotate(words, (one.p50_ms, 100 * miou), xytext=(7, 5), textcoords="offset points", color=INK, fontsize=8)


def _set_axes(axis: Axes, compared: SideBySide) -> None:
    times = [one.p50_ms for one, _ in points(compared)]
    scores = [100 * miou for _, miou in points(compared)]
    fastest, slowest = min(times), max(times)
    if slowest > WIDE * fastest:
        axis.set_xscale("log")
        axis.set_xlim(fastest / 1.3, slowest * (slowest / fastest) ** ROOM * 1.3)
    else:
        axis.set_xlim(fastest * 0.95, slowest + ROOM * (slowest - fastest) + 0.15 * slowest)
    room = max(0.12 * (max(scores) - min(scores)), 0.2)
    axis.set_ylim(min(scores) - room, max(scores) + 2 * room)
    axis.grid()
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("{x:g}")
    axis.set_xlabel(f"median, milliseconds ({compared.scope}); left is faster")
    axis.set_ylabel("mIoU, %")
