"""Own what TensorRT tells of the time of every layer of one execution context. Run nothing."""

from __future__ import annotations

from edgeseg.errors import EngineError
from edgeseg.trt_api import TrtApi
from edgeseg.trt_types import IExecutionContext, IProfiler, TrtModule

__all__ = ["LayerClock"]


class LayerClock:
    """Listens to one execution context; each layer costs a pair of events more, so no run of it counts as a timing.

    Args:
        api: the package.
        context: that is asked; it must outlive this object, and this object its last run.
    """

    def __init__(self, api: TrtApi, context: IExecutionContext) -> None:
        self._api, self._context = api, context
        self._times_ms: dict[str, float] = {}
        self._adapter: IProfiler = _adapter(api.module, self._times_ms)  # TensorRT holds a bare pointer to it
        context.enqueue_emits_profile = False  # else each enqueue waits for the device
        context.profiler = self._adapter

    def last_ms(self) -> dict[str, float]:
        """Of the context's last run, which has ended: milliseconds of every layer, in their order.

        Raises:
            EngineError: TensorRT does not tell.
        """
        self._times_ms.clear()
        if not self._context.report_to_profiler():
            raise EngineError(f"{self._api.name} does not tell the time of its layers ({self._api.log})")
        return dict(self._times_ms)


def _adapter(module: TrtModule, times_ms: dict[str, float]) -> IProfiler:
    """Derive from the module's IProfiler, which is known at run time only; a name that comes twice is summed."""

    def init(adapter: IProfiler) -> None:
        module.IProfiler.__init__(adapter)

    def report(_: IProfiler, layer_name: str, ms: float) -> None:
        times_ms[layer_name] = times_ms.get(layer_name, 0.0) + ms

    adapter: IProfiler = type("LayerListener", (module.IProfiler,), {"__init__": init, "report_layer_time": report})()
    return adapter
