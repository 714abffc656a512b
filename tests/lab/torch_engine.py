"""Own an engine that is a torch module, where TensorRT's stands, to check and to time what is around one.

On the device that stands in (tests/lab/standin) device memory is the host's, and the module runs on the CPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import CudaContext, DeviceMemory, DeviceTensor, Stream
from edgeseg.runtime.cuda.buffers import packed_strides
from edgeseg.runtime.engines.base import Engine
from edgeseg.runtime.engines.device import DeviceEngine
from edgeseg.spec import ClassSpec, EngineSpec, HeadSpec, InputSpec, IOTensor, LabelSpec, ModelSpec, PrecisionSpec

__all__ = ["HostSide", "TorchEngine", "engine_spec", "is_standin", "mixing_module"]

Module = Callable[[Any], Any]


def is_standin() -> bool:
    """Whether the device here is the one of the tests."""
    return importlib.util.find_spec("standin_device") is not None


def engine_spec(image: InputSpec, head: HeadSpec) -> EngineSpec:
    """The sidecar of an engine that was never a file."""
    names = tuple(ClassSpec(name=f"class {one}", colour=(one, 100, 200)) for one in range(max(head.channels, 2)))
    return EngineSpec(
        model=ModelSpec(onnx_sha256="0" * 64, input=image, head=head, labels=LabelSpec(classes=names)),
        backend="tensorrt",
        backend_version="0",
        device="none",
        precision=PrecisionSpec(kind="fp32", high_precision="fp32"),
        io=(
            IOTensor(name=image.name, mode="input", shape=image.shape, dtype=image.dtype),
            IOTensor(name=head.output, mode="output", shape=head.shape, dtype=head.dtype),
        ),
        plan_sha256="0" * 64,
        plan_bytes=0,
        profiles=() if image.profile is None else (image.profile,),
    )


def mixing_module(channels: int, step: int, seed: int = 0) -> Module:
    """``channels`` mixtures of the three colours at every ``step``-th pixel, (N, 3, H, W) to (N, channels, ...).

    Products and sums one after the other, each an operation of its own: the same bits wherever the same device does it.
    """
    weights = np.random.default_rng(seed).normal(0, 1, (channels, 4)).astype(np.float32)

    def module(image: Any) -> Any:
        import torch

        part = image[:, :, ::step, ::step]
        planes = [
            ((part[:, 0] * float(red)) + (part[:, 1] * float(green))) + (part[:, 2] * float(blue)) + float(bias)
            for red, green, blue, bias in weights
        ]
        return torch.stack(planes, 1)

    return module


@dataclass
class _Slot:
    """Memory for the largest shape, and the tensors of the present one."""

    memory: tuple[DeviceMemory, DeviceMemory]
    tensors: tuple[DeviceTensor, DeviceTensor]
    views: tuple[Any, Any]  # torch's, of the same memory
    pool: Any


class TorchEngine(DeviceEngine):
    """A torch module with ``slots`` sets of tensors; its output is copied into ours, cast to the head's type.

    Args:
        module: takes the image as the spec has it, on the device; gives the scores, smaller by a whole number.
        spec: linear input and output, NCHW.
        slots: sets of tensors.
        cuda: the context, which torch shares.
        no_capture: why a CUDA graph may not hold it; empty where it may.
    """

    def __init__(
        self, module: Module, spec: EngineSpec, *, slots: int, cuda: CudaContext, no_capture: str = ""
    ) -> None:
        super().__init__(spec, slots=slots, cuda=cuda)
        self.no_capture = no_capture
        self._module = module
        image, head = spec.model.input, spec.model.head
        self._step = image.size_hw[0] // head.size_hw[0]
        with cuda.current():
            self._slots = [self._made(image, head) for _ in range(slots)]

    def set_shape(self, slot: int, *, batch: int, size_hw: tuple[int, int]) -> tuple[int, int]:
        self.check_slot(slot)
        image, head = self.spec.model.input, self.spec.model.head
        is_own = (batch, *size_hw) == (1, *image.size_hw)
        if not is_own and (image.profile is None or not image.profile.takes(batch, size_hw)):
            raise EngineError(f"the module is not for {batch} images of {size_hw}", f"its profile is {image.profile}")
        scores_hw = size_hw[0] // self._step, size_hw[1] // self._step
        one = self._slots[slot]
        shapes = ((batch, image.channels, *size_hw), (batch, head.channels, *scores_hw))
        if shapes != tuple(tensor.shape for tensor in one.tensors):
            self._shape(one, shapes, (image.dtype, head.dtype))
        return scores_hw

    def device_input(self, slot: int) -> DeviceTensor:
        self.check_slot(slot)
        return self._slots[slot].tensors[0]

    def device_output(self, slot: int) -> DeviceTensor:
        self.check_slot(slot)
        return self._slots[slot].tensors[1]

    def enqueue(self, slot: int, stream: Stream) -> None:
        self.check_slot(slot)
        import torch

        one = self._slots[slot]
        image, scores = one.views

        def work() -> None:
            with torch.inference_mode():
                scores.copy_(self._module(image))

        if is_standin():
            importlib.import_module("standin_device").enqueue(stream.handle, work)
            return
        with torch.cuda.stream(torch.cuda.ExternalStream(stream.handle)), self._pooled(one):
            work()

    def close(self) -> None:
        if self._is_closed:
            return
        with self.cuda.current():
            self.finish_host()
            for one in self._slots:
                for memory in one.memory:
                    memory.close()
        self._slots.clear()

    def _made(self, image: InputSpec, head: HeadSpec) -> _Slot:
        batch, height, width = image.profile.maximum if image.profile else (1, *image.size_hw)
        pixels = batch * height * width
        memory = (
            DeviceMemory(self.cuda, pixels * image.channels * np.dtype(image.dtype).itemsize),
            DeviceMemory(self.cuda, pixels // self._step**2 * head.channels * np.dtype(head.dtype).itemsize),
        )
        import torch

        pool = None if is_standin() else torch.cuda.MemPool()
        one = _Slot(memory, (None, None), (None, None), pool)  # type: ignore[arg-type]
        self._shape(one, (image.shape, head.shape), (image.dtype, head.dtype))
        return one

    def _shape(self, one: _Slot, shapes: Any, dtypes: tuple[str, str]) -> None:
        made = [
            DeviceTensor(
                ptr=memory.ptr,
                shape=shape,
                dtype=np.dtype(dtype),
                pitches=packed_strides(shape, np.dtype(dtype)),
                owner=memory,
            )
            for memory, shape, dtype in zip(one.memory, shapes, dtypes, strict=True)
        ]
        one.tensors = made[0], made[1]
        one.views = torch_view(made[0]), torch_view(made[1])

    def _pooled(self, one: _Slot) -> AbstractContextManager[Any]:
        """What the module allocates is the slot's alone: a graph that holds its addresses is launched on and on."""
        if one.pool is None:
            return contextlib.nullcontext()
        import torch

        pooled: AbstractContextManager[Any] = torch.cuda.use_mem_pool(one.pool)
        return pooled


def torch_view(tensor: DeviceTensor) -> Any:
    """torch's tensor on the same memory, no copy; keeps nothing."""
    import torch

    if not is_standin():
        return torch.as_tensor(tensor, device="cuda")
    memory = (ctypes.c_uint8 * tensor.nbytes).from_address(tensor.ptr)
    return torch.from_numpy(np.frombuffer(memoryview(memory), tensor.dtype).reshape(tensor.shape))


class HostSide(Engine):
    """A device's engine by its host buffers alone, so that a session goes around it on the CPU."""

    scope = "engine+copies"

    def __init__(self, engine: DeviceEngine) -> None:
        self._engine, self.spec, self.slots = engine, engine.spec, engine.slots

    def host_input(self, slot: int) -> NDArray[Any]:
        return self._engine.host_input(slot)

    def host_output(self, slot: int) -> NDArray[Any]:
        return self._engine.host_output(slot)

    def start(self, slot: int) -> None:
        self._engine.start(slot)

    def wait(self, slot: int) -> float:
        return self._engine.wait(slot)

    def stages_ms(self, slot: int) -> dict[str, float]:
        return self._engine.stages_ms(slot)

    def close(self) -> None:
        self._engine.close()
