"""Own the ranges of a graph's tensors over many images, and the thresholds made of them. Quantise nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.builder.finiteness import Span, check_finite
from edgeseg.builder.histograms import Histogram
from edgeseg.builder.probing import Measured, Probe, float_values, in_groups
from edgeseg.errors import DataError
from edgeseg.graph.access import infer_shapes
from edgeseg.imaging.preprocess import Frame, Preprocessor, Tensor
from edgeseg.packages import require
from edgeseg.spec import CalibrationMethod, InputSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["CalibrationMethod", "Ranges", "calibrate"]

#: of inner tensors, taken out of the graph at a time. Less costs time, and memory too, for each run more has its own
#: session and its buffers: the demo net at 1024x2048 takes 914 MiB in one run, with 512 MiB in two runs 1081 MiB
HELD_BYTES = 1 << 30
#: a threshold over 448 codes must be a normal float32, of which 2**-126 is the smallest
SMALLEST_THRESHOLD = 2.0**-100
LARGEST_FLOAT = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Ranges:
    """What the tensors of a graph held over all images.

    Attributes:
        thresholds: of each tensor that was asked for the |x| that becomes the largest code, above 0.
        peaks: the largest |x| seen of every float32 tensor of the graph, its input too, weights not; of one that is
            masked with infinity float32's largest value.
        constant: those asked for that held one value throughout; their threshold is its magnitude, or 1 for zero.
        images: how many were seen.
    """

    thresholds: dict[str, float]
    peaks: dict[str, float]
    constant: tuple[str, ...]
    images: int


def calibrate(
    onnx_path: Path,
    image: InputSpec,
    frames: Iterable[Frame],
    tensors: Sequence[str],
    *,
    method: CalibrationMethod,
    percentile: float = 99.99,
    on_image: Callable[[int], None] = lambda count: None,
    name_of: Callable[[int], str] = lambda index: f"image {index + 1}",
) -> Ranges:
    """Run images through a graph, one after another, and find a threshold for each of ``tensors``.

    Memory does not grow with the number of images: of every tensor two numbers are kept, or 32 KiB of counts. ``max``
    takes no tensor out of the graph. The others take out 1 GiB at a time, or one tensor if it is larger; where
    ``tensors`` are more than that together, the graph runs several times an image, each time as far as it must, and
    its weights are held as often.

    Args:
        onnx_path: a prepared FP32 graph: one static input of batch 1; its weights inside or beside it.
        image: the pre-processing of that input.
        frames: uint8 (H, W, 3) BGR, any sizes, at least one; read once.
        tensors: names of float32 values in the graph, not of weights.
        method: ``max`` takes the peak, the others see ``Histogram``.
        percentile: for that method; above 0, at most 100.
        on_image: told how many images are done.
        name_of: names an image, counted from 0, in messages.
    Returns:
        The same for the same images in any order.
    Raises:
        DataError: no frame; what reads them may raise more.
        ModelError: ONNX Runtime cannot run the graph, or a node makes NaN or infinity of finite numbers.
        MissingPackageError: ONNX Runtime is not installed.
        ValueError: a tensor that the graph has not, or another percentile.
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile {percentile} must be above 0 and at most 100")
    model: ir.Model = require("onnx_ir").load(onnx_path)
    infer_shapes(model)
    watch = _Watch(model, onnx_path.parent, tensors, is_counting=method != "max")
    preprocessor, images = Preprocessor(image), 0
    for images, frame_bgr in enumerate(frames, start=1):  # their number is asked for after the loop
        watch.see(preprocessor.tensor(frame_bgr), name_of(images - 1))
        on_image(images)
    if not images:
        raise DataError("there is no image to calibrate on", "give about 32 typical frames")
    peaks, constants = watch.peaks(), watch.constants()
    return Ranges(
        thresholds={
            name: max(abs(constants[name]) or 1.0, SMALLEST_THRESHOLD)
            if name in constants
            else max(_threshold(peaks[name], watch.histograms.get(name), method, percentile), SMALLEST_THRESHOLD)
            for name in tensors
        },
        peaks=peaks,
        constant=tuple(constants),
        images=images,
    )


def _threshold(peak: float, seen: Histogram | None, method: CalibrationMethod, percentile: float) -> float:
    if seen is None:
        return peak
    if method == "entropy":
        return seen.entropy_threshold()
    found = seen.percentile_threshold(percentile)
    return found if found > seen.width else peak  # fewer than the rest are not 0: a range of zeros would clip them all


class _Watch:
    """A graph under observation: the range of every float32 value, and counts of some of them."""

    def __init__(self, model: ir.Model, folder: Path, tensors: Sequence[str], *, is_counting: bool) -> None:
        self._values = float_values(model)
        self._places = {str(value.name): place for place, value in enumerate(self._values)}
        self._check_names(tensors)
        self._lows = np.full(len(self._values), np.inf, np.float32)
        self._highs = -self._lows
        self._model, self._tensors = model, tuple(tensors)
        self.histograms = {name: Histogram() for name in tensors} if is_counting else {}
        self._ranges, *self._others = self._probes(model, folder)

    def _check_names(self, tensors: Sequence[str]) -> None:
        unknown = [name for name in tensors if name not in self._places]
        if unknown:
            raise ValueError(f"the graph has no float32 value {unknown[0]!r} ({len(unknown)} in all)")

    def _probes(self, model: ir.Model, folder: Path) -> list[Probe]:
        """The last values need the whole graph, and so do all ranges: one run for both, before any counting."""
        counted = [value for value in self._values if value.name in self.histograms]
        *groups, last = in_groups(counted, HELD_BYTES) or [()]
        whole = Probe(model, folder, fetched=last, measured=list(self._places))
        return [whole, *(Probe(model, folder, fetched=names) for names in groups)]

    def see(self, tensor: Tensor, name: str) -> None:
        """Put one image through the graph; ModelError where NaN or infinity comes up."""
        arrays, measured = self._ranges.run(tensor)
        self._widen(measured, name)
        self._count(self._ranges, arrays)
        for probe in self._others:
            self._count(probe, probe.run(tensor)[0])

    def _count(self, probe: Probe, arrays: list[Tensor]) -> None:
        for name in reversed(probe.fetched):
            self.histograms[name].add(arrays.pop())  # and with that it is free

    def _widen(self, measured: Measured, name: str) -> None:
        if not np.isfinite(measured.sums).all():
            spans = zip(self._places, zip(*measured, strict=True), strict=True)
            check_finite(self._model, {one: Span(*map(float, span)) for one, span in spans}, self._tensors, name)
        self._lows = np.minimum(self._lows, measured.lows)
        self._highs = np.maximum(self._highs, measured.highs)

    def peaks(self) -> dict[str, float]:
        """The largest |x| of every value; 0 of one that was always empty."""
        magnitudes = np.where(self._lows > self._highs, 0, np.maximum(-self._lows, self._highs))
        return {name: min(float(magnitudes[place]), LARGEST_FLOAT) for name, place in self._places.items()}

    def constants(self) -> dict[str, float]:
        """Those of the tensors that held one value throughout, and the value; 0 of one that was always empty."""
        ends = {name: (float(self._lows[place]), float(self._highs[place])) for name, place in self._places.items()}
        one_value = [name for name in self._tensors if ends[name][0] >= ends[name][1]]
        return {name: ends[name][0] if isfinite(ends[name][0]) else 0.0 for name in one_value}
