"""Own the loop for months: supervised sources -> one session -> sinks. Open no source, write nothing itself."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from random import Random

from edgeseg.errors import EdgesegError, EngineError, OptionsError, ShapeError, SourceError
from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.heap import long_lived
from edgeseg.runtime.loop.intake import Intake
from edgeseg.runtime.loop.options import LoopOptions, Opening
from edgeseg.runtime.loop.reading import SupervisedSource
from edgeseg.runtime.loop.reloading import Reloader, ReloadRequest
from edgeseg.runtime.loop.snapshot import Snapshot
from edgeseg.runtime.loop.state import LoopState
from edgeseg.runtime.loop.stopping import signals_handled
from edgeseg.runtime.loop.tidying import Tidier
from edgeseg.runtime.loop.watching import Watch
from edgeseg.runtime.loop.writing import SinkWriter
from edgeseg.runtime.session import Session
from edgeseg.runtime.sinks import MaskSink

__all__ = ["run_sources"]

POLL_S = 0.05  # how late the loop sees a stop or a reload while no frame comes
RELOAD_GRACE_S = 1.0


def run_sources(
    session_opener: Callable[[], Session],
    openings: Sequence[Opening],
    sinks: Sequence[MaskSink],
    options: LoopOptions | None = None,
    *,
    state: LoopState | None = None,
    stop: threading.Event | None = None,
    reload: ReloadRequest | None = None,
    engine: str = "engine",
    on_mask: Callable[[int], None] = lambda masks: None,
) -> Snapshot:
    """Run until every source has ended, ``stop`` is set, SIGTERM or SIGINT comes, or something fails for good.

    Sinks are closed, and so whole, however it ends; where writing a file's masks fails, they are abandoned.
    Where a source is live, a sink that fails is abandoned alone, a frame that the session refuses counts as corrupt,
    and a full sink loses masks; where none is, the first two end the run with their error, and under the policy ``all``
    a full sink is waited for.

    Args:
        session_opener: opens the engine file; called again, in a thread, for every reload. The loop owns its sessions.
        openings: the sources, at least one.
        sinks: closed or abandoned; the caller's where the engine cannot be opened at the start.
        options: policies and bounds.
        state: gets the accounts; give one to watch the loop from outside.
        stop: ends the loop when set; frames in flight still become masks.
        reload: asks for the engine file anew; SIGHUP does, too.
        engine: its name for those who watch.
        on_mask: told the number of masks so far.
    Returns:
        The accounts at the end.
    Raises:
        SourceError: a source that is not live failed, or one that is cannot be reconnected.
        OutputError: a sink cannot be written, where no source is live.
        EngineError: the engine failed, or cannot be opened at the start.
    """
    if not openings:
        raise OptionsError("there is no source", "name at least one")
    state = state or LoopState()
    stop, reload = stop or threading.Event(), reload or ReloadRequest()
    state.begin([(one.name, one.is_live) for one in openings], [sink.name for sink in sinks])
    with signals_handled(stop, reload):
        loop = _Loop(session_opener, openings, sinks, options or LoopOptions(), state, stop, reload, engine, on_mask)
        state.emit("started", engine=engine, sources=len(openings), sinks=len(sinks))
        loop.run()
    end = state.snapshot()
    state.emit("ended", masks=end.masks, dropped=end.dropped, stale=end.stale, corrupt=end.corrupt)
    return end


class _Loop:
    def __init__(
        self,
        session_opener: Callable[[], Session],
        openings: Sequence[Opening],
        sinks: Sequence[MaskSink],
        options: LoopOptions,
        state: LoopState,
        stop: threading.Event,
        reload: ReloadRequest,
        engine: str,
        on_mask: Callable[[int], None],
    ) -> None:
        self._options, self._state, self._engine, self._on_mask = options, state, engine, on_mask
        self._openings, self._is_live = openings, any(one.is_live for one in openings)
        self._intake = Intake([one.is_live for one in openings], options, state)
        self._reload, self._reloader = reload, Reloader(session_opener, state)
        self._flight: deque[list[Frame]] = deque()
        self._sizes: dict[int, tuple[int, ...]] = {}
        self._refused: set[int] = set()
        self._newest: list[Frame] = []
        self._masks = 0
        self._stop, self._stopped_s = stop, math.inf
        random = Random(options.seed)  # noqa: S311  # spreads waits, guards nothing
        readers = [
            SupervisedSource(index, one, self._intake, options, state, random=random)
            for index, one in enumerate(openings)
        ]
        self._watch = Watch(readers, self._intake, Tidier(state))
        with long_lived():
            self._session = session_opener()
        self._state.use_engine(engine, self._session.latency)
        self._writers = [self._writer(index, sink) for index, sink in enumerate(sinks)]

    def run(self) -> None:
        is_whole = False
        try:
            self._run()
            is_whole = True
        except (SourceError, EngineError, KeyboardInterrupt):
            is_whole = True
            raise
        finally:
            self._end(abandon=not is_whole)
        self._check_sinks()

    def _run(self) -> None:
        self._watch.start()
        try:
            while not self._stop.is_set() and self._turn():
                pass
        except SourceError:  # it comes behind the frames that the source did give
            self._deliver_rest()
            raise
        if self._stop.is_set():
            self._state.emit("stopping")
        self._deliver_rest()

    def _turn(self) -> bool:
        """One step; False when every source has ended and all is delivered."""
        self._check_sinks()
        self._take_new_engine()
        frames = self._intake.take(timeout_s=0.0 if self._flight else POLL_S)
        if frames:
            self._submit(frames)
        elif not self._flight:
            return not self._intake.is_ended
        if self._flight and (not frames or len(self._flight) >= self._session.depth):
            self._deliver()
        return True

    def _submit(self, frames: list[Frame]) -> None:
        try:
            self._start(frames)
        except ShapeError as error:
            if len(frames) == 1:
                self._refuse(frames[0], error)
                return
            for frame in frames:  # one source's frames must not take the others' with them
                while len(self._flight) >= self._session.depth:
                    self._deliver()
                self._submit([frame])

    def _start(self, frames: list[Frame]) -> None:
        session, form = self._session, vars(frames[0].form)
        now = self._state.clock()
        try:
            if len(frames) == 1:
                session.submit(frames[0].picture, camera=frames[0].source, **form)
            else:
                cameras = [frame.source for frame in frames]
                session.submit_batch([frame.picture for frame in frames], cameras=cameras, **form)
        except ShapeError:
            raise
        except BaseException:
            self._drop(frames)
            raise
        for frame in frames:
            session.latency.add("wait", (now - frame.arrived_s) * 1e3)
            self._refused.discard(frame.source)
        self._flight.append(frames)
        self._newest = frames

    def _refuse(self, frame: Frame, error: ShapeError) -> None:
        if not self._is_live:
            self._drop([frame])
            raise error
        self._state.left(frame.source, "corrupt")
        if frame.source not in self._refused:  # once, until one is taken again
            self._refused.add(frame.source)
            name = self._openings[frame.source].name
            self._state.emit("frame-refused", "warning", source=name, sequence=frame.sequence, error=str(error))

    def _deliver(self) -> None:
        """Hand the masks of the oldest run of the engine to the sinks."""
        frames = self._flight[0]
        masks = [self._session.result()] if len(frames) == 1 else [one.mask for one in self._session.result_batch()]
        self._flight.popleft()
        for frame, mask in zip(frames, masks, strict=True):
            self._account(frame, mask)
            for writer in self._writers:
                writer.put(frame, mask)

    def _account(self, frame: Frame, mask: Mask) -> None:
        now = self._state.clock()
        age_ms = (now - frame.arrived_s) * 1e3
        self._session.latency.add("arrival-to-mask", age_ms)
        if frame.captured_s is not None:
            self._session.latency.add("capture-to-mask", (now - frame.captured_s) * 1e3)
        self._state.masked(frame.source, age_ms=age_ms)
        self._masks += 1
        self._on_mask(self._masks)
        if self._sizes.setdefault(frame.source, mask.shape) != mask.shape:
            self._sizes[frame.source] = mask.shape
            name, (height, width) = self._openings[frame.source].name, mask.shape
            self._state.emit("size-changed", source=name, height=height, width=width)

    def _deliver_rest(self) -> None:
        while self._flight:
            self._deliver()

    def _take_new_engine(self) -> None:
        if self._reload.take():
            self._reloader.request()
        session = self._reloader.offer(self._session, self._newest)
        if session is None:
            return
        try:
            self._deliver_rest()
        except BaseException:
            session.close()
            raise
        old, self._session = self._session, session
        self._state.use_engine(self._engine, session.latency)
        self._state.reloaded(is_taken=True)
        self._state.emit("engine-reloaded", engine=self._engine)
        try:
            old.close()
        except EdgesegError as error:  # it is out of use: the loop goes on with the new one
            self._state.emit("engine-left", "warning", error=str(error))

    def _drop(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self._state.left(frame.source, "dropped")

    def _writer(self, index: int, sink: MaskSink) -> SinkWriter:
        waits = not self._is_live and not self._options.drops_oldest(is_live=False)
        queued, survives = self._options.sink_queued, self._is_live
        return SinkWriter(
            index, sink, self._state, queued=queued, waits=waits, survives=survives, gives_up=self._has_run_out
        )

    def _has_run_out(self) -> bool:
        """Whether the stop came so long ago that no sink is waited for any more."""
        if not self._stop.is_set():
            return False
        now = self._state.clock()
        self._stopped_s = min(self._stopped_s, now)
        return now - self._stopped_s > self._options.end_grace_s

    def _check_sinks(self) -> None:
        for writer in self._writers:
            if writer.error is not None:
                raise writer.error

    def _end(self, *, abandon: bool) -> None:
        with ExitStack() as stack:  # each part ends, whatever happens in the one before it
            stack.callback(self._session.close)
            stack.callback(self._end_reload)
            stack.callback(self._end_reading)
            stack.callback(self._end_writing, abandon)
            self._intake.cancel()
            for frames in self._flight:
                self._drop(frames)
            self._flight.clear()

    def _end_writing(self, abandon: bool) -> None:
        abandon = abandon or any(writer.error is not None for writer in self._writers)
        for writer in self._writers:
            writer.end(abandon=abandon)
        is_bounded = self._is_live or self._stop.is_set()  # a file's masks are all written, however long that takes
        for writer in self._writers:
            writer.join(self._options.end_grace_s if is_bounded else None)

    def _end_reading(self) -> None:
        for name in self._watch.stop():
            self._state.emit("thread-left", "warning", thread=name)

    def _end_reload(self) -> None:
        self._reloader.close()
        if not self._reloader.join(RELOAD_GRACE_S):
            self._state.emit("thread-left", "warning", thread="edgeseg-reload")
