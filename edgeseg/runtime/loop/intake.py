"""Own the frames that wait for the session: a lane a source, its policy, fair turns. Read no source."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop.options import LoopOptions
from edgeseg.runtime.loop.state import LoopState

__all__ = ["Intake"]


@dataclass
class _Lane:
    is_live: bool
    drops_oldest: bool
    capacity: int
    frames: deque[Frame] = field(default_factory=deque)
    epoch: int = 0  # of the thread whose frames are taken; an abandoned one has an older epoch
    fps: float = 0.0
    due_s: float | None = None
    is_ended: bool = False
    error: BaseException | None = None


class Intake:
    """Frames of several sources on their way to one session.

    Each source's thread puts, one thread takes. Every frame put is accounted for in the state as it comes and as it is
    dropped or skipped; one that is taken is the taker's.

    Args:
        is_live: of each source.
        options: ``policy``, ``max_age_s``, ``rate``, ``queued``.
        state: its accounts, and the clock.
    """

    def __init__(self, is_live: Sequence[bool], options: LoopOptions, state: LoopState) -> None:
        self._options, self._state = options, state
        self._lanes = [self._lane(one) for one in is_live]
        self._changed = threading.Condition()
        self._turn = 0
        self._is_cancelled = False

    @property
    def is_ended(self) -> bool:
        """Whether every source has ended, no frame waits, and no error is left to raise."""
        with self._changed:
            return all(lane.is_ended and not lane.frames and lane.error is None for lane in self._lanes)

    def waiting(self, source: int) -> int:
        """How many frames of a source wait."""
        with self._changed:
            return len(self._lanes[source].frames)

    def admit(self, source: int, *, fps: float = 0.0) -> int:
        """Begin with a source's frames, or begin anew; returns the epoch to ``put`` with. Older ones are refused.

        Args:
            source: which.
            fps: of a source that is not live: its frames' own time, by which ``rate`` chooses.
        """
        with self._changed:
            lane = self._lanes[source]
            lane.epoch, lane.fps = lane.epoch + 1, fps
            self._changed.notify_all()
            return lane.epoch

    def put(self, source: int, epoch: int, frame: Frame) -> bool:
        """Hand a frame over; waits for room under ``all``. False when frames of this epoch are not taken any more."""
        with self._changed:
            lane = self._lanes[source]
            if not self._takes(lane, epoch):
                return False
            self._state.arrived(source)
            if not self._is_due(lane, frame):
                self._state.left(source, "dropped")
                return True
            if lane.drops_oldest and len(lane.frames) == lane.capacity:
                lane.frames.popleft()
                self._state.left(source, "dropped")
            while len(lane.frames) == lane.capacity and self._takes(lane, epoch):
                self._changed.wait()
            if not self._takes(lane, epoch):
                self._state.left(source, "dropped")
                return False
            lane.frames.append(frame)
            self._changed.notify_all()
            return True

    def finish(self, source: int, error: BaseException | None = None) -> None:
        """A source has ended for good; ``error`` is raised to the taker behind its last frame."""
        with self._changed:
            self._lanes[source].is_ended, self._lanes[source].error = True, error
            self._changed.notify_all()

    def take(self, *, timeout_s: float = 0.0) -> list[Frame]:
        """The next frames for one run of the engine, one a source and of one form; at most ``batch_limit``.

        Sources that have a frame take turns. Frames too old are skipped here, before work is spent on them.

        Returns:
            At least one frame, or none when the time is over or every source has ended.
        Raises:
            BaseException: what a source ended with.
        """
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                taken = self._next()
                left_s = until_s - time.monotonic()
                if taken or left_s <= 0 or all(lane.is_ended for lane in self._lanes):
                    return taken
                self._changed.wait(left_s)

    def cancel(self) -> int:
        """Take no frame any more, release waiting sources, drop what waits; returns how many frames that was."""
        with self._changed:
            self._is_cancelled = True
            left = 0
            for source, lane in enumerate(self._lanes):
                left += len(lane.frames)
                for _ in lane.frames:
                    self._state.left(source, "dropped")
                lane.frames.clear()
            self._changed.notify_all()
            return left

    def _lane(self, is_live: bool) -> _Lane:
        drops = self._options.drops_oldest(is_live=is_live)
        return _Lane(is_live, drops, 1 if drops else self._options.queued)

    def _takes(self, lane: _Lane, epoch: int) -> bool:
        return epoch == lane.epoch and not self._is_cancelled

    def _is_due(self, lane: _Lane, frame: Frame) -> bool:
        """Whether ``rate`` lets a frame in: the first one at or after each tick of an even clock."""
        if self._options.rate is None:
            return True
        if lane.is_live or not lane.fps:
            at_s = frame.arrived_s if frame.captured_s is None else frame.captured_s
        else:
            at_s = frame.sequence / lane.fps
        period_s = 1 / self._options.rate
        early_s = period_s * 1e-6  # sums of periods are not exact
        if lane.due_s is not None and lane.due_s - period_s <= at_s < lane.due_s - early_s:
            return False
        is_on_beat = lane.due_s is not None and lane.due_s - early_s <= at_s < lane.due_s + period_s
        lane.due_s = (lane.due_s if is_on_beat and lane.due_s is not None else at_s) + period_s
        return True

    def _next(self) -> list[Frame]:
        taken: list[Frame] = []
        count = len(self._lanes)
        turns = [(self._turn + step) % count for step in range(count)]
        for source in turns:
            frame = self._first_of(source, like=taken[0] if taken else None)
            if frame is not None:
                taken.append(frame)
                self._turn = (source + 1) % count
            if len(taken) == self._options.batch_limit:
                break
        return taken

    def _first_of(self, source: int, *, like: Frame | None) -> Frame | None:
        lane = self._lanes[source]
        while lane.frames:
            if like is not None and lane.frames[0].form != like.form:
                return None
            frame = lane.frames.popleft()
            self._changed.notify_all()
            if not self._is_stale(frame):
                return frame
            self._state.left(source, "stale")
        if lane.error is not None and like is None:
            error, lane.error = lane.error, None
            raise error
        return None

    def _is_stale(self, frame: Frame) -> bool:
        if self._options.max_age_s is None:
            return False
        since_s = frame.arrived_s if frame.captured_s is None else frame.captured_s
        return self._state.clock() - since_s > self._options.max_age_s
