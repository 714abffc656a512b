"""Own the profiling of measured engines: their layers' times, the modules behind them, the roofs. Draw nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from edgeseg.errors import OptionsError
from edgeseg.graph.origins import Origin, origins_of
from edgeseg.graph.reading import GraphFile, read_graph
from edgeseg.graph.rewrites import rewrite
from edgeseg.graph.simplifying import simplified, with_input_shape
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.latency import percentile
from edgeseg.report.frames import FrameSet
from edgeseg.report.profile_record import LayerTime, Profile
from edgeseg.report.record import Report
from edgeseg.report.roofline import under_roofs
from edgeseg.report.roofs import RoofMeter
from edgeseg.runtime.layer_times import LayerTimes, time_layers
from edgeseg.runtime.naming import printable
from edgeseg.sidecars import read_engine_spec
from edgeseg.spec import EngineSpec

__all__ = ["check_nets", "with_profiles"]

MOST_RUNS = 1000
MOST_GROUPS = 12  # more are no overview: modules are taken together until there are no more
DIGITS = 5  # of a millisecond


@dataclass(frozen=True, kw_only=True)
class _Net:
    path: Path
    graph: GraphFile


def check_nets(engine_paths: Sequence[Path], nets: Sequence[Path]) -> None:
    """Refuse an ONNX file that none of the engines was built of, before anything is measured.

    Raises:
        OptionsError: which file, and what the engines were built of.
        ModelError, SpecError: a file cannot be used.
    """
    _nets_of([read_engine_spec(path)[0] for path in engine_paths], nets)


def with_profiles(
    report: Report,
    engine_paths: Sequence[Path],
    frames: FrameSet,
    *,
    nets: Sequence[Path] = (),
    on_turn: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Report:
    """The report with a profile of every engine, each taken in a session of its own.

    Args:
        report: of the same engines, in the same order.
        engine_paths: of the report's engines.
        frames: used in turn.
        nets: ONNX files that the engines were built of; an engine without its file has no modules and no roofline.
        on_turn: called before each engine, with how many are done, how many there are, and its name.
    Raises:
        OptionsError: a net that none of the engines was built of.
        ModelError, SpecError, EngineError, MissingPackageError: a file cannot be used, or an engine fails.
    """
    specs = [read_engine_spec(path)[0] for path in engine_paths]
    known = _nets_of(specs, nets)
    meter = RoofMeter(threads=report.settings.threads)
    profiles = []
    for done, (record, path, spec) in enumerate(zip(report.engines, engine_paths, specs, strict=True)):
        on_turn(done, len(specs), f"profile: {record.name}")
        profiles.append(_profile(report, record.name, path, spec, frames, known.get(_net_key(spec)), meter))
    return msgspec.structs.replace(report, profiles=tuple(profiles))


def _net_key(spec: EngineSpec) -> tuple[str, str | None]:
    return spec.model.onnx_sha256, spec.model.weights_sha256


def _nets_of(specs: Sequence[EngineSpec], nets: Sequence[Path]) -> dict[tuple[str, str | None], _Net]:
    built_of = {_net_key(spec) for spec in specs}
    found = {}
    for path in nets:
        graph = read_graph(path)
        key = (graph.sha256, graph.weights_sha256)
        if key not in built_of:
            wanted = ", ".join(sorted({sha256[:12] for sha256, _ in built_of}))
            raise OptionsError(
                f"{path} (sha256 {key[0][:12]}) is another net than the engines were built of ({wanted})",
                "give the file that 'edgeseg build-engine' took, unchanged, or leave --net out",
            )
        found[key] = _Net(path=path, graph=graph)
    return found


def _profile(
    report: Report, name: str, path: Path, spec: EngineSpec, frames: FrameSet, net: _Net | None, meter: RoofMeter
) -> Profile:
    settings, unprofiled_ms = report.settings, _unprofiled_ms(report, name)
    preprocessor = Preprocessor(spec.model.input)
    times = time_layers(
        path,
        [preprocessor.tensor(frame) for frame in frames.frames],
        runs=min(max(settings.iterations, int(settings.duration_s * 1e3 / unprofiled_ms)), MOST_RUNS),
        warm_up_ms=settings.warm_up_ms,
        threads=settings.threads if spec.backend == "openvino" else None,
    )
    layers = _layers(times, _origins(times, spec, net))
    roofs = None
    if net is not None:
        roofs = meter.roofs(report, name, spec, layers)
        layers = [_judged(one, *under_roofs(one, roofs)) for one in layers]
    return Profile(
        engine=name,
        runs=len(times.run_ms),
        net=None if net is None else printable(net.path.name),
        layers=tuple(layers),
        layers_ms=sum(one.median_ms for one in layers),
        profiled_p50_ms=percentile(np.sort(times.run_ms), 50),
        unprofiled_p50_ms=unprofiled_ms,
        roofs=roofs,
    )


def _unprofiled_ms(report: Report, name: str) -> float:
    """Of the engine alone: in the scope of that name where it was measured, else by the stage."""
    return next(one.stages["engine"].stats.p50_ms for one in report.measurements if one.engine == name)


def _origins(times: LayerTimes, spec: EngineSpec, net: _Net | None) -> Sequence[Origin]:
    if net is None:
        return [Origin()] * len(times.layers)
    model = simplified(with_input_shape(net.graph.model, spec.model.input.shape))
    rewrite(model)  # as the builder did, so that what it put in has its name
    return origins_of([one.origins for one in times.layers], simplified(model))


def _layers(times: LayerTimes, origins: Sequence[Origin]) -> list[LayerTime]:
    medians = [percentile(one, 50) for one in np.sort(times.times_ms, axis=0).T]
    whole_ms, groups = sum(medians), _groups([one.modules for one in origins])
    return [
        LayerTime(
            name=fact.name,
            kind=fact.kind,
            precision=fact.precision,
            is_moving=fact.is_moving,
            median_ms=round(median, DIGITS),
            mean_ms=round(float(mean), DIGITS),
            share=median / whole_ms if whole_ms else 0.0,
            nodes=origin.nodes,
            module=("", *origin.modules)[-1],
            group=groups.get(origin.modules, ""),
            macs=origin.macs,
            moved_bytes=fact.moved_bytes,
        )
        for fact, origin, median, mean in zip(times.layers, origins, medians, times.times_ms.mean(axis=0), strict=True)
    ]


def _groups(found: Sequence[tuple[str, ...]]) -> Mapping[tuple[str, ...], str]:
    """Of every chain of modules the one to group by: as deep in the net as there are not too many of them."""
    chains = set(found) - {()}
    groups: dict[tuple[str, ...], str] = {}
    for depth in range(1, max(map(len, chains), default=0)):
        deeper = {chain: chain[min(depth, len(chain) - 1)] for chain in chains}
        if groups and len(set(deeper.values())) > MOST_GROUPS:
            break
        groups = deeper
    return groups or {chain: chain[-1] for chain in chains}


def _judged(layer: LayerTime, bound: str, roof_ms: float | None) -> LayerTime:
    return msgspec.structs.replace(layer, bound=bound, roof_ms=roof_ms)
