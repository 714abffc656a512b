"""Own the file of a calibration: what it was made of, what it found, whether it holds here. Measure nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgeseg import __version__
from edgeseg.builder.calibrating import Ranges
from edgeseg.errors import SpecError
from edgeseg.files import read_file, sha256_of, write_atomically
from edgeseg.graph.qdq import LARGEST_CODE, QuantisedKind
from edgeseg.packages import require
from edgeseg.records import Record
from edgeseg.spec import CalibrationMethod, InputSpec

__all__ = ["Calibration", "CalibrationKey", "differences", "read_calibration", "write_calibration"]

SHOWN_DIGITS = 12  # of a hash, as in every message
#: whose versions may change a range
LIBRARIES = ("onnxruntime",)
WORDS = {
    "graph_sha256": "the graph",
    "tensors_sha256": "the tensors to quantise",
    "data_sha256": "the images",
    "preprocessing": "the pre-processing",
    "method": "the method",
    "percentile": "the percentile",
    "kind": "the precision",
    "versions": "the library",
}


class CalibrationKey(Record, frozen=True, kw_only=True):
    """All that the result of a calibration depends on; known before any image is run.

    Attributes:
        graph_sha256: of the graph, by whatever identifies it.
        tensors_sha256: of the names of the tensors that get a scale, in any order.
        data_sha256: of the images.
        preprocessing: of the graph's input.
        method: how a threshold is found.
        percentile: for that method; None for the others.
        kind: what the tensors become; says what the largest code is.
        versions: of edgeseg and what else computes the ranges.
    """

    graph_sha256: str
    tensors_sha256: str
    data_sha256: str
    preprocessing: InputSpec
    method: CalibrationMethod
    percentile: float | None = None
    kind: QuantisedKind
    versions: dict[str, str]

    def __post_init__(self) -> None:
        if (self.method == "percentile") != (self.percentile is not None):
            raise ValueError(f"percentile {self.percentile} does not fit method {self.method}")

    @classmethod
    def now(
        cls,
        *,
        graph_sha256: str,
        data_sha256: str,
        preprocessing: InputSpec,
        method: CalibrationMethod,
        kind: QuantisedKind,
        percentile: float | None = None,
        tensors: Sequence[str] = (),
    ) -> CalibrationKey:
        """The key of a calibration with the libraries that are installed; see the attributes.

        Raises:
            MissingPackageError: ONNX Runtime is not installed.
        """
        versions = {name: str(require(name).__version__) for name in LIBRARIES}
        return cls(
            graph_sha256=graph_sha256,
            tensors_sha256=sha256_of("\n".join(sorted(tensors)).encode()),
            data_sha256=data_sha256,
            preprocessing=preprocessing,
            method=method,
            percentile=percentile,
            kind=kind,
            versions={"edgeseg": __version__, **versions},
        )


class Calibration(Record, frozen=True, kw_only=True):
    """One scale per tensor, and what they are of; ``net.calibration.json``.

    Attributes:
        key: what they depend on.
        images: how many there were.
        scales: of every tensor to be quantised the value of one step of its codes, above 0.
        peaks: the largest magnitude seen of every float32 tensor of the graph.
        constant: tensors to be quantised that held one value in all images, so that their scale is a guess.
    """

    schema: Literal[1] = 1
    key: CalibrationKey
    images: int
    scales: dict[str, float]
    peaks: dict[str, float]
    constant: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = [name for name, scale in self.scales.items() if not scale > 0 or not isfinite(scale)]
        if wrong:
            raise ValueError(f"scale {self.scales[wrong[0]]} of '{wrong[0]}' must be a number above 0")

    @classmethod
    def of(cls, key: CalibrationKey, ranges: Ranges) -> Calibration:
        """The record of ranges that were measured as ``key`` says."""
        largest = LARGEST_CODE[key.kind]
        return cls(
            key=key,
            images=ranges.images,
            scales={name: threshold / largest for name, threshold in ranges.thresholds.items()},
            peaks=ranges.peaks,
            constant=ranges.constant,
        )


def read_calibration(path: Path) -> Calibration:
    """Read what ``write_calibration`` wrote; every number is the one that was written.

    Raises:
        SpecError: missing, or no such record.
    """
    data = read_file(path, error=SpecError, make_it="delete it, if it is there, and calibrate again")
    try:
        return msgspec.json.decode(data, type=Calibration)
    except msgspec.DecodeError as error:  # ValidationError is one too
        raise SpecError(f"{path} is no calibration ({error})", "delete it and calibrate again") from error


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write indented JSON, names in order, so that two files can be compared by eye; whole or not at all.

    Raises:
        OutputError: the folder cannot be written, or the device is full.
    """
    data = msgspec.json.encode(calibration, order="deterministic")
    write_atomically(path, msgspec.json.format(data, indent=2) + b"\n")


def differences(recorded: CalibrationKey, wanted: CalibrationKey) -> tuple[str, ...]:
    """In words what keeps a recorded calibration from holding for another; empty where it holds.

    Returns:
        For example ``the method (max against entropy)``, the recorded value first.
    """
    return tuple(
        f"{WORDS[name]} ({'; '.join(_told(name, one, two))})"
        for name, one, two in _pairs(recorded, wanted)
        if one != two and not (name == "percentile" and None in (one, two))  # then the method tells it
    )


def _pairs(one: msgspec.Struct, two: msgspec.Struct) -> Iterator[tuple[str, Any, Any]]:
    return ((name, getattr(one, name), getattr(two, name)) for name in one.__struct_fields__)


def _told(name: str, one: Any, two: Any) -> Iterator[str]:
    """Every part that differs, named where there may be several."""
    if name.endswith("_sha256"):
        one, two = one[:SHOWN_DIGITS], two[:SHOWN_DIGITS]
    parts = iter([("", one, two)])
    if isinstance(one, msgspec.Struct):
        parts = _pairs(one, two)
    elif isinstance(one, dict):
        parts = ((key, one.get(key), two.get(key)) for key in sorted({*one, *two}))
    words = ((part.replace("_", " "), _shown(a), _shown(b)) for part, a, b in parts if a != b)
    return (f"{part} {a} against {b}".strip() for part, a, b in words)


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
