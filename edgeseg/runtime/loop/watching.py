"""Own the thread that watches over all sources, and their end; it tidies too. Know nothing of one source's failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from edgeseg.runtime.loop.intake import Intake
from edgeseg.runtime.loop.reading import SupervisedSource, Worker
from edgeseg.runtime.loop.tidying import Tidier

__all__ = ["Watch"]

TICK_S = 0.05  # a source comes back at most so much later than its wait says
SOON_S = 0.3  # a reader that does not hang has ended by then
GRACE_S = 1.0


class Watch:
    """Ticks every source from a thread of its own until it is stopped.

    Args:
        sources: in their order.
        intake: told where watching itself fails.
        tidier: ticked with them.
    """

    def __init__(self, sources: Sequence[SupervisedSource], intake: Intake, tidier: Tidier) -> None:
        self._sources, self._intake, self._tidier = sources, intake, tidier
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgeseg-watch", daemon=True)

    def start(self) -> None:
        """Open every source and begin to watch."""
        self._thread.start()

    def stop(self) -> list[str]:
        """Stop watching and reading; the intake must refuse frames already.

        Returns:
            Names of the threads that hang in a library and are left behind.
        """
        self._stopped.set()
        self._thread.join()
        for source in self._sources:
            source.stop()
        _join(self._workers(), SOON_S)
        for source in self._sources:
            source.release()
        _join(self._workers(), GRACE_S)
        return [worker.name for worker in self._workers()]

    def _workers(self) -> list[Worker]:
        return [worker for source in self._sources for worker in source.workers()]

    def _run(self) -> None:
        while True:
            for index, source in enumerate(self._sources):
                try:
                    source.tick()
                except BaseException as error:  # noqa: BLE001  # no thread can be started: handed to the loop
                    self._intake.finish(index, error)
            self._tidier.tick()
            if self._stopped.wait(TICK_S):
                break


def _join(workers: Sequence[Worker], seconds: float) -> None:
    until_s = time.monotonic() + seconds
    for worker in workers:
        worker.join(timeout=max(until_s - time.monotonic(), 0))
