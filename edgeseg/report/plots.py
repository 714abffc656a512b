"""Own the plots of a benchmark report as inline SVG. Write no file, compute no statistic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeseg.report.drawing import INK, colour_among, new_figure, style, svg_of
from edgeseg.report.record import Measurement, Report, Scope
from edgeseg.report.text import milliseconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["colour_of", "histograms", "percentiles", "stage_bars", "stage_colours", "timeline"]

STAGE_COLOURS = {
    "wait": "#b9bec6", "copy-in": "#8fbf8a", "pre": "#6fb7c9", "engine": "#5b6ee1", "post": "#e3a34f",
    "copy-out": "#c98a6f",
}  # fmt: skip
POINTS_OF_A_TAIL = 400
TAIL_TICKS = (0, 50, 90, 95, 99, 99.9, 99.99)
BINS = 90
PARTS_OF_A_TURN = 12  # of the timeline: what more would draw, no screen shows


def colour_of(report: Report, engine: str) -> str:
    """The colour of an engine in every plot and table, ``#rrggbb``; the seventh engine has the first one's."""
    return colour_among([one.name for one in report.engines], engine)


def histograms(report: Report, scope: Scope) -> str:
    """How the samples are spread, an engine a row on one common axis, as an ``<svg>`` element."""
    lanes = report.of_scope(scope)
    low = min(one.headline.stats.min_ms for one in lanes)
    high = max(one.headline.stats.p99_ms for one in lanes)
    room = 0.06 * (high - low) or 0.01 * high
    with style():
        figure = new_figure(height_in=0.55 + 0.85 * len(lanes))
        axes = figure.subplots(len(lanes), 1, sharex=True, squeeze=False)[:, 0]
        for one, axis in zip(lanes, axes, strict=True):
            _histogram(axis, one, bounds_ms=(low - room, high + room), colour=colour_of(report, one.engine))
        axes[-1].set_xlabel("milliseconds")
        return svg_of(figure, name=f"histogram-{_word(scope)}")


def timeline(report: Report, scope: Scope) -> str:
    """What came when: median and range of short pieces of every turn, as an ``<svg>`` element.

    A disturbance from outside shows in all engines' turns at the same time.
    """
    lanes = report.of_scope(scope)
    top = min(max(one.headline.stats.max_ms for one in lanes), 2.0 * max(one.headline.stats.p99_ms for one in lanes))
    with style():
        figure = new_figure(height_in=2.5)
        axis = figure.subplots()
        for one in lanes:
            _draw_turns(axis, one, top_ms=top, colour=colour_of(report, one.engine))
        axis.set_ylim(0, top * 1.06)
        axis.set_xlim(left=0)
        axis.grid(axis="y")
        axis.set_xlabel("seconds since the first turn")
        axis.set_ylabel("milliseconds")
        return svg_of(figure, name=f"timeline-{_word(scope)}")


def percentiles(report: Report, scope: Scope) -> str:
    """Latency against percentile, the tail drawn wide, as an ``<svg>`` element; a point is one sample's rank."""
    lanes = report.of_scope(scope)
    with style():
        figure = new_figure(height_in=2.5)
        axis = figure.subplots()
        for one in lanes:
            ordered = np.sort(np.asarray(one.headline.samples_ms))
            rare = np.linspace(0.0, np.log10(len(ordered)), POINTS_OF_A_TAIL)  # one of so many powers of ten is slower
            ranks = np.unique(np.minimum(((1.0 - 10.0**-rare) * len(ordered)).astype(int), len(ordered) - 1))
            colour = colour_of(report, one.engine)
            axis.plot(-np.log10(1.0 - ranks / len(ordered)), ordered[ranks], color=colour, linewidth=1.6)
        most = max(one.headline.stats.count for one in lanes)
        ticks = [tick for tick in TAIL_TICKS if 1.0 - tick / 100 >= 1.0 / most]
        axis.set_xticks([-np.log10(1.0 - tick / 100) for tick in ticks], [f"{tick:g}" for tick in ticks])
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.grid(axis="both")
        axis.set_xlabel("percentile")
        axis.set_ylabel("milliseconds")
        return svg_of(figure, name=f"percentiles-{_word(scope)}")


def stage_colours(report: Report, scope: Scope) -> dict[str, str]:
    """The stages that follow each other in a scope, in their order, with their colours; none where there is one."""
    found = {stage: colour for stage, colour in STAGE_COLOURS.items() if stage in report.of_scope(scope)[0].stages}
    return found if len(found) > 1 else {}


def stage_bars(report: Report, scope: Scope) -> str:
    """Where the time goes, mean of every stage, an engine a bar, as an ``<svg>`` element."""
    lanes = report.of_scope(scope)
    with style():
        figure = new_figure(height_in=0.75 + 0.42 * len(lanes))
        axis = figure.subplots()
        widest = max(one.headline.stats.mean_ms for one in lanes)
        for row, one in enumerate(lanes):
            _stack(axis, row, one, widest_ms=widest)
        axis.set_yticks(range(len(lanes)), [_short(one.engine) for one in lanes], color=INK)
        axis.invert_yaxis()
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        axis.set_xlabel("milliseconds, mean")
        return svg_of(figure, name=f"stages-{_word(scope)}")


def _histogram(axis: Axes, one: Measurement, *, bounds_ms: tuple[float, float], colour: str) -> None:
    stats, samples = one.headline.stats, np.asarray(one.headline.samples_ms)
    axis.hist(samples, bins=BINS, range=bounds_ms, color=colour, histtype="stepfilled", alpha=0.8)
    axis.axvline(stats.p50_ms, color=INK, linewidth=1.0)
    axis.axvline(stats.p99_ms, color=INK, linewidth=1.0, linestyle=(0, (2, 2)))
    beyond = int((samples > bounds_ms[1]).sum())
    slower = f", {beyond} beyond the axis, up to {milliseconds(stats.max_ms)} ms" if beyond else ""
    title = f"{one.engine}: p50 {milliseconds(stats.p50_ms)} (line), p99 {milliseconds(stats.p99_ms)} (dashes)"
    axis.set_title(f"{title}, n = {stats.count}{slower}", loc="left")
    axis.set_xlim(bounds_ms)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)


def _draw_turns(axis: Axes, one: Measurement, *, top_ms: float, colour: str) -> None:
    starts, samples = np.asarray(one.started_s), np.asarray(one.headline.samples_ms)
    for turn in np.split(np.arange(len(samples)), np.cumsum(one.round_counts)[:-1]):
        parts = np.array_split(turn, min(PARTS_OF_A_TURN, len(turn)))
        middle_s = [float(starts[part].mean()) for part in parts]
        low, high = ([float(pick(samples[part])) for part in parts] for pick in (np.min, np.max))
        axis.fill_between(middle_s, low, np.minimum(high, top_ms), color=colour, alpha=0.28, linewidth=1.0)
        axis.plot(middle_s, [float(np.median(samples[part])) for part in parts], color=colour, linewidth=1.6)
    late_s = starts[samples > top_ms]
    if len(late_s):
        axis.plot(late_s, np.full(len(late_s), top_ms * 1.03), "^", color=colour, markersize=4, clip_on=False)


def _stack(axis: Axes, row: int, one: Measurement, *, widest_ms: float) -> None:
    begin = 0.0
    for stage, colour in STAGE_COLOURS.items():
        if stage not in one.stages:
            continue
        mean = one.stages[stage].stats.mean_ms
        axis.barh(row, mean, left=begin, height=0.62, color=colour)
        if mean > 0.06 * widest_ms:
            axis.text(begin + mean / 2, row, milliseconds(mean), ha="center", va="center", color="#10151c")
        begin += mean
    axis.text(
        one.headline.stats.mean_ms + 0.008 * widest_ms, row, milliseconds(one.headline.stats.mean_ms), va="center"
    )
    axis.set_xlim(0, widest_ms * 1.07)


def _short(name: str, limit: int = 36) -> str:
    return name if len(name) <= limit else f"\N{HORIZONTAL ELLIPSIS}{name[1 - limit :]}"


def _word(scope: Scope) -> str:
    """The scope in the letters that an id may have."""
    return scope.replace("+", "-and-")
