"""Own the times between points of a stream's work, enqueued plainly or in a CUDA graph. Know no stage's name."""

from __future__ import annotations

from itertools import pairwise
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda.bindings import Owned, call
from edgeseg.runtime.cuda.counters import HandleKind
from edgeseg.runtime.cuda.handles import ContextHolder, Handle
from edgeseg.runtime.cuda.streams import Event, Stream

__all__ = ["CapturedMarks", "Marks"]


class _CapturedEvent(Handle):
    """A timed event that nodes of a graph record. PyCUDA's does not tell the handle that this needs."""

    kind: ClassVar[HandleKind] = "event"

    def __init__(self, holder: ContextHolder) -> None:
        self._api: Any = holder.bindings
        event = call(self._api, "cuEventCreate", self._api.CUevent_flags.CU_EVENT_DEFAULT.value)
        super().__init__(holder, Owned(event, self._api.cuEventDestroy))

    def capture(self, stream: Stream) -> None:
        api, handle = self._api, self._api.CUstream(stream.handle)
        state = call(api, "cuStreamIsCapturing", handle)
        if state == api.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_NONE:
            raise EngineError("a captured mark is put into a stream that is not capturing", "take Marks there")
        # without this flag an event is a wait within the graph, and has no time
        external = api.CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL.value
        call(api, "cuEventRecordWithFlags", self.raw.thing, handle, external)

    def ms_since(self, earlier: _CapturedEvent) -> float:
        return float(call(self._api, "cuEventElapsedTime", earlier.raw.thing, self.raw.thing))


AnyEvent = TypeVar("AnyEvent", Event, _CapturedEvent)
Self = TypeVar("Self", bound="_AnyMarks[Any]")


class _AnyMarks(Generic[AnyEvent]):
    """What marks of both kinds have in common."""

    def __init__(self, events: list[AnyEvent]) -> None:
        if len(events) < 2:
            raise ShapeError(f"{len(events)} marks have no time between them", "take 2 or more")
        self._events: list[AnyEvent] = events

    def ms(self) -> tuple[float, ...]:
        """Milliseconds from each mark to the next, of the latest pass over them, which is known to be done.

        Raises:
            EngineError: a mark was never reached, or is not yet.
        """
        return tuple(later.ms_since(earlier) for earlier, later in pairwise(self._events))

    def close(self) -> None:
        """Free the events. Safe to call twice."""
        for event in self._events:
            event.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Marks(_AnyMarks[Event]):
    """Points in work that is enqueued plainly. All calls but ``close()`` need the context current.

    Args:
        holder: its context.
        count: how many, >= 2.
    """

    def __init__(self, holder: ContextHolder, count: int) -> None:
        super().__init__([Event(holder, is_timed=True) for _ in range(count)])

    def reach(self, index: int, stream: Stream) -> None:
        """Put a mark behind the work given to the stream so far; the last one comes last."""
        stream.record(self._events[index])

    def synchronize(self) -> None:
        """Wait for the last mark, other threads running."""
        self._events[-1].synchronize()


class CapturedMarks(_AnyMarks[_CapturedEvent]):
    """Points in work that is captured, reached anew with each launch of the graph; otherwise as ``Marks``.

    Args:
        holder: its context.
        count: how many, >= 2.
    Raises:
        MissingPackageError: cuda-bindings is absent.
    """

    def __init__(self, holder: ContextHolder, count: int) -> None:
        super().__init__([_CapturedEvent(holder) for _ in range(count)])
        self._stream: Stream | None = None

    def reach(self, index: int, stream: Stream) -> None:
        """Put a mark behind the work captured so far; the last one comes last.

        Raises:
            EngineError: the stream is not capturing.
        """
        self._events[index].capture(stream)
        self._stream = stream

    def synchronize(self) -> None:
        """Wait for all work of the stream of the capture, other threads running.

        The event would not do: it is a node that records it, so right after a launch it may still be that of the
        launch before. A graph that was launched into another stream is to be waited for there.

        Raises:
            EngineError: no mark was captured.
        """
        if self._stream is None:
            raise EngineError("no mark was captured", "call reach() inside of the capture")
        self._stream.synchronize()
