"""Own the choice of a frame's way to its mask: on the CPU around any engine, or on the device of an engine there."""

from __future__ import annotations

from edgeseg.errors import EngineError
from edgeseg.imaging.smoothing import Smoothing
from edgeseg.latency import LatencyLog
from edgeseg.runtime.engines.base import Engine
from edgeseg.runtime.engines.device import DeviceEngine
from edgeseg.runtime.pipelines.base import Borrowed, BorrowedArray, Pipeline, Segmented, Wanted
from edgeseg.runtime.pipelines.device import DevicePipeline
from edgeseg.runtime.pipelines.host import HostPipeline

__all__ = ["Borrowed", "BorrowedArray", "Pipeline", "Segmented", "Wanted", "pipeline_of"]


def pipeline_of(
    engine: Engine,
    *,
    threads: int | None,
    graphs: bool,
    wanted: Wanted,
    latency: LatencyLog,
    is_debug: bool,
    smoothing: Smoothing | None,
) -> Pipeline:
    """The pipeline of an engine; the caller closes it, then the engine.

    Raises:
        EngineError: the device has no memory for it, or no kernels; ``threads`` are asked of it; or results are to stay
            on a device that is none.
    """
    if isinstance(engine, DeviceEngine):
        if threads is not None:
            raise EngineError(f"{threads} CPU threads for pixels that move on a GPU", "leave threads out")
        return DevicePipeline(
            engine, graphs=graphs, wanted=wanted, latency=latency, is_debug=is_debug, smoothing=smoothing
        )
    if wanted.on_device:
        raise EngineError(f"results are to stay on a device, and {engine.spec.backend} runs on the CPU", "ask for none")
    return HostPipeline(engine, threads=threads, wanted=wanted, latency=latency, smoothing=smoothing)
