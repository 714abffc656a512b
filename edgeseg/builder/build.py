"""Own the order of a build: read, check, set the precision, build, write. Do none of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeseg.builder.backends import open_backend
from edgeseg.builder.backends.base import Progress
from edgeseg.builder.graph import check_against_spec, read_graph
from edgeseg.builder.precision import CalibrationMethod, PrecisionRequest, apply_precision
from edgeseg.data import CalibrationSet
from edgeseg.files import sha256_of
from edgeseg.spec import (
    BackendName,
    EngineSpec,
    IOTensor,
    ModelSpec,
    PrecisionKind,
    read_model_spec,
    write_with_sidecar,
)

__all__ = ["BuildOptions", "build_engine"]

CALIBRATE, BUILD = "calibrate", "build"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What to build. ``calibration_folder`` goes with int8 alone."""

    backend: BackendName
    precision: PrecisionKind
    calibration_folder: Path | None = None
    calibration_method: CalibrationMethod = "max"


def build_engine(
    onnx_path: Path,
    engine_path: Path,
    options: BuildOptions,
    *,
    progress: Progress = lambda fraction, step: None,
) -> EngineSpec:
    """Build ``engine_path`` and its sidecar out of ``onnx_path`` and its sidecar.

    Args:
        onnx_path: with ``.json`` beside it.
        engine_path: written at the end, whole, or not at all.
        options: see BuildOptions.
        progress: told the step and the fraction of it that is done.
    Returns:
        What the engine's sidecar says.
    Raises:
        ModelError, SpecError, DataError: an input cannot be used.
        BuildError: the options do not go together, or the back end fails.
        MissingPackageError: the back end or Model Optimizer is not installed.
        OutputError: the engine cannot be written.
    """
    backend = open_backend(options.backend)
    backend.refuse(options.precision)
    images = CalibrationSet(options.calibration_folder) if options.calibration_folder else None
    request = PrecisionRequest(
        kind=options.precision,
        high_precision=backend.int8_high_precision,
        images=images,
        method=options.calibration_method,
    )
    data, graph = read_graph(onnx_path)
    model = read_model_spec(onnx_path, data)
    check_against_spec(onnx_path, graph, model)
    total = len(images) if images else 1
    prepared, precision = apply_precision(
        data, model.input, request, on_image=lambda count: progress(min(count / total, 1.0), CALIBRATE)
    )
    built = backend.build(prepared, progress=lambda fraction, step: progress(fraction, BUILD))
    spec = EngineSpec(
        model=model,
        backend=backend.name,
        backend_version=backend.version,
        device=built.device,
        compute_capability=built.compute_capability,
        precision=precision,
        options=built.options,
        io=_io_tensors(model),
        plan_sha256=sha256_of(built.plan),
        plan_bytes=len(built.plan),
    )
    write_with_sidecar(engine_path, built.plan, spec)
    return spec


def _io_tensors(model: ModelSpec) -> tuple[IOTensor, ...]:
    return (
        IOTensor(name=model.input.name, mode="input", shape=model.input.shape),
        IOTensor(name=model.head.output, mode="output", shape=model.head.shape),
    )
