"""Own how an execution context is made, and whether a CUDA graph of ours may hold its work. Give it no shapes."""

from __future__ import annotations

from edgeseg.errors import EngineError
from edgeseg.trt_api import TrtApi
from edgeseg.trt_types import ICudaEngine, IExecutionContext, IRuntimeConfig, TrtModule

__all__ = ["make_context", "reason_against_capture"]


def make_context(api: TrtApi, engine: ICudaEngine, *, has_own_graphs: bool) -> IExecutionContext | None:
    """An execution context; None where there is no memory for it.

    Args:
        api: the package.
        engine: deserialised.
        has_own_graphs: let TensorRT-RTX capture and launch CUDA graphs inside its own calls. TensorRT has no such
            thing, there it changes nothing.
    Raises:
        EngineError: TensorRT-RTX does not take that.
    """
    config = _with_graphs(api, engine) if has_own_graphs else None
    if config is None:
        plain: IExecutionContext | None = engine.create_execution_context()
        return plain
    graphed: IExecutionContext | None = engine.create_execution_context(config)
    return graphed


def _with_graphs(api: TrtApi, engine: ICudaEngine) -> IRuntimeConfig | None:
    """None where the package has no graphs of its own."""
    module: TrtModule = api.module
    if not hasattr(engine, "create_runtime_config") or not hasattr(module, "CudaGraphStrategy"):
        return None
    config: IRuntimeConfig = engine.create_runtime_config()
    wanted = module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    if hasattr(config, "cuda_graph_strategy"):
        config.cuda_graph_strategy = wanted
        if config.cuda_graph_strategy != wanted:  # the setter's own False is lost in the bindings
            raise EngineError(f"{api.name} {api.version} refuses CUDA graphs ({api.log})", "turn them off")
    return config


def reason_against_capture(api: TrtApi, engine: ICudaEngine, *, has_own_graphs: bool) -> str:
    """Why a CUDA graph of ours may not hold an engine's work; empty where it may.

    A graph in a graph cannot be captured, and streamed weights are copied by the host's hand in each run.
    """
    if has_own_graphs and hasattr(engine, "create_runtime_config") and hasattr(api.module, "CudaGraphStrategy"):
        return "TensorRT-RTX captures by itself"
    streamable: int = engine.streamable_weights_size
    if streamable > 0 and engine.weight_streaming_budget_v2 < streamable:
        return "the engine streams its weights"
    return ""
