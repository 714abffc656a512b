"""Own one sink's thread and the masks that wait for it. Make no masks, open no sink."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgeseg.errors import EdgesegError
from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop.state import LoopState
from edgeseg.runtime.queues import HandOver
from edgeseg.runtime.sinks import MaskSink

__all__ = ["SinkWriter"]

POLL_S = 0.05  # how late a stop is seen by a loop that waits for a sink


class SinkWriter:
    """A sink that takes masks in a thread of its own, so that it never stops the loop.

    Args:
        index: its number in the loop.
        sink: closed or abandoned by this thread.
        state: its accounts.
        queued: masks that wait for it.
        waits: a full queue makes the loop wait (every frame of a file gets its mask); without it the oldest waiting
            mask is dropped and counted.
        gives_up: asked while the loop waits; once true, the mask that finds no room is lost and counted.
        survives: a sink that fails is abandoned and reported, and the loop goes on; without it ``error`` says why it
            must end.
    """

    def __init__(
        self,
        index: int,
        sink: MaskSink,
        state: LoopState,
        *,
        queued: int,
        waits: bool,
        survives: bool,
        gives_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self.error: BaseException | None = None
        self.name = sink.name
        self._gives_up = gives_up
        self._index, self._sink, self._state, self._survives = index, sink, state, survives
        self._queue: HandOver[tuple[Frame, Mask]] = HandOver(capacity=queued, drops_oldest=not waits)
        self._counted = 0
        self._is_dropping = self._is_abandoned = self._is_writing = False
        self._thread = threading.Thread(target=self._run, name=f"edgeseg-sink-{index}", daemon=True)
        state.watch_sink(index, self._queue.__len__)
        self._thread.start()

    def put(self, frame: Frame, mask: Mask) -> None:
        """Hand a mask over where it is the sink's; one that has failed gets none any more. The loop's thread only."""
        if self._sink.source not in (None, frame.source):
            return
        while not self._queue.put((frame, mask), timeout_s=POLL_S):
            if self._queue.is_cancelled:
                return
            if self._gives_up():
                self._state.unwritten(self._index, 1)
                return
        self._count_dropped()

    def end(self, *, abandon: bool) -> None:
        """Let the thread write what waits and close the sink; or drop that and abandon it. Does not wait."""
        self._is_abandoned = self._is_abandoned or abandon
        if abandon:
            self._state.unwritten(self._index, self._queue.discard())
        self._queue.finish()

    def join(self, timeout_s: float | None) -> bool:
        """Wait for the thread; False, and reported, where the sink hangs: the thread is left behind."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._queue.cancel()
            self._state.sink_is(self._index, "hanging", error="did not finish in time")
            self._state.emit("sink-hangs", "error", sink=self.name, waited_s=timeout_s)
            return False
        return True

    def _count_dropped(self) -> None:
        more = self._queue.dropped - self._counted
        if more:
            self._counted += more
            self._state.unwritten(self._index, more)
        if bool(more) != self._is_dropping and (more or not len(self._queue)):
            self._is_dropping = bool(more)
            if more:  # once, until it has caught up
                self._state.emit("sink-drops", "warning", sink=self.name)

    def _run(self) -> None:
        try:
            self._write_all()
        except EdgesegError as error:
            self._fail(error, is_expected=True)
        except BaseException as error:  # noqa: BLE001  # kept for the loop, which raises it
            self._fail(error, is_expected=False)

    def _write_all(self) -> None:
        for frame, mask in self._queue:
            self._is_writing = True
            self._state.writing(self._index)
            self._sink.write(frame, mask)
            self._state.written(self._index)
            self._is_writing = False
        if self._is_abandoned:
            self._sink.abandon()
        else:
            self._sink.close()
        self._state.sink_is(self._index, "closed")

    def _fail(self, error: BaseException, *, is_expected: bool) -> None:
        self._queue.cancel()
        self._state.unwritten(self._index, self._is_writing + self._queue.discard())
        self._state.sink_is(self._index, "failed", error=str(error))
        self._state.emit("sink-failed", "error", sink=self.name, error=str(error))
        if not (is_expected and self._survives):
            self.error = error
        self._sink.abandon()
