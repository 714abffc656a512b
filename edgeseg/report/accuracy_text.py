"""Own the words and numbers that all forms of an accuracy report share. Own no markup and no layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeseg.accuracy.results import EngineAccuracy
from edgeseg.report.accuracy_record import AccuracyReport
from edgeseg.report.text import COVERS, milliseconds, precision_text

__all__ = [
    "Line",
    "about",
    "accuracy_lines",
    "agreement_lines",
    "class_lines",
    "engine_facts",
    "headline",
    "latency_lines",
    "latency_text",
    "method",
    "notes",
    "percent",
]

NOTHING = "\N{EN DASH}"  # where there is nothing to judge
MOST_SKIPPED = 5  # that are named; all are in the JSON


@dataclass(frozen=True, kw_only=True)
class Line:
    """One figure of every engine, as text, in the engines' order."""

    name: str
    cells: tuple[str, ...]


def percent(value: float) -> str:
    """A share from 0 to 1 in percent with two digits; a dash for NaN.

    Example:
        >>> percent(0.87479), percent(float("nan")) == NOTHING
        ('87.48', True)
    """
    return NOTHING if math.isnan(value) else f"{value * 100:.2f}"


def headline(report: AccuracyReport) -> str:
    """The finding in one line: every engine's mIoU."""
    found = [f"{percent(one.accuracy.miou)} % for {one.name}" for one in report.engines]
    return f"mIoU {', '.join(found)}"


def about(report: AccuracyReport) -> str:
    """What was judged."""
    data = report.data
    where = f"{data.layout}, {data.split}" if data.split else data.layout
    ignored = "every label counts" if data.ignore is None else f"label {data.ignore} does not count"
    return f"{data.frames} labelled frames of {data.folder} ({where}), at their own size; {ignored}."


def accuracy_lines(report: AccuracyReport) -> list[Line]:
    """The shares in percent, whole frames and near boundaries."""
    engines = report.engines
    lines = [
        _shares("mIoU", engines, lambda one: one.accuracy.miou),
        _shares("mean accuracy", engines, lambda one: one.accuracy.mean_accuracy),
        _shares("pixel accuracy", engines, lambda one: one.accuracy.pixel_accuracy),
        _shares("frequency-weighted IoU", engines, lambda one: one.accuracy.frequency_weighted_iou),
        _shares("boundary IoU", engines, lambda one: one.boundaries.boundary_miou),
    ]
    for index, point in enumerate(engines[0].boundaries.trimap):
        at = [one.boundaries.trimap[index] for one in engines]
        cells = tuple(f"{percent(one.miou)} / {percent(one.pixel_accuracy)}" for one in at)
        lines.append(Line(name=f"trimap {point.width_px} px, mIoU / pixel acc.", cells=cells))
    return lines


def agreement_lines(report: AccuracyReport) -> list[Line]:
    """The share of pixels equal to the reference's; none where one engine stands alone."""
    if len(report.engines) == 1 and report.reference == report.engines[0].name:
        return []
    return [_shares(f"equal to {report.reference}", report.engines, lambda one: one.agreement)]


def latency_lines(report: AccuracyReport) -> list[Line]:
    """The medians in milliseconds."""
    return [
        Line(
            name="engine alone, p50 ms",
            cells=tuple(milliseconds(one.latency.engine_p50_ms) for one in report.engines),
        ),
        Line(
            name="frame to mask, p50 ms",
            cells=tuple(milliseconds(one.latency.total_p50_ms) for one in report.engines),
        ),
    ]


def class_lines(report: AccuracyReport) -> list[Line]:
    """IoU of every class in percent."""
    return [
        Line(name=name, cells=tuple(percent(one.accuracy.iou[index]) for one in report.engines))
        for index, name in enumerate(report.engines[0].classes)
    ]


def latency_text(report: AccuracyReport) -> str:
    """What the milliseconds mean."""
    first = report.engines[0].latency
    covers = {one.latency.engine_covers for one in report.engines}
    told = "; ".join(sorted(COVERS.get(one, one) for one in covers))
    return (
        f"Latency as run here: one frame in flight, engines in turns on the same frames, medians of {first.count} "
        f"after a warm-up frame. The engine's time is of {told}. 'edgeseg benchmark' measures more carefully."
    )


def notes(report: AccuracyReport) -> list[str]:
    """The verdicts, and what was passed over."""
    found = [f"{precision_text(one)}." for one in report.verdicts]
    skipped = report.data.skipped
    if skipped:
        named = "; ".join(f"{one.file}: {one.reason}" for one in skipped[:MOST_SKIPPED])
        more = f"; and {len(skipped) - MOST_SKIPPED} more" if len(skipped) > MOST_SKIPPED else ""
        found.append(f"Skipped {len(skipped)} file(s): {named}{more}.")
    return found


def method() -> str:
    """How the figures came about, as sentences."""
    return (
        "All figures are of counts over all frames, masks and labels at the frames' own size. IoU, mean accuracy, "
        "pixel accuracy and frequency-weighted IoU are those of Long et al. (2015). A class that stands in neither "
        "labels nor masks counts in no mean. Boundary IoU (Cheng et al. 2021) takes of every class the pixels within "
        "2 % of the image's diagonal from its contour in the label and in the mask; the image's border is a contour. "
        "The trimap (Kohli et al. 2009) holds the pixels within so many pixels of another class in the label. "
        "Distances are chessboard distances. Ignored pixels do not count and make no boundary. Agreement is the mean "
        "over frames of the share of pixels equal to the reference's."
    )


def engine_facts(report: AccuracyReport) -> list[list[tuple[str, str]]]:
    """For every engine, what it is, as name and value."""
    return [
        [
            ("Engine", one.name),
            ("File", f"{one.engine}, {one.plan_bytes:,} bytes"),
            ("Back end", f"{one.backend} {one.backend_version} on {one.device}"),
            ("Precision", one.precision),
            ("Net", f"input of {one.size_hw[0]} x {one.size_hw[1]} (H x W), {len(one.classes)} classes"),
            ("Plan sha256", one.plan_sha256),
            ("ONNX sha256", one.onnx_sha256),
        ]
        for one in report.engines
    ]


def _shares(name: str, engines: Sequence[EngineAccuracy], of: Callable[[EngineAccuracy], float]) -> Line:
    return Line(name=name, cells=tuple(percent(of(one)) for one in engines))
