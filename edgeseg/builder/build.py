"""Own the order of a build: open, measure, set the precision, build, write. Do none of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeseg.builder.backends import open_backend
from edgeseg.builder.backends.base import Progress
from edgeseg.builder.build_options import BuildOptions, VerifyOptions
from edgeseg.builder.measuring import measured
from edgeseg.builder.plans import build_master, described, engine_spec, high_precision_of
from edgeseg.builder.promise import choose_kept, kept_words
from edgeseg.builder.source import open_source
from edgeseg.builder.trials import trials_path
from edgeseg.errors import OptionsError
from edgeseg.spec import EngineSpec, write_with_sidecar

__all__ = ["BuildOptions", "VerifyOptions", "build_engine"]

CALIBRATE = "calibrate"


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
    _check(options)
    backend = open_backend(options.backend, options.tensorrt)
    if options.precision is not None:
        backend.refuse(options.precision)
    source = open_source(
        onnx_path,
        options.source,
        size_hw=options.profiles[0].optimum[1:] if options.profiles else None,
        keeps_foreign=backend.name == "openvino",
        note=note,
    )
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
    built = build_master(
        found.master, backend, kind, high, kept=choice.kept, profiles=options.profiles, progress=progress
    )
    for text in built.notes:
        note(text)
    spec = engine_spec(source.spec, backend, built, described(found, kind, high, choice), profiles=options.profiles)
    write_with_sidecar(engine_path, built.plan, spec, weights=built.weights)
    trials_path(engine_path).unlink(missing_ok=True)  # the sidecar says it all
    return spec


def _check(options: BuildOptions) -> None:
    if options.scores != "float32":
        raise OptionsError(f"scores leave the engine in float32, not in {options.scores}", "leave --scores out")
    if options.verify is not None:
        raise OptionsError("an engine cannot be compared with float32 yet", "leave --verify out")
