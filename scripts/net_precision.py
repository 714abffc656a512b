"""Own the figures of one net in every precision: accuracy, promises, emulated plans, speed. Train and print nothing.

Everything goes through what a user calls: engine files with their sidecars, built, evaluated and benchmarked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

import msgspec

from edgeseg.accuracy import EngineAccuracy, evaluate_engines
from edgeseg.builder.backends import open_backend
from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.judging import Judge
from edgeseg.builder.measuring import CalibrationOptions, measured
from edgeseg.builder.promise import Promise
from edgeseg.builder.source import Source, SourceOptions, open_source
from edgeseg.data import LabelledSet
from edgeseg.errors import BuildError
from edgeseg.graph.access import described, module_path
from edgeseg.graph.qdq import layers_of
from edgeseg.report.benchmark import run_benchmark
from edgeseg.report.environment import read_environment
from edgeseg.report.frames import load_frames
from edgeseg.report.record import Settings
from edgeseg.sidecars import read_engine_spec
from edgeseg.spec import CalibrationMethod, EngineSpec, PrecisionKind

__all__ = [
    "METHODS",
    "Accuracies",
    "Bench",
    "EngineFigures",
    "Frames",
    "NetPrecision",
    "PromiseFigures",
    "RtxFigures",
    "Speed",
    "accuracies",
    "best_method",
    "speeds",
]

METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)
PROMISED_DROP = 0.5
SHOWN_WIDE = 3
TIMING = Settings(warm_up_ms=500, duration_s=6.0, iterations=20, threads=None, scopes=("engine",))


class _Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Strict on reading."""


class EngineFigures(_Figures, frozen=True, kw_only=True):
    """One engine on the frames that nothing was chosen by; shares from 0 to 1."""

    miou: float
    boundary_miou: float
    quantised_layers: int = 0


class PromiseFigures(_Figures, frozen=True, kw_only=True):
    """A promise of ``PROMISED_DROP`` points, kept on the search's frames.

    Attributes:
        method: how ranges were taken.
        refused: why there is no such engine; the rest says nothing then.
        reference_miou: of float32 on the search's frames.
        promised_miou: of the engine on those.
        trials: how many precisions were tried, float32 among them.
        kept_layers: those that stayed in float32, by their place in the net.
        kept_others: what else did, additions and poolings, likewise.
        engine: on the other frames.
    """

    method: CalibrationMethod
    refused: str | None = None
    reference_miou: float = 0.0
    promised_miou: float = 0.0
    trials: int = 0
    kept_layers: tuple[str, ...] = ()
    kept_others: tuple[str, ...] = ()
    engine: EngineFigures | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is INT8 with nothing kept."""
        return self.refused is None and not self.kept_layers and not self.kept_others


class RtxFigures(_Figures, frozen=True, kw_only=True):
    """What ``judged_by`` makes of TensorRT-RTX's graphs: mIoU, and the nodes that float16 does not hold."""

    judged_by: str
    fp32_miou: float
    fp16_miou: float
    int8_miou: float
    wide: int
    wide_named: tuple[str, ...]


class Accuracies(_Figures, frozen=True, kw_only=True):
    """All of one net that needs no quiet machine; ``int8`` and the rest by method or in the order of ``METHODS``."""

    size_hw: tuple[int, int]
    layers: int
    fp32: EngineFigures
    bf16: EngineFigures | None
    int8: dict[str, EngineFigures]
    promises: tuple[PromiseFigures, ...]
    rtx: RtxFigures


class Speed(_Figures, frozen=True, kw_only=True):
    """The engine alone; ``ratio`` is FP32's median over its own, ``lowest`` and ``highest`` that of single rounds."""

    p50_ms: float
    ratio: float = 1.0
    lowest: float = 1.0
    highest: float = 1.0


class NetPrecision(_Figures, frozen=True, kw_only=True):
    """One net: ``speeds`` are by the engine's name, of one run in alternating turns, under ``load`` of the machine."""

    accuracies: Accuracies
    speeds: dict[str, Speed] = {}
    load: float | None = None


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Three sets with no frame in common: to calibrate on, to keep the promise on, and to judge on at the end."""

    calibration: Path
    promise: Path
    judged: Path


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A folder with ``net.onnx`` and its engines, each named after its precision."""

    folder: Path
    frames: Frames

    @property
    def onnx(self) -> Path:
        """The net in float32."""
        return self.folder / "net.onnx"

    def engine(self, name: str) -> Path:
        """``fp32``, ``bf16``, ``int8-max``, ``promise-max``, ..."""
        return self.folder / f"{name}.engine"

    def calibration(self, method: CalibrationMethod) -> CalibrationOptions:
        """The ranges are measured once, and taken from their file from then on."""
        kept = self.folder / f"{method}.calibration.json"
        return CalibrationOptions(source=self.frames.calibration, method=method, file=kept)

    def build(
        self, name: str, kind: PrecisionKind, method: CalibrationMethod | None = None, promise: Promise | None = None
    ) -> EngineSpec:
        """For the CPU; said, for it takes its time."""
        print(f"{self.folder.name}: {name}", flush=True)
        calibration = self.calibration(method) if method else None
        options = BuildOptions(backend="openvino", precision=kind, calibration=calibration, promise=promise)
        return build_engine(self.onnx, self.engine(name), options, note=lambda text: print(f"  {text}", flush=True))


def accuracies(bench: Bench) -> Accuracies:
    """Build and judge every precision of a net; the engines stay in the folder."""
    spec = bench.build("fp32", "fp32")
    names = ["fp32", *(["bf16"] if _has_bf16(bench) else []), *(_built(bench, method) for method in METHODS)]
    promises = list(_promises(bench))
    names += [_promise_name(one.method) for one in promises if one.refused is None]
    judged = dict(zip(names, _judged(bench, names), strict=True))
    return Accuracies(
        size_hw=spec.model.input.size_hw,
        layers=spec.precision.layers,
        fp32=judged["fp32"],
        bf16=judged.get("bf16"),
        int8={method: judged[_int8_name(method)] for method in METHODS},
        promises=tuple(msgspec.structs.replace(one, engine=judged.get(_promise_name(one.method))) for one in promises),
        rtx=_emulated(bench),
    )


def _int8_name(method: str) -> str:
    return f"int8-{method}"


def _promise_name(method: str) -> str:
    return f"promise-{method}"


def _built(bench: Bench, method: CalibrationMethod) -> str:
    bench.build(_int8_name(method), "int8", method)
    return _int8_name(method)


def _has_bf16(bench: Bench) -> bool:
    try:
        open_backend("openvino").refuse("bf16")
    except BuildError as error:
        print(f"  {error}")
        return False
    bench.build("bf16", "bf16")
    return True


def best_method(bench: Bench) -> CalibrationMethod:
    """The one whose plain INT8 has the highest mIoU on the promise's frames; the first on a tie."""
    engines = [bench.engine(_int8_name(method)) for method in METHODS]
    mious = [one.accuracy.miou for one in evaluate_engines(engines, LabelledSet(bench.frames.promise))]
    return METHODS[mious.index(max(mious))]


def _judged(bench: Bench, names: Sequence[str]) -> list[EngineFigures]:
    found = evaluate_engines([bench.engine(name) for name in names], LabelledSet(bench.frames.judged))
    return [_figures(one, bench.engine(name)) for one, name in zip(found, names, strict=True)]


def _figures(one: EngineAccuracy, engine: Path) -> EngineFigures:
    return EngineFigures(
        miou=one.accuracy.miou,
        boundary_miou=one.boundaries.boundary_miou,
        quantised_layers=read_engine_spec(engine)[0].precision.quantised_layers,
    )


def _promises(bench: Bench) -> Iterator[PromiseFigures]:
    """By the default method; where that is not plain INT8, by the best one too."""
    first = _promised(bench, "max")
    yield first
    best = best_method(bench)
    if best != first.method and not first.is_plain:
        yield _promised(bench, best)


def _promised(bench: Bench, method: CalibrationMethod) -> PromiseFigures:
    promise = Promise(max_miou_drop=PROMISED_DROP, data=bench.frames.promise)
    try:
        precision = bench.build(_promise_name(method), "int8", method, promise).precision
    except BuildError as error:
        print(f"  {error}")
        return PromiseFigures(method=method, refused=str(error))
    search = precision.search
    assert search is not None
    layers, others = _placed(open_source(bench.onnx, SourceOptions()), precision.kept)
    return PromiseFigures(
        method=method,
        reference_miou=search.reference_miou,
        promised_miou=search.miou,
        trials=len(search.trials),
        kept_layers=layers,
        kept_others=others,
    )


def _placed(source: Source, kept: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The kept layers, and what else is kept: by module where the graph knows it, else by name."""
    layers = set(layers_of(source.model))
    nodes = [node for node in source.model.graph if node.name in set(kept)]
    places = [(node, module_path(node).split(" ")[0] or str(node.name)) for node in nodes]
    return (
        tuple(place for node, place in places if node.name in layers),
        tuple(f"{node.op_type} in {place}" for node, place in places if node.name not in layers),
    )


def _emulated(bench: Bench) -> RtxFigures:
    """FP16, and INT8 by max on FP16, each with ranges of the calibration frames."""
    print(f"{bench.folder.name}: emulated plans", flush=True)
    source, options = open_source(bench.onnx, SourceOptions()), bench.calibration("max")
    half, whole = (measured(source, kind, options, SourceOptions()).master for kind in ("fp16", "int8"))
    backend, frames = open_backend("tensorrt-rtx"), LabelledSet(bench.frames.judged)
    fp16, int8 = (Judge(master=one, model=source.spec, backend=backend, frames=frames) for one in (half, whole))
    wide = (node for node in source.model.graph if node.name in half.wide)
    return RtxFigures(
        judged_by=fp16.name,
        fp32_miou=fp16.miou("fp32"),
        fp16_miou=fp16.miou("fp16"),
        int8_miou=int8.miou("int8"),
        wide=len(half.wide),
        wide_named=tuple(described(node) for node in islice(wide, SHOWN_WIDE)),
    )


def speeds(bench: Bench, found: Accuracies) -> tuple[dict[str, Speed], float | None]:
    """The engines alone, FP32 first; and the load of the machine in the minute before."""
    load = read_environment().load_1min
    names = list(_timed(found))
    report = run_benchmark([bench.engine(name) for name in names], load_frames(None), TIMING)
    medians = {name: one.headline.stats.p50_ms for name, one in zip(names, report.measurements, strict=True)}
    against = dict(zip(names[1:], report.comparisons, strict=True))
    timed = {"fp32": Speed(p50_ms=medians["fp32"])}
    for name, one in against.items():
        lowest, highest = min(one.round_ratios), max(one.round_ratios)
        timed[name] = Speed(p50_ms=medians[name], ratio=one.ratio, lowest=lowest, highest=highest)
    return timed, load


def _timed(found: Accuracies) -> Iterator[str]:
    """INT8 once, for every method computes the same; a promise where it kept something out of INT8."""
    yield "fp32"
    if found.bf16 is not None:
        yield "bf16"
    yield "int8-max"
    built = (one for one in found.promises if one.refused is None)
    yield from (_promise_name(one.method) for one in built if not one.is_plain)
