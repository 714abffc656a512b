"""Own CUDA through PyCUDA: the primary context, memory, streams and events, modules, and counts of all that."""

from edgeseg.runtime.cuda.buffers import DeviceMemory, DeviceTensor, PinnedRing
from edgeseg.runtime.cuda.context import CudaContext, primary_context
from edgeseg.runtime.cuda.counters import Counters, Live
from edgeseg.runtime.cuda.foreign import adopt, adopt_pointer
from edgeseg.runtime.cuda.modules import BoundLaunch, Kernel, Module
from edgeseg.runtime.cuda.streams import Event, Stream, TimedStream

__all__ = [
    "BoundLaunch",
    "Counters",
    "CudaContext",
    "DeviceMemory",
    "DeviceTensor",
    "Event",
    "Kernel",
    "Live",
    "Module",
    "PinnedRing",
    "Stream",
    "TimedStream",
    "adopt",
    "adopt_pointer",
    "primary_context",
]
