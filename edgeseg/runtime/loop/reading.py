"""Own one source over months: its threads, opening it again, giving up a hanging one. Choose no frames."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Protocol

from edgeseg.errors import SourceError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop.intake import Intake
from edgeseg.runtime.loop.options import LoopOptions, Opening
from edgeseg.runtime.loop.state import LoopState
from edgeseg.runtime.sources import FrameSource

__all__ = ["Spawn", "SupervisedSource", "Worker", "start_daemon"]


class Worker(Protocol):
    """What a started thread is asked for."""

    name: str

    def is_alive(self) -> bool:
        """Whether it still runs."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""


Spawn = Callable[[Callable[[], None], str], Worker]


def start_daemon(target: Callable[[], None], name: str) -> Worker:
    """Start a thread that does not keep the process alive."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


@dataclass(eq=False)
class _Attempt:
    """One opening of the source and what is read from it; ``busy_since_s`` is None while its frame waits for room."""

    busy_since_s: float | None
    workers: list[Worker] = field(default_factory=list)
    source: FrameSource | None = None
    opened_s: float | None = None
    epoch: int = 0
    corrupt: int = 0

    @property
    def is_alive(self) -> bool:
        return any(worker.is_alive() for worker in self.workers)


class SupervisedSource:
    """A source that is opened and read in a thread of its own, and again when it fails or hangs.

    A live source is opened again after a SourceError, after waits between 0 and a bound that doubles up to
    ``backoff_max_s`` (full jitter, so that many devices do not come back at once). Where opening or reading gives
    nothing for ``stall_s``, the thread is abandoned: what it still gives is refused, and not counted. A source that is
    not live ends the run with its error.

    Args:
        index: its number in the loop.
        opening: how it is opened.
        intake: gets its frames, and its end.
        options: ``reconnect``, ``backoff_s``, ``backoff_max_s``, ``stall_s``, ``abandoned_limit``.
        state: its accounts, and the clock.
        random: of the jitter.
        spawn: starts a thread.
    """

    def __init__(
        self,
        index: int,
        opening: Opening,
        intake: Intake,
        options: LoopOptions,
        state: LoopState,
        *,
        random: Random,
        spawn: Spawn = start_daemon,
    ) -> None:
        self._index, self._opening, self._intake = index, opening, intake
        self._options, self._state, self._random, self._spawn = options, state, random, spawn
        self._lock = threading.RLock()
        self._attempt: _Attempt | None = None
        self._abandoned: list[_Attempt] = []
        self._retry_s = state.clock()
        self._failures = 0
        self._last_error = ""
        self._is_over = False

    def tick(self) -> None:
        """Do what is due: open the source, count its corrupt frames, give it up where it hangs."""
        with self._lock:
            now = self._state.clock()
            attempt = self._attempt
            if self._is_over:
                return
            if attempt is None:
                if now >= self._retry_s:
                    self._begin()
                return
            self._count_corrupt(attempt)
            busy_since_s = attempt.busy_since_s
            if busy_since_s is not None and now - busy_since_s > self._options.stall_s:
                self._give_up(attempt)

    def stop(self) -> None:
        """Open it no more; what it still gives is the intake's to refuse."""
        with self._lock:
            self._is_over = True

    def release(self) -> None:
        """Close the source from outside, so that a waiting read ends where its library allows; see ``workers``."""
        with self._lock:
            if self._attempt is not None and self._attempt.is_alive:
                self._close_outside(self._attempt)

    def workers(self) -> list[Worker]:
        """The threads that still run."""
        with self._lock:
            attempts = [*self._abandoned, *([self._attempt] if self._attempt else [])]
            return [worker for attempt in attempts for worker in attempt.workers if worker.is_alive()]

    def _begin(self) -> None:
        self._attempt = attempt = _Attempt(self._state.clock())
        self._state.source_is(self._index, "opening")
        attempt.workers.append(self._spawn(lambda: self._attend(attempt), f"edgeseg-source-{self._index}"))

    def _attend(self, attempt: _Attempt) -> None:
        try:
            self._open_and_read(attempt)
        except SourceError as error:
            self._lost(attempt, error)
        except BaseException as error:  # noqa: BLE001  # handed to the loop, which raises it
            self._fail(attempt, error)
        else:
            self._end(attempt)

    def _open_and_read(self, attempt: _Attempt) -> None:
        attempt.source = source = self._opening.open()
        try:
            if not self._opened(attempt, source):
                return
            frames = iter(source)
            while True:
                attempt.busy_since_s = self._state.clock()
                frame = next(frames, None)
                attempt.busy_since_s = None
                if frame is None or not self._hand_over(attempt, frame):
                    break
        finally:
            attempt.busy_since_s = self._state.clock()
            source.close()

    def _opened(self, attempt: _Attempt, source: FrameSource) -> bool:
        with self._lock:
            if attempt is not self._attempt or self._is_over:
                return False
            attempt.opened_s = self._state.clock()
            attempt.epoch = self._intake.admit(self._index, fps=0.0 if self._opening.is_live else source.fps)
            self._state.source_is(self._index, "running")
        self._state.emit("source-opened", source=self._opening.name)
        return True

    def _hand_over(self, attempt: _Attempt, frame: Frame) -> bool:
        if attempt.source is not None and attempt.source.corrupt != attempt.corrupt:
            with self._lock:
                self._count_corrupt(attempt)
        if frame.source != self._index:
            frame = replace(frame, source=self._index)
        return self._intake.put(self._index, attempt.epoch, frame)

    def _count_corrupt(self, attempt: _Attempt) -> None:
        """With the lock. Frames of an abandoned thread are not counted, whatever they are."""
        if attempt is not self._attempt or attempt.source is None:
            return
        more = attempt.source.corrupt - attempt.corrupt
        if more > 0:
            attempt.corrupt += more
            self._state.undecodable(self._index, more)

    def _lost(self, attempt: _Attempt, error: SourceError) -> None:
        if not (self._opening.is_live and self._options.reconnect):
            self._fail(attempt, error)
            return
        with self._lock:
            self._count_corrupt(attempt)
            if attempt is self._attempt and not self._is_over:
                self._report(attempt, str(error))
                self._wait(attempt, str(error))

    def _report(self, attempt: _Attempt, error: str) -> None:
        """A source that stays away for days is told at the 1st, 2nd, 4th, 8th failure, and when the reason changes."""
        tried = self._failures + 1
        if attempt.opened_s is not None or tried & (tried - 1) == 0 or error != self._last_error:
            self._state.emit("source-lost", "warning", source=self._opening.name, error=error, failures=tried)
        self._last_error = error

    def _end(self, attempt: _Attempt) -> None:
        with self._lock:
            self._count_corrupt(attempt)
            if attempt is not self._attempt or self._is_over:
                return
            self._is_over = True
            self._state.source_is(self._index, "ended")
        self._state.emit("source-ended", source=self._opening.name)
        self._intake.finish(self._index)

    def _fail(self, attempt: _Attempt, error: BaseException) -> None:
        with self._lock:
            self._count_corrupt(attempt)
            if attempt is not self._attempt or self._is_over:
                return
            self._is_over = True
            self._state.source_is(self._index, "failed", error=str(error))
        self._state.emit("source-failed", "error", source=self._opening.name, error=str(error))
        self._intake.finish(self._index, error)

    def _give_up(self, attempt: _Attempt) -> None:
        what = "opening" if attempt.opened_s is None else "reading"
        error = f"{self._opening.name} has given nothing for {self._options.stall_s:g} s in {what}"
        if not (self._opening.is_live and self._options.reconnect):
            self._fail(attempt, SourceError(error, "check the disk or the network that it comes from"))
            return
        self._abandoned = [one for one in (*self._abandoned, attempt) if one.is_alive]
        self._close_outside(attempt)
        self._intake.admit(self._index)  # from here on frames of the abandoned thread are refused
        self._state.stalled(self._index, abandoned=len(self._abandoned))
        if len(self._abandoned) > self._options.abandoned_limit:
            hint = "its driver or library does not come back: restart the process, and the device if that is not enough"
            self._fail(attempt, SourceError(f"{error}, and {len(self._abandoned)} threads hang in it", hint))
            return
        self._state.emit("source-stalled", "warning", source=self._opening.name, error=error)
        self._wait(attempt, error)

    def _close_outside(self, attempt: _Attempt) -> None:
        """In a thread of its own, since closing may hang as reading does."""
        source = attempt.source
        if source is not None:
            attempt.workers.append(self._spawn(source.close, f"edgeseg-close-{self._index}"))

    def _wait(self, attempt: _Attempt, error: str) -> None:
        """With the lock: the source is opened again in a while."""
        now = self._state.clock()
        if attempt.opened_s is not None and now - attempt.opened_s >= self._options.backoff_max_s:
            self._failures = 0
        bound_s = min(self._options.backoff_max_s, self._options.backoff_s * 2.0 ** min(self._failures, 60))
        self._failures += 1
        self._retry_s = now + self._random.uniform(0, bound_s)
        self._attempt = None
        self._state.source_is(self._index, "waiting", error=error)
