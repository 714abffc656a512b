"""Own the deserialised engine and its execution contexts. Build nothing, compute nothing itself."""

from __future__ import annotations

from typing import Any

import standin_device

from trt_standin.bound import Bound, Dims, host_memory
from trt_standin.computing import Net, output_shapes
from trt_standin.enums import (
    KINDS,
    DataType,
    HardwareCompatibilityLevel,
    ProfilingVerbosity,
    TensorFormat,
    TensorIOMode,
)
from trt_standin.inspecting import EngineInspector
from trt_standin.layouts import decode, encode, memory_bytes
from trt_standin.logs import ILogger, IProfiler, derived, error
from trt_standin.plan import IO, Plan, pack
from trt_standin.releases import fails

__all__ = ["ICudaEngine", "IExecutionContext"]

STATIC = KINDS["ExecutionContextAllocationStrategy"].STATIC
ADDRESS_ALIGNMENT = 256
FIRST_STAT = KINDS["EngineStat"].TOTAL_WEIGHTS_SIZE if "EngineStat" in KINDS and len(KINDS["EngineStat"]) else None


class ICudaEngine(Bound):
    def __init__(self, plan: Plan, onnx_bytes: bytes, logger: ILogger, *, is_lean: bool = False) -> None:
        self._plan, self._onnx, self._logger, self._is_lean = plan, onnx_bytes, logger, is_lean
        self._missing = set(plan.stripped)
        self._io = {one.name: one for one in plan.io}

    @property
    def name(self) -> str:
        return "Unnamed Network 0"

    @property
    def num_io_tensors(self) -> int:
        return len(self._plan.io)

    @property
    def num_layers(self) -> int:
        return len(self._plan.layers)

    @property
    def num_optimization_profiles(self) -> int:
        return max(len(self._plan.profiles), 1)

    @property
    def num_aux_streams(self) -> int:
        return self._plan.aux_streams

    @property
    def refittable(self) -> bool:
        return self._plan.is_refittable

    @property
    def profiling_verbosity(self) -> Any:
        return ProfilingVerbosity[self._plan.verbosity]

    @property
    def hardware_compatibility_level(self) -> Any:
        return HardwareCompatibilityLevel[self._plan.compatibility]

    @property
    def has_implicit_batch_dimension(self) -> bool:
        return False

    @property
    def device_memory_size(self) -> int:
        return self._plan.activation_bytes

    @property
    def device_memory_size_v2(self) -> int:
        return self._plan.activation_bytes

    @property
    def streamable_weights_size(self) -> int:
        return 0

    @property
    def weight_streaming_budget_v2(self) -> int:
        return 0

    def get_device_memory_size_for_profile(self, profile_index: int) -> int:
        return self._plan.activation_bytes

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        return self._plan.activation_bytes

    def get_engine_stat(self, stat: Any = FIRST_STAT) -> int:
        is_total = stat.name == "TOTAL_WEIGHTS_SIZE"
        return self._plan.weight_bytes if is_total or self._plan.stripped else -1

    def __getitem__(self, arg0: int) -> str:
        return self._plan.io[arg0].name

    def get_tensor_name(self, index: int) -> str:
        return self._plan.io[index].name

    def get_tensor_mode(self, name: str) -> Any:
        return TensorIOMode[self._io[name].mode] if name in self._io else TensorIOMode.NONE

    def get_tensor_dtype(self, name: str) -> Any:
        return DataType[self._io[name].dtype]

    def get_tensor_shape(self, name: str) -> Dims:
        return Dims(self._io[name].shape)

    def get_tensor_format(self, name: str) -> Any:
        self._refuse_lean("TensorFormat")
        return TensorFormat[self._io[name].format]

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Dims]:
        if not self._plan.profiles:
            return [self.get_tensor_shape(name)] * 3
        shapes = self._plan.profiles[profile_index].get(name, [self._io[name].shape] * 3)
        return [Dims(one) for one in shapes]

    def create_engine_inspector(self) -> EngineInspector:
        self._refuse_lean("EngineInspector")
        return EngineInspector(self._plan)

    def _refuse_lean(self, name: str) -> None:
        """The lean package has the method and lacks the class of what it returns."""
        if self._is_lean:
            raise TypeError(f"Unable to convert function return value to a Python type! ... -> nvinfer1::{name}")

    def create_execution_context(self, strategy: Any = STATIC) -> IExecutionContext | None:
        if fails("context"):
            error(self._logger, "IExecutionContext: Error Code 2: OutOfMemory (Requested size was 1073741824 bytes.)")
            return None
        return IExecutionContext(self)

    def create_execution_context_without_device_memory(self) -> IExecutionContext:
        return IExecutionContext(self)

    def serialize(self) -> Any:
        return host_memory(pack(self._plan, self._onnx))


class IExecutionContext(Bound):
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine, self._name = engine, ""
        self._profile = 0
        self._addresses: dict[str, int] = {}
        self._shapes = {one.name: tuple(one.shape) for one in engine._plan.io if one.mode == "INPUT"}
        self._nets: dict[tuple[tuple[int, ...], ...], Net] = {}
        self._profiler: IProfiler | None = None
        self._emits, self._runs = True, 0

    @property
    def profiler(self) -> IProfiler | None:
        return self._profiler

    @profiler.setter
    def profiler(self, value: IProfiler) -> None:
        self._profiler = derived(value, IProfiler)

    @property
    def enqueue_emits_profile(self) -> bool:
        return self._emits

    @enqueue_emits_profile.setter
    def enqueue_emits_profile(self, value: bool) -> None:
        self._emits = value

    def report_to_profiler(self) -> bool:
        """A layer takes as many hundredths of a millisecond as its place says, in the nth run n times that."""
        if self._profiler is None or not self._runs:
            return self._refuse("IExecutionContext::reportToProfiler: Error Code 3: (no profiled run to report)")
        for place, layer in enumerate(self._engine._plan.layers, 1):
            self._profiler.report_layer_time(layer.name, place * self._runs / 100)
        return True

    @property
    def engine(self) -> ICudaEngine:
        return self._engine

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def active_optimization_profile(self) -> int:
        return self._profile

    @property
    def all_binding_shapes_specified(self) -> bool:
        return not self.infer_shapes()

    @property
    def all_shape_inputs_specified(self) -> bool:
        return True

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        if not 0 <= profile_index < self._engine.num_optimization_profiles:
            return self._refuse("setOptimizationProfileAsync: Error Code 3: (profileIndex is out of range)")
        if profile_index != self._profile:
            self._addresses.clear()  # each profile has its own
        self._profile = profile_index
        self._shapes = {one.name: tuple(one.shape) for one in self._engine._plan.io if one.mode == "INPUT"}
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        if name not in self._shapes:
            return self._refuse(f"setInputShape: Error Code 3: ({name} is not an input)")
        low, _, high = (tuple(one) for one in self._engine.get_tensor_profile_shape(name, self._profile))
        given = tuple(int(side) for side in shape)
        if len(given) != len(low) or any(not a <= b <= c for a, b, c in zip(low, given, high, strict=True)):
            return self._refuse(
                "IExecutionContext::setInputShape: Error Code 3: API Usage Error (Parameter check failed, condition: "
                f"engineDims.d[i] == dims.d[i]. Static dimension mismatch while setting input shape for {name}.)"
            )
        self._shapes[name] = given
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name, shape in self._shapes.items() if -1 in shape]

    def get_tensor_shape(self, name: str) -> Dims:
        if name in self._shapes:
            return Dims(self._shapes[name])
        if -1 not in self._engine._io[name].shape:
            return Dims(self._engine._io[name].shape)
        return Dims(output_shapes(self._engine._onnx, self._shapes)[name])

    def get_max_output_size(self, name: str) -> int:
        one = self._engine._io.get(name)
        if one is None or one.mode != "OUTPUT":
            return -1
        highest = {each: tuple(self._engine.get_tensor_profile_shape(each, self._profile)[2]) for each in self._shapes}
        return memory_bytes(output_shapes(self._engine._onnx, highest)[name], one.dtype, one.format)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self._engine._io:
            return self._refuse(f"setTensorAddress: Error Code 3: (given invalid tensor name: {name})")
        if int(memory) % ADDRESS_ALIGNMENT:
            return self._refuse(f"setTensorAddress: Error Code 3: ({name} is not aligned to {ADDRESS_ALIGNMENT} bytes)")
        self._addresses[name] = int(memory)
        return True

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Enqueue: what is wrong now is False and a log line; what is wrong later breaks the stream, as on a device."""
        engine = self._engine
        if fails("execute"):
            return self._refuse("IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (out of memory)")
        if engine._missing:
            return self._refuse(f"enqueueV3: Error Code 4: (weights are missing: {', '.join(sorted(engine._missing))})")
        lacking = [name for name in engine._io if name not in self._addresses]
        if lacking:
            return self._refuse(f"enqueueV3: Error Code 3: (Address is not set for tensor {lacking[0]}.)")
        if self.infer_shapes():
            return self._refuse(f"enqueueV3: Error Code 7: (shape of {self.infer_shapes()[0]} is not specified)")
        addresses, shapes = dict(self._addresses), dict(self._shapes)
        standin_device.enqueue(int(stream_handle), lambda: self._compute(addresses, shapes))
        self._runs += 1
        return self.report_to_profiler() if self._profiler is not None and self._emits else True

    def _compute(self, addresses: dict[str, int], shapes: dict[str, tuple[int, ...]]) -> None:
        io = self._engine._io
        inputs = {name: _read(io[name], shape, addresses[name]) for name, shape in shapes.items()}
        net = self._net(shapes)
        for name, array in net.run(inputs).items():
            if name in io and io[name].mode == "OUTPUT":
                standin_device.write(addresses[name], encode(array, io[name].dtype, io[name].format))

    def _net(self, shapes: dict[str, tuple[int, ...]]) -> Net:
        key = tuple(shapes.values())
        if key not in self._nets:
            self._nets[key] = Net(self._engine._onnx, shapes)
        return self._nets[key]

    def _refuse(self, text: str) -> bool:
        error(self._engine._logger, text)
        return False


def _read(io: IO, shape: tuple[int, ...], address: int) -> Any:
    return decode(standin_device.read(address, memory_bytes(shape, io.dtype, io.format)), shape, io.dtype, io.format)
