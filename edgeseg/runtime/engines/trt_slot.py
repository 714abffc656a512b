"""Own what one inference in flight needs of TensorRT and CUDA: context, stream and buffers. Start nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import CudaContext, TimedStream
from edgeseg.runtime.engines.trt_plan import tensor_names
from edgeseg.runtime.layouts import as_nchw, stored_shape
from edgeseg.runtime.preflight import rebuild
from edgeseg.spec import EngineSpec, IOTensor
from edgeseg.trt_api import TrtApi
from edgeseg.trt_types import ICudaEngine, IExecutionContext

__all__ = ["Slot", "make_slot", "profile_for"]


@dataclass
class Slot:
    """One set of everything; made, used and dropped with the CUDA context current."""

    context: IExecutionContext
    stream: TimedStream
    device: dict[str, Any]  # one buffer for every IO tensor
    stored_input: NDArray[Any]  # pinned, as the engine stores it
    stored_output: NDArray[Any]
    host_input: NDArray[Any]  # a view of that, as the model says
    host_output: NDArray[Any]
    is_started: bool = False

    def release(self) -> None:
        """Drop what the device holds, the context first; whoever has the slot still (a traceback) has none of it."""
        del self.context
        self.device.clear()
        del self.stream


def profile_for(spec: EngineSpec) -> int | None:
    """The first profile that takes the model's input; None where the engine has one shape.

    Raises:
        EngineError: no profile takes it.
    """
    if not spec.profiles:
        return None
    image = spec.model.input
    batch = image.shape[0]
    for index, profile in enumerate(spec.profiles):
        if profile.takes(batch, image.size_hw):
            return index
    taken = ", ".join(f"{one.minimum} to {one.maximum}" for one in spec.profiles)
    raise EngineError(
        f"input '{image.name}' is {(batch, *image.size_hw)} (batch, height, width), the profiles take {taken}",
        rebuild(spec),
    )


def make_slot(api: TrtApi, engine: ICudaEngine, cuda: CudaContext, spec: EngineSpec) -> Slot:
    """A context at the model's input size, with a buffer for every tensor.

    Raises:
        EngineError: no memory for it, or the engine does not take the size or gives another.
    """
    context: IExecutionContext | None = engine.create_execution_context()
    if context is None:
        raise EngineError(
            f"{api.name} gives no execution context ({api.log})", "free device memory, or use fewer slots"
        )
    stream = cuda.timed_stream()
    _set_shapes(api, context, stream, spec)
    device = {
        name: cuda.device_bytes(_bytes_of(context, name, spec))
        for name in tensor_names(engine)  # an output that nobody reads needs its memory too
    }
    for name, buffer in device.items():
        if not context.set_tensor_address(name, int(buffer)):
            raise EngineError(f"{api.name} refuses the buffer of '{name}' ({api.log})", rebuild(spec))
    image, head = spec.model.input, spec.model.head
    stored = {io.name: io for io in spec.io}
    stored_input = cuda.pinned(stored_shape(image.shape, stored[image.name].format), image.dtype)
    stored_output = cuda.pinned(stored_shape(head.shape, stored[head.output].format), head.dtype)
    return Slot(
        context=context,
        stream=stream,
        device=device,
        stored_input=stored_input,
        stored_output=stored_output,
        host_input=as_nchw(stored_input, image.shape, stored[image.name].format),
        host_output=as_nchw(stored_output, head.shape, stored[head.output].format),
    )


def _set_shapes(api: TrtApi, context: IExecutionContext, stream: TimedStream, spec: EngineSpec) -> None:
    index, image = profile_for(spec), spec.model.input
    if index is None:
        return
    is_set = context.set_optimization_profile_async(index, stream.handle)
    stream.synchronize()  # the profile may be copied to the device on that stream
    if not is_set or not context.set_input_shape(image.name, image.shape):
        raise EngineError(
            f"{api.name} does not take {image.shape} for '{image.name}' in profile {index} ({api.log})", rebuild(spec)
        )
    unknown: list[str] = context.infer_shapes()
    if unknown:
        raise EngineError(f"the shapes of {', '.join(unknown)} do not follow from the input's", rebuild(spec))


def _bytes_of(context: IExecutionContext, name: str, spec: EngineSpec) -> int:
    """Of one tensor at the context's shapes, checked against what the sidecar promises."""
    known = {io.name: io for io in spec.io}
    if name not in known:
        return max(int(context.get_max_output_size(name)), 1)
    shape, model = tuple(context.get_tensor_shape(name)), spec.model
    promised = {model.input.name: model.input.shape, model.head.output: model.head.shape}.get(name, shape)
    if shape != promised:
        raise EngineError(f"'{name}' of the engine is {shape} where its sidecar says {promised}", rebuild(spec))
    return _size(known[name], shape)


def _size(io: IOTensor, shape: tuple[int, ...]) -> int:
    return int(math.prod(stored_shape(shape, io.format)) * np.dtype(io.dtype).itemsize)
