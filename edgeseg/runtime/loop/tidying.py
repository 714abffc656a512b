"""Own when free memory is handed back: soon after an event, when something has let go of some. Know no allocator."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgeseg.runtime.heap import give_back
from edgeseg.runtime.loop.state import LoopState

__all__ = ["Tidier"]

SOON_S = 2.0  # sources that come back together, and what they let go of, are one occasion


class Tidier:
    """Hands memory back once after events that come together, and never while frames merely flow.

    Args:
        state: whose events are heeded.
        clock, tidy: of the process.
    """

    def __init__(
        self, state: LoopState, *, clock: Callable[[], float] = time.monotonic, tidy: Callable[[], None] = give_back
    ) -> None:
        self._state, self._clock, self._tidy = state, clock, tidy
        self._seen, self._due_s = state.emitted, 0.0

    def tick(self) -> None:
        """Look whether it is time; cheap."""
        seen = self._state.emitted
        if seen != self._seen and not self._due_s:
            self._due_s = self._clock() + SOON_S
        if self._due_s and self._clock() >= self._due_s:
            self._seen, self._due_s = seen, 0.0
            self._tidy()
