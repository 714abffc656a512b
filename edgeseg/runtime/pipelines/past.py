"""Own what a device keeps of frames gone by, for smoothing, and that one frame's turn ends before the next begins."""

from __future__ import annotations

from collections.abc import Sequence

from edgeseg.runtime.cuda import BoundLaunch, CudaContext, DeviceMemory, DeviceTensor, Event, Stream
from edgeseg.runtime.kernels.loading import KernelSet
from edgeseg.runtime.kernels.smoothing import SmoothLaunches

__all__ = ["Past", "SmoothStep"]


class Past:
    """Means and colours of a batch at one size of the net, shared by all slots. Needs the context current.

    Args:
        cuda: the context.
        launches: for one picture.
        batch: pictures, each a camera of its own.
    """

    def __init__(self, cuda: CudaContext, launches: SmoothLaunches, batch: int) -> None:
        self.launches = launches
        self._cells = DeviceMemory(cuda, batch * launches.cells_bytes)
        self._means = DeviceMemory(cuda, batch * launches.mean_bytes)
        self._turn = Event(cuda)
        self.is_empty = True

    def mean_ptr(self, index: int) -> int:
        """Where the scores' mean of one picture lies, float32 NCHW."""
        return self._means.ptr + index * self.launches.mean_bytes

    def cells_ptr(self, index: int) -> int:
        """Where its last colours lie."""
        return self._cells.ptr + index * self.launches.cells_bytes

    def take_turn(self, stream: Stream) -> None:
        """Let the stream wait until the frame before has read its means."""
        if not self.is_empty:
            stream.wait_for(self._turn)

    def end_turn(self, stream: Stream) -> None:
        """The means were read, when the stream comes to this point."""
        stream.record(self._turn)
        self.is_empty = False

    def close(self) -> None:
        """Free the memory. Safe to call twice."""
        for one in (self._cells, self._means, self._turn):
            one.close()


class SmoothStep:
    """The launches that steady one slot's scores, for a first frame and for a later one."""

    def __init__(
        self, past: Past, kernels: KernelSet, *, tensor: DeviceTensor, scores: DeviceTensor, batch: int
    ) -> None:
        self.past = past
        self._first, self._later = (
            [_bound(past, kernels, tensor, scores, index, batch, is_first=is_first) for index in range(batch)]
            for is_first in (True, False)
        )

    def enqueue(self, stream: Stream) -> None:
        """In the frame's turn, which the caller ends."""
        self.past.take_turn(stream)
        launches: Sequence[BoundLaunch] = self._first if self.past.is_empty else self._later
        for launch in launches:
            stream.launch(launch)


def _bound(
    past: Past,
    kernels: KernelSet,
    tensor: DeviceTensor,
    scores: DeviceTensor,
    index: int,
    batch: int,
    *,
    is_first: bool,
) -> BoundLaunch:
    made = past.launches.made(
        tensor=int(tensor) + index * (tensor.nbytes // batch),
        scores=int(scores) + index * (scores.nbytes // batch),
        cells=past.cells_ptr(index),
        mean=past.mean_ptr(index),
        is_first=is_first,
    )
    return kernels.bound(made.kernel, made.params, grid=made.grid, block=made.block)
