"""Stand in for cuda-bindings' driver: capture of a stream, graphs and their events, on the stand-in's streams.

A call gives its result first, then what else it gives; None where it failed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import standin_device
from pycuda import driver

__all__ = [
    "CUevent_flags",
    "CUevent_record_flags",
    "CUresult",
    "CUstream",
    "CUstreamCaptureMode",
    "CUstreamCaptureStatus",
]


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_INVALID_HANDLE = 400
    CUDA_ERROR_ILLEGAL_STATE = 401
    CUDA_ERROR_NOT_READY = 600
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class CUstreamCaptureMode(IntEnum):
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


class CUstreamCaptureStatus(IntEnum):
    CU_STREAM_CAPTURE_STATUS_NONE = 0
    CU_STREAM_CAPTURE_STATUS_ACTIVE = 1


class CUevent_flags(IntEnum):
    CU_EVENT_DEFAULT = 0


class CUevent_record_flags(IntEnum):
    CU_EVENT_RECORD_EXTERNAL = 1


class CUstream(int):
    """An address."""


class Thing:
    """A template, a graph or an event, until it is destroyed."""

    def __init__(self, nodes: list[Callable[[], None]] | None = None) -> None:
        self.nodes, self.event, self.is_destroyed = list(nodes or []), standin_device.Event(), False


class _RefusedError(Exception):
    """A call's result that is no success."""


def _call(do: Callable[[], Any], results: int = 0) -> tuple[Any, ...]:
    try:
        driver.mem_get_info()  # which needs a current context
        given = do()
    except driver.LogicError:
        return (CUresult.CUDA_ERROR_INVALID_CONTEXT, *[None] * results)
    except _RefusedError as refusal:
        return (refusal.args[0], *[None] * results)
    return (CUresult.CUDA_SUCCESS, *[given] * results)


def _stream(handle: CUstream) -> standin_device.Stream:
    if not isinstance(handle, CUstream) or handle not in standin_device.Stream.living:
        raise _RefusedError(CUresult.CUDA_ERROR_INVALID_HANDLE)
    return standin_device.Stream.living[handle]


def _alive(thing: Thing) -> Thing:
    if thing.is_destroyed:
        raise _RefusedError(CUresult.CUDA_ERROR_INVALID_HANDLE)
    return thing


def cuGetErrorString(error: CUresult) -> tuple[CUresult, bytes]:
    return CUresult.CUDA_SUCCESS, CUresult(error).name.removeprefix("CUDA_ERROR_").lower().replace("_", " ").encode()


def cuStreamBeginCapture(hStream: CUstream, mode: int) -> tuple[Any, ...]:
    def begin() -> None:
        stream = _stream(hStream)
        if stream.captured is not None:
            raise _RefusedError(CUresult.CUDA_ERROR_ILLEGAL_STATE)
        stream.captured, stream.is_capture_broken = [], False

    return _call(begin)


def cuStreamEndCapture(hStream: CUstream) -> tuple[Any, ...]:
    def end() -> Thing:
        stream = _stream(hStream)
        nodes, stream.captured = stream.captured, None
        if nodes is None:
            raise _RefusedError(CUresult.CUDA_ERROR_ILLEGAL_STATE)
        if stream.is_capture_broken:
            raise _RefusedError(CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED)
        return Thing(nodes)

    return _call(end, 1)


def cuStreamIsCapturing(hStream: CUstream) -> tuple[Any, ...]:
    return _call(lambda: CUstreamCaptureStatus(_stream(hStream).captured is not None), 1)


def cuGraphInstantiate(hGraph: Thing, flags: int) -> tuple[Any, ...]:
    return _call(lambda: Thing(_alive(hGraph).nodes), 1)


def cuGraphLaunch(hGraphExec: Thing, hStream: CUstream) -> tuple[Any, ...]:
    def launch() -> None:
        stream = _stream(hStream)
        for node in _alive(hGraphExec).nodes:
            stream.submit(node)

    return _call(launch)


def cuGraphDestroy(hGraph: Thing) -> tuple[Any, ...]:
    return _destroyed(hGraph)


def cuGraphExecDestroy(hGraphExec: Thing) -> tuple[Any, ...]:
    return _destroyed(hGraphExec)


def cuEventCreate(Flags: int) -> tuple[Any, ...]:
    return _call(Thing, 1)


def cuEventRecordWithFlags(hEvent: Thing, hStream: CUstream, flags: int) -> tuple[Any, ...]:
    def record() -> None:
        event, stream = _alive(hEvent).event, _stream(hStream)
        if stream.captured is None or flags != CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL:
            raise _RefusedError(CUresult.CUDA_ERROR_ILLEGAL_STATE)
        stream.submit(event.reach)

    return _call(record)


def cuEventElapsedTime(hStart: Thing, hEnd: Thing) -> tuple[Any, ...]:
    def elapsed() -> float:
        start_s, end_s = _alive(hStart).event.reached_s, _alive(hEnd).event.reached_s
        if start_s is None or end_s is None:
            raise _RefusedError(CUresult.CUDA_ERROR_NOT_READY)
        return (end_s - start_s) * 1e3

    return _call(elapsed, 1)


def cuEventDestroy(hEvent: Thing) -> tuple[Any, ...]:
    return _destroyed(hEvent)


def _destroyed(thing: Thing) -> tuple[Any, ...]:
    def destroy() -> None:
        _alive(thing).is_destroyed = True

    return _call(destroy)
