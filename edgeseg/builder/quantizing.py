"""Own the file that quantisation on a host leaves for a device: net.int8.onnx and its sidecar. Build no engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgeseg.builder.backends import open_backend
from edgeseg.builder.backends.base import Progress
from edgeseg.builder.measuring import CalibrationOptions, measured
from edgeseg.builder.plans import Choice, described
from edgeseg.builder.promise import Promise, choose_kept, kept_words
from edgeseg.builder.source import SourceOptions, open_source
from edgeseg.builder.trials import trials_path
from edgeseg.errors import OptionsError
from edgeseg.files import output_errors, sha256_of_file
from edgeseg.graph.publishing import publish, staged
from edgeseg.graph.qdq import QuantisedKind
from edgeseg.graph.saving import save_graph
from edgeseg.sidecars import sidecar_bytes, sidecar_path
from edgeseg.spec import BackendName, ModelSpec

__all__ = ["quantize_file"]


def quantize_file(
    onnx_path: Path,
    target: Path,
    kind: QuantisedKind,
    calibration: CalibrationOptions,
    options: SourceOptions,
    *,
    promise: Promise | None = None,
    judge: BackendName = "openvino",
    kept: tuple[str, ...] = (),
    progress: Progress = lambda fraction, step: None,
    note: Callable[[str], None] = lambda text: None,
) -> ModelSpec:
    """Write a net's quantised master: prepared, on float32, with a pair of Q/DQ nodes on every input to quantise.

    Any back end's engine is built from it, with neither torch nor Model Optimizer; on TensorRT the rest is cast to
    float16 there, but for the nodes that the sidecar names.

    Args:
        onnx_path: the float32 net.
        target: the ONNX file; its sidecar is written beside it. Both appear whole, or neither.
        kind: what the numbers become.
        calibration: on what ranges are measured.
        options: what becomes of the graph first.
        promise: what it may cost; nodes stay in float32 until that holds.
        judge: whose arithmetic the promise is judged by; a plan that does not run here is emulated.
        kept: names of nodes that shall not be quantised; not with ``promise``.
        progress: told what fraction of a step is done.
        note: told what was found.
    Returns:
        What the sidecar says.
    Raises:
        ModelError, SpecError, DataError: an input cannot be used.
        OptionsError: the file is quantised already.
        OutputError: ``target`` cannot be written.
    """
    frames = promise.frames(kind) if promise else None
    source = open_source(onnx_path, options, note=note)
    if source.quantisation is not None:
        raise OptionsError(f"{onnx_path} is quantised already", "build an engine of it, or quantise the float32 net")
    found = measured(
        source,
        kind,
        calibration,
        options,
        on_image=lambda count, total: progress(min(count / total, 1.0), "calibrate"),
        note=note,
    )
    choice = Choice(kept=frozenset(kept))
    if promise is not None:
        backend, state = open_backend(judge), trials_path(target)
        choice = choose_kept(
            found.master, source, kind, backend, promise, frames, calibration, kept, state, progress=progress, note=note
        )
    if choice.kept:
        note(kept_words(source.model, choice.kept, "fp32"))
    told = msgspec.structs.replace(described(found, kind, "fp32", choice), wide=tuple(sorted(found.master.wide)))
    with staged(target) as folder:
        onnx, weights = folder / target.name, None
        with output_errors(target):
            weights = save_graph(found.master.graph(kind, "fp32", kept=choice.kept), onnx)
        spec = msgspec.structs.replace(
            source.spec,
            onnx_sha256=sha256_of_file(onnx),
            weights_sha256=sha256_of_file(weights) if weights else None,
            precision=told,
        )
        sidecar = sidecar_path(onnx)
        sidecar.write_bytes(sidecar_bytes(spec))
        publish([*([weights] if weights else []), onnx, sidecar], target.parent)
    trials_path(target).unlink(missing_ok=True)  # the sidecar says it all
    return spec
