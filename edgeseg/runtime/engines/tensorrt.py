"""Own the TensorRT and TensorRT-RTX engine: a deserialised plan, its contexts and buffers. Build nothing."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import CudaContext, TimedStream, primary_context
from edgeseg.runtime.engines.base import Engine
from edgeseg.spec import EngineSpec
from edgeseg.trt_api import DriverState, TrtApi, driver_state, load_api

__all__ = ["TensorRTEngine", "check_fits"]

#: NumPy's names of TensorRT's data types
DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}


def check_fits(spec: EngineSpec, *, version: str, driver: DriverState) -> None:
    """Compare a sidecar with this machine, before TensorRT sees the plan.

    Args:
        spec: the engine's sidecar.
        version: of the installed package.
        driver: what the CUDA driver says.
    Raises:
        EngineError: another version built it, no driver works, or it is for other devices.
    """
    rebuild = _rebuild(spec)
    if _without_post(version) != _without_post(spec.backend_version):
        raise EngineError(f"engine was built by {spec.backend} {spec.backend_version}, installed is {version}", rebuild)
    if not driver.is_working:
        raise EngineError(
            f"a {spec.backend} engine needs an NVIDIA GPU, and {driver.reason}",
            "install the driver, or run 'edgeseg build-engine NET.onnx --backend openvino' for this machine",
        )
    fitting = (spec.compute_capability or "").split(", ")
    if driver.compute_capability not in fitting:
        raise EngineError(
            f"engine was built for {spec.device} (compute capability {spec.compute_capability}), "
            f"here is {driver.device_name} ({driver.compute_capability})",
            rebuild,
        )


@dataclass
class _Slot:
    """What one inference in flight needs of its own."""

    context: Any  # IExecutionContext
    stream: TimedStream
    device: dict[str, Any]  # one buffer for every IO tensor
    host_input: NDArray[Any]
    host_output: NDArray[Any]
    is_started: bool = False


class TensorRTEngine(Engine):
    """One deserialised plan; a slot has its own execution context, stream, pinned arrays and device buffers.

    Args:
        spec: the engine's sidecar.
        plan: the engine file; its hash has been checked.
        slots: inferences that may be in flight at once, >= 1; each takes its own activation memory.
    Raises:
        MissingPackageError: TensorRT or PyCUDA is absent.
        EngineError: the plan does not fit this machine or its sidecar, or does not load.
    """

    scope = "engine+copies"

    def __init__(self, spec: EngineSpec, plan: bytes, *, slots: int = 2) -> None:
        if spec.backend == "openvino":
            raise EngineError("an openvino engine was given to TensorRT", "open it with the openvino back end")
        if slots < 1:
            raise EngineError(f"{slots} slots", "give at least 1")
        self.spec, self.slots = spec, slots
        self._slots: list[_Slot] = []
        self._engine: Any = None
        self._runtime: Any = None
        self._api = load_api(spec.backend)
        check_fits(spec, version=self._api.version, driver=driver_state())
        self._cuda = primary_context()
        with contextlib.ExitStack() as undo, self._cuda.current():
            undo.callback(self.close)
            self._open(plan)
            undo.pop_all()

    def _open(self, plan: bytes) -> None:
        self._api.log.clear()
        self._runtime = make_runtime(self._api)
        self._engine = deserialise(self._api, self._runtime, plan, self.spec)
        _check_io(self._api, self._engine, self.spec)
        for _ in range(self.slots):
            self._slots.append(_make_slot(self._api, self._engine, self._cuda, self.spec))

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
            chosen.stream.copy_in(chosen.device[names.input.name], chosen.host_input)
            if not chosen.context.execute_async_v3(chosen.stream.handle):
                raise EngineError(f"{self.spec.backend} did not run the engine ({self._api.log})", _rebuild(self.spec))
            chosen.stream.copy_out(chosen.host_output, chosen.device[names.head.output])
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
            for slot in self._slots:
                slot.context = None
            self._engine = None
            self._runtime = None
            self._slots.clear()

    def _slot(self, slot: int) -> _Slot:
        if self._runtime is None:
            raise EngineError("the engine is closed", "open it again")
        if not 0 <= slot < self.slots:
            raise EngineError(f"slot {slot} of {self.slots}", f"take 0 to {self.slots - 1}")
        return self._slots[slot]


def make_runtime(api: TrtApi) -> Any:
    """Create TensorRT's Runtime; ask for a working driver first."""
    try:
        return api.module.Runtime(api.logger)
    except TypeError as error:  # pybind's word for a factory that returned null
        raise EngineError(f"{api.name} {api.version} gives no runtime ({api.log})", "check the CUDA driver") from error


def deserialise(api: TrtApi, runtime: Any, plan: bytes, spec: EngineSpec) -> Any:
    """Turn a plan into an ICudaEngine.

    Raises:
        EngineError: TensorRT-RTX calls the plan invalid, or nothing came of it; with the log's last lines.
    """
    if hasattr(runtime, "get_engine_validity"):  # TensorRT-RTX only
        validity, diagnostics = runtime.get_engine_validity(plan)
        if validity == api.module.EngineValidity.INVALID:
            reasons = _diagnostics(api, diagnostics) or str(api.log)
            raise EngineError(f"{api.name} {api.version} calls the engine invalid here ({reasons})", _rebuild(spec))
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{api.name} {api.version} cannot load the engine ({api.log})", _rebuild(spec))
    return engine


def _diagnostics(api: TrtApi, bits: int) -> str:
    members = api.module.EngineInvalidityDiagnostics.__members__
    return ", ".join(name for name, member in members.items() if int(member) & int(bits))


def _check_io(api: TrtApi, engine: Any, spec: EngineSpec) -> None:
    """Hold the engine's IO tensors against the sidecar's, since host buffers are made from the latter.

    More outputs than the sidecar names are allowed; more inputs are not, for nothing would fill them.
    """
    found = {_describe(api, engine, name) for name in _tensor_names(engine)}
    model = spec.model
    expected = {_line(io.name, io.mode, io.dtype, io.shape) for io in spec.io}
    expected.add(_line(model.input.name, "input", model.input.dtype, model.input.shape))
    expected.add(_line(model.head.output, "output", model.head.dtype, model.head.shape))
    inputs = [line for line in found if line.startswith("input")]
    if not expected <= found or len(inputs) != 1:
        raise EngineError(
            f"engine has {'; '.join(sorted(found))} where its sidecar says {'; '.join(sorted(expected))}",
            _rebuild(spec),
        )


def _tensor_names(engine: Any) -> list[str]:
    return [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]


def _describe(api: TrtApi, engine: Any, name: str) -> str:
    is_input = engine.get_tensor_mode(name) == api.module.TensorIOMode.INPUT
    dtype = engine.get_tensor_dtype(name).name
    shape = tuple(engine.get_tensor_shape(name))
    return _line(name, "input" if is_input else "output", DTYPES.get(dtype, dtype), shape)


def _line(name: str, mode: str, dtype: str, shape: tuple[int, ...]) -> str:
    return f"{mode} '{name}' {dtype} {'x'.join(map(str, shape))}"


def _make_slot(api: TrtApi, engine: Any, cuda: CudaContext, spec: EngineSpec) -> _Slot:
    context = engine.create_execution_context()
    if context is None:
        raise EngineError(
            f"{api.name} gives no execution context ({api.log})", "free device memory, or use fewer slots"
        )
    sizes = {io.name: math.prod(io.shape) * np.dtype(io.dtype).itemsize for io in spec.io}
    for name in _tensor_names(engine):  # an output that nobody reads needs its memory too
        sizes.setdefault(name, max(context.get_max_output_size(name), 1))
    device = {name: cuda.device_bytes(size) for name, size in sizes.items()}
    for name, buffer in device.items():
        if not context.set_tensor_address(name, int(buffer)):
            raise EngineError(f"{api.name} refuses the buffer of '{name}' ({api.log})", _rebuild(spec))
    return _Slot(
        context=context,
        stream=cuda.timed_stream(),
        device=device,
        host_input=cuda.pinned(spec.model.input.shape, spec.model.input.dtype),
        host_output=cuda.pinned(spec.model.head.shape, spec.model.head.dtype),
    )


def _without_post(version: str) -> str:
    """A post release (10.13.3.9.post1) repacks the same library."""
    return version.split(".post")[0]


def _rebuild(spec: EngineSpec) -> str:
    return f"build it here with 'edgeseg build-engine NET.onnx --backend {spec.backend}'"
