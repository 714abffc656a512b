"""Own what `edgeseg inspect` says of an engine, as text or JSON. Run nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgeseg.cli.figures import aligned, flattened, profile_words, scaled, sides

if TYPE_CHECKING:
    from edgeseg.runtime.engine_facts import EngineFacts
    from edgeseg.spec import EngineSpec, PlanFacts

__all__ = ["engine_lines"]

HARDWARE = {
    "none": "on that device",
    "same-compute-capability": "on every device of that compute capability",
    "ampere-plus": "on Ampere and newer",
}
LEAN = {
    "none": "in that version",
    "inside": "in that version and newer ones, as far as the next major",
    "outside": "in that version, by its lean runtime too",
}
SHOWN_LAYERS = 5


class Asked(NamedTuple):
    """What the engine answered, or why it was not asked."""

    found: EngineFacts | None
    reason: str


def engine_lines(path: Path, layers: bool, is_json: bool) -> Iterable[str]:
    """What is printed; ``layers`` lists every layer.

    Raises:
        SpecError: the engine and its sidecar do not belong together.
    """
    from edgeseg.sidecars import read_engine_spec

    spec, plan = read_engine_spec(path)
    asked = _ask(spec, plan)
    if is_json:
        return [json.dumps(_as_json(spec, asked, layers), indent=2)]
    return _text(path, spec, asked, layers)


def _ask(spec: EngineSpec, plan: bytes) -> Asked:
    """Load it where that can be done here; a machine without the device shows what the sidecar says."""
    from edgeseg.errors import EngineError, MissingPackageError
    from edgeseg.runtime.engine_facts import ask_engine

    try:
        return Asked(ask_engine(spec, plan), "")
    except (EngineError, MissingPackageError) as error:
        return Asked(None, str(error))


def _as_json(spec: EngineSpec, asked: Asked, layers: bool) -> dict[str, object]:
    """The sidecar, and what the engine answered under ``asked``."""
    import msgspec

    found = asked.found
    told: dict[str, object] = {"reason": asked.reason}
    if found is not None:
        told |= {"library": found.library, "facts": found.plan, "activation_bytes": found.activation_bytes}
        told |= {"layer_list": found.layers if layers else ()}
    whole: dict[str, object] = msgspec.to_builtins({**msgspec.structs.asdict(spec), "asked": told})
    return whole


def _text(path: Path, spec: EngineSpec, asked: Asked, layers: bool) -> Iterator[str]:
    import msgspec

    yield f"{path}: {spec.backend} engine, {scaled(spec.plan_bytes, 'B')}; sidecar fits"
    yield from _origin_lines(spec)
    yield from _tensor_lines(spec)
    yield from _precision_lines(spec)
    yield ""
    yield from _fact_lines(spec, asked)
    if layers and asked.found is not None:
        yield ""
        yield from _layer_lines(asked.found)
    yield ""
    yield from flattened(msgspec.to_builtins(spec))


def _origin_lines(spec: EngineSpec) -> Iterator[str]:
    capability = f" (compute capability {spec.compute_capability})" if spec.compute_capability else ""
    driver = f", driver of CUDA {spec.driver}" if spec.driver else ""
    yield f"built by     {spec.backend} {spec.backend_version} for {spec.device}{capability}{driver}"
    if spec.backend == "tensorrt":
        yield f"loads        {LEAN[spec.portability.lean]}, {HARDWARE[spec.portability.hardware]}"
    if spec.portability.weights_sha256 is not None:
        yield "weights are  in the ONNX file beside it"


def _tensor_lines(spec: EngineSpec) -> Iterator[str]:
    for io in spec.io:
        layout = "" if io.format == "linear" else f" {io.format}"
        shape = sides("?" if side == -1 else side for side in io.shape)
        yield f"{io.mode:<12} {io.name} {io.dtype}{layout} {shape}"
    for index, profile in enumerate(spec.profiles):
        yield f"{f'profile {index}':<12} {profile_words(profile)}"


def _precision_lines(spec: EngineSpec) -> Iterator[str]:
    told = spec.precision
    if told.quantised_layers:
        yield (
            f"precision    {told.kind}: {told.quantised_layers} of {told.layers} layers of the graph, the rest in "
            f"{told.high_precision}; calibrated on {told.calibration_images} images ({told.calibration_method})"
        )
    else:
        yield f"precision    {told.kind}"
    if spec.verified is not None:
        one = spec.verified
        yield (
            f"verified     {one.agreement:.4%} of the pixels as in float32 on {one.frames} frames, "
            f"worst {one.worst:.4%}"
        )
    if spec.dla is not None:
        yield f"DLA core {spec.dla.core}   {_dla(spec)}"


def _dla(spec: EngineSpec) -> str:
    dla = spec.dla
    if dla is None:
        return ""
    macs = f", {dla.dla_macs / dla.macs:.1%} of the MACs" if dla.macs and dla.dla_macs is not None else ""
    names = ", ".join(dla.on_gpu[:SHOWN_LAYERS]) + (", ..." if len(dla.on_gpu) > SHOWN_LAYERS else "")
    return f"{dla.dla_layers} of {dla.layers} layers{macs}" + (f"; on the GPU: {names}" if names else "")


def _fact_lines(spec: EngineSpec, asked: Asked) -> Iterator[str]:
    """The engine's own answer, or else what it answered where it was built."""
    found = asked.found
    if found is None:
        yield f"not asked    {asked.reason}"
        yield "             its layers are known where it loads" + ("; its builder recorded:" if spec.facts else "")
    else:
        yield f"says         {found.library}, of the engine loaded here:"
    facts = found.plan if found else spec.facts
    if facts is not None:
        yield from _share_lines(facts, spec.facts)
        yield from _memory_lines(spec, facts, found)


def _share_lines(facts: PlanFacts, recorded: PlanFacts | None) -> Iterator[str]:
    """How many layers compute in which type; what a runtime cannot tell was told to the builder."""
    by_precision = facts.by_precision or (recorded.by_precision if recorded else {})
    computing = sum(by_precision.values())
    if not computing:
        yield f"layers       {facts.layers}; their types are not told (the lean runtime, or profiling verbosity)"
        return
    shares = (f"{kind} {count} ({count / computing:.0%})" for kind, count in by_precision.items())
    by_builder = "" if facts.by_precision else "; as its builder recorded"
    yield f"layers       {facts.layers}, {computing} of them compute: {', '.join(shares)}{by_builder}"
    yield "             layers after fusion, by the type of their arithmetic; the others move, convert or index"


def _memory_lines(spec: EngineSpec, facts: PlanFacts, found: EngineFacts | None) -> Iterator[str]:
    weights = "not known" if facts.weight_bytes is None else scaled(facts.weight_bytes, "B")
    yield f"weights      {weights}, in a plan of {scaled(spec.plan_bytes, 'B')}"
    by_profile = found.activation_bytes if found else ()
    if len(by_profile) > 1:
        listed = ", ".join(f"{scaled(size, 'B')} of profile {index}" for index, size in enumerate(by_profile))
        yield f"activations  {listed}; a frame in flight takes one"
    elif facts.activation_bytes is not None:
        yield f"activations  {scaled(facts.activation_bytes, 'B')} a frame in flight"


def _layer_lines(found: EngineFacts) -> list[str]:
    rows = [(one.precision or "", one.kind, one.name) for one in found.layers]
    return aligned([("type", "kind", "layer"), *rows], left=(0, 1, 2))
