"""Own the thread that reads the machine while something else works. Read nothing itself, judge nothing."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import msgspec

from edgeseg.machine.gauges import gauges
from edgeseg.machine.kernel_files import LostError
from edgeseg.machine.nvml import NVML_LIBRARY, Nvml
from edgeseg.machine.records import MachineUse
from edgeseg.machine.sensors import Column, Sensor, power_sensors
from edgeseg.machine.table import Table
from edgeseg.machine.windows import Interval, use_of

__all__ = ["MachineSampler"]

EVERY_S = 0.1


class MachineSampler:
    """Samples power, clocks, temperatures, throttling and other load while the block runs, in constant memory.

    A device that vanishes is told of in ``MachineUse.lost``; the others are read on. Where a machine tells nothing, as
    most virtual ones do, so does the use.

    Args:
        every_s: seconds between samples.
        root: where ``proc`` and ``sys`` lie.
        nvml: name of NVIDIA's library.
        clock: seconds, that of the intervals.

    Example:
        >>> with MachineSampler() as sampler:
        ...     begin_s = time.perf_counter()
        ...     total = sum(range(1000))
        ...     end_s = time.perf_counter()
        >>> sampler.window([(begin_s, end_s)]).lost is None
        True
    """

    def __init__(
        self,
        every_s: float = EVERY_S,
        *,
        root: Path = Path("/"),
        nvml: str = NVML_LIBRARY,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._every_s, self._root, self._library_name, self._clock = every_s, root, nvml, clock
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._sensors: list[Sensor] = []
        self._columns: list[Column] = []
        self._lost: list[tuple[float, str]] = []
        self._gone: set[int] = set()
        self._cpu_s, self._begin_s, self._end_s = 0.0, math.nan, math.nan

    def __enter__(self) -> MachineSampler:
        self._library = Nvml(self._library_name)
        gpus, lost = self._library.answering()
        self._begin_s = self._clock()
        self._lost = [(self._begin_s, one) for one in lost]
        self._sensors = [*power_sensors(self._root, gpus, clock=self._clock)[0], *gauges(self._root, gpus)]
        self._columns = [column for sensor in self._sensors for column in sensor.columns]
        self._table = Table([column.rule for column in self._columns])
        self.sample()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="edgeseg-machine")
        self._running: Future[None] = self._pool.submit(self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._pool.shutdown()
        self.sample()
        self._end_s = self._clock()
        self._library.close()
        if kind is None:
            self._running.result()  # what the thread has raised

    def sample(self) -> None:
        """Read all sensors once; the thread does it every so often, a caller may in between."""
        with self._lock:
            now_s = self._clock()
            values = [value for place, one in enumerate(self._sensors) for value in self._read(place, one)]
            self._table.add(now_s, values)

    def window(self, intervals: Sequence[Interval]) -> MachineUse:
        """What the machine did in some stretches of time together.

        Args:
            intervals: begin and end on the sampler's clock, one after another, within the block.
        """
        with self._lock:
            use = use_of(self._columns, self._table.rows(), intervals)
        until_s = max((end_s for _, end_s in intervals), default=-math.inf)
        lost = [f"{what}, {at_s - self._begin_s:.1f} s after the start" for at_s, what in self._lost if at_s <= until_s]
        passed_s = (self._clock() if math.isnan(self._end_s) else self._end_s) - self._begin_s
        percent = round(100 * self._cpu_s / passed_s, 3) if passed_s > 0 else None
        return msgspec.structs.replace(use, sampler_percent=percent, lost="; ".join(lost) or None)

    def _run(self) -> None:
        begin_s = time.thread_time()
        while not self._stopping.wait(self._every_s):
            self.sample()
            self._cpu_s = time.thread_time() - begin_s

    def _read(self, place: int, sensor: Sensor) -> Sequence[float]:
        if place not in self._gone:
            try:
                return sensor.read()
            except LostError as error:
                self._gone.add(place)
                self._lost.append((self._clock(), f"{sensor.columns[0].name or 'load'}: {error}"))
        return [math.nan] * len(sensor.columns)
