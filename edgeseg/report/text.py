"""Own the words and numbers that all forms of a report share. Own no markup and no layout."""

from __future__ import annotations

from dataclasses import dataclass

from edgeseg.accuracy.verdict import Verdict
from edgeseg.report.machine_text import hardware_facts, joules_text, power_text, watts_text
from edgeseg.report.record import Comparison, Environment, Measurement, Report, Scope, Settings, StreamRecord

__all__ = [
    "Row",
    "columns",
    "engine_facts",
    "headline",
    "machine_facts",
    "method",
    "milliseconds",
    "precision_text",
    "range_text",
    "ratio_text",
    "rows",
    "scope_text",
    "source_text",
    "stream_text",
    "verdict",
]

COVERS = {
    "engine": "the engine alone, no copies",
    "engine+copies": "the engine with its copies to and from the device",
}
CLEAR = 0.9  # of the rounds
UNCLEAR = "no clear difference"
SCOPE_TEXT: dict[Scope, str] = {
    "engine": "The engine on a prepared input.",
    "engine+copies": "The engine, the tensor's copy into its input and the logits' copy out of its output.",
    "frame-to-mask": "From a frame in memory to its class mask at the frame's size: pre-processing, engine, "
    "post-processing. No camera, no decoding, no capture.",
    "end-to-end": "From a frame of the source to its class mask at the frame's size, in the loop of 'edgeseg run'.",
}
#: stages whose medians stand in a scope's table
SHOWN_STAGES: dict[Scope, tuple[str, ...]] = {
    "engine": (),
    "engine+copies": ("copy-in", "engine", "copy-out"),
    "frame-to-mask": ("pre", "engine", "post"),
    "end-to-end": ("wait", "pre", "engine", "post"),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One engine's line in a scope's table, as text; ``cells`` follow ``columns``."""

    engine: str
    cells: tuple[str, ...]


def milliseconds(value_ms: float) -> str:
    """A time with three digits that count.

    Example:
        >>> [milliseconds(value) for value in (0.08131, 0.8131, 8.131, 81.31, 813.1)]
        ['0.0813', '0.813', '8.13', '81.3', '813']
    """
    for bound, decimals in ((0.09995, 4), (0.9995, 3), (9.995, 2), (99.95, 1)):
        if value_ms < bound:
            return f"{value_ms:.{decimals}f}"
    return f"{value_ms:.0f}"


def ratio_text(ratio: float) -> str:
    """How many times as fast: ``2.94x``."""
    return f"{ratio:.2f}x" if ratio < 100 else f"{ratio:.0f}x"


def range_text(comparison: Comparison) -> str:
    """The slowest and the fastest round: ``2.81-3.02 over 10 rounds``."""
    low, high = min(comparison.round_ratios), max(comparison.round_ratios)
    return f"{low:.2f}\N{EN DASH}{high:.2f} over {len(comparison.round_ratios)} rounds"


def verdict(comparison: Comparison) -> str:
    """What a ratio means: ``faster`` or ``slower`` where nine rounds in ten agree.

    Of two equal engines, ten rounds would agree like that in one benchmark of fifty (sign test).
    """
    rounds = len(comparison.round_ratios)
    faster = sum(ratio > 1.0 for ratio in comparison.round_ratios)
    slower = sum(ratio < 1.0 for ratio in comparison.round_ratios)
    if max(faster, slower) < CLEAR * rounds:
        return UNCLEAR
    return "faster" if faster > slower else "slower"


def precision_text(verdict: Verdict) -> str:
    """Whether a low precision is worth it, in one sentence without its full stop."""
    precision, ours = verdict.precision.upper(), milliseconds(verdict.p50_ms)
    theirs = f"{milliseconds(verdict.baseline_p50_ms)} ms of {verdict.baseline} on {verdict.backend}"
    if verdict.is_worth_it:
        ratio = ratio_text(verdict.ratio)
        return f"{verdict.engine}: {precision} is {ratio} as fast here: {ours} ms against {theirs}, the engines alone"
    return (
        f"{verdict.engine}: {precision} is not worth it here: {ours} ms against {theirs}, the engines alone; "
        "use the higher precision"
    )


def headline(report: Report) -> str:
    """The finding in one line: the last scope's best ratio, or the median where one engine was measured."""
    scope = report.measurements[-1].scope
    ratios = [one for one in report.comparisons if one.scope == scope]
    if ratios:
        best = max(ratios, key=lambda one: one.ratio)
        if verdict(best) == UNCLEAR:
            return f"No clear difference between {best.engine} and {best.baseline} ({scope}, {range_text(best)})"
        return f"{best.engine} is {ratio_text(best.ratio)} as fast as {best.baseline} ({scope}, {range_text(best)})"
    one = report.measurements[-1]
    stats = one.headline.stats
    return f"{one.engine} takes {milliseconds(stats.p50_ms)} ms ({scope}, median of {stats.count})"


def scope_text(report: Report, scope: Scope) -> str:
    """What the milliseconds of a scope cover; back ends that time their engines differently are named apart."""
    lanes = report.of_scope(scope)
    covers = [COVERS.get(one.engine_covers, one.engine_covers) for one in lanes]
    if len(set(covers)) == 1:
        said = f"{SCOPE_TEXT[scope]} The stage 'engine' is {covers[0]}."
    else:
        listed = "; ".join(f"of {one.engine}, {covered}" for one, covered in zip(lanes, covers, strict=True))
        said = f"{SCOPE_TEXT[scope]} The stage 'engine' is {listed}."
    streams = {stream_text(one.stream) for one in lanes if one.stream is not None}
    return " ".join([said, *sorted(streams), *power_text(lanes)])


def stream_text(stream: StreamRecord) -> str:
    """Where the latency of a stream begins, and how its frames came."""
    begins = f"It begins at the frame's {stream.begins_at}" + (
        "" if stream.begins_at == "capture" else " in memory, since the source does not tell when it was taken"
    )
    if stream.camera_hz is not None:
        return f"{begins}; frames come at {stream.camera_hz:g} Hz, whether they are taken or not."
    if stream.is_live:
        return f"{begins}; frames come at the source's own rate, whether they are taken or not."
    return f"{begins}; frames come as fast as they are taken, so that one waits for the engine all the time."


def columns(report: Report, scope: Scope) -> tuple[str, ...]:
    """The headings beside the engine's name; milliseconds but for n, missed, 1/s, W, J/frame and ratio.

    The last three stand where the machine tells its power and where there are several engines.
    """
    more = SHOWN_STAGES[scope] or ("mean", "jitter")
    stream = ("interval", "jitter", "missed") if scope == "end-to-end" else ()
    ratio = ("ratio",) if report.comparisons else ()
    power = ("W", "J/frame") if _tells_power(report, scope) else ()
    return ("p50", "p90", "p95", "p99", *more, *stream, "n", "1/s", *power, *ratio)


def rows(report: Report, scope: Scope) -> list[Row]:
    """One line an engine; the first engine's ratio is ``1``."""
    ratios = {one.engine: ratio_text(one.ratio) for one in report.comparisons if one.scope == scope}
    found = []
    for one in report.of_scope(scope):
        ratio = (ratios.get(one.engine, "1"),) if ratios else ()
        power = (watts_text(one), joules_text(one)) if _tells_power(report, scope) else ()
        found.append(Row(engine=one.engine, cells=(*_cells(one), *power, *ratio)))
    return found


def method(settings: Settings) -> str:
    """How the figures came about, as sentences."""
    threads = "all cores" if settings.threads is None else f"{settings.threads} thread(s)"
    flight = "One inference in flight" if settings.streams == 1 else f"{settings.streams} inferences in flight"
    if settings.batch > 1:
        flight = f"{flight}, of {settings.batch} frames each"
    graphs = "allowed" if settings.uses_graphs else "not allowed"
    return (
        f"Every engine in every scope: {settings.warm_up_ms:g} ms warm-up, then at least {settings.duration_s:g} s "
        f"and {settings.iterations} iterations, in {settings.rounds} turns that alternate with the others' "
        "(end-to-end: of a second or more); each turn begins with one iteration that is not timed, end-to-end with a "
        f"warm-up. {flight}, {threads} for a CPU back end, CUDA graphs {graphs}; the host waits for a device by "
        "CUDA's own rule, which spins where cores are free, and copies are of page-locked memory. Percentiles are "
        "trtexec's, without interpolation; stages are medians; jitter is the mean difference of successive samples, "
        "end-to-end of the intervals between masks; 1/s is images over wall time. A ratio is the first engine's median "
        "over this engine's: above 1 is faster; the range is of the same ratio in single rounds."
    )


def source_text(report: Report) -> str:
    """What was looked at, and when."""
    source = report.source
    width, height = source.size_wh
    return f"Frames: {source.frames} ({source.name}), {width} x {height} pixels. Measured {report.created_utc}."


def machine_facts(environment: Environment) -> list[tuple[str, str]]:
    """The environment as name and value; what the machine does not tell says so."""
    memory, clock, load = environment.memory_bytes, environment.clock_mhz, environment.load_1min
    packages = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    return [
        ("Machine", environment.machine),
        ("CPU", f"{environment.cpu}, {environment.usable_cores} of {environment.cores} cores usable"),
        ("Memory", "not told" if memory is None else f"{memory / 2**30:.1f} GiB"),
        ("Governor", environment.governor or "not told"),
        ("Clock before", "not told" if clock is None else f"{clock:.0f} MHz"),
        ("Load before", "not told" if load is None else f"{load:.2f} (1 min)"),
        *hardware_facts(environment.hardware),
        ("System", f"{environment.system}, {environment.kernel}"),
        ("Python", environment.python),
        ("Packages", packages),
        ("Commit", environment.commit or "not told"),
    ]


def engine_facts(report: Report) -> list[list[tuple[str, str]]]:
    """For every engine, what it is, as name and value."""
    return [
        [
            ("Engine", one.name),
            ("File", f"{one.path}, {one.plan_bytes:,} bytes"),
            ("Back end", f"{one.backend} {one.backend_version} on {one.device}"),
            ("Precision", one.precision),
            ("Net", f"input of {one.size_hw[0]} x {one.size_hw[1]} (H x W), {one.classes} classes"),
            ("Plan sha256", one.plan_sha256),
            ("Sidecar sha256", one.sidecar_sha256),
            ("ONNX sha256", one.onnx_sha256),
        ]
        for one in report.engines
    ]


def _tells_power(report: Report, scope: Scope) -> bool:
    return any(one.machine is not None and one.machine.total_rails for one in report.of_scope(scope))


def _cells(one: Measurement) -> tuple[str, ...]:
    stats = one.headline.stats
    times = [stats.p50_ms, stats.p90_ms, stats.p95_ms, stats.p99_ms]
    times += [one.stages[stage].stats.p50_ms for stage in SHOWN_STAGES[one.scope]]
    cells = [milliseconds(value) for value in times]
    if one.stream is not None:
        interval = one.stream.interval
        cells += [milliseconds(interval.p50_ms), milliseconds(interval.jitter_ms), str(one.stream.missed)]
    elif not SHOWN_STAGES[one.scope]:
        cells += [milliseconds(stats.mean_ms), milliseconds(stats.jitter_ms)]
    return (*cells, str(stats.count), f"{one.rate_hz:.1f}")
