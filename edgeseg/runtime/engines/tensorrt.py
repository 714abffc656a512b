"""Own the TensorRT and TensorRT-RTX engine: a deserialised plan and its slots. Build nothing."""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import DeviceTensor, Stream, primary_context
from edgeseg.runtime.engines.device import DeviceEngine
from edgeseg.runtime.engines.stripped import refit
from edgeseg.runtime.engines.trt_context import reason_against_capture
from edgeseg.runtime.engines.trt_package import api_for
from edgeseg.runtime.engines.trt_plan import check_tensors, deserialise, make_runtime
from edgeseg.runtime.engines.trt_profiler import LayerClock
from edgeseg.runtime.engines.trt_slot import Slot, SlotMaker
from edgeseg.runtime.preflight import check_fits, rebuild
from edgeseg.spec import EngineSpec
from edgeseg.trt_api import driver_state
from edgeseg.trt_types import ICudaEngine, Runtime

__all__ = ["TensorRTEngine"]


class TensorRTEngine(DeviceEngine):
    """One deserialised plan; a slot has its own execution context and device buffers.

    An engine with profiles begins at its model's input size, on the first profile that takes it. ``set_shape`` changes
    that to what any profile takes and allocates nothing: buffers are made once, as large as any profile lets them be.

    Args:
        spec: the engine's sidecar.
        plan: the engine file; its hash has been checked.
        slots: inferences that may be in flight at once, >= 1; each takes its own activation memory.
        onnx_path: of a stripped plan, the file that has its weights; its hash has been checked.
        graphs: let TensorRT-RTX launch its work as CUDA graphs of its own. TensorRT has none, there it changes nothing.
        profiled: time every layer, see ``layer_times_ms``; runs take longer by that.
    Raises:
        MissingPackageError: TensorRT or PyCUDA is absent.
        EngineError: the plan does not fit this machine or its sidecar, does not load, or has an output of a size that
            depends on the picture.
    """

    def __init__(
        self,
        spec: EngineSpec,
        plan: bytes,
        *,
        slots: int = 2,
        onnx_path: Path | None = None,
        graphs: bool = False,
        profiled: bool = False,
    ) -> None:
        if slots < 1:
            raise EngineError(f"{slots} slots", "give at least 1")
        self._slots: list[Slot] = []
        self._clocks: list[LayerClock] = []
        self._maker: SlotMaker | None = None
        self._engine: ICudaEngine | None = None
        self._runtime: Runtime | None = None
        self._api = api_for(spec)
        check_fits(spec, version=self._api.version, driver=driver_state(), package=self._api.name)
        super().__init__(spec, slots=slots, cuda=primary_context())
        with contextlib.ExitStack() as undo, self.cuda.current():
            undo.callback(self.close)
            try:
                self._open(plan, onnx_path, graphs)
                self._clocks += [LayerClock(self._api, slot.context) for slot in self._slots if profiled]
            except BaseException as error:
                traceback.clear_frames(error.__traceback__)  # what was half made ends here, its context still current
                raise
            undo.pop_all()

    def _open(self, plan: bytes, onnx_path: Path | None, graphs: bool) -> None:
        self._api.log.clear()
        self._runtime = make_runtime(self._api, self.spec)
        self._engine = deserialise(self._api, self._runtime, plan, self.spec)
        check_tensors(self._api, self._engine, self.spec)
        refit(self._api, self._engine, self.spec, onnx_path)
        self.no_capture = reason_against_capture(self._api, self._engine, has_own_graphs=graphs)
        self._maker = SlotMaker(self._api, self._engine, self.spec, self.cuda, has_own_graphs=graphs)
        for _ in range(self.slots):
            self._slots.append(self._maker.made())

    def set_shape(self, slot: int, *, batch: int, size_hw: tuple[int, int]) -> tuple[int, int]:
        chosen = self._slot(slot)
        if chosen.shape != (batch, size_hw) and self._maker is not None:
            self._maker.give_shape(chosen, (batch, size_hw))
        return chosen.scores_hw

    def device_input(self, slot: int) -> DeviceTensor:
        return self._slot(slot).tensors[self.spec.model.input.name]

    def device_output(self, slot: int) -> DeviceTensor:
        return self._slot(slot).tensors[self.spec.model.head.output]

    def enqueue(self, slot: int, stream: Stream) -> None:
        chosen = self._slot(slot)
        chosen.stream = stream
        if not chosen.context.execute_async_v3(stream.handle):
            raise EngineError(f"{self.spec.backend} did not run the engine ({self._api.log})", rebuild(self.spec))

    def layer_times_ms(self, slot: int) -> dict[str, float]:
        chosen = self._slot(slot)
        if not self._clocks:
            return super().layer_times_ms(slot)
        with self.cuda.current():
            chosen.synchronize()
            return self._clocks[slot].last_ms()

    def close(self) -> None:
        """Release contexts before the engine, the engine before the runtime; views of host buffers stay readable.

        Work that was enqueued is waited for, on streams that are still there.
        """
        if self._runtime is None:
            return
        with self.cuda.current():
            self._release()

    def _release(self) -> None:
        """Drop everything in order; a function of its own, so that no local outlives the context's turn."""
        try:
            self.finish_host()
            for slot in self._slots:
                slot.synchronize()
        finally:
            self._drop()

    def _drop(self) -> None:
        self._clocks.clear()
        for slot in self._slots:
            slot.release()
        if self._maker is not None:
            self._maker.release()
        self._maker = None
        self._engine = None
        self._runtime = None
        self._slots.clear()

    def _slot(self, slot: int) -> Slot:
        self.check_slot(slot)
        return self._slots[slot]
