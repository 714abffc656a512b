"""Own the order of a build: open, measure, set the precision, build, write. Do none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgeseg.builder.backends import open_backend
from edgeseg.builder.backends.base import Progress
from edgeseg.builder.measuring import CalibrationOptions, measured
from edgeseg.builder.plans import build_master, described, engine_spec, high_precision_of
from edgeseg.builder.promise import Promise, choose_kept, kept_words
from edgeseg.builder.source import SourceOptions, open_source
from edgeseg.builder.trials import trials_path
from edgeseg.spec import BackendName, EngineSpec, PrecisionKind, write_with_sidecar

__all__ = ["BuildOptions", "build_engine"]

CALIBRATE = "calibrate"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What to build.

    Attributes:
        backend: for whom.
        precision: of the layers; without it what the file was quantised to, or fp32.
        calibration: for int8 and fp8, and for fp16 if the net's own pictures shall decide what float16 cannot hold.
        source: what becomes of the graph first.
        promise: what int8 and fp8 may cost; nodes keep the higher precision until it holds.
        kept: nodes that could be quantised and shall keep the higher precision; not with ``promise``.
    """

    backend: BackendName
    precision: PrecisionKind | None = None
    calibration: CalibrationOptions | None = None
    source: SourceOptions = field(default_factory=SourceOptions)
    promise: Promise | None = None
    kept: tuple[str, ...] = ()


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
    frames = options.promise.frames(kind) if options.promise else None
    found = measured(
        source,
        kind,
        options.calibration,
        options.source,
        on_image=lambda count, total: progress(min(count / total, 1.0), CALIBRATE),
        note=note,
    )
    high = high_precision_of(kind, backend)
    choice = choose_kept(
        found.master,
        source,
        kind,
        backend,
        options.promise,
        frames,
        options.calibration,
        options.kept,
        trials_path(engine_path),
        progress=progress,
        note=note,
    )
    if choice.kept:
        note(kept_words(source.model, choice.kept, high))
    built = build_master(found.master, backend, kind, high, kept=choice.kept, progress=progress)
    spec = engine_spec(source.spec, backend, built, described(found, kind, high, choice))
    write_with_sidecar(engine_path, built.plan, spec)
    trials_path(engine_path).unlink(missing_ok=True)  # the sidecar says it all
    return spec
