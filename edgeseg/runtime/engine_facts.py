"""Own what a finished engine says of itself: its layers, what they compute in, its memory. Run no engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgeseg.errors import EngineError
from edgeseg.runtime.engines.trt_package import api_for
from edgeseg.runtime.engines.trt_plan import deserialise, make_runtime
from edgeseg.runtime.engines.trt_profiles import profile_for
from edgeseg.runtime.inspector_json import layers_of
from edgeseg.runtime.layer_facts import LayerFact, plan_facts
from edgeseg.runtime.openvino_layers import facts_and_layers
from edgeseg.runtime.preflight import check_fits, mismatches, rebuild
from edgeseg.spec import EngineSpec, PlanFacts
from edgeseg.trt_api import TrtApi, driver_state
from edgeseg.trt_types import EngineInspector, ICudaEngine, IExecutionContext, TrtModule

__all__ = ["EngineFacts", "ask_engine", "facts_of"]

DEFAULT_STREAM = 0


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What an engine answered.

    Attributes:
        library: that was asked, with its version, as in ``tensorrt-lean 11.4.0``.
        plan: what a sidecar keeps of it.
        layers: in their order; empty where the engine was built to keep nothing of them, and of the lean runtime.
        activation_bytes: device memory of one execution context, a number a profile; empty of a CPU.
    """

    library: str
    plan: PlanFacts
    layers: tuple[LayerFact, ...]
    activation_bytes: tuple[int, ...] = ()


def ask_engine(spec: EngineSpec, plan: bytes) -> EngineFacts:
    """Load a plan and ask it; it computes nothing.

    Args:
        spec: its sidecar.
        plan: the engine file; its hash has been checked.
    Raises:
        MissingPackageError: the back end is not installed.
        EngineError: the engine does not load here.
    """
    return _ask_openvino(spec, plan) if spec.backend == "openvino" else _ask_tensorrt(spec, plan)


def facts_of(spec: EngineSpec, plan: bytes) -> PlanFacts | None:
    """What the sidecar of a fresh plan records; None where it was built for another machine. See ``ask_engine``."""
    if spec.backend != "openvino" and _misfits(api_for(spec), spec):
        return None
    return ask_engine(spec, plan).plan


def _misfits(api: TrtApi, spec: EngineSpec) -> bool:
    return bool(mismatches(spec, version=api.version, driver=driver_state(), package=api.name))


def _ask_openvino(spec: EngineSpec, plan: bytes) -> EngineFacts:
    facts, layers = facts_and_layers(spec, plan)
    return EngineFacts(library=f"openvino {spec.backend_version}", plan=facts, layers=layers)


def _ask_tensorrt(spec: EngineSpec, plan: bytes) -> EngineFacts:
    api = api_for(spec)
    check_fits(spec, version=api.version, driver=driver_state(), package=api.name)
    api.log.clear()
    runtime = make_runtime(api, spec)
    engine = deserialise(api, runtime, plan, spec)
    # The lean runtime's bindings lack the class: there create_engine_inspector raises TypeError (10.3.0, 11.4.0.106).
    layers = layers_of(_inspected(api, engine, spec)) if hasattr(api.module, "EngineInspector") else ()
    memory = _activation_bytes(engine)
    facts = msgspec.structs.replace(
        plan_facts(
            layers, weight_bytes=_weight_bytes(api.module, engine, spec), activation_bytes=max(memory, default=None)
        ),
        layers=len(layers) or int(engine.num_layers),
    )
    return EngineFacts(library=f"{api.name} {api.version}", plan=facts, layers=layers, activation_bytes=tuple(memory))


def _inspected(api: TrtApi, engine: ICudaEngine, spec: EngineSpec) -> str:
    """The inspector's JSON; of open shapes at the model's input size, else it tells no types."""
    module: TrtModule = api.module
    inspector: EngineInspector = engine.create_engine_inspector()
    if spec.profiles and spec.portability.weights_sha256 is None:  # no context without weights
        inspector.execution_context = _context_at_size(api, engine, spec)
    text: str = inspector.get_engine_information(module.LayerInformationFormat.JSON)
    return text


def _context_at_size(api: TrtApi, engine: ICudaEngine, spec: EngineSpec) -> IExecutionContext:
    context: IExecutionContext | None = engine.create_execution_context()
    index, image = profile_for(spec), spec.model.input
    if context is None or index is None:
        raise EngineError(f"{api.name} gives no execution context ({api.log})", "free device memory")
    is_set = context.set_optimization_profile_async(index, DEFAULT_STREAM)
    if not is_set or not context.set_input_shape(image.name, image.shape):
        raise EngineError(f"{api.name} does not take {image.shape} for '{image.name}' ({api.log})", rebuild(spec))
    return context


def _activation_bytes(engine: ICudaEngine) -> Sequence[int]:
    profiles: int = engine.num_optimization_profiles
    return [int(engine.get_device_memory_size_for_profile_v2(index)) for index in range(profiles)]


def _weight_bytes(module: TrtModule, engine: ICudaEngine, spec: EngineSpec) -> int | None:
    """Known from 10.16 on; a stripped plan holds fewer than the net has, so nothing is said of it."""
    if spec.portability.weights_sha256 is not None:
        return None
    if not hasattr(engine, "get_engine_stat") or not hasattr(module, "EngineStat"):
        return None
    return int(engine.get_engine_stat(module.EngineStat.TOTAL_WEIGHTS_SIZE))
