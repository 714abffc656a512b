"""Own what one inference in flight needs of TensorRT: a context, device memory, shapes. Start nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import CudaContext, DeviceMemory, DeviceTensor, Stream
from edgeseg.runtime.cuda.buffers import packed_strides
from edgeseg.runtime.engines.trt_context import make_context
from edgeseg.runtime.engines.trt_plan import tensor_names
from edgeseg.runtime.engines.trt_profiles import Shape, profile_for
from edgeseg.runtime.layouts import image_shape, layout_of, size_hw_of, stored_shape
from edgeseg.runtime.preflight import rebuild
from edgeseg.spec import EngineSpec
from edgeseg.trt_api import TrtApi
from edgeseg.trt_types import ICudaEngine, IExecutionContext

__all__ = ["Slot", "SlotMaker"]


@dataclass
class Slot:
    """One set of everything at its present shape; made, used and dropped with the CUDA context current."""

    context: IExecutionContext
    memory: dict[str, DeviceMemory]  # of every IO tensor, as large as any profile lets it be
    shape: Shape | None = None  # None where TensorRT refused the last one
    profile: int | None = None
    scores_hw: tuple[int, int] = (0, 0)
    tensors: dict[str, DeviceTensor] = field(default_factory=dict)  # the input and the head's output, as stored
    stream: Stream | None = None  # the last one that work was put on

    def synchronize(self) -> None:
        """Wait for the slot's work, where its stream is still there."""
        if self.stream is not None and not self.stream.is_closed:
            self.stream.synchronize()

    def release(self) -> None:
        """Drop what the device holds, the context first; whoever has the slot still (a traceback) has none of it."""
        del self.context
        self.stream = None
        self.tensors.clear()
        self.memory.clear()


class SlotMaker:
    """Makes the slots of one engine and gives them shapes; the memory of each tensor is as large as any profile needs.

    Args:
        api: the package.
        engine: deserialised; kept.
        spec: its sidecar.
        cuda: where memory is made; current here and in every call.
        has_own_graphs: whether TensorRT-RTX is to capture CUDA graphs by itself, where it does that.
    Raises:
        EngineError: CUDA gives no stream.
    """

    def __init__(
        self, api: TrtApi, engine: ICudaEngine, spec: EngineSpec, cuda: CudaContext, *, has_own_graphs: bool
    ) -> None:
        self._api, self._engine, self._spec, self._cuda = api, engine, spec, cuda
        self._has_own_graphs = has_own_graphs
        self._stream = Stream(cuda)  # a change of profile may copy to the device
        self._sizes: dict[str, int] = {}

    def release(self) -> None:
        """Drop the engine and the stream."""
        del self._engine
        del self._stream

    def made(self) -> Slot:
        """A slot at the model's own shape.

        Raises:
            EngineError: no memory for it, or the engine is not what its sidecar says.
        """
        slot = Slot(context=self._context(), memory={})
        self._sizes = self._sizes or self._largest(slot)
        slot.memory |= {name: self._cuda.device_bytes(size) for name, size in self._sizes.items()}
        image = self._spec.model.input
        self.give_shape(slot, (image.shape[0], image.size_hw))
        self._check_promise(slot)
        return slot

    def give_shape(self, slot: Slot, shape: Shape) -> None:
        """Another shape for a slot of which nothing is in flight; nothing is allocated.

        Raises:
            EngineError: the engine does not take it. Where a sidecar's profile says that it does, the slot is of no
                use until another shape is taken.
        """
        index = profile_for(self._spec, shape, present=slot.profile if slot.shape else None)
        self._enter(slot, index, shape)
        self._give_addresses(slot)
        image, head = self._spec.model.input, self._spec.model.head
        for name, dtype in ((image.name, image.dtype), (head.output, head.dtype)):
            slot.tensors[name] = self._tensor(slot, name, dtype)
        slot.scores_hw = size_hw_of(self._shape_of(slot.context, head.output), head.layout)
        slot.shape = shape

    def _context(self) -> IExecutionContext:
        context = make_context(self._api, self._engine, has_own_graphs=self._has_own_graphs)
        if context is None:
            raise EngineError(
                f"{self._api.name} gives no execution context ({self._api.log})",
                "free device memory, or use fewer slots",
            )
        return context

    def _largest(self, slot: Slot) -> dict[str, int]:
        """Bytes of every tensor, an output that nobody reads too, where it is largest."""
        names = tensor_names(self._engine)
        sizes = dict.fromkeys(names, 1)
        image = self._spec.model.input
        own = (image.shape[0], image.size_hw)
        highest = [(one.maximum[0], one.maximum[1:]) for one in self._spec.profiles] or [own]
        for index, shape in enumerate(highest):
            self._enter(slot, index if self._spec.profiles else None, shape)
            sizes = {name: max(sizes[name], self._bytes_of(slot.context, name)) for name in names}
        return sizes

    def _enter(self, slot: Slot, index: int | None, shape: Shape) -> None:
        """Set a profile, where it is another one, and the input's shape in it."""
        if index is None:
            return
        slot.shape = None
        image, is_set = self._spec.model.input, True
        if index != slot.profile:
            is_set = slot.context.set_optimization_profile_async(index, self._stream.handle)
            self._stream.synchronize()
        slot.profile = index if is_set else None
        wanted = image_shape(image, *shape)
        if not is_set or not slot.context.set_input_shape(image.name, wanted):
            raise EngineError(
                f"{self._api.name} does not take {wanted} for '{image.name}' in profile {index} ({self._api.log})",
                rebuild(self._spec),
            )
        unknown: list[str] = slot.context.infer_shapes()
        if unknown:
            raise EngineError(f"the shapes of {', '.join(unknown)} do not follow from the input's", rebuild(self._spec))

    def _give_addresses(self, slot: Slot) -> None:
        """Of all tensors: another profile has none yet."""
        for name, buffer in slot.memory.items():
            if not slot.context.set_tensor_address(name, buffer.ptr):
                raise EngineError(
                    f"{self._api.name} refuses the buffer of '{name}' ({self._api.log})", rebuild(self._spec)
                )

    def _shape_of(self, context: IExecutionContext, name: str) -> tuple[int, ...]:
        """At the context's present shape.

        Raises:
            EngineError: it depends on what the picture shows.
        """
        shape = tuple(context.get_tensor_shape(name))
        if min(shape, default=1) < 0:
            raise EngineError(
                f"output '{name}' is {shape}, of a size that is known only after the engine ran; masks need one known "
                "before",
                "leave what depends on the picture (NonZero, NonMaxSuppression) out of the net, and build it again",
            )
        return shape

    def _bytes_of(self, context: IExecutionContext, name: str) -> int:
        shape = self._shape_of(context, name)
        known = {io.name: io for io in self._spec.io}
        if name in known:
            return math.prod(stored_shape(shape, known[name].format)) * np.dtype(known[name].dtype).itemsize
        size = int(context.get_max_output_size(name))
        if size < 0:
            raise EngineError(f"{self._api.name} does not tell how large '{name}' is ({self._api.log})")
        return max(size, 1)

    def _tensor(self, slot: Slot, name: str, dtype: str) -> DeviceTensor:
        memory, kind = slot.memory[name], np.dtype(dtype)
        shape = stored_shape(self._shape_of(slot.context, name), layout_of(self._spec, name))
        return DeviceTensor(ptr=memory.ptr, shape=shape, dtype=kind, pitches=packed_strides(shape, kind), owner=memory)

    def _check_promise(self, slot: Slot) -> None:
        model = self._spec.model
        promises: Mapping[str, tuple[int, ...]] = {
            model.input.name: model.input.shape,
            model.head.output: model.head.shape,
        }
        for name, promised in promises.items():
            shape = self._shape_of(slot.context, name)
            if shape != promised:
                raise EngineError(
                    f"'{name}' of the engine is {shape} where its sidecar says {promised}", rebuild(self._spec)
                )
