"""Own the making of a plan out of a Master, and what its sidecar says. Decide no precision, write no file."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeseg.builder.backends.base import BuilderBackend, Built, Progress
from edgeseg.builder.explaining import explained
from edgeseg.builder.master import Master
from edgeseg.builder.measuring import Measured
from edgeseg.builder.source import Source
from edgeseg.errors import BuildError
from edgeseg.files import sha256_of
from edgeseg.graph.output_type import with_scores
from edgeseg.graph.saving import save_graph
from edgeseg.spec import (
    EngineSpec,
    HeadSpec,
    HighPrecision,
    IOTensor,
    Layout,
    ModelSpec,
    Portability,
    PrecisionKind,
    PrecisionSpec,
    ProfileSpec,
    SearchSpec,
    TensorLayout,
)

__all__ = ["Choice", "build_master", "described", "engine_spec", "high_precision_of"]

BUILD = "build"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The nodes that keep the higher precision, and how they were found; None where they were named."""

    kept: frozenset[str] = frozenset()
    search: SearchSpec | None = None


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
    source: Source | None = None,
    profiles: tuple[ProfileSpec, ...] = (),
    head: HeadSpec | None = None,
    progress: Progress = lambda fraction, step: None,
) -> Built:
    """Build one precision of a net.

    Args:
        master: the net.
        backend: it has let ``kind`` pass.
        kind: of the layers.
        high: of what is not quantised.
        kept: names of nodes that could be quantised and shall not be.
        source: where the net comes from; needed for profiles.
        profiles: the shapes that the plan takes; the graph's own without one.
        head: what the scores leave in; float32 without it.
        progress: told of every step of the build.
    Raises:
        BuildError: names the nodes that the back end refuses, or that a profile's size is baked into.
    """
    graph = master.graph(kind, high, kept=kept)
    if profiles:
        if source is None:
            raise ValueError("profiles need the net's source")
        graph = source.opened(graph, profiles)
    graph = backend.adapted(graph)
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        path = Path(folder) / "net.onnx"
        save_graph(graph if head is None else with_scores(graph, head), path)
        try:
            return backend.build(
                path, precision=kind, profiles=profiles, progress=lambda fraction, step: progress(fraction, BUILD)
            )
        except BuildError as error:
            raise explained(error, backend, master.model, path) from error


def described(found: Measured, kind: PrecisionKind, high: HighPrecision, choice: Choice) -> PrecisionSpec:
    """What the sidecar says of the precision; what a host chose for a quantised file is said on."""
    told = found.calibration
    return msgspec.structs.replace(
        found.master.described(kind, high, kept=choice.kept),
        calibration_method=told.calibration_method,
        calibration_sha256=told.calibration_sha256,
        calibration_images=told.calibration_images,
        kept=tuple(sorted({*told.kept, *choice.kept})) if kind == told.kind else (),
        search=choice.search or (told.search if kind == told.kind else None),
    )


def engine_spec(
    model: ModelSpec,
    backend: BuilderBackend,
    built: Built,
    precision: PrecisionSpec,
    *,
    profiles: tuple[ProfileSpec, ...] = (),
) -> EngineSpec:
    """The sidecar of a plan.

    Args:
        model: what it expects and means, at the size of the first profile's optimum.
        backend: that built it.
        built: the plan.
        precision: of its layers.
        profiles: that it was built with.
    """
    return EngineSpec(
        model=model,
        backend=backend.name,
        backend_version=backend.version,
        device=built.device,
        compute_capability=built.compute_capability,
        driver=built.driver,
        precision=precision,
        options=built.options,
        io=_io_tensors(model, backend.formats, profiles),
        profiles=profiles,
        portability=_portability(built),
        dla=built.dla,
        plan_sha256=sha256_of(built.plan),
        plan_bytes=len(built.plan),
    )


def _portability(built: Built) -> Portability:
    if built.weights is None:
        return built.portability
    return msgspec.structs.replace(built.portability, weights_sha256=sha256_of(built.weights))


def _io_tensors(
    model: ModelSpec, formats: tuple[TensorLayout, TensorLayout], profiles: tuple[ProfileSpec, ...]
) -> tuple[IOTensor, ...]:
    image, head = model.input, model.head
    return (
        IOTensor(
            name=image.name,
            mode="input",
            dtype=image.dtype,
            shape=_opened(image.shape, image.layout, profiles),
            format=formats[0],
        ),
        IOTensor(
            name=head.output,
            mode="output",
            dtype=head.dtype,
            shape=_opened(head.shape, head.layout, profiles),
            format=formats[1],
        ),
    )


def _opened(shape: tuple[int, ...], layout: Layout, profiles: tuple[ProfileSpec, ...]) -> tuple[int, ...]:
    """With -1 for the sides (batch, height, width) that are not one number in all profiles."""
    shapes = [one for profile in profiles for one in (profile.minimum, profile.optimum, profile.maximum)]
    axes = (0, 2, 3) if layout == "NCHW" else (0, 1, 2)
    is_open = {axis for axis, sides in zip(axes, zip(*shapes, strict=True), strict=False) if len(set(sides)) > 1}
    return tuple(-1 if axis in is_open else side for axis, side in enumerate(shape))
