"""Own one run as a user asks for it: source, session, sinks, live view and log put together. Do none of their work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from edgeseg.errors import EngineError
from edgeseg.imaging.smoothing import Smoothing
from edgeseg.runtime.loop import LoopOptions, LoopState, Opening, ReloadRequest, Snapshot, run_sources
from edgeseg.runtime.metrics import EventLog, health_of, metrics_text
from edgeseg.runtime.session import Session
from edgeseg.runtime.sinks import MaskSink, SinkOptions, open_sinks
from edgeseg.runtime.sources import FrameSource, SourceOptions, open_source
from edgeseg.runtime.sources.addresses import is_live_address

__all__ = ["Service", "ServiceRequest"]


@dataclass(frozen=True, kw_only=True)
class ServiceRequest:
    """What a user asks for; see ``edgeseg run --help``."""

    engine: Path
    source: str
    sinks: tuple[str, ...] = ()
    loop: LoopOptions = field(default_factory=LoopOptions)
    is_paced: bool = False
    repeat: int = 1
    segment_s: float | None = None
    smooth: float | None = None
    alpha: float = 0.5
    serve: str | None = None
    token: str | None = None
    has_log: bool = False
    threads: int | None = None
    cuda_graphs: bool | None = None


class Service:
    """A run that is ready to go: the engine is loaded, a file is opened, sinks and the live view are there.

    Args:
        request: what is asked for.
    Raises:
        SpecError, EngineError, MissingPackageError: the engine cannot run here.
        SourceError: the source cannot be opened; once it was, the loop opens a camera or stream that fails again.
        OutputError: a sink or the live view's port cannot be had.
        OptionsError: values do not go together.
    """

    def __init__(self, request: ServiceRequest) -> None:
        self._request = request
        self.is_live = is_live_address(request.source)
        self.state = LoopState(on_event=EventLog().write) if request.has_log else LoopState()
        self._stop, self._reload = threading.Event(), ReloadRequest()
        self._has_begun = False
        self.url = ""
        with contextlib.ExitStack() as stack:
            self._first: FrameSource | None = open_source(request.source, self._source_options())
            stack.callback(self._first.close)
            self._length, fps = self._first.length, self._first.fps
            self._sessions = [self._open_session()]
            stack.callback(self._sessions[0].close)
            labels = self._sessions[0].spec.model.labels
            options = SinkOptions(is_live=self.is_live, segment_s=request.segment_s)
            opened = open_sinks(request.sinks, labels, fps=fps, alpha=request.alpha, options=options)
            self._sinks: list[MaskSink] = list(stack.enter_context(opened))
            self._add_view(stack)
            self._stack = stack.pop_all()

    @property
    def length(self) -> int | None:
        """How many frames a file has, where that is known."""
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
        done, frames = session.counters, max(session.latency.count("total"), 1)
        figures = f"{done.bytes_in / frames / 1e6:.2f} MB in, {done.bytes_out / frames / 1e6:.2f} MB out"
        calls = f"{done.launches / frames:.1f} launches, {done.synchronisations / frames:.1f} waits"
        return f"CUDA, a frame: {figures}, {calls}; graphs: {session.graph_state}"

    def run(self, *, on_mask: Callable[[int], None] = lambda masks: None) -> Snapshot:
        """Until the source ends, a signal comes, or something fails for good; see ``run_sources``."""
        return run_sources(
            self._next_session,
            [Opening(name=self._request.source, is_live=self.is_live, open=self._open)],
            self._sinks,
            self._request.loop,
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

    def _open(self) -> FrameSource:
        """For the loop; the one that is open already comes first: a wrong name is told before anything is done."""
        first, self._first = self._first, None
        return first or open_source(self._request.source, self._source_options())

    def _source_options(self) -> SourceOptions:
        return SourceOptions(is_paced=self._request.is_paced, repeat=self._request.repeat)

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
        self._sessions = [self._running, self._open_session()]
        return self._sessions[-1]

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

    def _health(self) -> tuple[bool, Mapping[str, object]]:
        found = health_of(self.state.snapshot(), bound_s=self._request.loop.stall_s)
        return found.is_healthy, {"reasons": list(found.reasons)}
