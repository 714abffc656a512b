"""Own the TensorRT and TensorRT-RTX engine: a deserialised plan, its contexts and buffers. Build nothing."""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import primary_context
from edgeseg.runtime.engines.base import Engine
from edgeseg.runtime.engines.stripped import refit
from edgeseg.runtime.engines.trt_package import api_for
from edgeseg.runtime.engines.trt_plan import check_tensors, deserialise, make_runtime
from edgeseg.runtime.engines.trt_slot import Slot, make_slot
from edgeseg.runtime.preflight import check_fits, rebuild
from edgeseg.spec import EngineSpec
from edgeseg.trt_api import driver_state
from edgeseg.trt_types import ICudaEngine, Runtime

__all__ = ["TensorRTEngine"]


class TensorRTEngine(Engine):
    """One deserialised plan; a slot has its own execution context, stream, pinned arrays and device buffers.

    An engine with profiles runs at its model's input size, on the first profile that takes it.

    Args:
        spec: the engine's sidecar.
        plan: the engine file; its hash has been checked.
        slots: inferences that may be in flight at once, >= 1; each takes its own activation memory.
        onnx_path: of a stripped plan, the file that has its weights; its hash has been checked.
    Raises:
        MissingPackageError: TensorRT or PyCUDA is absent.
        EngineError: the plan does not fit this machine or its sidecar, or does not load.
    """

    scope = "engine+copies"

    def __init__(self, spec: EngineSpec, plan: bytes, *, slots: int = 2, onnx_path: Path | None = None) -> None:
        if slots < 1:
            raise EngineError(f"{slots} slots", "give at least 1")
        self.spec, self.slots = spec, slots
        self._slots: list[Slot] = []
        self._engine: ICudaEngine | None = None
        self._runtime: Runtime | None = None
        self._api = api_for(spec)
        check_fits(spec, version=self._api.version, driver=driver_state(), package=self._api.name)
        self._cuda = primary_context()
        with contextlib.ExitStack() as undo, self._cuda.current():
            undo.callback(self.close)
            try:
                self._open(plan, onnx_path)
            except BaseException as error:
                traceback.clear_frames(error.__traceback__)  # what was half made ends here, its context still current
                raise
            undo.pop_all()

    def _open(self, plan: bytes, onnx_path: Path | None) -> None:
        self._api.log.clear()
        self._runtime = make_runtime(self._api, self.spec)
        self._engine = deserialise(self._api, self._runtime, plan, self.spec)
        check_tensors(self._api, self._engine, self.spec)
        refit(self._api, self._engine, self.spec, onnx_path)
        for _ in range(self.slots):
            self._slots.append(make_slot(self._api, self._engine, self._cuda, self.spec))

    def host_input(self, slot: int) -> NDArray[Any]:
        return self._slot(slot).host_input

    def host_output(self, slot: int) -> NDArray[Any]:
        return self._slot(slot).host_output

    def start(self, slot: int) -> None:
        chosen = self._slot(slot)
        if chosen.is_started:
            raise EngineError(f"slot {slot} is started already", "wait for it first")
        names = self.spec.model
        with self._cuda.current():
            chosen.stream.mark_begin()
            chosen.stream.copy_in(chosen.device[names.input.name], chosen.stored_input)
            if not chosen.context.execute_async_v3(chosen.stream.handle):
                raise EngineError(f"{self.spec.backend} did not run the engine ({self._api.log})", rebuild(self.spec))
            chosen.stream.copy_out(chosen.stored_output, chosen.device[names.head.output])
            chosen.stream.mark_end()
        chosen.is_started = True

    def wait(self, slot: int) -> float:
        chosen = self._slot(slot)
        if not chosen.is_started:
            raise EngineError(f"slot {slot} is not started", "start it first")
        chosen.is_started = False
        with self._cuda.current():
            return chosen.stream.wait_ms()

    def close(self) -> None:
        """Release contexts before the engine, the engine before the runtime; views of host buffers stay readable."""
        if self._runtime is None:
            return
        with self._cuda.current():
            self._release()

    def _release(self) -> None:
        """Drop everything in order; a function of its own, so that no local outlives the context's turn."""
        try:
            for slot in self._slots:
                slot.stream.synchronize()
        finally:
            self._drop()

    def _drop(self) -> None:
        for slot in self._slots:
            slot.release()
        self._engine = None
        self._runtime = None
        self._slots.clear()

    def _slot(self, slot: int) -> Slot:
        if self._runtime is None:
            raise EngineError("the engine is closed", "open it again")
        if not 0 <= slot < self.slots:
            raise EngineError(f"slot {slot} of {self.slots}", f"take 0 to {self.slots - 1}")
        return self._slots[slot]
