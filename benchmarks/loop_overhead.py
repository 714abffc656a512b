"""Own the figure of the loop's own work a frame: fakes of source, session and sinks, everything between them real.

    python -m benchmarks.loop_overhead [--frames 20000]

Two figures a frame: *back to back*, the time from one submit to the next while frames wait all the time (queues,
accounts, statistics, every thread's share of the interpreter), and *paced*, from the arrival of a frame to its mask at
500 frames a second, which holds the waking of the loop's thread. The masks are counted after timing.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.rounds import IS_QUICK, described, write
from edgeseg.latency import LatencyLog, StageStats, summarise
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import Opening, run_sources
from edgeseg.runtime.sinks import MaskSink
from edgeseg.runtime.sources import FrameSource

PIXELS = np.zeros((480, 640, 3), np.uint8)
MASK = np.zeros((480, 640), np.uint8)
WARM_UP = 500
PERIOD_S = 0.002


class Ready(FrameSource):
    """Frames that are there at once, or one each ``period_s``."""

    name, fps, length = "ready", 30.0, None

    def __init__(self, frames: int, *, period_s: float = 0.0) -> None:
        self.is_live, self._frames, self._period_s = period_s > 0, frames, period_s

    def __iter__(self) -> Iterator[Frame]:
        for sequence in range(self._frames):
            if self._period_s:
                time.sleep(self._period_s)
            yield Frame(picture=PIXELS, sequence=sequence, arrived_s=time.perf_counter(), name=f"{sequence:06d}")

    def close(self) -> None:
        """Nothing is open."""


class Idle:
    """A session that costs nothing, and notes when it was asked."""

    depth = 2
    spec = SimpleNamespace(model=SimpleNamespace(labels=()))

    def __init__(self) -> None:
        self.latency, self.at_s, self._pending = LatencyLog(), [], deque()  # type: ignore[var-annotated]

    def submit(self, picture: Any, **_form: Any) -> None:
        self.at_s.append(time.perf_counter())
        self._pending.append(picture)

    def result(self) -> np.ndarray:
        self._pending.popleft()
        return MASK

    def close(self) -> None:
        """Nothing is open."""


class Counting(MaskSink):
    """Takes masks and counts them."""

    def __init__(self, name: str) -> None:
        self.name, self.count = name, 0

    def write(self, frame: Frame, mask: np.ndarray) -> None:  # noqa: ARG002
        self.count += 1

    def close(self) -> None:
        """Nothing is open."""

    def abandon(self) -> None:
        """Nothing is open."""


def back_to_back(frames: int, sinks: int) -> StageStats:
    """From one submit to the next of a file's frames."""
    session = Idle()
    run(session, Ready(frames + WARM_UP), sinks, frames + WARM_UP)
    return summarise(np.diff(session.at_s[WARM_UP:]) * 1e3)


def paced(frames: int, sinks: int) -> StageStats:
    """From a camera frame's arrival to its mask's hand-over, two threads woken on the way."""
    session = Idle()
    run(session, Ready(frames, period_s=PERIOD_S), sinks, frames)
    return session.latency.stats()["arrival-to-mask"]


def run(session: Idle, source: Ready, sinks: int, frames: int) -> None:
    """Run the loop, and check that nothing was lost."""
    outputs = [Counting(f"sink {index}") for index in range(sinks)]
    opening = Opening(name="ready", is_live=source.is_live, open=lambda: source)
    seen = run_sources(lambda: session, [opening], outputs)  # type: ignore[arg-type,return-value]
    assert seen.frames_in == seen.masks + seen.dropped == frames
    assert all(one.count + state.dropped == seen.masks for one, state in zip(outputs, seen.sinks, strict=True))


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2_000 if IS_QUICK else 20_000)
    frames, report, rows = parser.parse_args().frames, described("numpy"), []
    print("frames        sinks   p50 us   p99 us        n")  # noqa: T201  # the run's own result, here and below
    for name, measure, count in (("back to back", back_to_back, frames), ("paced", paced, frames // 10)):
        for sinks in (0, 1, 2):
            one = measure(count, sinks)
            print(f"{name:<12} {sinks:>6} {one.p50_ms * 1e3:>8.1f} {one.p99_ms * 1e3:>8.1f} {one.kept:>8}")  # noqa: T201
            rows.append(
                {
                    "frames": name,
                    "sinks": sinks,
                    "p50_us": one.p50_ms * 1e3,
                    "p99_us": one.p99_ms * 1e3,
                    "count": one.kept,
                }
            )
    print(write("loop-overhead", report | {"rows": rows}))  # noqa: T201


if __name__ == "__main__":
    main()
