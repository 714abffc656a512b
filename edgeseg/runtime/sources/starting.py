"""Own the first opening of a run's sources: side by side, none waiting for another. Read none, open none again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass

from edgeseg.errors import AddressError, SourceError
from edgeseg.runtime.sources.addresses import without_password
from edgeseg.runtime.sources.base import FrameSource

__all__ = ["FirstOpening", "Start"]


@dataclass(frozen=True, kw_only=True)
class Start:
    """A source that a run begins with.

    Attributes:
        name: what the user calls it.
        open: opens it; called in a thread of its own.
        may_be_absent: the run begins without it as long as another one is there; its name must mean something.
    """

    name: str
    open: Callable[[], FrameSource]
    may_be_absent: bool


class FirstOpening:
    """Opens every source in a thread of its own, from the constructor on.

    Args:
        starts: the sources, at least one.
    """

    def __init__(self, starts: Sequence[Start]) -> None:
        self._starts = starts
        self._coming: list[Future[FrameSource]] = [Future() for _ in starts]
        self._untaken = set(range(len(starts)))
        for index, start in enumerate(starts):
            threading.Thread(
                target=_open, args=(start, self._coming[index]), name=f"edgeseg-first-{index}", daemon=True
            ).start()

    def wait(self, timeout_s: float) -> None:
        """Until every source is open or has failed, one has failed that must be there, or the time is over.

        Raises:
            SourceError: a source that must be there is not, or none is. AddressError: a name means nothing.
            MissingPackageError: one cannot be read without a package.
        """
        starts = dict(zip(self._coming, self._starts, strict=True))
        failures: dict[str, BaseException] = {}
        for future in self._in_time(timeout_s):
            start, error = starts.pop(future), future.exception()
            if error is not None and not (start.may_be_absent and _is_absence(error)):
                raise error
            if error is not None:
                failures[start.name] = error
        failures |= {start.name: _late(start, timeout_s) for start in starts.values()}
        needed = [start.name for start in starts.values() if not start.may_be_absent]
        if needed or all(self.opened(index) is None for index in range(len(self._coming))):
            raise failures[needed[0]] if needed else next(iter(failures.values()))

    def opened(self, index: int) -> FrameSource | None:
        """A source where it is open by now."""
        future = self._coming[index]
        return future.result() if future.done() and future.exception() is None else None

    def take(self, index: int) -> FrameSource | None:
        """A source, the caller's from then on, as soon as it is open; None where it was taken before.

        Raises:
            EdgesegError: it could not be opened; told once.
        """
        if index not in self._untaken:
            return None
        self._untaken.remove(index)
        return self._coming[index].result()

    def close(self) -> None:
        """Close what nobody has taken, what is still being opened as soon as it comes. Safe to call twice."""
        while self._untaken:
            self._coming[self._untaken.pop()].add_done_callback(_close)

    def _in_time(self, timeout_s: float) -> Iterator[Future[FrameSource]]:
        with contextlib.suppress(Late):
            yield from as_completed(self._coming, timeout=timeout_s)


def _open(start: Start, coming: Future[FrameSource]) -> None:
    try:
        source = start.open()
    except BaseException as error:  # noqa: BLE001  # handed to whoever waits for the source
        coming.set_exception(error)
    else:
        coming.set_result(source)


def _is_absence(error: BaseException) -> bool:
    return isinstance(error, SourceError) and not isinstance(error, AddressError)


def _close(coming: Future[FrameSource]) -> None:
    if coming.exception() is None:
        coming.result().close()


def _late(start: Start, timeout_s: float) -> SourceError:
    name = without_password(start.name)
    return SourceError(f"{name} has not opened within {timeout_s:g} s", "check the disk or the network that it is on")
