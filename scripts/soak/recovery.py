"""Own how soon masks come again after a sender was killed and is back: real servers, the whole loop, no option set."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg import Session
from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import LoopOptions, Opening, run_sources
from edgeseg.runtime.sinks import MaskSink
from edgeseg.runtime.sources import SourceOptions, open_source

__all__ = ["AWAY_S", "GOAL_S", "Recovery", "recover", "recovery_of", "watched"]

AWAY_S = (0.5, 1.0, 2.0, 4.0, 7.0, 10.0)  # below and above the read timeout
GOAL_S = 3.0
WAIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """One server: how long it was away each time, and from its being back to the next mask."""

    server: str
    away_s: tuple[float, ...]
    back_s: tuple[float, ...]

    @property
    def is_met(self) -> bool:
        """Whether every one took at most three seconds."""
        return max(self.back_s) <= GOAL_S


class Watched(MaskSink):
    """Tells when a mask came that was begun after a moment."""

    name = "watched"

    def __init__(self) -> None:
        self._came = threading.Condition()
        self._last_s = 0.0

    def write(self, frame: Frame, mask: Mask) -> None:  # noqa: ARG002
        with self._came:
            self._last_s = time.perf_counter()
            self._came.notify_all()

    def wait_after(self, at_s: float) -> float:
        """When the first mask after ``at_s`` came.

        Raises:
            TimeoutError: none did.
        """
        with self._came:
            if not self._came.wait_for(lambda: self._last_s > at_s, timeout=WAIT_S):
                raise TimeoutError(f"no mask in {WAIT_S:g} s")
            return self._last_s

    def close(self) -> None:
        """Nothing is open."""

    def abandon(self) -> None:
        """Nothing is open."""


@contextlib.contextmanager
def watched(engine: Path, address: str, options: SourceOptions | None = None) -> Iterator[Watched]:
    """A loop over the stream of ``address`` in a thread, until the end."""
    sink, stop = Watched(), threading.Event()
    opening = Opening(name=address, is_live=True, open=lambda: open_source(address, options or SourceOptions()))
    with ThreadPoolExecutor(1, thread_name_prefix="recovery") as pool:
        run = pool.submit(
            run_sources, lambda: Session(engine, depth=1), [opening], [sink], LoopOptions(), stop=stop
        )  # fmt: skip
        try:
            yield sink
        finally:
            stop.set()
            run.result()


def recover(server: Any, sink: Watched, away_s: float) -> float:
    """Kill a server, start it again after a while; seconds from its being back to the next mask."""
    server.kill()
    time.sleep(away_s)
    server.restart()
    back_s = time.perf_counter()
    return sink.wait_after(back_s) - back_s


def recovery_of(
    engine: Path,
    servers: Sequence[Callable[[], Any]],
    *,
    away_s: Sequence[float] = AWAY_S,
    options: SourceOptions | None = None,
) -> list[Recovery]:
    """All servers at once, each with a loop of its own."""

    def one(make: Callable[[], Any]) -> Recovery:
        with make() as server, watched(engine, server.address, options) as sink:
            sink.wait_after(time.perf_counter())
            back_s = tuple(recover(server, sink, seconds) for seconds in away_s)
        return Recovery(server=make.__name__, away_s=tuple(away_s), back_s=back_s)

    with ThreadPoolExecutor(len(servers)) as pool:
        return list(pool.map(one, servers))
