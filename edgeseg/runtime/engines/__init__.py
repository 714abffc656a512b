"""Own the choice of an engine's back end. Each back end is one module; nothing above asks which one it has."""

from __future__ import annotations

from pathlib import Path

from edgeseg.errors import EngineError
from edgeseg.runtime.engines.base import Engine
from edgeseg.runtime.engines.device import DeviceEngine
from edgeseg.sidecars import read_engine_spec

__all__ = ["DeviceEngine", "Engine", "load_engine"]


def load_engine(
    engine_path: Path, *, slots: int = 1, threads: int | None = None, graphs: bool = False, profiled: bool = False
) -> Engine:
    """Check an engine file against its sidecar and this machine, then load it.

    Args:
        engine_path: the plan; its sidecar lies beside it, and the weights of a stripped one.
        slots: sets of buffers, so how many frames may be in flight.
        threads: CPU threads of a CPU back end; all cores without it.
        graphs: let a back end launch its work as CUDA graphs where it does so by itself, which TensorRT-RTX does; for
            the others there is nothing to let, on a CPU nothing at all.
        profiled: let ``layer_times_ms`` tell the time of every layer; runs take longer by that.
    Returns:
        The engine; the caller closes it.
    Raises:
        SpecError: the file, its sidecar or a stripped engine's weights are missing, damaged or exchanged.
        EngineError: it was built for another version or device, or ``threads`` are asked of a GPU.
        MissingPackageError: the back end is not installed.
    """
    spec, plan = read_engine_spec(engine_path)
    if spec.backend == "openvino":
        from edgeseg.runtime.engines.openvino import OpenVINOEngine

        return OpenVINOEngine(spec, plan, slots=slots, threads=threads, profiled=profiled)
    if threads is not None:
        raise EngineError(f"{engine_path} runs on a GPU, where CPU threads mean nothing", "leave --threads out")
    from edgeseg.runtime.engines.stripped import checked_weights
    from edgeseg.runtime.engines.tensorrt import TensorRTEngine

    weights = checked_weights(engine_path, spec)
    return TensorRTEngine(spec, plan, slots=slots, onnx_path=weights, graphs=graphs, profiled=profiled)
