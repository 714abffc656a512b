"""Own all that is found out, and refused, before anything expensive of a build is done. Calibrate and build nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeseg.builder.backends import BuilderBackend, open_backend
from edgeseg.builder.build_key import build_key, same_build
from edgeseg.builder.build_options import BuildOptions
from edgeseg.builder.measuring import check_calibration
from edgeseg.builder.memory_plan import MemoryPlan, memory_plan
from edgeseg.builder.plans import high_precision_of
from edgeseg.builder.promise import check_choice
from edgeseg.builder.scores import check_scores, for_layers
from edgeseg.builder.source import Source, open_source
from edgeseg.data import LabelledSet
from edgeseg.errors import BuildError, DataError, OptionsError
from edgeseg.spec import EngineSpec, HighPrecision, ModelSpec, PrecisionKind
from edgeseg.trt_api import driver_state

__all__ = ["Opened", "Preflight", "open_net", "preflight"]

Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """A build before its net is opened.

    Attributes:
        backend: that will build.
        key: hash of all that decides the result.
        same: the sidecar of the engine that is there, where it is whole and of the same key; whether that keeps the
            build from being done is for the caller to say.
    """

    backend: BuilderBackend
    key: str
    same: EngineSpec | None


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A build whose net is open and whose options go together.

    Attributes:
        source: the net.
        kind: of its layers.
        high: of what is not quantised.
        frames: of the promise, not yet read; None without one.
        memory: what the build and its engine take.
    """

    source: Source
    kind: PrecisionKind
    high: HighPrecision
    frames: LabelledSet | None
    memory: MemoryPlan


def preflight(onnx_path: Path, engine_path: Path, options: BuildOptions, *, note: Note) -> Preflight:
    """Open the back end and compare the build with the engine that is there; the net is only hashed.

    Raises:
        MissingPackageError: the back end is not installed.
        OptionsError, BuildError: it cannot build, or not here compare, what is asked for.
        ModelError, DataError: a file to be hashed cannot be read.
    """
    backend = open_backend(options.backend, options.tensorrt)
    if options.precision is not None:
        backend.refuse(options.precision)
    backend.refuse_profiles(options.profiles)
    if options.verify is not None and not backend.runs_here:
        reason = driver_state().reason or "it is for other devices"
        raise BuildError(
            f"what {backend.name} builds cannot be compared with float32 here ({reason})",
            "leave --verify out, or build on the device",
        )
    try:
        key = build_key(onnx_path, options, backend)
    except DataError:
        open_net(onnx_path, options, backend, note=note)  # a wrong use comes before a wrong path
        raise
    return Preflight(backend=backend, key=key, same=same_build(engine_path, key, note))


def open_net(onnx_path: Path, options: BuildOptions, backend: BuilderBackend, *, note: Note) -> Opened:
    """Read and prepare the net, and refuse what does not go together with it.

    Raises:
        ModelError, SpecError, DataError: an input cannot be used.
        OptionsError, BuildError: the options do not go together, or not with the file.
    """
    source = open_source(
        onnx_path,
        options.source,
        size_hw=options.profiles[0].optimum[1:] if options.profiles else None,
        keeps_foreign=backend.name == "openvino",
        note=note,
    )
    kind = options.precision or (source.quantisation.kind if source.quantisation else "fp32")
    backend.refuse(kind)
    calibration = for_layers(source, kind, options.scores, options.calibration)
    check_calibration(source, kind, calibration)
    check_scores(source.spec.head, options.scores, options.calibration)
    _check_formats(source.spec, backend)
    source.opened(source.model, options.profiles)  # what cannot be opened is refused before images are read
    frames = options.promise.frames(kind) if options.promise else None
    check_choice(kind, options.promise, frames, calibration, options.kept)
    _check_names(source, options.kept)
    high, pools = high_precision_of(kind, backend), options.tensorrt.pools if options.tensorrt else ()
    memory = memory_plan(
        source,
        kind,
        high,
        backend,
        profiles=options.profiles,
        scores=options.scores,
        workspace_bytes=dict(pools).get("workspace"),
    )
    return Opened(source=source, kind=kind, high=high, frames=frames, memory=memory)


def _check_formats(model: ModelSpec, backend: BuilderBackend) -> None:
    """TensorRT's formats say how channels lie that the graph counts first."""
    for tensor, layout, found in zip(
        ("input", "output"), (model.input.layout, model.head.layout), backend.formats, strict=True
    ):
        if layout == "NHWC" and found != "linear":
            raise OptionsError(
                f"the net's {tensor} has its channels last already, {found} is for nets that have them first",
                f"leave --{tensor}-format out",
            )


def _check_names(source: Source, kept: tuple[str, ...]) -> None:
    """Which of the net's nodes would be quantised is known later, and refused then."""
    strange = sorted(set(kept) - {node.name for node in source.model.graph})
    if strange:
        raise OptionsError(
            f"'{strange[0]}' is no node that would be quantised", "'edgeseg diagnose' lists those that would be"
        )
