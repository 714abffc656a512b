"""Own what a device keeps of frames gone by, for smoothing, and that one frame's turn ends before the next begins."""

from __future__ import annotations

from collections.abc import Sequence

from edgeseg.runtime.cuda import BoundLaunch, CudaContext, DeviceMemory, DeviceTensor, Event, Stream
from edgeseg.runtime.kernels.loading import KernelSet
from edgeseg.runtime.kernels.smoothing import SmoothLaunches

__all__ = ["Past", "SmoothStep"]


class Past:
    """Mean and colours of one camera at one size of the net, shared by all slots. Needs the context current."""

    def __init__(self, cuda: CudaContext, launches: SmoothLaunches) -> None:
        self.launches = launches
        self._cells = DeviceMemory(cuda, launches.cells_bytes)
        self._mean = DeviceMemory(cuda, launches.mean_bytes)
        self._turn = Event(cuda)
        self.is_empty = True

    @property
    def mean_ptr(self) -> int:
        """Where the scores' mean lies, float32 NCHW."""
        return self._mean.ptr

    @property
    def cells_ptr(self) -> int:
        """Where the last colours lie."""
        return self._cells.ptr

    def take_turn(self, stream: Stream) -> None:
        """Let the stream wait until the frame before has read its mean."""
        if not self.is_empty:
            stream.wait_for(self._turn)

    def end_turn(self, stream: Stream) -> None:
        """The mean was read, when the stream comes to this point."""
        stream.record(self._turn)
        self.is_empty = False

    def close(self) -> None:
        """Free the memory. Safe to call twice."""
        for one in (self._cells, self._mean, self._turn):
            one.close()


class SmoothStep:
    """The launches that steady one slot's scores, each picture's by its own past, for a first frame and a later one."""

    def __init__(
        self, pasts: Sequence[Past], kernels: KernelSet, *, tensor: DeviceTensor, scores: DeviceTensor
    ) -> None:
        self.pasts = pasts
        self._first, self._later = (
            [_bound(pasts, kernels, tensor, scores, index, is_first=is_first) for index in range(len(pasts))]
            for is_first in (True, False)
        )

    def enqueue(self, stream: Stream) -> None:
        """In the frames' turns."""
        for past, first, later in zip(self.pasts, self._first, self._later, strict=True):
            past.take_turn(stream)
            stream.launch(first if past.is_empty else later)

    def end_turns(self, stream: Stream) -> None:
        """What is made of the means is made, when the stream comes to this point."""
        for past in self.pasts:
            past.end_turn(stream)


def _bound(
    pasts: Sequence[Past], kernels: KernelSet, tensor: DeviceTensor, scores: DeviceTensor, index: int, *, is_first: bool
) -> BoundLaunch:
    past, batch = pasts[index], len(pasts)
    made = past.launches.made(
        tensor=int(tensor) + index * (tensor.nbytes // batch),
        scores=int(scores) + index * (scores.nbytes // batch),
        cells=past.cells_ptr,
        mean=past.mean_ptr,
        is_first=is_first,
    )
    return kernels.bound(made.kernel, made.params, grid=made.grid, block=made.block)
