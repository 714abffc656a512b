"""Own one soak: the loop with real parts, faults all along, what was seen meanwhile. Judge nothing."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from edgeseg import Session
from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.live import LiveHooks, LiveOptions, LiveView
from edgeseg.runtime.loop import LoopOptions, LoopState, Opening, ReloadRequest, Snapshot, run_sources
from edgeseg.runtime.metrics import metrics_text
from edgeseg.runtime.sinks import MaskSink, SinkOptions, open_sink
from edgeseg.runtime.sources import open_source
from soak.faults import CAMERA_FAULTS, FailingSink, Faults, Rates, SlowSink, faulty_camera
from soak.measuring import Held, Sample, held, resident
from soak.senders import SIZE_WH, Child

__all__ = ["LOOP_FAULTS", "Outcome", "Plan", "soak"]

LOOP_FAULTS = ("engine reload", "engine refused", "slow sink", "failing sink", "writer killed", "pipe cut in a frame")
TICK_S = 0.1
SETTLE_S = 15.0  # longer than any hang


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run, for how long, and how much goes wrong.

    Attributes:
        engine: an engine file.
        folder: where recordings are written.
        frames: that must have come before it ends.
        needs_all: also wait until every fault has come.
        seed: of everything that is random.
        rates: of the cameras.
        cameras: faulty ones; a writer to shared memory and one to a pipe come with them.
        stall_s: of the loop; hangs must be longer.
        every_s: about so often an engine is loaded, and a sender killed.
        sample_s: between two looks at the memory.
        rtsp: makes a server to be watched, killed and started again, where there is one.
        has_viewer: serves the live view, looked at by another process.
    """

    engine: Path
    folder: Path
    frames: int
    seed: int
    needs_all: bool = True
    rates: Rates = field(default_factory=Rates)
    cameras: int = 2
    stall_s: float = 3.0
    every_s: float = 10.0
    sample_s: float = 1.0
    rtsp: Callable[[], Any] | None = None
    has_viewer: bool = True


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        seen: the accounts at the end.
        unbalanced: moments at which they did not add up, out of those looked at.
        faults: how often each came.
        samples: of the memory.
        all_come: frames that had come when every fault had.
        before, after: what the process held.
        ages_ms: median of arrival to mask, at each sample.
        seconds: of the run.
    """

    seen: Snapshot
    unbalanced: int
    looked: int
    faults: dict[str, int]
    samples: list[Sample]
    all_come: int
    before: Held
    after: Held
    ages_ms: list[float]
    seconds: float


class OfSource(MaskSink):
    """Gives a sink the masks of one source: a video has one."""

    def __init__(self, sink: MaskSink, source: int) -> None:
        self.name, self._sink, self._source = sink.name, sink, source

    def write(self, frame: Frame, mask: Mask) -> None:
        if frame.source == self._source:
            self._sink.write(frame, mask)

    def close(self) -> None:
        self._sink.close()

    def abandon(self) -> None:
        self._sink.abandon()


class Engines:
    """Opens sessions of a file that is now and then a broken one, as after a bad update."""

    def __init__(self, good: Path, folder: Path, random: Random, faults: Faults) -> None:
        self._good, self._random, self._faults = good, random, faults
        self._broken = folder / "broken.engine"
        self._broken.write_bytes(good.read_bytes()[:1000])
        sidecar = f"{good.name}.json"
        (folder / "broken.engine.json").write_bytes((good.parent / sidecar).read_bytes())
        self._has_begun = False

    def __call__(self) -> Session:
        if not self._has_begun:
            self._has_begun = True
        elif self._random.random() < 0.4:
            self._faults.came("engine refused")
            return Session(self._broken, depth=1)
        else:
            self._faults.came("engine reload")
        return Session(self._good, depth=1)


class Soak:
    """The parts of one run, and the hand that breaks them."""

    def __init__(self, plan: Plan, stack: contextlib.ExitStack) -> None:
        self._plan, self._random = plan, Random(plan.seed)
        self.faults = Faults(*CAMERA_FAULTS, *LOOP_FAULTS, *(("server killed",) if plan.rtsp else ()))
        self.state, self.stop, self.reload = LoopState(), threading.Event(), ReloadRequest()
        self.engines = Engines(plan.engine, plan.folder, self._own(), self.faults)
        self._due: dict[str, float] = {}
        name = f"edgeseg-soak-{os.getpid()}-{uuid4().hex[:6]}"
        pipe = plan.folder / f"{name}.pipe"
        os.mkfifo(pipe)
        self._shared = self._child(stack, "shm", name)
        self._pipe = self._child(stack, "pipe", str(pipe), str(int(60 * plan.every_s)))
        size = f"{SIZE_WH[0]}x{SIZE_WH[1]}"
        self.openings = [
            *(faulty_camera(f"camera {one}", self._own(), plan.rates, self.faults) for one in range(plan.cameras)),
            _opening(f"shm://{name}"),
            _opening(f"raw://{pipe}?size={size}&fps=60"),
        ]
        self._server: Any = plan.rtsp() if plan.rtsp else None
        if self._server is not None:
            stack.enter_context(self._server)
            self.openings.append(_opening(self._server.address))
        self.sinks = self._sinks(name, stack)

    def break_something(self) -> None:
        """What is due by now."""
        if self._is_due("engine"):
            self.reload.ask()
        if self._is_due("shared"):
            self.faults.came("writer killed")
            self._shared.kill()
            self._shared.again()
        if self._pipe.has_ended:
            self.faults.came("pipe cut in a frame")
            self._pipe.again()
        if self._server is not None and self._is_due("server"):
            self.faults.came("server killed")
            self._server.kill()
            self._server.start()

    def _is_due(self, what: str) -> bool:
        now, last_s = time.monotonic(), self._due.get(what)
        if last_s is None or now >= last_s:
            self._due[what] = now + self._plan.every_s * self._random.uniform(0.5, 1.5)
        return last_s is not None and now >= last_s

    def _sinks(self, name: str, stack: contextlib.ExitStack) -> list[MaskSink]:
        with Session(self._plan.engine) as session:
            labels = session.spec.model.labels
        options = SinkOptions(is_live=True, segment_s=self._plan.every_s)
        folder = self._plan.folder

        def opened(word: str) -> MaskSink:
            return open_sink(word, labels, fps=self._plan.rates.fps, options=options)

        sinks = [
            opened(str(folder / "masks.jsonl")),
            OfSource(opened(str(folder / "overlay.mp4")), 0),
            opened(f"shm://{name}-masks"),
            SlowSink(self._own(), self.faults),
            FailingSink(self._random.randrange(100, 500), self.faults),
        ]
        if self._plan.has_viewer:
            hooks = LiveHooks(
                state=lambda: vars(self.state.snapshot()), metrics=lambda: metrics_text(self.state.snapshot())
            )
            view = LiveView(labels, title="soak", options=LiveOptions(port=0), hooks=hooks)
            sinks.append(view)
            self._child(stack, "look", view.url)
        return sinks

    def _child(self, stack: contextlib.ExitStack, *words: str) -> Child:
        child = Child(*words)
        stack.callback(child.end)
        return child

    def _own(self) -> Random:
        """For one thread alone: what it does must not hang on the others' turns."""
        return Random(self._random.random())


def soak(plan: Plan) -> Outcome:
    """Run until enough frames have come and every fault has; the caller rehearses first, so that all is loaded."""
    before, started_s = held(), time.monotonic()
    found = _run(plan)  # a function of its own: what it made must be gone when it is looked what is left
    _settle(before)
    return Outcome(before=before, after=held(), seconds=time.monotonic() - started_s, **found)


def _run(plan: Plan) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        parts = Soak(plan, stack)
        outcome: list[Snapshot | BaseException] = []
        thread = threading.Thread(target=_loop, args=(parts, plan, outcome), name="soak-loop")
        thread.start()
        try:
            watched = _watch(plan, parts, outcome)
        finally:
            parts.stop.set()
            thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return {"seen": outcome[0], "faults": parts.faults.counts(), **watched}


def _loop(parts: Soak, plan: Plan, outcome: list[Snapshot | BaseException]) -> None:
    options = LoopOptions(max_age_s=0.5, stall_s=plan.stall_s, seed=plan.seed)
    try:
        outcome.append(
            run_sources(
                parts.engines, parts.openings, parts.sinks, options,
                state=parts.state, stop=parts.stop, reload=parts.reload,
            )
        )  # fmt: skip
    except BaseException as error:  # noqa: BLE001  # handed to the thread that waits
        outcome.append(error)


def _watch(plan: Plan, parts: Soak, outcome: Sequence[object]) -> dict[str, Any]:
    """Break things, look at the accounts, and sample the memory, until it is enough."""
    samples = array("q")  # four numbers each: objects would be what grows
    ages_ms = array("d")
    looked = unbalanced = all_come = 0
    started_s = sample_s = time.monotonic()
    while not outcome:
        parts.break_something()
        seen = parts.state.snapshot()
        looked, unbalanced = looked + 1, unbalanced + (not is_balanced(seen))
        if not all_come and parts.faults.have_all_come():
            all_come = seen.frames_in
        now = time.monotonic()
        if now >= sample_s:
            sample_s = now + plan.sample_s
            total, anonymous = resident()
            samples.extend((seen.frames_in, int(1e6 * (now - started_s)), total, anonymous))
            if "arrival-to-mask" in seen.stages:
                ages_ms.append(seen.stages["arrival-to-mask"].p50_ms)
        if seen.frames_in >= plan.frames and (all_come or not plan.needs_all):
            break
        time.sleep(TICK_S)
    return {
        "samples": [
            Sample(frames=frames, at_s=at_us / 1e6, resident_bytes=total, anonymous_bytes=anonymous)
            for frames, at_us, total, anonymous in zip(*(samples[field::4] for field in range(4)), strict=True)
        ],
        "ages_ms": ages_ms.tolist(), "looked": looked, "unbalanced": unbalanced, "all_come": all_come,
    }  # fmt: skip


def is_balanced(seen: Snapshot) -> bool:
    """Whether every frame that came is in one account."""
    return all(
        one.frames_in == one.masks + one.dropped + one.stale + one.corrupt + one.in_flight for one in seen.sources
    )


def _opening(address: str) -> Opening:
    return Opening(name=address, is_live=True, open=lambda: open_source(address))


def _settle(before: Held) -> None:
    """Give threads that hung in a library, and were left, the time to come back."""
    until_s = time.monotonic() + SETTLE_S
    while time.monotonic() < until_s:
        now = held()
        if now.threads == before.threads and now.children == before.children:
            return
        time.sleep(TICK_S)
