"""Own the times of frames: presentation times on our clock, and the pace of a file. Read no frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Pace", "StreamClock"]

WINDOW_S = 30.0  # longer than any burst of a network, shorter than what quartz drifts by a millisecond (30 ppm)
BACKWARDS_S = 1.0  # further than frames are ever put out of order: the sender has begun another count


class StreamClock:
    """When a stream's frames were captured, on our clock, told from their presentation times.

    A presentation time runs on the sender's clock, from a zero that nobody tells. The frame of the last seconds that
    came through fastest is taken for one without delay, so the age told is the delay above that least one. Only the
    last ``WINDOW_S`` count, since two clocks drift apart: one second in a day makes a stream look old in a week.
    """

    def __init__(self) -> None:
        self._last = self._since = self._least = self._least_before = float("inf")

    def captured_s(self, presented_s: float, arrived_s: float) -> float:
        """The time of capture on the clock of ``arrived_s``, never after it.

        Args:
            presented_s: the frame's presentation time, seconds from any zero.
            arrived_s: when the frame was here.
        """
        delay = arrived_s - presented_s
        if presented_s < self._last - BACKWARDS_S:  # also the first frame: nothing has been presented yet
            self._since, self._least, self._least_before = arrived_s, delay, delay
        elif arrived_s - self._since > WINDOW_S:
            self._since, self._least, self._least_before = arrived_s, delay, self._least
        self._last, self._least = presented_s, min(self._least, delay)
        return presented_s + min(self._least, self._least_before)


class Pace:
    """Hold frames back until their time has come.

    Args:
        now: the clock.
        wait: wait for so many seconds, unless the source is closed first.
    """

    def __init__(
        self, wait: Callable[[float], object] | None = None, *, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._now, self._wait = now, wait or threading.Event().wait
        self._zero: float | None = None

    def until(self, media_s: float) -> None:
        """Return when ``media_s`` seconds have passed since the first call's time, at once where they have."""
        if self._zero is None:
            self._zero = self._now() - media_s
        left = self._zero + media_s - self._now()
        if left > 0:
            self._wait(left)
