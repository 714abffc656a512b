"""Own the figures of what CUDA was asked to do, and of what is alive in a context. Ask it nothing."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

__all__ = ["Counters", "HandleKind", "Live", "Tally"]

HandleKind = Literal["pinned", "device", "stream", "event", "module", "graph"]


@dataclass(frozen=True, kw_only=True)
class Live:
    """Handles that are alive, of each kind; page-locked memory is alive as long as an array on it."""

    pinned: int = 0
    device: int = 0
    stream: int = 0
    event: int = 0
    module: int = 0
    graph: int = 0

    @property
    def total(self) -> int:
        """Handles of all kinds."""
        return sum(_numbers(self))

    def __sub__(self, earlier: Live) -> Live:
        """What came alive since; below 0 where more ended than began."""
        return Live(**_difference(self, earlier))


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What was enqueued since the last reset, and the handles alive.

    Example:
        >>> before = Counters(launches=2, live=Live(event=1))
        >>> after = Counters(launches=5, copies_in=3, bytes_in=96, live=Live(event=1))
        >>> (after - before).launches, (after - before).live.total
        (3, 0)

    Attributes:
        copies_in: copies from the host to the device.
        copies_out: copies from the device to the host.
        copies_across: copies from one place of the device to another.
        bytes_in: their bytes; so ``bytes_out``, ``bytes_across``.
        fills: times that memory of the device was set to one byte.
        launches: kernels of ours; what an engine launches by itself is not seen, nor what a graph launches.
        graph_launches: CUDA graphs; what one does again was counted once, when it was captured.
        synchronisations: times that the host waited for a stream or an event.
        stream_waits: times that a stream was told to wait for an event.
        live: handles alive; a reset leaves them.
    """

    copies_in: int = 0
    copies_out: int = 0
    copies_across: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bytes_across: int = 0
    fills: int = 0
    launches: int = 0
    graph_launches: int = 0
    synchronisations: int = 0
    stream_waits: int = 0
    live: Live = Live()

    def __sub__(self, earlier: Counters) -> Counters:
        """What happened between two records of the same context, no reset between them."""
        return Counters(**_difference(self, earlier), live=self.live - earlier.live)


class Tally:
    """The running figures of one context, or of a part of one, for all its threads.

    Args:
        whole: the figures of what this is a part of, to which all is added as well.
    """

    def __init__(self, whole: Tally | None = None) -> None:
        self._whole = whole
        self._lock = threading.Lock()
        self._done: Counter[str] = Counter()
        self._live: Counter[str] = Counter()
        self._mine = threading.local()

    def add(self, **amounts: int) -> None:
        """Add to figures of ``Counters`` by their names."""
        withheld: Counter[str] | None = getattr(self._mine, "withheld", None)
        if withheld is not None:
            withheld.update(amounts)
            return
        with self._lock:
            for name, amount in amounts.items():
                self._done[name] += amount
        if self._whole is not None:
            self._whole.add(**amounts)

    @contextlib.contextmanager
    def withheld(self) -> Iterator[Counter[str]]:
        """Give what this thread adds in a block, instead of adding it: what is captured is not done yet."""
        self._mine.withheld = Counter()
        try:
            yield self._mine.withheld
        finally:
            self._mine.withheld = None

    def opened(self, kind: HandleKind) -> None:
        """One handle more."""
        self._change(kind, 1)

    def closed(self, kind: HandleKind) -> None:
        """One handle less."""
        self._change(kind, -1)

    def _change(self, kind: HandleKind, by: int) -> None:
        with self._lock:
            self._live[kind] += by
        if self._whole is not None:
            self._whole._change(kind, by)

    def record(self) -> Counters:
        """The figures now."""
        with self._lock:
            return Counters(**self._done, live=Live(**self._live))

    def reset(self) -> None:
        """Set to 0 what was done; what is alive stays."""
        with self._lock:
            self._done.clear()


def _numbers(record: Live | Counters) -> list[int]:
    return [getattr(record, one.name) for one in fields(record) if one.name != "live"]


def _difference(later: Live | Counters, earlier: Live | Counters) -> dict[str, int]:
    names = [one.name for one in fields(later) if one.name != "live"]
    return {name: after - before for name, after, before in zip(names, _numbers(later), _numbers(earlier), strict=True)}
