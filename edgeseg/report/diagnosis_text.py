"""Own the words and numbers that all forms of a diagnosis share. Own no markup and no layout."""

from __future__ import annotations

from math import isinf
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from edgeseg.graph.effects import Diagnosis, NodeEffect

if TYPE_CHECKING:
    from edgeseg.report.diagnosis_record import DiagnosisReport

__all__ = ["COLUMNS", "about", "advice", "blame", "cells", "decibels", "headline", "method", "net_facts", "percent"]

NOTHING = "\N{EN DASH}"
UNCHANGED = "\N{INFINITY}"
COLUMNS = ("kind", "MMACs", "own output, dB", "logits, dB", "mask changes, %")
MOST_NAMED = 3
#: of all single changes together: the fewest nodes that make up that much are blamed
MOST_OF_IT = 0.9


def decibels(value: float | None) -> str:
    """A ratio of signal to noise with one digit.

    Example:
        >>> decibels(31.72), decibels(None) == NOTHING, decibels(float("inf")) == UNCHANGED
        ('31.7', True, True)
    """
    if value is None:
        return NOTHING
    if isinf(value):
        return UNCHANGED if value > 0 else f"-{UNCHANGED}"
    return f"{value:.1f}"


def percent(share: float) -> str:
    """A share from 0 to 1 in percent, with the digits that small ones need.

    Example:
        >>> [percent(share) for share in (0, 0.000004, 0.00105, 0.0314, 0.5)]
        ['0', '<0.001', '0.105', '3.14', '50.0']
    """
    value = share * 100
    if not value:
        return "0"
    if value < 0.001:
        return "<0.001"
    return f"{value:.3f}" if value < 0.9995 else f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def cells(one: NodeEffect) -> tuple[str, ...]:
    """A node's line beside its name and module; follow ``COLUMNS``."""
    kind = one.op_type if one.is_layer else f"{one.op_type} (follows)"
    macs = NOTHING if not one.macs else f"{one.macs / 1e6:.1f}"
    ratios = decibels(one.output_snr_db), decibels(one.logits_snr_db)
    return (kind, macs, *ratios, percent(one.disagreement))


def headline(report: DiagnosisReport) -> str:
    """The finding in one line."""
    whole, kind = report.found.whole, report.precision.upper()
    return f"{kind} changes {percent(whole.disagreement)} % of the masks' pixels of {Path(report.net).name}"


def about(report: DiagnosisReport) -> str:
    """What was looked at."""
    found, kind = report.found, report.precision.upper()
    layers = sum(one.is_layer for one in found.nodes)
    return (
        f"{layers} layers and {len(found.nodes) - layers} nodes that follow them, each alone in {kind} and all "
        f"else in float32, on {found.frames} frame(s) of {report.data}."
    )


def blame(found: Diagnosis) -> str:
    """Which nodes make up most of the change."""
    named = _most(found)
    if not named:
        return "No node alone changes a pixel of these masks."
    total = sum(one.disagreement for one in found.nodes)
    share = sum(one.disagreement for one in named) / total
    names = ", ".join(one.name for one in named[:MOST_NAMED])
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    verb = "makes" if len(named) == 1 else "make"
    return (
        f"{names}{more} {verb} up {share * 100:.0f} % of what {len(found.nodes)} nodes change, each alone; all "
        f"together they change {percent(found.whole.disagreement)} % of the pixels."
    )


def advice(report: DiagnosisReport) -> str:
    """What to do about it."""
    ranges = "" if report.calibration_data is None else f" --calib-data {quote(report.calibration_data)}"
    command = f"edgeseg build-engine {quote(report.net)} --precision {report.precision}{ranges}"
    if not report.found.whole.disagreement:
        return f"There is nothing to mend: {command}"
    return (
        "To keep the worst in the higher precision, as few of them as the promise needs: "
        f"{command} --max-miou-drop 0.5 --eval-data DIR"
    )


def _most(found: Diagnosis) -> list[NodeEffect]:
    """The fewest nodes that make up most of what all of them change, each alone."""
    total, sum_so_far = sum(one.disagreement for one in found.nodes), 0.0
    named = []
    for one in found.nodes:
        if not one.disagreement or sum_so_far >= MOST_OF_IT * total:
            break
        named.append(one)
        sum_so_far += one.disagreement
    return named


def net_facts(report: DiagnosisReport) -> list[tuple[str, str]]:
    """What the net became as a whole, as name and value."""
    whole = report.found.whole
    return [
        ("Net", report.net),
        ("ONNX sha256", report.onnx_sha256),
        ("All in " + report.precision.upper(), f"{percent(whole.disagreement)} % of the pixels change"),
        ("At the logits", f"{decibels(whole.logits_snr_db)} dB"),
        ("Frames", f"{report.found.frames} of {report.data}, {report.found.pixels:,} pixels"),
    ]


def method() -> str:
    """How the figures came about, as sentences."""
    return (
        "Every node's inputs and weights are rounded to their codes and back, with the ranges of the calibration, "
        "while all other nodes compute in float32, in ONNX Runtime on the CPU. Signal to noise is 10 log10 of the sum "
        "of squares over the sum of squared differences, all frames together: at the node's own output, and at the "
        f"scores that leave the net; {UNCHANGED} where nothing changes. A mask changes where a pixel's class is "
        "another than float32's, at the net's input size; that needs no labels, and is no loss by itself. Nodes are "
        "ranked by it, then by the noise at the logits. Single changes do not add up to the whole's."
    )
