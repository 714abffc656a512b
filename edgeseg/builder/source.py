"""Own what a build starts from: an ONNX file as a float32 graph that every back end takes, and what it means."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeseg.errors import OptionsError, SpecError
from edgeseg.graph.opening import opened
from edgeseg.graph.preparing import Prepared, PrepareOptions, described_input, prepare
from edgeseg.graph.qdq import Quantisation, has_qdq, lifted, sites_in
from edgeseg.graph.qdq_rules import check_qdq, violations
from edgeseg.graph.reading import GraphFile, read_graph
from edgeseg.imaging.palettes import labels_for
from edgeseg.sidecars import read_model_spec, sidecar_path
from edgeseg.spec import FrameOptions, HeadSpec, InputSpec, LabelSpec, ModelSpec, PrecisionSpec, ProfileSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ReadyModel", "Source", "SourceOptions", "open_source"]


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
class SourceOptions:
    """What becomes of the graph, and for a file that has no sidecar what it means."""

    prepare: PrepareOptions = field(default_factory=PrepareOptions)
    ready: ReadyModel | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A net in float32.

    Attributes:
        path: of the ONNX file.
        model: the prepared graph, without quantisation.
        spec: what it means; its ``precision`` is None.
        quantisation: what the file was quantised by; None where it was not.
        precision: what the sidecar of 'edgeseg quantize' says of that.
        prepared_at: the same graph prepared at another size, height x width; None of a file that takes one size only.
    """

    path: Path
    model: ir.Model
    spec: ModelSpec
    quantisation: Quantisation | None = None
    precision: PrecisionSpec | None = None
    prepared_at: Callable[[tuple[int, int]], ir.Model] | None = None

    def opened(self, model: ir.Model, profiles: Sequence[ProfileSpec]) -> ir.Model:
        """A precision of this net with its sides open as far as the profiles differ; as it is without one.

        Raises:
            BuildError: a size or the batch is baked in.
            OptionsError: the file takes one size only.
        """
        if not profiles:
            return model
        if self.prepared_at is None:
            raise OptionsError(
                f"{self.path} was prepared for one size when it was quantised",
                "build from the float32 net with --precision and --calib-data",
            )
        image, head = self.spec.input, self.spec.head
        return opened(model, image=image, head=head, profiles=profiles, prepared_at=self.prepared_at)


def open_source(
    onnx_path: Path,
    options: SourceOptions,
    *,
    size_hw: tuple[int, int] | None = None,
    keeps_foreign: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> Source:
    """Read and prepare an ONNX file.

    Args:
        onnx_path: with ``.json`` beside it, or of any origin; quantised or not.
        options: see SourceOptions.
        size_hw: a profile's optimum, which decides the size instead of the options.
        keeps_foreign: leave a quantisation in the graph that breaks TensorRT's rules, instead of refusing it.
        note: told what was done to the graph.
    Raises:
        ModelError, SpecError: the file or its sidecar cannot be used.
        OptionsError: the options do not fit the file.
        BuildError: it is quantised as TensorRT does not take it.
    """
    graph = read_graph(onnx_path)
    if not sidecar_path(onnx_path).exists():
        return _without_sidecar(graph, _sized(options, size_hw), keeps_foreign, note)
    told = read_model_spec(onnx_path, sha256=graph.sha256, weights_sha256=graph.weights_sha256)
    if told.precision is not None:
        return _finished(graph, told, options, size_hw)
    return _with_sidecar(graph, told, _sized(options, size_hw), keeps_foreign, note)


def _sized(options: SourceOptions, size_hw: tuple[int, int] | None) -> SourceOptions:
    if size_hw is None:
        return options
    asked = options.prepare.size_hw
    if asked not in (None, size_hw):
        raise OptionsError(
            f"size {asked} is not the first profile's optimum, {size_hw}",
            "leave one of the two out: the optimum decides",
        )
    return dataclasses.replace(options, prepare=dataclasses.replace(options.prepare, size_hw=size_hw))


def _finished(graph: GraphFile, told: ModelSpec, options: SourceOptions, size_hw: tuple[int, int] | None) -> Source:
    """What 'edgeseg quantize' wrote is prepared already."""
    if size_hw not in (None, told.input.size_hw):
        raise OptionsError(
            f"{graph.path} was quantised at {told.input.size_hw}, the first profile's optimum is {size_hw}",
            "let the first profile have its optimum there, or quantise the float32 net at the other size",
        )
    if options != SourceOptions():
        raise OptionsError(
            f"{graph.path} was prepared when it was quantised",
            "give the options that change or describe the net to 'edgeseg quantize'",
        )
    check_qdq(graph.model)
    model, quantisation = lifted(graph.model)
    spec = msgspec.structs.replace(told, precision=None)
    return Source(path=graph.path, model=model, spec=spec, quantisation=quantisation, precision=told.precision)


def _with_sidecar(
    graph: GraphFile, told: ModelSpec, options: SourceOptions, keeps_foreign: bool, note: Callable[[str], None]
) -> Source:
    if options.ready is not None:
        raise OptionsError(
            f"{sidecar_path(graph.path)} says already what {graph.path.name} takes and means",
            "leave the options that describe the net out, or move the sidecar away",
        )
    graph, found = _unquantised(graph, keeps_foreign, note)
    prepared_at = _preparing(graph, told.input, options.prepare, told.head)
    prepared = prepared_at(options.prepare.size_hw)
    labels = _matching(told.labels, sidecar_path(graph.path), prepared)
    return _source(graph, prepared, labels, found, prepared_at, note)


def _without_sidecar(
    graph: GraphFile, options: SourceOptions, keeps_foreign: bool, note: Callable[[str], None]
) -> Source:
    ready = options.ready or ReadyModel()
    image = described_input(graph, ready.frame, size_hw=options.prepare.size_hw)
    note(f"{graph.path} has no sidecar: frames are taken as {_frame_words(ready.frame)}")
    graph, found = _unquantised(graph, keeps_foreign, note)
    prepared_at = _preparing(graph, image, options.prepare, None)
    prepared = prepared_at(options.prepare.size_hw)
    return _source(graph, prepared, _labels(graph, prepared, ready), found, prepared_at, note)


def _preparing(
    graph: GraphFile, image: InputSpec, options: PrepareOptions, head: HeadSpec | None
) -> Callable[[tuple[int, int] | None], Prepared]:
    """``prepare`` for any size."""
    return lambda size_hw: prepare(graph, image, dataclasses.replace(options, size_hw=size_hw), head=head)


def _source(
    graph: GraphFile,
    prepared: Prepared,
    labels: LabelSpec,
    found: Quantisation | None,
    prepared_at: Callable[[tuple[int, int]], Prepared],
    note: Callable[[str], None],
) -> Source:
    for text in prepared.notes:
        note(text)
    spec = ModelSpec(
        onnx_sha256=graph.sha256,
        weights_sha256=graph.weights_sha256,
        input=prepared.image,
        head=prepared.head,
        labels=labels,
    )
    quantisation = _moved(found, prepared.model, note) if found else None
    return Source(
        path=graph.path,
        model=prepared.model,
        spec=spec,
        quantisation=quantisation,
        prepared_at=functools.cache(lambda size_hw: prepared_at(size_hw).model),  # asked before and after calibrating
    )


def _unquantised(
    graph: GraphFile, keeps_foreign: bool, note: Callable[[str], None]
) -> tuple[GraphFile, Quantisation | None]:
    """A file that some other tool has quantised, without that; it is put back when the graph is prepared."""
    if not has_qdq(graph.model):
        return graph, None
    broken = next(violations(graph.model), None)
    if broken is not None and keeps_foreign:
        note(f"the file's own quantisation is left as it is: {broken.node}: {broken.rule}")
        return graph, None
    check_qdq(graph.model)
    model, quantisation = lifted(graph.model)
    return dataclasses.replace(graph, model=model), quantisation


def _moved(found: Quantisation, model: ir.Model, note: Callable[[str], None]) -> Quantisation:
    """A quantisation on the prepared graph, whose constants may have other names; what was cut off takes its sites."""
    scales = {(site.node, site.input_index): found.scales[site.tensor] for site in found.sites}
    sites = tuple(sites_in(model, scales))
    note(f"the file's own quantisation is used: {len(sites)} of its {len(found.sites)} inputs")
    placed = {site.tensor: scales[site.node, site.input_index] for site in sites}
    return Quantisation(kind=found.kind, sites=sites, scales=placed)


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
        raise OptionsError(f"{graph.path} gives finished class ids, of how many classes is not seen", "give --classes")
    return labels_for(count, ready.labels, expected=ready.classes)


def _frame_words(frame: FrameOptions) -> str:
    mean, std = (",".join(f"{one:g}" for one in values) for values in (frame.mean, frame.std))
    return f"{frame.colour}, mean {mean}, std {std}, {frame.resize}, {frame.interpolation}"
