"""Own the question which inputs are quantised: Model Optimizer answers, as TensorRT wants it. Measure no range."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ModelError
from edgeseg.graph.access import constant_of, described, shape_of
from edgeseg.graph.qdq import LAYERS, QuantisedKind, Site, lifted, sites_in
from edgeseg.graph.qdq_rules import COPIES
from edgeseg.graph.saving import save_graph
from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["placed"]

SEED = 0
QUIET = 50  # Polygraphy's CRITICAL


class _Noise:
    """One picture of noise: Model Optimizer runs the net to learn sizes, and measures ranges that are not used."""

    def __init__(self, value: ir.Value) -> None:
        shape = shape_of(value) or ()
        noise = np.random.default_rng(SEED).uniform(0.0, 1.0, shape)
        dtype = np.uint8 if value.dtype == require("onnx_ir").DataType.UINT8 else np.float32
        self._feed = {value.name or "": (noise * (255 if dtype == np.uint8 else 1)).astype(dtype)}
        self.rewind()

    def rewind(self) -> None:
        self._is_read = False

    def get_first(self) -> dict[str, NDArray[Any]]:
        return self._feed

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        is_read, self._is_read = self._is_read, True
        return None if is_read else self._feed

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        while (feed := self.get_next()) is not None:
            yield feed


def placed(model: ir.Model, kind: QuantisedKind, *, apart: frozenset[str] = frozenset()) -> tuple[Site, ...]:
    """The inputs to quantise, in the order of the graph.

    Model Optimizer's placement is TensorRT's: the inputs of layers, one branch of a residual addition, what is pooled,
    nothing that an output hangs on. Taken off it are the copies that it quantises on the way, for Q/DQ moves across
    those by itself.

    Args:
        model: prepared, in float32, without quantisation; left as it is.
        kind: what the numbers become.
        apart: names of nodes that must not be quantised.
    Raises:
        MissingPackageError: Model Optimizer is not installed.
        ModelError: weights of a layer are not finite.
    """
    _check_weights(model)
    require("polygraphy.logger").G_LOGGER.module_severity = QUIET  # it prints its warnings whatever logging says
    reader_base = require("onnxruntime.quantization.calibrate").CalibrationDataReader
    quantization = require("modelopt.onnx.quantization")
    reader: Any = type("Reader", (_Noise, reader_base), {})(model.graph.inputs[0])
    onnx_ir = require("onnx_ir")
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        source, target = Path(folder) / "net.onnx", Path(folder) / "net.quant.onnx"
        save_graph(model, source)
        quantization.quantize(
            str(source),
            quantize_mode=kind,
            nodes_to_exclude=[f"{re.escape(name)}$" for name in sorted(apart)],
            calibration_data_reader=reader,
            calibration_method="max",
            calibration_eps=["cpu"],
            high_precision_dtype="fp32",
            output_path=str(target),
            log_level="ERROR",
        )
        template = lifted(onnx_ir.load(target)).quantisation
    copies = {node.name for node in model.graph if node.op_type in COPIES}
    places = [(site.node, site.input_index) for site in template.sites if site.node not in copies | apart]
    return tuple(sites_in(model, places))


def _check_weights(model: ir.Model) -> None:
    for node in model.graph:
        for value in node.inputs if node.op_type in LAYERS else ():
            numbers = constant_of(value)
            if numbers is not None and not np.isfinite(numbers).all():
                raise ModelError(f"{described(node)} has weights that are NaN or infinite", "look at the checkpoint")
