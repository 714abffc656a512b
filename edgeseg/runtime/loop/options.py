"""Own what the loop is told: policies, bounds, how long to wait. Check values; do nothing by them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgeseg.errors import OptionsError
from edgeseg.runtime.sources import FrameSource

__all__ = ["LoopOptions", "Opening", "Policy"]

Policy = Literal["all", "latest"]


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A source that can be opened, and opened again.

    Attributes:
        name: what the user calls it; a password in it is never shown.
        is_live: goes on without a reader, so it is opened again when it fails; what is not live is read once.
        open: opens it; called in a thread of its own, which also reads it. Raises SourceError.
    """

    name: str
    is_live: bool
    open: Callable[[], FrameSource]


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How the loop treats frames, sources and sinks.

    Attributes:
        policy: ``all`` makes a source wait for the session; ``latest`` keeps a source's newest frame and drops the
            older one. Without it ``latest`` for what is live, ``all`` for the rest.
        max_age_s: frames older than this (since capture, or since arrival where the source does not say) are skipped.
        rate: at most so many frames a second of each source, evenly spaced.
        queued: frames of one source that wait for the session under ``all``.
        batch_limit: frames of different sources in one run of the engine; its profiles must take 1 to so many.
        reconnect: open a live source again after a failure; without it the failure ends the run.
        backoff_s: bound of the first wait before a live source is opened again; it doubles with every failure.
        backoff_max_s: bound of every wait. A source that has run as long begins at ``backoff_s`` again.
        stall_s: a source that has not opened, or given no frame, for so long is given up.
        abandoned_limit: threads of one source that may hang in its library; one more ends the run.
        sink_queued: masks that wait for one sink.
        end_grace_s: how long each sink may take to finish after a stop, and where a source is live.
        seed: of the waits' jitter; without it another one each run.
    Raises:
        OptionsError: a value is out of its range.
    """

    policy: Policy | None = None
    max_age_s: float | None = None
    rate: float | None = None
    queued: int = 4
    batch_limit: int = 1
    reconnect: bool = True
    backoff_s: float = 0.2
    backoff_max_s: float = 1.0
    stall_s: float = 10.0
    abandoned_limit: int = 8
    sink_queued: int = 4
    end_grace_s: float = 10.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_age_s", "rate", "backoff_s", "backoff_max_s", "stall_s", "end_grace_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise OptionsError(f"{name} is {value}", "give a number above 0")
        for name in ("queued", "batch_limit", "abandoned_limit", "sink_queued"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} is {getattr(self, name)}", "give 1 or more")

    def drops_oldest(self, *, is_live: bool) -> bool:
        """Whether a source's newest frame replaces the one that waits."""
        return (self.policy or ("latest" if is_live else "all")) == "latest"
