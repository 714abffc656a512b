"""Own the form of an evaluation's results. Compute nothing.

Shares are from 0 to 1, NaN where there is nothing to judge; in JSON, which has no NaN, that is null.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseg.accuracy.verdict import Verdict
from edgeseg.boundaries import BoundaryAccuracy
from edgeseg.imaging.preprocess import Frame
from edgeseg.metrics import Accuracy
from edgeseg.spec import LabelSpec

__all__ = ["EngineAccuracy", "EngineLatency", "Evaluation", "FramePicture", "FrameScore"]


@dataclass(frozen=True, kw_only=True)
class EngineLatency:
    """Medians as run here: one frame in flight, engines in turns on the same frames, the warm-up frame left out.

    ``engine_p50_ms`` is what the engine itself measured, ``engine_covers`` what that covers in trtexec's terms;
    ``total_p50_ms`` is from a frame in memory to its mask at the frame's size. ``count`` is how many samples each is
    the median of.
    """

    engine_p50_ms: float
    total_p50_ms: float
    count: int
    engine_covers: str


@dataclass(frozen=True, kw_only=True)
class FrameScore:
    """One frame and the mean IoU of one engine's mask on it alone."""

    name: str
    miou: float


@dataclass(frozen=True, kw_only=True)
class EngineAccuracy:
    """What one engine's masks are worth on a labelled set, at the frames' own size.

    Attributes:
        engine: its path as given, line ends and undecodable bytes replaced.
        name: unique among the engines side by side.
        onnx_sha256: of the ONNX file that it was built from.
        size_hw: of the net's input.
        classes: names in the order of their ids.
        frames: how many were judged.
        ignore: the label that did not count.
        confusion: pixels, labels (rows) by predictions; the last column holds pixels that the net has not seen.
        agreement: mean share of pixels equal to those of the reference; 1.0 for the reference itself.
        worst: the frames of least mean IoU, worst first, ties by name.
    """

    engine: str
    name: str
    precision: str
    backend: str
    backend_version: str
    device: str
    onnx_sha256: str
    plan_sha256: str
    plan_bytes: int
    size_hw: tuple[int, int]
    classes: tuple[str, ...]
    frames: int
    ignore: int | None
    accuracy: Accuracy
    boundaries: BoundaryAccuracy
    confusion: tuple[tuple[int, ...], ...]
    agreement: float
    latency: EngineLatency
    worst: tuple[FrameScore, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class FramePicture:
    """A frame, its label and one engine's mask, scaled down alike: uint8 (h, w, 3) BGR and two uint8 (h, w)."""

    name: str
    miou: float
    frame_bgr: Frame
    label: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Engines side by side; iterates over, and is indexed by, the engines' results.

    Attributes:
        reference: what ``agreement`` is with.
        labels: names and colours of the classes.
        verdicts: whether INT8 or FP8 was worth it here.
        pictures: of every engine, those of its worst frames, worst first.
    """

    reference: str
    labels: LabelSpec
    engines: tuple[EngineAccuracy, ...]
    verdicts: tuple[Verdict, ...]
    pictures: tuple[tuple[FramePicture, ...], ...]

    def __iter__(self) -> Iterator[EngineAccuracy]:
        return iter(self.engines)

    def __len__(self) -> int:
        return len(self.engines)

    def __getitem__(self, index: int) -> EngineAccuracy:
        return self.engines[index]
