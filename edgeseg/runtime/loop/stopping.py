"""Own the signals that end the loop or reload its engine. Set flags; do nothing by them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from edgeseg.runtime.loop.reloading import ReloadRequest

__all__ = ["signals_handled"]


@contextlib.contextmanager
def signals_handled(stop: threading.Event, reload: ReloadRequest) -> Iterator[None]:
    """SIGTERM and SIGINT set ``stop``, SIGHUP asks for a reload; what handled them before comes back at the end.

    A second SIGINT raises KeyboardInterrupt, for those who do not want to wait. Outside the main thread, where Python
    allows no handlers, nothing is done. The main thread must not wait for ``stop``: a handler that sets it while its
    lock is held there would wait for ever; ``stop.is_set()`` takes none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_asked = False

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal is_asked
        if is_asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not is_asked:  # a second signal inside set() would wait for its lock
            is_asked = True
            stop.set()

    handlers: dict[int, Callable[[int, FrameType | None], None]] = {signal.SIGTERM: end, signal.SIGINT: end}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = lambda number, frame: reload.ask()
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
