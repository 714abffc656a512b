"""Own the gathering of all that can be told of an ONNX file without building it. Write no text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.builder.survey import BackendSurvey, survey
from edgeseg.errors import ModelError
from edgeseg.graph.access import shape_of
from edgeseg.graph.counting import GraphCounts, count
from edgeseg.graph.preparing import Prepared, PrepareOptions, described_input, prepare
from edgeseg.graph.reading import GraphFile, image_input, read_graph
from edgeseg.graph.simplifying import simplified, with_input_shape
from edgeseg.sidecars import read_model_spec, sidecar_path
from edgeseg.spec import FrameOptions, InputSpec, ModelSpec

__all__ = ["Inspection", "as_json", "inspect_onnx"]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All that is known of an ONNX file.

    Attributes:
        graph: the file.
        sidecar: what stands beside it; it fits.
        counted_at: the image's shape that MACs and memory are counted at; None where it is open.
        counts: of the file's own graph; where its sizes are open, of the one simplified for ``counted_at``.
        prepared: the graph that build-engine makes of it; None where it refuses.
        problem: why it refuses.
        backends: what their parsers say.
    """

    graph: GraphFile
    sidecar: ModelSpec | None
    counted_at: tuple[int, ...] | None
    counts: GraphCounts
    prepared: Prepared | None
    problem: str
    backends: tuple[BackendSurvey, ...]


def inspect_onnx(path: Path, options: PrepareOptions) -> Inspection:
    """Read, count and prepare an ONNX file, and ask every back end's parser; takes seconds, builds nothing.

    Args:
        path: with or without its sidecar.
        options: as for a build; ``size_hw`` is the size to count at where the net leaves it open.
    Raises:
        ModelError: no ONNX file, or a damaged one.
        SpecError: there is a sidecar, and it does not fit.
    """
    graph = read_graph(path)
    sidecar = None
    if sidecar_path(path).exists():
        sidecar = read_model_spec(path, sha256=graph.sha256, weights_sha256=graph.weights_sha256)
    image, prepared, problem = None, None, ""
    try:
        image = sidecar.input if sidecar else _image_of(graph, options.size_hw)
        prepared = prepare(graph, image, options, head=sidecar.head if sidecar else None)
    except ModelError as error:
        problem = str(error)
    counted_at, counts = _counted(graph, prepared.image if prepared else image)
    return Inspection(
        graph=graph,
        sidecar=sidecar,
        counted_at=counted_at,
        counts=counts,
        prepared=prepared,
        problem=problem,
        backends=survey(graph.model, prepared),
    )


def as_json(found: Inspection, *, all_nodes: bool) -> dict[str, Any]:
    """Exact figures for programs; ``node_list`` is empty without ``all_nodes``."""
    counts, prepared = found.counts, found.prepared
    plain: dict[str, Any] = msgspec.to_builtins(
        {
            "path": str(found.graph.path),
            "bytes": found.graph.file_bytes,
            "sha256": found.graph.sha256,
            "opset": found.graph.model.opset_imports[""],
            "sidecar": found.sidecar,
            "counted_at": found.counted_at,
            "nodes": len(counts.nodes),
            "layers": counts.layers,
            "parameters": counts.parameters,
            "parameter_bytes": counts.parameter_bytes,
            "macs": counts.macs,
            "activation_bytes": counts.activation_bytes,
            "peak_bytes": counts.peak_bytes,
            "operators": counts.by_op(),
            "node_list": counts.nodes if all_nodes else (),
            "input": prepared.image if prepared else None,
            "head": prepared.head if prepared else None,
            "notes": prepared.notes if prepared else (),
            "problem": found.problem,
            "backends": found.backends,
        }
    )
    return plain


def _image_of(graph: GraphFile, size_hw: tuple[int, int] | None) -> InputSpec:
    """The input of a file without a sidecar; of its colours only their number counts here."""
    shape = image_input(graph.path, graph.model).shape
    is_gray = 1 in (shape[1], shape[3]) and 3 not in (shape[1], shape[3])
    frame = FrameOptions(colour="GRAY", mean=(0.5,), std=(0.5,)) if is_gray else FrameOptions()
    return described_input(graph, frame, size_hw=size_hw)


def _counted(graph: GraphFile, image: InputSpec | None) -> tuple[tuple[int, ...] | None, GraphCounts]:
    shape = shape_of(graph.model.graph.inputs[0])
    if shape is not None or image is None:
        return shape, count(graph.model)
    return image.shape, count(simplified(with_input_shape(graph.model, image.shape)))
