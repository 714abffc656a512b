"""Own one slot of the device pipeline: its stream, memory and work, what is in flight there, who has borrowed it."""

from __future__ import annotations

import contextlib
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from edgeseg.errors import EngineError, MissingPackageError
from edgeseg.runtime.cuda import CudaContext, DeviceTensor, Event, Stream
from edgeseg.runtime.cuda.graphs import CaptureRefused, capture
from edgeseg.runtime.cuda.marks import CapturedMarks, Marks
from edgeseg.runtime.pipelines.base import BorrowedArray
from edgeseg.runtime.pipelines.graphs import GraphUse
from edgeseg.runtime.pipelines.pictures import GivenPicture
from edgeseg.runtime.pipelines.slot_memory import Place, SlotMemory
from edgeseg.runtime.pipelines.slot_work import STAGES, SlotWork

__all__ = ["Slot"]

KEPT_WORKS = 8  # cameras of one session, and buffers that a camera's driver rotates


class Slot:
    """A place for one batch in flight. Every call but ``close`` needs the context current.

    Args:
        cuda: the session's part of the context.
        graphs: the session's.
        is_mapped: see ``Mirror``.
    """

    def __init__(self, cuda: CudaContext, graphs: GraphUse, *, is_mapped: bool) -> None:
        self._cuda, self._graphs = cuda, graphs
        self.stream = Stream(cuda)
        self.memory = SlotMemory(cuda, is_mapped=is_mapped)
        self.sequence: int | None = None  # of the frame whose results lie here
        self._marks = Marks(cuda, len(STAGES) + 1)
        self._done = Event(cuda)
        self._works: OrderedDict[object, SlotWork] = OrderedDict()
        self._shape: object = None
        self._running: SlotWork | None = None
        self._is_in_flight = False
        self._pictures: Sequence[GivenPicture] = ()
        self._lent: list[weakref.ref[NDArray[Any]]] = []

    @property
    def running(self) -> SlotWork:
        """What was started last."""
        assert self._running is not None
        return self._running

    def work(self, key: object, make: Callable[[], SlotWork]) -> SlotWork:
        """The work of a case, made where it is a new one."""
        if key not in self._works:
            self._works[key] = make()
            while len(self._works) > KEPT_WORKS:
                self._works.popitem(last=False)[1].drop_graph()
        self._works.move_to_end(key)
        return self._works[key]

    def take_shape(self, shape: object) -> None:
        """Forget graphs that were captured while the engine had another shape here."""
        if shape != self._shape:
            self._shape = shape
            for work in self._works.values():
                work.drop_graph()

    def forget_works(self) -> None:
        """Drop what is bound to memory that has moved."""
        for work in self._works.values():
            work.drop_graph()
        self._works.clear()

    def run(self, work: SlotWork, pictures: Sequence[GivenPicture], sequence: int) -> None:
        """Start it. Where that fails nothing of it is in flight any more.

        Raises:
            EngineError: a call failed.
        """
        if self._is_in_flight:  # its result was asked for, and failed before it was waited for
            self.stream.synchronize()
        self.sequence = sequence
        work.write(pictures)
        self._is_in_flight = True
        with self._drained_on_error():
            for handle in dict.fromkeys(handle for one in pictures for handle in one.streams):
                self.stream.wait_for_foreign(handle)
            if work.has_run and work.graph is None and self._graphs.may_capture:
                self._capture(work)
            if work.graph is not None:
                work.graph.launch(self.stream)
            else:
                work.enqueue(self.stream, self._marks)
            self.stream.record(self._done)
        work.has_run = True
        self._running, self._pictures = work, pictures

    def wait(self) -> tuple[float, ...]:
        """Wait for what was started; return the milliseconds of the stages."""
        work = self.running
        self._done.synchronize()
        self._is_in_flight, self._pictures = False, ()  # what was read there may go now
        return (self._marks if work.graph_marks is None else work.graph_marks).ms()

    def host(self, place: Place) -> NDArray[Any]:
        """A result where it lies."""
        return place.view(self.running.results.host())

    def device(self, place: Place) -> DeviceTensor:
        """A result on the device."""
        results = self.running.results
        return place.on_device(results.ptr, results.owner)

    def lend(self, place: Place, *, is_on_host: bool) -> BorrowedArray:
        """A result where it lies, until the slot runs again."""
        assert self.sequence is not None

        def view() -> NDArray[Any]:
            block = self.running.results.host()
            self._lent.append(weakref.ref(block))
            return place.view(block)

        host = view if is_on_host else None
        return BorrowedArray(self.device(place), host, sequence=self.sequence, now=lambda: self.sequence)

    def check_lent(self) -> None:
        """Raises:
        EngineError: an array of a borrowed result is alive, which the next frame would overwrite.
        """
        if any(one() is not None for one in self._lent):
            raise EngineError(
                f"a borrowed array of frame {self.sequence} is alive, and its slot is to be taken again",
                "drop it or copy it before the next submit(), or raise depth",
            )
        self._lent.clear()

    def close(self) -> None:
        """Wait for what is in flight, whatever became of it, and free all but the memory of borrowed arrays."""
        with contextlib.suppress(EngineError), self._cuda.current():
            self.stream.synchronize()
        self.forget_works()
        for one in (self._marks, self._done, self.stream, self.memory):
            one.close()
        self.sequence, self._running, self._pictures = None, None, ()

    def _capture(self, work: SlotWork) -> None:
        marks: CapturedMarks | None = None
        try:
            marks = CapturedMarks(self._cuda, len(STAGES) + 1)
            chosen = marks
            work.graph = capture(self.stream, lambda: work.enqueue(self.stream, chosen))
        except (CaptureRefused, MissingPackageError) as error:
            if marks is not None:
                marks.close()
            self._graphs.refuse(error)
            return
        work.graph_marks = marks
        self._graphs.took()

    @contextlib.contextmanager
    def _drained_on_error(self) -> Iterator[None]:
        """Leave nothing of a half-given frame in flight: its memory is written to again."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(EngineError, self._cuda.driver.Error):
                self.stream.synchronize()
            self.forget_works()
            raise
