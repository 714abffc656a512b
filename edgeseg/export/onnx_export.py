"""Own the export of one net to one ONNX file and its sidecar, checked before they are written. Rewrite no graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ModelError
from edgeseg.export.divergence import first_divergence
from edgeseg.export.outputs import WRAPPED, run, run_exactly, single_output
from edgeseg.export.parity import Case, Parity, check_parity
from edgeseg.export.profiles import Shape, check_profile
from edgeseg.export.quiet import quiet
from edgeseg.export.samples import Sample, nchw, samples
from edgeseg.export.sources import net_of
from edgeseg.export.tracing import INPUT_NAME, Traced, trace
from edgeseg.files import output_errors, sha256_of_file
from edgeseg.graph.access import infer_shapes
from edgeseg.graph.publishing import publish, staged
from edgeseg.graph.saving import INSIDE_BYTES, save_graph
from edgeseg.graph.simplifying import with_input_shape
from edgeseg.graph.tail import Tail, find_tail
from edgeseg.imaging.preprocess import Frame
from edgeseg.packages import require
from edgeseg.sidecars import sidecar_bytes, sidecar_path
from edgeseg.spec import FrameOptions, InputSpec, LabelSpec, ModelSpec, ProfileSpec

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn
    from torch.export import ExportedProgram

__all__ = ["ExportOptions", "ExportResult", "export_model"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a net is exported: what frames become before they enter, and which output holds the scores or class ids.

    ``output`` is a key, an attribute or an index where the net returns several tensors. ``profile`` leaves batch,
    height and width open where its minimum and maximum differ; its optimum has ``size_hw``.
    """

    size_hw: tuple[int, int]
    frame: FrameOptions = field(default_factory=FrameOptions)
    output: str | None = None
    opset: int = 19
    profile: ProfileSpec | None = None


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What was written, how far it differs from PyTorch, and what the user should know.

    ``onnx_bytes`` counts the weights' own file too, where there is one.
    """

    spec: ModelSpec
    parity: Parity
    onnx_bytes: int
    notes: tuple[str, ...]


def export_model(
    source: nn.Module | ExportedProgram,
    onnx_path: Path,
    options: ExportOptions,
    *,
    labels: Callable[[int | None], LabelSpec],
    sample_bgr: Frame,
    inside_bytes: int = INSIDE_BYTES,
) -> ExportResult:
    """Export, compare with PyTorch, then write ``net.onnx`` and ``net.json``, and ``net.onnx.data`` if need be.

    Args:
        source: a module (changed in place: evaluation mode, float32), TorchScript, or an exported program; it takes
            float32 NCHW.
        onnx_path: ends in .onnx.
        options: see ExportOptions.
        labels: gives the class names for a number of classes, or for None where finished ids do not tell it.
        sample_bgr: a photograph, uint8 (H, W, 3), any size.
        inside_bytes: larger weights go to ``net.onnx.data``.
    Raises:
        ModelError: the net does not take the input, has no such output, or cannot be exported.
        ParityError: ONNX and PyTorch differ; nothing is written.
        OutputError: the files cannot be written.
    """
    image = _input_of(options)
    largest = nchw(image, _largest(image))
    net = net_of(source, largest)
    single = single_output(net.module, options.output)
    if image.profile is not None:
        check_profile(image.profile, lambda shape: _runs(single, nchw(image, shape)))
    tried = samples(single, image, sample_bgr)
    output = "logits" if np.issubdtype(tried[0].expected.dtype, np.floating) else "ids"
    traced = trace(single, largest, output=output, opset=options.opset, profile=image.profile)
    tails = [_tail(traced.model, sample) for sample in tried]
    named = _labels(tails[0], tried[0], labels)
    cases = [Case(one.name, one.tensor, one.expected, tail.uncut) for one, tail in zip(tried, tails, strict=True)]
    with staged(onnx_path) as folder:
        graph, weights = _saved(traced.model, folder / onnx_path.name, inside_bytes)
        parity = check_parity(
            graph,
            cases,
            blame=lambda case: _blame(graph, traced, single, case),
            exact=lambda case: _exact(single, case),
        )
        hashes = sha256_of_file(graph), sha256_of_file(weights) if weights else None
        spec = ModelSpec(
            onnx_sha256=hashes[0], weights_sha256=hashes[1], input=image, head=tails[0].uncut, labels=named
        )
        files = [graph] if weights is None else [weights, graph]
        onnx_bytes = sum(one.stat().st_size for one in files)
        publish([*files, _sidecar(graph, spec)], onnx_path.parent)
    return ExportResult(spec=spec, parity=parity, onnx_bytes=onnx_bytes, notes=net.notes)


def _input_of(options: ExportOptions) -> InputSpec:
    try:
        return options.frame.input_spec(name=INPUT_NAME, size_hw=options.size_hw, profile=options.profile)
    except ValueError as error:
        raise ModelError(f"the input cannot be: {error}", "change the options") from error


def _largest(image: InputSpec) -> Shape:
    return (1, *image.size_hw) if image.profile is None else image.profile.maximum


def _runs(single: nn.Module, shape: tuple[int, ...]) -> bool:
    try:
        run(single, require("torch").zeros(shape))
    except ModelError:
        return False
    return True


def _tail(model: ir.Model, sample: Sample) -> Tail:
    """What the graph's own output means for one image of the sample's size."""
    one, made = (1, *sample.tensor.shape[1:]), (1, *sample.expected.shape[1:])
    if model.graph.inputs[0].shape == one:
        return find_tail(model)
    fixed = with_input_shape(model, one)
    with quiet():  # shapes that do not fit are told by the comparison
        infer_shapes(fixed)
        fixed.graph.outputs[0].shape = require("onnx_ir").Shape(made)  # which PyTorch knows even where ONNX cannot tell
        return find_tail(fixed)


def _labels(tail: Tail, sample: Sample, labels: Callable[[int | None], LabelSpec]) -> LabelSpec:
    """Finished class ids do not say how many there are, unless what they were made of can be seen, or they are bool."""
    count: int | None = max(tail.head.channels, 2)
    if tail.head.decision == "ids":
        count = 2 if sample.expected.dtype == np.bool_ else None
    named = labels(count)
    if not named.classes:
        raise ModelError("the net gives finished class ids, of how many classes is not seen", "give --classes")
    return named


def _saved(model: ir.Model, graph: Path, inside_bytes: int) -> tuple[Path, Path | None]:
    with output_errors(graph):
        return graph, save_graph(model, graph, inside_bytes=inside_bytes)


def _blame(graph: Path, traced: Traced, single: nn.Module, case: Case) -> str:
    given = require("torch").from_numpy(case.tensor)
    net = single.get_submodule(WRAPPED)
    place = first_divergence(graph, traced.scopes, net, case.tensor, run=lambda: run(single, given))
    return f"nothing was written; {place}"


def _exact(single: nn.Module, case: Case) -> NDArray[np.generic] | None:
    made = run_exactly(single, require("torch").from_numpy(case.tensor))
    return None if made is None else made.numpy()


def _sidecar(graph: Path, spec: ModelSpec) -> Path:
    path = sidecar_path(graph)
    with output_errors(path):
        path.write_bytes(sidecar_bytes(spec))
    return path
