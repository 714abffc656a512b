"""Own the order of a build: open, measure, set the precision, build, write. Do none of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgeseg.builder.backends import open_backend
from edgeseg.builder.backends.base import BuilderBackend, Built, Progress
from edgeseg.builder.explaining import explained
from edgeseg.builder.master import Master
from edgeseg.builder.measuring import CalibrationOptions, Measured, measured
from edgeseg.builder.source import SourceOptions, open_source
from edgeseg.errors import BuildError
from edgeseg.files import sha256_of
from edgeseg.graph.saving import save_graph
from edgeseg.spec import (
    BackendName,
    EngineSpec,
    HighPrecision,
    IOTensor,
    ModelSpec,
    PrecisionKind,
    PrecisionSpec,
    write_with_sidecar,
)

__all__ = ["BuildOptions", "build_engine", "build_master", "described", "engine_spec", "high_precision_of"]

CALIBRATE, BUILD = "calibrate", "build"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What to build.

    Attributes:
        backend: for whom.
        precision: of the layers; without it what the file was quantised to, or fp32.
        calibration: for int8 and fp8, and for fp16 if the net's own pictures shall decide what float16 cannot hold.
        source: what becomes of the graph first.
    """

    backend: BackendName
    precision: PrecisionKind | None = None
    calibration: CalibrationOptions | None = None
    source: SourceOptions = field(default_factory=SourceOptions)


def build_engine(
    onnx_path: Path,
    engine_path: Path,
    options: BuildOptions,
    *,
    progress: Progress = lambda fraction, step: None,
    note: Callable[[str], None] = lambda text: None,
) -> EngineSpec:
    """Build ``engine_path`` and its sidecar out of an ONNX file.

    Args:
        onnx_path: with ``.json`` beside it, or of any origin.
        engine_path: written at the end, whole, or not at all.
        options: see BuildOptions.
        progress: told the step and the fraction of it that is done.
        note: told what was done to the graph.
    Returns:
        What the engine's sidecar says.
    Raises:
        ModelError, SpecError, DataError: an input cannot be used.
        BuildError: the options do not go together, or the back end fails.
        MissingPackageError: the back end or Model Optimizer is not installed.
        OutputError: the engine cannot be written.
    """
    backend = open_backend(options.backend)
    if options.precision is not None:
        backend.refuse(options.precision)
    source = open_source(onnx_path, options.source, keeps_foreign=backend.name == "openvino", note=note)
    kind = options.precision or (source.quantisation.kind if source.quantisation else "fp32")
    backend.refuse(kind)
    found = measured(
        source,
        kind,
        options.calibration,
        options.source,
        on_image=lambda count, total: progress(min(count / total, 1.0), CALIBRATE),
        note=note,
    )
    high = high_precision_of(kind, backend)
    built = build_master(found.master, backend, kind, high, progress=progress)
    spec = engine_spec(source.spec, backend, built, described(found, kind, high))
    write_with_sidecar(engine_path, built.plan, spec)
    return spec


def high_precision_of(kind: PrecisionKind, backend: BuilderBackend) -> HighPrecision:
    """What is not quantised computes in."""
    return backend.high_precision if kind == "int8" or kind == "fp8" else kind


def build_master(
    master: Master,
    backend: BuilderBackend,
    kind: PrecisionKind,
    high: HighPrecision,
    *,
    kept: Collection[str] = (),
    progress: Progress = lambda fraction, step: None,
) -> Built:
    """Build one precision of a net.

    Args:
        master: the net.
        backend: it has let ``kind`` pass.
        kind: of the layers.
        high: of what is not quantised.
        kept: names of nodes that could be quantised and shall not be.
        progress: told of every step of the build.
    Raises:
        BuildError: names the nodes that the back end refuses.
    """
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        path = Path(folder) / "net.onnx"
        save_graph(master.graph(kind, high, kept=kept), path)
        try:
            return backend.build(path, precision=kind, progress=lambda fraction, step: progress(fraction, BUILD))
        except BuildError as error:
            raise explained(error, backend, master.model, path) from error


def described(
    found: Measured, kind: PrecisionKind, high: HighPrecision, *, kept: Collection[str] = ()
) -> PrecisionSpec:
    """What the sidecar says of the precision."""
    calibration = found.calibration
    return msgspec.structs.replace(
        found.master.described(kind, high, kept=kept),
        calibration_method=calibration.calibration_method,
        calibration_sha256=calibration.calibration_sha256,
        calibration_images=calibration.calibration_images,
    )


def engine_spec(model: ModelSpec, backend: BuilderBackend, built: Built, precision: PrecisionSpec) -> EngineSpec:
    """The sidecar of a plan."""
    return EngineSpec(
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


def _io_tensors(model: ModelSpec) -> tuple[IOTensor, ...]:
    image, head = model.input, model.head
    return (
        IOTensor(name=image.name, mode="input", dtype=image.dtype, shape=image.shape),
        IOTensor(name=head.output, mode="output", dtype=head.dtype, shape=head.shape),
    )
