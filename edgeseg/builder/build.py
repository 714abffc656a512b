"""Own the order of a build: read, prepare, set the precision, build, write. Do none of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgeseg.builder.backends import open_backend
from edgeseg.builder.backends.base import Progress
from edgeseg.builder.explaining import explained
from edgeseg.builder.precision import CalibrationMethod, PrecisionRequest, apply_precision
from edgeseg.data import CalibrationSet
from edgeseg.errors import BuildError, SpecError
from edgeseg.files import sha256_of
from edgeseg.graph.preparing import Prepared, PrepareOptions, described_input, prepare
from edgeseg.graph.reading import GraphFile, read_graph
from edgeseg.graph.saving import save_graph
from edgeseg.imaging.palettes import labels_for
from edgeseg.spec import (
    BackendName,
    EngineSpec,
    FrameOptions,
    IOTensor,
    LabelSpec,
    ModelSpec,
    PrecisionKind,
    read_model_spec,
    sidecar_path,
    write_with_sidecar,
)

__all__ = ["BuildOptions", "ReadyModel", "build_engine"]

CALIBRATE, BUILD = "calibrate", "build"


@dataclass(frozen=True, kw_only=True)
class ReadyModel:
    """What the sidecar would say of an ONNX file that came without one.

    ``labels`` is a file of class names; ``classes`` is how many are expected, and needed where the net gives finished
    class ids and its end is unknown.
    """

    frame: FrameOptions = field(default_factory=FrameOptions)
    labels: Path | None = None
    classes: int | None = None


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What to build. ``calibration_folder`` goes with int8 alone, ``ready`` with a file that has no sidecar."""

    backend: BackendName
    precision: PrecisionKind
    calibration_folder: Path | None = None
    calibration_method: CalibrationMethod = "max"
    prepare: PrepareOptions = field(default_factory=PrepareOptions)
    ready: ReadyModel | None = None


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
    backend.refuse(options.precision)
    images = CalibrationSet(options.calibration_folder) if options.calibration_folder else None
    request = PrecisionRequest(
        kind=options.precision,
        high_precision=backend.int8_high_precision,
        images=images,
        method=options.calibration_method,
    )
    graph = read_graph(onnx_path)
    prepared, model = _prepared(graph, options, note)
    total = len(images) if images else 1
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        source, target = Path(folder) / "net.onnx", Path(folder) / "net.precise.onnx"
        save_graph(prepared.model, source)
        precise, precision = apply_precision(
            source, target, model.input, request, on_image=lambda count: progress(min(count / total, 1.0), CALIBRATE)
        )
        try:
            built = backend.build(precise, progress=lambda fraction, step: progress(fraction, BUILD))
        except BuildError as error:
            raise explained(error, backend, prepared.model, precise) from error
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


def _prepared(graph: GraphFile, options: BuildOptions, note: Callable[[str], None]) -> tuple[Prepared, ModelSpec]:
    """The graph for every back end, and what it means: by its sidecar, or by the user's word."""
    has_sidecar = sidecar_path(graph.path).exists()
    if has_sidecar and options.ready is not None:
        raise BuildError(
            f"{sidecar_path(graph.path)} says already what {graph.path.name} takes and means",
            "leave the options that describe the net out, or move the sidecar away",
        )
    if has_sidecar:
        told = read_model_spec(graph.path, sha256=graph.sha256, weights_sha256=graph.weights_sha256)
        prepared = prepare(graph, told.input, options.prepare, head=told.head)
        labels = _matching(told.labels, sidecar_path(graph.path), prepared)
    else:
        ready = options.ready or ReadyModel()
        image = described_input(graph, ready.frame, size_hw=options.prepare.size_hw)
        note(f"{graph.path} has no sidecar: frames are taken as {_frame_words(ready.frame)}")
        prepared = prepare(graph, image, options.prepare)
        labels = _labels(graph, prepared, ready)
    for text in prepared.notes:
        note(text)
    return prepared, ModelSpec(
        onnx_sha256=graph.sha256,
        weights_sha256=graph.weights_sha256,
        input=prepared.image,
        head=prepared.head,
        labels=labels,
    )


def _matching(labels: LabelSpec, sidecar: Path, prepared: Prepared) -> LabelSpec:
    """A sidecar of finished ids may name any number of classes; what they are made of shows the net's."""
    if prepared.classes not in (None, len(labels.classes)):
        raise SpecError(
            f"{sidecar} names {len(labels.classes)} classes, the net gives {prepared.classes}",
            "name every class of the net, or run 'edgeseg export' again",
        )
    return labels


def _labels(graph: GraphFile, prepared: Prepared, ready: ReadyModel) -> LabelSpec:
    count = prepared.classes or ready.classes
    if count is None and ready.labels is None:
        raise BuildError(f"{graph.path} gives finished class ids, of how many classes is not seen", "give --classes")
    return labels_for(count, ready.labels, expected=ready.classes)


def _frame_words(frame: FrameOptions) -> str:
    mean, std = (",".join(f"{one:g}" for one in values) for values in (frame.mean, frame.std))
    return f"{frame.colour}, mean {mean}, std {std}, {frame.resize}, {frame.interpolation}"


def _io_tensors(model: ModelSpec) -> tuple[IOTensor, ...]:
    image, head = model.input, model.head
    return (
        IOTensor(name=image.name, mode="input", dtype=image.dtype, shape=image.shape),
        IOTensor(name=head.output, mode="output", dtype=head.dtype, shape=head.shape),
    )
