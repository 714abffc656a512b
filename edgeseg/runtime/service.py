"""Own one run as a user asks for it: sources, session, sinks, live view, log put together. Do none of their work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from edgeseg.errors import EngineError, OptionsError
from edgeseg.imaging.smoothing import Smoothing
from edgeseg.runtime.heap import few_arenas, long_lived
from edgeseg.runtime.loop import LoopOptions, LoopState, Opening, ReloadRequest, Snapshot, run_sources
from edgeseg.runtime.metrics import EventLog, health_of, metrics_text
from edgeseg.runtime.session import Session
from edgeseg.runtime.sinks import Feed, MaskSink, SinkOptions, check_sinks, open_sinks
from edgeseg.runtime.sources import FrameSource, SourceOptions, open_source
from edgeseg.runtime.sources.addresses import is_live_address
from edgeseg.runtime.sources.base import DEFAULT_FPS
from edgeseg.runtime.sources.opening import can_be_played, file_of
from edgeseg.runtime.sources.starting import FirstOpening, Start

__all__ = ["Service", "ServiceRequest"]


@dataclass(frozen=True, kw_only=True)
class ServiceRequest:
    """What a user asks for; see ``edgeseg run --help``.

    Attributes:
        recording: when files of recordings end; whether they are live, the sources say.
        is_paced: None where he does not say.
    """

    engine: Path
    sources: tuple[str, ...]
    sinks: tuple[str, ...] = ()
    loop: LoopOptions = field(default_factory=LoopOptions)
    is_paced: bool | None = None
    repeat: int = 1
    recording: SinkOptions = field(default_factory=SinkOptions)
    smooth: float | None = None
    alpha: float = 0.5
    serve: str | None = None
    token: str | None = None
    has_log: bool = False
    threads: int | None = None
    cuda_graphs: bool | None = None


class Service:
    """A run that is ready to go: the engine is loaded, sources are open, sinks and the live view are there.

    Of several sources a live one may be absent yet, where it is to be reconnected; the loop opens it when it is there.

    Args:
        request: what is asked for.
    Raises:
        SpecError, EngineError, MissingPackageError: the engine cannot run here.
        SourceError: a source cannot be opened; once it was, the loop opens a camera or stream that fails again.
        OutputError: a sink or the live view's port cannot be had.
        OptionsError: values do not go together.
    """

    def __init__(self, request: ServiceRequest) -> None:
        self._request = request
        _check(request)
        few_arenas()
        self._are_live = [is_live_address(name) for name in request.sources]
        self.is_live = any(self._are_live)
        self.state = LoopState(on_event=EventLog().write) if request.has_log else LoopState()
        self._stop, self._reload = threading.Event(), ReloadRequest()
        self._has_begun = False
        self.url = ""
        with contextlib.ExitStack() as stack:
            self._first = FirstOpening([self._start(index) for index in range(len(request.sources))])
            stack.callback(self._first.close)
            self._first.wait(request.loop.stall_s)
            feeds = [self._feed(index) for index in range(len(request.sources))]
            self._length = self._whole_length()
            with long_lived():
                self._sessions = [self._open_session()]
            stack.callback(self._sessions[0].close)
            self._batch_limit = min(self._sessions[0].batch_limit, len(request.sources))
            labels = self._sessions[0].spec.model.labels
            opened = open_sinks(request.sinks, labels, feeds, alpha=request.alpha, options=request.recording)
            self._sinks: list[MaskSink] = list(stack.enter_context(opened))
            self._add_view(stack)
            self._stack = stack.pop_all()

    @property
    def length(self) -> int | None:
        """How many frames all sources have, where that is known."""
        return self._length

    @property
    def was_stopped(self) -> bool:
        """Whether a signal ended the run."""
        return self._stop.is_set()

    @property
    def device_line(self) -> str:
        """What a frame cost of CUDA, in the mean, and whether graphs were in use; empty on a CPU."""
        session = self._running
        if not session.is_on_device:
            return ""
        runs, frames = (max(session.latency.count(stage), 1) for stage in ("total", "arrival-to-mask"))
        done = session.counters
        figures = f"{done.bytes_in / frames / 1e6:.2f} MB in, {done.bytes_out / frames / 1e6:.2f} MB out"
        calls = f"{done.launches / frames:.1f} launches, {done.synchronisations / frames:.1f} waits"
        batches = f"; frames a run of the engine: {frames / runs:.1f}" if self._batch_limit > 1 else ""
        return f"CUDA, a frame: {figures}, {calls}; graphs: {session.graph_state}{batches}"

    def run(self, *, on_mask: Callable[[int], None] = lambda masks: None) -> Snapshot:
        """Until the sources end, a signal comes, or something fails for good; see ``run_sources``."""
        return run_sources(
            self._next_session,
            [self._opening(index) for index in range(len(self._are_live))],
            self._sinks,
            replace(self._request.loop, batch_limit=self._batch_limit),
            state=self.state,
            stop=self._stop,
            reload=self._reload,
            engine=self._request.engine.name,
            on_mask=on_mask,
        )

    def close(self) -> None:
        """Release what the run has not. Safe to call twice."""
        self._stack.close()

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, index: int) -> Start:
        request, name = self._request, self._request.sources[index]
        may_be_absent = self._are_live[index] and request.loop.reconnect and len(request.sources) > 1
        return Start(name=name, open=lambda: self._open(name), may_be_absent=may_be_absent)

    def _opening(self, index: int) -> Opening:
        """For the loop; what was opened at the start comes first: a wrong name is told before anything is done."""
        name = self._request.sources[index]

        def take() -> FrameSource:
            first = self._first.take(index)
            return self._open(name) if first is None else first

        return Opening(name=name, is_live=self._are_live[index], open=take)

    def _open(self, name: str) -> FrameSource:
        """Of several sources those are paced and repeated that can be; with none, what was asked for is refused."""
        request = self._request
        if not can_be_played(name) and any(can_be_played(one) for one in request.sources):
            return open_source(name)
        # beside a camera a file stands in for one: as fast as possible, it would take the engine's time from it
        is_paced = self.is_live and can_be_played(name) if request.is_paced is None else request.is_paced
        return open_source(name, SourceOptions(is_paced=is_paced, repeat=request.repeat))

    def _feed(self, index: int) -> Feed:
        source = self._first.opened(index)
        return Feed(fps=DEFAULT_FPS if source is None else source.fps, is_live=self._are_live[index])

    def _whole_length(self) -> int | None:
        sources = [self._first.opened(index) for index in range(len(self._are_live))]
        lengths = [None if source is None else source.length for source in sources]
        known = [length for length in lengths if length is not None]
        return sum(known) if len(known) == len(lengths) else None

    def _open_session(self) -> Session:
        request = self._request
        # a live source is read one frame at a time: a frame in flight would wait for the next one's arrival
        session = Session(
            request.engine,
            depth=1 if self.is_live else 2,
            threads=request.threads,
            graphs=request.cuda_graphs is not False,
            smoothing=None if request.smooth is None else Smoothing(strength=request.smooth),
        )
        if request.cuda_graphs is not None and not session.is_on_device:
            session.close()
            raise EngineError(
                f"{request.engine} runs on the CPU, without CUDA", "leave --cuda-graphs, --no-cuda-graphs out"
            )
        return session

    def _next_session(self) -> Session:
        """The one that is open first, then one for each reload."""
        if not self._has_begun:
            self._has_begun = True
            return self._running
        session = self._open_session()
        if session.batch_limit < self._batch_limit:
            session.close()
            raise EngineError(
                f"the new engine takes batches of {session.batch_limit}, the one that runs {self._batch_limit}",
                "restart, or build it with the profile of that one",
            )
        self._sessions = [self._running, session]
        return session

    @property
    def _running(self) -> Session:
        """The newest that has made a mask: one that a reload has opened may be refused yet."""
        return next((one for one in reversed(self._sessions) if one.latency.count("total")), self._sessions[0])

    def _add_view(self, stack: contextlib.ExitStack) -> None:
        if self._request.serve is None:
            return
        from edgeseg.runtime.live import LiveHooks, LiveOptions, LiveView, parse_address

        host, port = parse_address(self._request.serve)
        view = LiveView(
            self._running.spec.model.labels,
            title=self._request.engine.name,
            options=LiveOptions(host=host, port=port, token=self._request.token),
            hooks=LiveHooks(
                state=lambda: vars(self.state.snapshot()),
                stages_ms=lambda: self._running.latency.newest_ms(),
                metrics=lambda: metrics_text(self.state.snapshot()),
                health=self._health,
                reload=self._reload.ask,
            ),
        )
        stack.callback(view.close)
        self._sinks.append(view)
        self.url = view.url
        self.state.emit("serving", url=self.url)

    def _health(self) -> tuple[bool, Mapping[str, object]]:
        found = health_of(self.state.snapshot(), bound_s=self._request.loop.stall_s)
        return found.is_healthy, {"reasons": list(found.reasons)}


def _check(request: ServiceRequest) -> None:
    read = [path for path in map(file_of, request.sources) if path is not None]
    check_sinks(request.sinks, sources=len(request.sources), read=read, options=request.recording)
    if not 0 <= request.alpha <= 1:
        raise OptionsError(f"the weight of the class colours is {request.alpha}", "give 0 to 1")
