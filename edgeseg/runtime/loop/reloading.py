"""Own a new engine beside the running one: opened in a thread, checked, warmed up, then offered. Make no mask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from edgeseg.errors import EngineError
from edgeseg.runtime.device_frames import is_on_device
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.heap import long_lived
from edgeseg.runtime.loop.state import LoopState
from edgeseg.runtime.session import Session

__all__ = ["ReloadRequest", "Reloader"]


class ReloadRequest:
    """Asks a running loop for its engine file anew; from any thread or signal handler, since it takes no lock."""

    def __init__(self) -> None:
        self._is_asked = False

    def ask(self) -> None:
        """Load the engine file again, between two frames."""
        self._is_asked = True

    def take(self) -> bool:
        """Whether it was asked since the last time; the loop's thread only."""
        if not self._is_asked:
            return False
        self._is_asked = False  # one that asks just before this is served, too: loading begins after it
        return True


class Reloader:
    """Opens sessions of the engine file while another one runs.

    Args:
        opener: opens a session; what it raises refuses the new engine.
        state: told of what became of it.
    """

    def __init__(self, opener: Callable[[], Session], state: LoopState) -> None:
        self._opener, self._state = opener, state
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ready: Session | None = None
        self._is_asked = self._is_closed = False

    def request(self) -> None:
        """Begin with a new session, as soon as the one that is being opened is there."""
        self._is_asked = True

    def offer(self, running: Session, newest: Sequence[Frame] = ()) -> Session | None:
        """The new session where it is ready, the caller's from then on; never waits. The loop's thread only.

        Args:
            running: what it is checked against.
            newest: the frames of the last run of the engine, by which the new one is warmed up.
        """
        with self._lock:
            ready, self._ready = self._ready, None
        if ready is None and self._is_asked and not (self._thread and self._thread.is_alive()):
            self._is_asked = False
            self._thread = threading.Thread(
                target=self._open, args=(running, newest), name="edgeseg-reload", daemon=True
            )
            self._thread.start()
        return ready

    def close(self) -> None:
        """Want no new session any more; one that is still being opened is closed by its thread."""
        with self._lock:
            self._is_closed = True
            ready, self._ready = self._ready, None
        if ready is not None:
            ready.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for a session that is being opened; whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def _open(self, running: Session, newest: Sequence[Frame]) -> None:
        try:
            with long_lived():
                session = self._checked(running, newest)
        except Exception as error:  # noqa: BLE001  # whatever it is, the old engine goes on, and the event says why
            self._state.reloaded(is_taken=False)
            self._state.emit("reload-refused", "error", error=str(error) or type(error).__name__)
            return
        with self._lock:
            if not self._is_closed:
                self._ready = session
                return
        session.close()

    def _checked(self, running: Session, newest: Sequence[Frame]) -> Session:
        session = self._opener()
        try:
            if session.spec.model.labels != running.spec.model.labels:
                raise EngineError(
                    "the new engine has other classes than the one that runs",
                    "restart, so that sinks are opened with them",
                )
            _warm_up(session, newest)
        except BaseException:
            session.close()
            raise
        return session


def _warm_up(session: Session, newest: Sequence[Frame]) -> None:
    """On frames in host memory alone: those on a device are their giver's again."""
    if newest and not any(is_on_device(frame.picture) for frame in newest):
        session.warm_up([frame.picture for frame in newest], **vars(newest[0].form))
