"""Own the estimate of what memory a build and its engine take, against what is free, and what to lower. Measure none.

The rules and where they come from:

- Weights lie in the engine in the type that their layer computes in: parameters times its size.
- Activations are those of ``graph.counting``: every tensor with its own buffer while it lives, at the largest shape of
  the profiles, in the type of what is not quantised. Back ends fuse and work in place, so it is an upper bound.
- While TensorRT times kernels, it may take the workspace on top: all of the device's memory unless --workspace limits
  it (TensorRT's documentation, memory pools). A kernel that does not get its workspace is left out, which costs speed.
- The process that builds holds the libraries and, measured, four copies of the ONNX file: the file, the parser's, the
  builder's and the plan. The file has its weights in the type of what is not quantised. TensorRT-RTX 1.7.1, peak
  resident MiB in float32, float16 and int8, predicted in brackets: small U-Net 264 (264), 262 (261); U-Net 738 (740),
  504 (498), 479 (498); DeepLab V3 1157 (1159), 719 (708), 775 (708); FCN-8s 2311 (2347), 1287 (1302). Of the
  libraries 92 or 168 MB were resident, by how the file system holds their pages, so that the small U-Net took 320 in
  another environment. TensorRT's own libraries are larger than those of TensorRT-RTX, and how much was not measured.
- Calibrating is not counted: Model Optimizer and ONNX Runtime take gigabytes (3.4 GB for U-Net at 512x512).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

from edgeseg.builder.backends.base import BuilderBackend
from edgeseg.builder.scores import ScoresDtype
from edgeseg.builder.source import Source
from edgeseg.graph.counting import GraphCounts, count
from edgeseg.memory import FreeMemory, host_memory
from edgeseg.spec import HighPrecision, ModelSpec, PrecisionKind, ProfileSpec

__all__ = ["MemoryPlan", "memory_plan"]

TYPE_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "fp8": 1}
IO_BYTES = {"float32": 4, "float16": 2, "int32": 4, "int8": 1, "uint8": 1}
BUILDER_BYTES = 257 << 20
BUILDER_COPIES = 4.08
#: of what is free; the estimate is no better than that, and the desktop wants some too
TIGHT_SHARE = 0.8


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Bytes, all estimated; see the module.

    Attributes:
        weights_bytes: in the engine.
        activation_bytes: most at once; None where a shape of the graph is not known.
        io_bytes: of one input and one output.
        workspace_bytes: the limit; None for all there is.
        builder_bytes: of the process that builds, in the machine's memory; None where this process builds itself.
        engine_memory: where the engine will lie; None where it is not on this machine.
        builder_memory: where it is built.
        hints: what lowers it, in order of effect.
    """

    weights_bytes: int
    activation_bytes: int | None
    io_bytes: int
    workspace_bytes: int | None
    builder_bytes: int | None
    engine_memory: FreeMemory | None
    builder_memory: FreeMemory | None
    hints: tuple[str, ...]

    @property
    def engine_bytes(self) -> int:
        """Of the engine with one context, without its workspace."""
        return self.weights_bytes + (self.activation_bytes or 0) + self.io_bytes

    @property
    def shortage(self) -> str:
        """Which memory is less than needed, or hardly more; empty where there is room."""
        wanted = self._wanted()
        found = [_short(memory, needed) for memory, needed in wanted if memory is not None]
        return "; ".join(one for one in found if one)

    def _wanted(self) -> list[tuple[FreeMemory | None, int]]:
        engine, builder = self.engine_bytes + (self.workspace_bytes or 0), self.builder_bytes or 0
        if self.engine_memory is not None and self.engine_memory.is_shared:
            return [(self.engine_memory, engine + builder)]
        return [(self.engine_memory, engine), (self.builder_memory, builder)]

    def words(self) -> tuple[str, ...]:
        """The plan, a line each; then what is short and what lowers it."""
        activations = "unknown" if self.activation_bytes is None else _mib(self.activation_bytes)
        workspace = "all that is free" if self.workspace_bytes is None else f"up to {_mib(self.workspace_bytes)}"
        lines = [
            f"engine, estimated: {_mib(self.engine_bytes)}: weights {_mib(self.weights_bytes)}, activations at most "
            f"{activations}, image and scores {_mib(self.io_bytes)}"
        ]
        if self.builder_bytes is not None:
            lines.append(f"while building: workspace {workspace}; {_mib(self.builder_bytes)} of the machine's memory")
        places = {one.place: one for one in (self.engine_memory, self.builder_memory) if one is not None}
        lines += [f"free: {_mib(one.free_bytes)} of {_mib(one.total_bytes)} of {one.place}" for one in places.values()]
        return (*lines, *self.warning())

    def warning(self) -> tuple[str, ...]:
        """What is short and what lowers it; nothing where there is room."""
        short = self.shortage
        return (f"warning: memory is short: {short}; in order of effect: {'; '.join(self.hints)}",) if short else ()


def memory_plan(
    source: Source,
    kind: PrecisionKind,
    high: HighPrecision,
    backend: BuilderBackend,
    *,
    profiles: Sequence[ProfileSpec] = (),
    scores: ScoresDtype = "float32",
    workspace_bytes: int | None = None,
) -> MemoryPlan:
    """Estimate what a build takes.

    Args:
        source: the net, prepared at the first profile's optimum.
        kind: of the layers.
        high: of what is not quantised.
        backend: that will build; says where.
        profiles: the shapes of the engine.
        scores: what they leave in.
        workspace_bytes: the limit; None for the back end's own.
    """
    counts, scale = count(source.model), _scale(source.spec, profiles)
    weights = _weights(counts, kind, high)
    return MemoryPlan(
        weights_bytes=weights,
        activation_bytes=None if counts.peak_bytes is None else ceil(counts.peak_bytes * scale * _share(high)),
        io_bytes=ceil(_io(source.spec, scores) * scale),
        workspace_bytes=workspace_bytes,
        builder_bytes=_builder_bytes(counts, high) if backend.builds_apart else None,
        engine_memory=backend.memory(),
        builder_memory=host_memory() if backend.builds_apart else None,
        hints=(
            *_host_hints(source, kind),
            *_hints(kind, bool(profiles), backend, has_limit=workspace_bytes is not None),
        ),
    )


def _weights(counts: GraphCounts, kind: PrecisionKind, high: HighPrecision) -> int:
    """Before anything is calibrated every layer counts as one that is quantised."""
    layers = sum(one.parameters for one in counts.nodes if one.is_layer)
    return layers * TYPE_BYTES[kind] + (counts.parameters - layers) * TYPE_BYTES[high]


def _builder_bytes(counts: GraphCounts, high: HighPrecision) -> int:
    return BUILDER_BYTES + ceil(counts.parameters * TYPE_BYTES[high] * BUILDER_COPIES)


def _share(high: HighPrecision) -> float:
    """Activations were counted in float32."""
    return TYPE_BYTES[high] / TYPE_BYTES["fp32"]


def _scale(model: ModelSpec, profiles: Sequence[ProfileSpec]) -> float:
    """The largest input of a profile against the one that was counted."""
    largest = max((prod(one.maximum) for one in profiles), default=prod(model.input.size_hw))
    return largest / prod(model.input.size_hw)


def _io(model: ModelSpec, scores: ScoresDtype) -> int:
    dtype = model.head.dtype if model.head.decision == "ids" else scores
    return prod(model.input.shape) * IO_BYTES[model.input.dtype] + prod(model.head.shape) * IO_BYTES[dtype]


def _host_hints(source: Source, kind: PrecisionKind) -> tuple[str, ...]:
    needs_calibration = kind in ("int8", "fp8") and source.quantisation is None
    return ("quantise on another machine ('edgeseg quantize')",) if needs_calibration else ()


def _hints(kind: PrecisionKind, has_profiles: bool, backend: BuilderBackend, *, has_limit: bool) -> tuple[str, ...]:
    """Workspace first: it is as large as it may be; what follows is as large as the net makes it."""
    size = "smaller largest shapes (--max-shapes)" if has_profiles else "a smaller --input-size"
    if not backend.builds_apart:
        return (size, "close other programs, or add swap")
    workspace = "a smaller --workspace" if has_limit else "--workspace 256MiB"
    narrow = ("--precision fp16 or int8",) if kind == "fp32" else ()
    return (
        workspace,
        "--optimization-level 2, which tries fewer kernels",
        size,
        *narrow,
        "close the desktop and other programs, or add swap (it helps the process that builds, not the GPU)",
    )


def _short(memory: FreeMemory, needed: int) -> str:
    if needed <= memory.free_bytes * TIGHT_SHARE:
        return ""
    return f"{_mib(needed)} wanted where {_mib(memory.free_bytes)} of {memory.place} are free"


def _mib(size: int) -> str:
    return f"{size / 2**20:.{1 if size < 10 << 20 else 0}f} MiB"
