"""Own the precision of a graph: FP16 by casts, INT8 by calibrated Q/DQ as TensorRT wants it. Build no engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeseg.data import CalibrationSet
from edgeseg.errors import BuildError
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.packages import require
from edgeseg.spec import InputSpec, PrecisionKind, PrecisionSpec

__all__ = ["CalibrationMethod", "PrecisionRequest", "apply_precision"]

CalibrationMethod = Literal["max", "entropy"]
LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}  # where their kernel is a weight


@dataclass(frozen=True, kw_only=True)
class PrecisionRequest:
    """What precision a graph shall have.

    ``high_precision`` is what INT8 leaves unquantised; ``images`` and ``method`` calibrate INT8.

    Raises:
        BuildError: INT8 without images, or images without INT8.
    """

    kind: PrecisionKind
    high_precision: Literal["fp32", "fp16"]
    images: CalibrationSet | None = None
    method: CalibrationMethod = "max"

    def __post_init__(self) -> None:
        if self.kind == "int8" and self.images is None:
            raise BuildError(
                "INT8 needs images to calibrate on", "give --calib-data FOLDER with about 32 typical frames"
            )
        if self.kind != "int8" and self.images is not None:
            raise BuildError(
                f"calibration images do nothing for {self.kind}", "leave --calib-data out, or ask for int8"
            )


def apply_precision(
    onnx_path: Path,
    target: Path,
    image: InputSpec,
    request: PrecisionRequest,
    *,
    on_image: Callable[[int], None] = lambda count: None,
) -> tuple[Path, PrecisionSpec]:
    """Put the precision into the graph; inputs and outputs stay as they are.

    Args:
        onnx_path: the FP32 graph.
        target: where the new graph is written, if there is one.
        image: the pre-processing that calibration frames go through, the runtime's own.
        request: the precision.
        on_image: told how many calibration images have been read.
    Returns:
        ``target``, or ``onnx_path`` for FP32; and what the sidecar says of it.
    Raises:
        DataError: an image cannot be read.
    """
    if request.kind == "fp32":
        return onnx_path, PrecisionSpec(kind="fp32", high_precision="fp32")
    if request.kind == "fp16":
        _to_fp16(onnx_path, target)
        return target, PrecisionSpec(kind="fp16", high_precision="fp16")
    _to_int8(onnx_path, target, image, request, on_image)
    return target, _int8_spec(request)


def _int8_spec(request: PrecisionRequest) -> PrecisionSpec:
    return PrecisionSpec(
        kind="int8",
        high_precision=request.high_precision,
        calibration_method=request.method,
        calibration_sha256=request.images.sha256 if request.images else None,
        calibration_images=len(request.images or ()),
    )


class _Reader:
    """What Model Optimizer asks for frames: one at a time, so memory does not grow with their number."""

    def __init__(self, image: InputSpec, images: CalibrationSet, on_image: Callable[[int], None]) -> None:
        self._name, self._images, self._on_image = image.name, images, on_image
        self._preprocessor = Preprocessor(image)
        self.rewind()

    def rewind(self) -> None:
        self._frames: Iterator[NDArray[np.uint8]] = iter(self._images)
        self._count = 0

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        frame_bgr = next(self._frames, None)
        if frame_bgr is None:
            return None
        self._count += 1
        self._on_image(self._count)
        return {self._name: self._preprocessor.tensor(frame_bgr)}

    def get_first(self) -> dict[str, NDArray[Any]]:
        """For ModelOpt's trial run, by which it learns how large the matrices of a product are."""
        return {self._name: self._preprocessor.tensor(next(iter(self._images)))}

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        while (batch := self.get_next()) is not None:
            yield batch


def _to_fp16(onnx_path: Path, target: Path) -> None:
    onnx = require("onnx")
    autocast = require("modelopt.onnx.autocast")
    model = autocast.convert_to_mixed_precision(
        str(onnx_path), low_precision_type="fp16", keep_io_types=True, nodes_to_exclude=_ranking(onnx_path)
    )
    onnx.save(model, target)


def _to_int8(
    onnx_path: Path, target: Path, image: InputSpec, request: PrecisionRequest, on_image: Callable[[int], None]
) -> None:
    reader_base = require("onnxruntime.quantization.calibrate").CalibrationDataReader
    quantization = require("modelopt.onnx.quantization")
    reader: Any = type("Reader", (_Reader, reader_base), {})(image, request.images, on_image)
    quantization.quantize(
        str(onnx_path),
        quantize_mode="int8",
        nodes_to_exclude=_ranking(onnx_path),
        calibration_data_reader=reader,
        calibration_method=request.method,
        calibration_eps=["cpu"],
        high_precision_dtype=request.high_precision,
        output_path=str(target),
        log_level="ERROR",
    )


def _ranking(onnx_path: Path) -> list[str]:
    """Patterns for the names of every TopK and of what follows it up to the next layer with weights.

    These are ranks, and the coordinates of what was chosen. In 8 bits most ranks are ties, and a coordinate of a
    picture 1088 pixels wide is 4 pixels off; in float16 still half a pixel.
    """
    graph = require("onnx").load(onnx_path, load_external_data=False).graph
    weights = {one.name for one in graph.initializer}
    names, reached = list[str](), set[str]()
    for node in graph.node:  # in the order of their dependence
        is_layer = node.op_type in LAYERS and not weights.isdisjoint(node.input)
        if node.op_type == "TopK" or (not is_layer and not reached.isdisjoint(node.input)):
            names.append(f"{re.escape(node.name)}$")
            reached.update(node.output)
    return names
