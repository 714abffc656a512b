"""Own what a sidecar says of a net's precision and of how it was chosen. Choose none."""

from __future__ import annotations

from typing import Literal

from edgeseg.records import Record

__all__ = ["CalibrationMethod", "HighPrecision", "PrecisionKind", "PrecisionSpec", "SearchSpec", "TrialSpec"]

#: what the layers compute in; int8 and fp8 are quantised, and leave the rest in a HighPrecision
PrecisionKind = Literal["fp32", "fp16", "bf16", "int8", "fp8"]
HighPrecision = Literal["fp32", "fp16", "bf16"]
CalibrationMethod = Literal["max", "entropy", "percentile"]


class TrialSpec(Record, frozen=True, kw_only=True):
    """One precision that was tried: its nodes that kept the higher one, and the mean IoU (0 to 1) that it had."""

    kind: PrecisionKind
    kept: tuple[str, ...] = ()
    miou: float


class SearchSpec(Record, frozen=True, kw_only=True):
    """How a promise of accuracy was kept.

    Attributes:
        max_miou_drop: the promise, in percentage points of mean IoU below float32.
        reference_miou: of float32, from 0 to 1.
        miou: of what was built.
        judged_by: what ran the trials.
        data_sha256: hash of the labelled frames.
        frames: how many there were.
        budget: how many trials were allowed.
        ranking: the nodes that could be quantised, the one whose quantisation alone harms most first.
        trials: in their order.
        engine_ms: median of what was built, the engine alone; None where it does not run on the machine that built it.
        higher: the fastest higher precision that the back end has here.
        higher_ms: its median, beside it in the same run.
    """

    max_miou_drop: float
    reference_miou: float
    miou: float
    judged_by: str
    data_sha256: str
    frames: int
    budget: int
    ranking: tuple[str, ...] = ()
    trials: tuple[TrialSpec, ...]
    engine_ms: float | None = None
    higher: PrecisionKind | None = None
    higher_ms: float | None = None


class PrecisionSpec(Record, frozen=True, kw_only=True):
    """How the numbers of a net are held, and on what its ranges were measured.

    Attributes:
        kind: what the layers compute in.
        high_precision: what is left unquantised computes in; ``kind`` itself where nothing is quantised.
        calibration_method: how ranges were taken.
        calibration_sha256: hash of the images.
        calibration_images: how many there were.
        layers: how many layers (convolutions, deconvolutions, matrix products) the net has.
        quantised_layers: how many of them are quantised.
        kept: nodes that could be quantised and keep the higher precision, by their names in the graph.
        wide: nodes that 16 bits cannot hold and that stay in float32.
        search: how ``kept`` was found; None where nothing was promised.
    """

    kind: PrecisionKind
    high_precision: HighPrecision
    calibration_method: CalibrationMethod | None = None
    calibration_sha256: str | None = None
    calibration_images: int = 0
    layers: int = 0
    quantised_layers: int = 0
    kept: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()
    search: SearchSpec | None = None
