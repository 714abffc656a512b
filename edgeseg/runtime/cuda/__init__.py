"""Own CUDA through PyCUDA: the primary context, memory, streams, events, modules and graphs, and counts of all that."""

from edgeseg.runtime.cuda.buffers import DeviceMemory, DeviceTensor, PinnedRing
from edgeseg.runtime.cuda.context import CudaContext, primary_context
from edgeseg.runtime.cuda.counters import Counters, Live
from edgeseg.runtime.cuda.foreign import adopt, adopt_pointer
from edgeseg.runtime.cuda.graphs import CaptureRefused, Graph, capture
from edgeseg.runtime.cuda.marks import CapturedMarks, Marks
from edgeseg.runtime.cuda.modules import BoundLaunch, Kernel, Module
from edgeseg.runtime.cuda.ranges import stage
from edgeseg.runtime.cuda.streams import Event, Stream

__all__ = [
    "BoundLaunch",
    "CaptureRefused",
    "CapturedMarks",
    "Counters",
    "CudaContext",
    "DeviceMemory",
    "DeviceTensor",
    "Event",
    "Graph",
    "Kernel",
    "Live",
    "Marks",
    "Module",
    "PinnedRing",
    "Stream",
    "adopt",
    "adopt_pointer",
    "capture",
    "primary_context",
    "stage",
]
