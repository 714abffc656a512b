"""Own the form of a benchmark report: its records, schema 1, and their JSON. Measure nothing, draw nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from edgeseg.errors import InputError
from edgeseg.files import read_file, write_atomically
from edgeseg.machine.records import MachineFacts, MachineUse
from edgeseg.report.profile_record import Profile
from edgeseg.spec import BackendName, PrecisionKind

__all__ = [
    "DEFAULT_SCOPES",
    "SCOPES",
    "Clock",
    "Comparison",
    "EngineRecord",
    "Environment",
    "HostWait",
    "Measurement",
    "Report",
    "Scope",
    "Settings",
    "SourceRecord",
    "Stage",
    "Stats",
    "StreamRecord",
    "indented_json",
    "read_report",
    "report_json",
    "write_json",
]

#: ``engine``: the engine alone on a prepared input. ``engine+copies``: with the copies of its input and output.
#: ``frame-to-mask``: from a frame in memory to its mask at the frame's size. ``end-to-end``: from a source's capture of
#: the frame to its mask, in the loop that ``edgeseg run`` has.
Scope = Literal["engine", "engine+copies", "frame-to-mask", "end-to-end"]
SCOPES: tuple[Scope, ...] = ("engine", "engine+copies", "frame-to-mask", "end-to-end")
DEFAULT_SCOPES: tuple[Scope, ...] = ("engine", "frame-to-mask")
HEADLINE_STAGE: dict[Scope, str] = {
    "engine": "engine", "engine+copies": "total", "frame-to-mask": "total", "end-to-end": "total",
}  # fmt: skip
Clock = Literal["monotonic", "cuda-events"]
HostWait = Literal["blocking", "auto"]
#: an indented list of numbers; no JSON string holds a bare line end, so none is taken for one
NUMBERS = re.compile(rb"\[\n\s*([-\d][-+.,\s\deE]*?)\n\s*\]")
LONGEST_S = 86_400.0  # a day: a slip of the hand, not a benchmark
MOST_HZ, MOST_STREAMS, MOST_BATCH = 100_000.0, 64, 1024


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frozen, strict on reading."""


class Settings(_Record, frozen=True, kw_only=True):
    """How a benchmark runs; the defaults are trtexec's, but for the rounds, which it does not have.

    Every engine is warmed up for ``warm_up_ms`` in every scope, then timed until both ``duration_s`` and ``iterations``
    are reached, in ``rounds`` turns that alternate with the other engines' (A B A B ...); in the scope ``end-to-end``
    in as many turns as there are whole seconds, if those are fewer.

    Attributes:
        streams: inferences in flight at once; a latency then includes the wait for the others.
        batch: frames in one run of the engine, in the scope ``frame-to-mask``.
        camera_hz: rate of the frames of ``end-to-end``; as fast as they are taken without it.
        uses_graphs: let a device's work be launched as CUDA graphs.

    Raises:
        ValueError: a value outside its range; says which.
    """

    warm_up_ms: float = 200.0
    duration_s: float = 3.0
    iterations: int = 10
    rounds: int = 10
    threads: int | None = None
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES
    streams: int = 1
    batch: int = 1
    camera_hz: float | None = None
    uses_graphs: bool = True

    def __post_init__(self) -> None:
        _check_range("warm-up", self.warm_up_ms, 0.0, LONGEST_S * 1e3, "ms")
        _check_range("duration", self.duration_s, 0.0, LONGEST_S, "s")
        if self.camera_hz is not None:
            _check_range("camera rate", self.camera_hz, 0.01, MOST_HZ, "Hz")
        for name, value in (("iterations", self.iterations), ("rounds", self.rounds), ("threads", self.threads or 1)):
            _check_range(name, value, 1, 10**9, "")
        _check_range("streams", self.streams, 1, MOST_STREAMS, "")
        _check_range("batch", self.batch, 1, MOST_BATCH, "")
        if self.batch > 1 and tuple(self.scopes) != ("frame-to-mask",):
            raise ValueError(f"a batch of {self.batch} is timed in the scope frame-to-mask: give that one alone")
        if self.threads == 0:
            raise ValueError("threads is 0: give 1 or more, or nothing for all cores")
        if not self.scopes or len(set(self.scopes)) != len(self.scopes):
            raise ValueError(f"scopes are {list(self.scopes)}: give one or more, each once")


class Stats(_Record, frozen=True, kw_only=True):
    """Statistics of one stage's samples, milliseconds but for the count; percentiles are not interpolated."""

    count: int
    mean_ms: float
    std_ms: float
    min_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    jitter_ms: float


class Stage(_Record, frozen=True, kw_only=True):
    """The samples of one stage in the order they were taken, milliseconds, and what they say."""

    samples_ms: tuple[float, ...]
    stats: Stats

    def __post_init__(self) -> None:
        if not len(self.samples_ms) == self.stats.count > 0:
            raise ValueError(f"{len(self.samples_ms)} samples where the statistics count {self.stats.count}")


class StreamRecord(_Record, frozen=True, kw_only=True):
    """What became of the frames of a source, in the scope ``end-to-end``; the first of each turn are not counted.

    Attributes:
        camera_hz: the rate at which they were given; None where they came as fast as they were taken.
        begins_at: where the latency begins: ``capture``, or ``arrival`` in memory where the source tells no capture.
        is_live: the source goes on without a reader, so that frames are missed where the engine is slower.
        frames: that the source gave, or would have given had it been read.
        masks: that came of them.
        missed: frames without a mask: dropped for a newer one, too old, corrupt, or never read.
        interval: from mask to mask.
    """

    camera_hz: float | None
    begins_at: Literal["capture", "arrival"]
    is_live: bool
    frames: int
    masks: int
    missed: int
    interval: Stats


class Measurement(_Record, frozen=True, kw_only=True):
    """One engine in one scope.

    Attributes:
        engine: its name in the report.
        engine_covers: what the milliseconds of the stage ``engine`` cover, in trtexec's terms.
        stages: the samples of each.
        started_s: when each iteration began, counted from the first round's begin.
        round_counts: how many iterations each round had.
        round_s: how long each round took, wall time; empty in reports that did not tell.
        clock: that ``engine`` and the copies were taken with; what the host does is on the monotonic clock.
        buffers: sets of input and output memory that were used in turn.
        batch: images in one iteration.
        graph: ``on``, or ``off`` and why, of CUDA graphs; empty on a CPU.
        host_wait: how the host waits for the engine: ``blocking``, or ``auto``, CUDA's own rule (CU_CTX_SCHED_AUTO),
            which spins where there are more cores than contexts.
        has_transfers: whether copies between host and device are in the scope's headline.
        stream: of the scope ``end-to-end``.
        machine: what the machine did during the rounds; None in reports that did not tell.
    """

    engine: str
    scope: Scope
    engine_covers: str
    stages: dict[str, Stage]
    started_s: tuple[float, ...]
    round_counts: tuple[int, ...]
    round_s: tuple[float, ...] = ()
    clock: Clock = "monotonic"
    buffers: int = 1
    batch: int = 1
    graph: str = ""
    host_wait: HostWait = "blocking"
    has_transfers: bool = False
    stream: StreamRecord | None = None
    machine: MachineUse | None = None

    def __post_init__(self) -> None:
        if HEADLINE_STAGE[self.scope] not in self.stages:
            raise ValueError(f"scope {self.scope} has no stage '{HEADLINE_STAGE[self.scope]}'")
        counts = {len(self.started_s), sum(self.round_counts), *(one.stats.count for one in self.stages.values())}
        if len(counts) != 1 or min(self.round_counts) < 1:
            raise ValueError(f"stages, start times and rounds differ in their counts: {sorted(counts)}")
        if len(self.round_s) not in (0, len(self.round_counts)):
            raise ValueError(f"{len(self.round_s)} durations of {len(self.round_counts)} rounds")

    @property
    def headline(self) -> Stage:
        """The stage that stands for the whole scope."""
        return self.stages[HEADLINE_STAGE[self.scope]]

    @property
    def rate_hz(self) -> float:
        """Images a second of wall time, as trtexec's throughput."""
        if not self.round_s:
            return self.batch * 1e3 / self.headline.stats.mean_ms
        return self.batch * sum(self.round_counts) / sum(self.round_s)

    @property
    def joules_per_frame(self) -> float | None:
        """Of all that is known of the machine's power, over the rounds; None where it tells none."""
        joules = self.machine.joules if self.machine else None
        return None if joules is None else joules / (self.batch * sum(self.round_counts))

    @property
    def variation(self) -> float:
        """Coefficient of variation, std / mean."""
        return self.headline.stats.std_ms / self.headline.stats.mean_ms

    @property
    def rounds_ms(self) -> list[tuple[float, ...]]:
        """The headline's samples, one tuple a round."""
        samples, begin, rounds = self.headline.samples_ms, 0, []
        for count in self.round_counts:
            rounds.append(samples[begin : begin + count])
            begin += count
        return rounds


class EngineRecord(_Record, frozen=True, kw_only=True):
    """Which engine was measured. ``name`` is unique in the report; ``size_hw`` is the net's input.

    ``changed_pixels`` counts the pixels of the first frame's mask that differ after the timing from before it.
    """

    name: str
    path: str
    backend: BackendName
    backend_version: str
    device: str
    precision: PrecisionKind
    size_hw: tuple[int, int]
    classes: int
    onnx_sha256: str
    plan_sha256: str
    plan_bytes: int
    sidecar_sha256: str
    changed_pixels: int


class Comparison(_Record, frozen=True, kw_only=True):
    """Median of the ``baseline`` over median of ``engine`` in one scope: above 1, the engine is faster.

    ``round_ratios`` is the same of every single round; their range says how far the ratio can be trusted.
    """

    engine: str
    baseline: str
    scope: Scope
    ratio: float
    round_ratios: tuple[float, ...]


class SourceRecord(_Record, frozen=True, kw_only=True):
    """The frames that were used, in turn."""

    name: str
    frames: int
    size_wh: tuple[int, int]


class Environment(_Record, frozen=True, kw_only=True):
    """The machine and the software. ``None`` is what the machine does not tell.

    ``commit`` is that of the project in whose folder the benchmark ran, with ``-dirty`` where something was changed.
    """

    machine: str
    cpu: str
    cores: int
    usable_cores: int
    memory_bytes: int | None
    system: str
    kernel: str
    python: str
    packages: dict[str, str]
    governor: str | None
    clock_mhz: float | None
    load_1min: float | None
    hardware: MachineFacts | None = None
    commit: str | None = None


class Report(_Record, frozen=True, kw_only=True):
    """All of one benchmark. Lists of engines and measurements are in the order of the command line."""

    schema: Literal[1] = 1
    created_utc: str
    settings: Settings
    source: SourceRecord
    environment: Environment
    engines: tuple[EngineRecord, ...]
    measurements: tuple[Measurement, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]
    profiles: tuple[Profile, ...] = ()

    def of_scope(self, scope: Scope) -> list[Measurement]:
        """The measurements of one scope, one an engine."""
        return [one for one in self.measurements if one.scope == scope]


def report_json(report: Report) -> bytes:
    """The report as JSON, see ``indented_json``."""
    return indented_json(report)


def indented_json(record: object) -> bytes:
    """A record as JSON, a key a line but lists of numbers on one, UTF-8, with a line's end; NaN becomes null."""
    indented = msgspec.json.format(msgspec.json.encode(record), indent=1)
    return NUMBERS.sub(lambda found: b"[" + b" ".join(found[1].split()) + b"]", indented) + b"\n"


def write_json(report: Report, path: Path) -> None:
    """Write the JSON form, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(path, report_json(report))


def read_report(path: Path) -> Report:
    """Read a JSON report of schema 1, strictly: an unknown key or a missing one is refused.

    Raises:
        InputError: the file is missing or is not such a report.
    """
    data = read_file(path, make_it="write it with 'edgeseg benchmark ENGINE --report out.json'")
    try:
        return msgspec.json.decode(data, type=Report)
    except msgspec.DecodeError as error:  # ValidationError is one too
        raise InputError(f"{path} is not a benchmark report of schema 1 ({error})", "measure again") from error


def _check_range(name: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:  # NaN too
        raise ValueError(f"{name} is {value:g} {unit}".rstrip() + f": give {low:g} to {high:g}")
