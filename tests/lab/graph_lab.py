"""Own what stands where ``cuda.bindings.driver`` stands, on the lab's driver: capture, graphs and their events.

A capture is thread-local, as we ask for it. What CUDA forbids in one breaks it, and so does what CUDA allows at times
only: waiting for any stream. A graph's event is recorded when its node is done, no sooner. Nothing ends by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from stream_objects import (
    CAPTURED,
    CAPTURING,
    FIRST_STREAM,
    INVALIDATED,
    ISOLATED,
    LAUNCH_FAILED,
    NOT_READY,
    Error,
    LabCapture,
    LabMark,
    LabQueue,
    milliseconds,
)

if TYPE_CHECKING:
    from stream_lab import LabDriver

__all__ = ["LabBindings"]


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_IMAGE = 200
    CUDA_ERROR_INVALID_HANDLE = 400
    CUDA_ERROR_ILLEGAL_STATE = 401
    CUDA_ERROR_NOT_READY = 600
    CUDA_ERROR_ILLEGAL_ADDRESS = 700
    CUDA_ERROR_LAUNCH_TIMEOUT = 702
    CUDA_ERROR_LAUNCH_FAILED = 719
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901
    CUDA_ERROR_STREAM_CAPTURE_ISOLATION = 905
    CUDA_ERROR_CAPTURED_EVENT = 907
    CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD = 908
    CUDA_ERROR_UNKNOWN = 999


class CUstreamCaptureMode(IntEnum):
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


class CUstreamCaptureStatus(IntEnum):
    CU_STREAM_CAPTURE_STATUS_NONE = 0
    CU_STREAM_CAPTURE_STATUS_ACTIVE = 1
    CU_STREAM_CAPTURE_STATUS_INVALIDATED = 2


class CUevent_flags(IntEnum):
    CU_EVENT_DEFAULT = 0


class CUevent_record_flags(IntEnum):
    CU_EVENT_RECORD_EXTERNAL = 1


WORDS = {
    CUresult.CUDA_ERROR_INVALID_VALUE: "invalid argument",
    CUresult.CUDA_ERROR_OUT_OF_MEMORY: "out of memory",
    CUresult.CUDA_ERROR_INVALID_IMAGE: "device kernel image is invalid",
    CUresult.CUDA_ERROR_INVALID_HANDLE: "invalid resource handle",
    CUresult.CUDA_ERROR_ILLEGAL_STATE: "the operation cannot be performed in the present state",
    CUresult.CUDA_ERROR_NOT_READY: NOT_READY,
    CUresult.CUDA_ERROR_ILLEGAL_ADDRESS: "an illegal memory access was encountered",
    CUresult.CUDA_ERROR_LAUNCH_TIMEOUT: "the launch timed out and was terminated",
    CUresult.CUDA_ERROR_LAUNCH_FAILED: LAUNCH_FAILED,
    CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: CAPTURING,
    CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED: INVALIDATED,
    CUresult.CUDA_ERROR_STREAM_CAPTURE_ISOLATION: ISOLATED,
    CUresult.CUDA_ERROR_CAPTURED_EVENT: CAPTURED,
    CUresult.CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD: "attempt to terminate a thread-local capture from another thread",
    CUresult.CUDA_ERROR_UNKNOWN: "unknown error",
}


class Refused(Exception):
    """A call's result that is no success."""


class LabOwned:
    """What a call made and another one destroys: a template, an executable graph or an event."""

    def __init__(self, lab: LabDriver, kind: str) -> None:
        self.kind, self.is_destroyed = kind, False
        self.nodes: list[Any] = []
        self.mark: LabMark | None = None  # of an event: its recording; of a graph: the end of its latest launch
        with lab.lock:
            lab.living[kind] += 1


class LabBindings:
    """Stands where ``cuda.bindings.driver`` stands; see the head of this file."""

    CUresult, CUstreamCaptureMode, CUstreamCaptureStatus = CUresult, CUstreamCaptureMode, CUstreamCaptureStatus
    CUevent_flags, CUevent_record_flags = CUevent_flags, CUevent_record_flags

    class CUstream(int):
        """An address."""

    def __init__(self, lab: LabDriver) -> None:
        self._lab = lab

    def cuGetErrorString(self, error: CUresult) -> tuple[CUresult, bytes]:
        return CUresult.CUDA_SUCCESS, WORDS[error].encode()

    def cuStreamBeginCapture(self, hStream: int, mode: int) -> tuple[Any, ...]:
        def begin() -> None:
            queue = self._queue(hStream)
            assert mode == CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
            if queue.capture is not None:
                raise Refused(CUresult.CUDA_ERROR_ILLEGAL_STATE)
            assert self._lab.capturing is None, "the lab has one capture a thread"
            queue.capture = self._lab.capturing = LabCapture()

        return self._call("cuStreamBeginCapture", begin)

    def cuStreamEndCapture(self, hStream: int) -> tuple[Any, ...]:
        """Also a call that fails ends the capture, but for one in the wrong thread."""
        queue = self._queue(hStream)
        capture = queue.capture
        if capture is None:
            return self._call("cuStreamEndCapture", self._refuse(CUresult.CUDA_ERROR_ILLEGAL_STATE), 1)
        if capture is not self._lab.capturing:
            return self._call("cuStreamEndCapture", self._refuse(CUresult.CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD), 1)
        queue.capture = self._lab.capturing = None
        capture.has_ended = True

        def end() -> LabOwned:
            if capture.is_broken:
                raise Refused(CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED)
            return self._made("template", capture.nodes)

        return self._call("cuStreamEndCapture", end, 1)

    def cuStreamIsCapturing(self, hStream: int) -> tuple[Any, ...]:
        def status() -> CUstreamCaptureStatus:
            capture = self._queue(hStream).capture
            return CUstreamCaptureStatus(0 if capture is None else 1 + capture.is_broken)

        return self._call("cuStreamIsCapturing", status, 1)

    def cuGraphInstantiate(self, hGraph: LabOwned, flags: int) -> tuple[Any, ...]:
        assert flags == 0
        return self._call("cuGraphInstantiate", lambda: self._made("graph", self._alive(hGraph, "template").nodes), 1)

    def cuGraphLaunch(self, hGraphExec: LabOwned, hStream: int) -> tuple[Any, ...]:
        """Behind the stream's work, and behind the launch before."""

        def launch() -> None:
            graph, queue = self._alive(hGraphExec, "graph"), self._queue(hStream)
            assert queue.capture is None, "the lab has no graph inside of a graph"
            before, graph.mark = graph.mark, LabMark()
            queue.give(*([] if before is None else [(before,)]), *graph.nodes, graph.mark)

        return self._call("cuGraphLaunch", launch)

    def cuGraphDestroy(self, hGraph: LabOwned) -> tuple[Any, ...]:
        return self._destroy("cuGraphDestroy", hGraph, "template")

    def cuGraphExecDestroy(self, hGraphExec: LabOwned) -> tuple[Any, ...]:
        """Launched work goes on."""
        return self._destroy("cuGraphExecDestroy", hGraphExec, "graph")

    def cuEventCreate(self, Flags: int) -> tuple[Any, ...]:
        assert Flags == 0
        return self._call("cuEventCreate", lambda: self._made("event", []), 1)

    def cuEventRecordWithFlags(self, hEvent: LabOwned, hStream: int, flags: int) -> tuple[Any, ...]:
        def record() -> None:
            event, queue = self._alive(hEvent, "event"), self._queue(hStream)
            assert flags == CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL
            if queue.capture is None:
                raise Refused(CUresult.CUDA_ERROR_INVALID_VALUE)
            queue.give(lambda: setattr(event, "mark", LabMark(is_reached=True, at=self._lab.steps)))

        return self._call("cuEventRecordWithFlags", record)

    def cuEventElapsedTime(self, hStart: LabOwned, hEnd: LabOwned) -> tuple[Any, ...]:
        def elapsed() -> float:
            return milliseconds(*(self._alive(one, "event").mark for one in (hStart, hEnd)))

        return self._call("cuEventElapsedTime", elapsed, 1)

    def cuEventDestroy(self, hEvent: LabOwned) -> tuple[Any, ...]:
        return self._destroy("cuEventDestroy", hEvent, "event")

    def _call(self, name: str, do: Callable[[], Any], results: int = 0) -> tuple[Any, ...]:
        """The result, and as many others as the function gives; these are None where it fails."""
        try:
            self._lab.called(name)
            given = do()
        except Refused as refusal:
            return (refusal.args[0], *[None] * results)
        except Error as error:
            return (_code_of(error), *[None] * results)
        return (CUresult.CUDA_SUCCESS, *[given] * results)

    def _destroy(self, name: str, thing: LabOwned, kind: str) -> tuple[Any, ...]:
        """As PyCUDA's destructors in the lab: where no context is current it leaks; it tells of nothing."""
        self._alive(thing, kind)
        if not self._lab.stack:
            self._lab.leaks.append(kind)
            return (CUresult.CUDA_SUCCESS,)
        thing.is_destroyed = True
        with self._lab.lock:
            self._lab.living[kind] -= 1
            self._lab.freed.append(kind)
        return self._call(name, lambda: None)

    def _made(self, kind: str, nodes: list[Any]) -> LabOwned:
        made = LabOwned(self._lab, kind)
        made.nodes = list(nodes)
        return made

    @staticmethod
    def _alive(thing: LabOwned, kind: str) -> LabOwned:
        assert thing.kind == kind and not thing.is_destroyed, f"a destroyed {kind} is used, or another thing for one"
        return thing

    def _queue(self, address: int) -> LabQueue:
        assert isinstance(address, LabBindings.CUstream), "a number is no CUstream"
        queue = self._lab.queues[address - FIRST_STREAM]
        assert not queue.is_destroyed, "a destroyed stream is used"
        return queue

    @staticmethod
    def _refuse(code: CUresult) -> Callable[[], None]:
        def refuse() -> None:
            raise Refused(code)

        return refuse


def _code_of(error: Error) -> CUresult:
    return next(code for code, words in WORDS.items() if str(error).endswith(words))
