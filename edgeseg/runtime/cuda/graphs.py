"""Own CUDA graphs: a stream's work captured once, launched often. Know neither the work nor when to capture it anew."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda.bindings import Owned, call
from edgeseg.runtime.cuda.counters import HandleKind
from edgeseg.runtime.cuda.handles import ContextHolder, Handle
from edgeseg.runtime.cuda.streams import Stream

__all__ = ["CaptureRefused", "Graph", "capture"]


class CaptureRefused(EngineError):  # noqa: N818  the work is refused, nothing is broken
    """A stream's work cannot be a CUDA graph; the stream is as it was, and takes the work plainly."""


class Graph(Handle):
    """A stream's work, to be launched as one; made by ``capture``. All that the work uses must live as long.

    A launch waits for the launch before it on the device, whatever stream that had.
    """

    kind: ClassVar[HandleKind] = "graph"

    def __init__(self, holder: ContextHolder, raw: Owned, inside: Mapping[str, int]) -> None:
        self._api = holder.bindings
        self._inside = {**inside, "graph_launches": 1}  # amounts of one launch
        self._streams: dict[int, Any] = {}  # CUstream by address: on the path of every frame nothing is made twice
        super().__init__(holder, raw)

    def launch(self, stream: Stream) -> None:
        """Enqueue all of the work. Needs the context current.

        Raises:
            EngineError: the driver refuses, or the device is lost.
        """
        handle = stream.handle
        if handle not in self._streams:
            self._streams[handle] = self._api.CUstream(handle)
        call(self._api, "cuGraphLaunch", self.raw.thing, self._streams[handle])
        stream.holder.tally.add(**self._inside)


def capture(stream: Stream, work: Callable[[], None]) -> Graph:
    """Take what ``work`` gives to a stream as a graph, without doing any of it. Needs the context current.

    The work must have been done plainly once before: what loads or allocates by itself at its first use would break
    the capture. Meanwhile this thread frees nothing of the device and may not wait for it; other threads may.

    Args:
        stream: nothing but ``work`` gives to it meanwhile.
        work: enqueues on that stream alone; called once.
    Returns:
        The graph, not launched yet.
    Raises:
        CaptureRefused: the work cannot be captured, or there is no memory for the graph; the stream works on.
        MissingPackageError: cuda-bindings is absent.
        EngineError: the device is lost.
    """
    holder = stream.holder
    api = holder.bindings
    try:
        with holder.undisturbed(), holder.tally.withheld() as inside:
            raw = _instantiated(api, _recorded(api, api.CUstream(stream.handle), work))
    except (EngineError, holder.driver.Error) as error:
        stream.raw.is_done()  # which tells of a lost device, where that is the reason
        raise CaptureRefused(
            f"the work of this stream does not become a CUDA graph ({error})", "run it without graphs"
        ) from error
    return Graph(holder, raw, inside)


def _recorded(api: Any, handle: Any, work: Callable[[], None]) -> Any:
    """The template of a graph. The capture has ended when this returns or raises."""
    call(api, "cuStreamBeginCapture", handle, api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
    with contextlib.ExitStack() as undo:
        undo.callback(_abandon, api, handle)
        work()
        undo.pop_all()
    return call(api, "cuStreamEndCapture", handle)  # a capture that something broke ends here with that error


def _abandon(api: Any, handle: Any) -> None:
    """End a capture whose work failed: that error is told, not what becomes of the capture."""
    code, template = api.cuStreamEndCapture(handle)
    if code == api.CUresult.CUDA_SUCCESS:
        call(api, "cuGraphDestroy", template)


def _instantiated(api: Any, template: Any) -> Owned:
    try:
        return Owned(call(api, "cuGraphInstantiate", template, 0), api.cuGraphExecDestroy)
    finally:
        call(api, "cuGraphDestroy", template)
