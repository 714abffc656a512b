"""Own docs/soak.md: what was found, as a reader wants it. Measure nothing."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator, Sequence

from edgeseg.report.environment import read_environment
from soak.checks import Check, settled
from soak.freshness import BOUND_PERIODS, Fresh
from soak.measuring import Sample
from soak.recovery import GOAL_S, Recovery
from soak.running import Outcome, Plan

__all__ = ["page"]

POINTS = 20
MORE_PACKAGES = ("av", "aiohttp")

INTRO = """# Soak

Written by `{command}`. What runs is the whole loop as `edgeseg run` has it: real
OpenVINO sessions of the demo net (32x64), {sources} sources (two cameras that do everything wrong, a process that
writes to shared memory, one that writes raw frames to a pipe{server}), and {sinks} sinks
(JSON lines and H.264 in segments, shared memory, a slow one, one that fails, the live view with a client in a process
of its own). A rehearsal comes before it, so that every library is loaded; what the process holds is compared before and
after the run.
"""

MEMORY = """
## Memory

Warm-up is the first tenth of the frames, and until each fault has come at least once: here {warm:,} frames. After it,
resident memory (`Rss` of /proc/self/smaps_rollup) was read {count} times, after a collection of Python's garbage and
with malloc's free pages handed back, as the loop itself does after events. Growth is along the line of Theil and Sen,
the median slope of all pairs of samples, from the first to the last.

| frames | minutes | resident MiB | anonymous MiB |
|---:|---:|---:|---:|
"""

FRESHNESS = """
## A source twice as fast as the engine

For {seconds:g} s, a real session slowed to one frame in {period:.0f} ms, a camera whose driver keeps every frame; ages
are from capture to mask in the sink, medians of the first and the last two seconds. Goal: the end at most {bound:g}
engine periods above the start.

| policy | frames | masks | start | end | goal met |
|---|---:|---:|---:|---:|---|
"""

RECOVERY = """
## Senders killed and started again

The whole loop with its default options over `open_source`; the sender is killed with SIGKILL and started again after a
while. Seconds from its being back to the next mask: from when its port listens (RTSP), from the start of its process
(HTTP and UDP, ffmpeg's own start included). Goal: at most {goal:g} s.

| sender | away s | back s | goal met |
|---|---|---|---|
"""


def page(
    plan: Plan, outcome: Outcome, checks: Sequence[Check], *, command: str, fresh: Sequence[Fresh] = (),
    fresh_s: float = 0.0, recoveries: Sequence[Recovery] = (),
) -> str:  # fmt: skip
    """The whole page in Markdown."""
    parts = [
        INTRO.format(
            command=command, sources=len(outcome.seen.sources), sinks=len(outcome.seen.sinks),
            server=", GStreamer's RTSP server" if plan.rtsp else "",
        ),
        *_machine(plan, outcome), "\n## What must hold\n\n| what | figure | goal | met |\n|---|---:|---|---|\n",
        *(f"| {one.what} | {one.figure} | {one.goal} | {_word(one.is_met)} |\n" for one in checks),
        *_faults(outcome), *_accounts(outcome), *_memory(plan, outcome),
        *_fresh(fresh, fresh_s), *_recovery(recoveries),
    ]  # fmt: skip
    return "".join(parts)


def _machine(plan: Plan, outcome: Outcome) -> Iterator[str]:
    found = read_environment()
    versions = dict(found.packages)
    versions |= {name: importlib.metadata.version(name) for name in MORE_PACKAGES}
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    yield f"\n{found.cpu}, {found.usable_cores} cores, load {found.load_1min:.1f}; {found.system}, {found.python}; "
    minutes, rate = outcome.seconds / 60, outcome.seen.frames_in / outcome.seconds
    yield f"{listed}.\n"
    yield f"{time.strftime('%Y-%m-%d')}, seed {plan.seed}, {minutes:.1f} minutes, {rate:.0f} frames a second.\n"


def _faults(outcome: Outcome) -> Iterator[str]:
    yield "\n## Faults\n\n| fault | how often |\n|---|---:|\n"
    yield from (f"| {kind} | {count:,} |\n" for kind, count in outcome.faults.items())


def _accounts(outcome: Outcome) -> Iterator[str]:
    yield "\n## Accounts\n\n| source | in | masks | dropped | stale | corrupt | opened again | given up |\n"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|\n"
    for one in outcome.seen.sources:
        kind = one.name.partition("://")[0]
        counts = (one.frames_in, one.masks, one.dropped, one.stale, one.corrupt, one.reconnects, one.stalls)
        yield f"| {kind} | {' | '.join(f'{count:,}' for count in counts)} |\n"
    yield "\n| sink | written | dropped | at the end |\n|---|---:|---:|---|\n"
    for sink in outcome.seen.sinks:
        name = "live view" if sink.name.startswith("live view") else sink.name.rpartition("/")[2]
        yield f"| {name} | {sink.written:,} | {sink.dropped:,} | {sink.standing} |\n"


def _memory(plan: Plan, outcome: Outcome) -> Iterator[str]:
    samples = settled(outcome, plan)
    if not samples:
        return
    yield MEMORY.format(warm=samples[0].frames, count=len(samples))
    shown: list[Sample] = [samples[round(place * (len(samples) - 1) / (POINTS - 1))] for place in range(POINTS)]
    for one in shown:
        resident, anonymous = one.resident_bytes / 2**20, one.anonymous_bytes / 2**20
        yield f"| {one.frames:,} | {one.at_s / 60:.1f} | {resident:.2f} | {anonymous:.2f} |\n"


def _fresh(fresh: Sequence[Fresh], seconds: float) -> Iterator[str]:
    if fresh:
        yield FRESHNESS.format(seconds=seconds, period=fresh[0].period_ms, bound=BOUND_PERIODS)
    for one in fresh:
        ages = f"{one.start_ms:.0f} ms | {one.end_ms:.0f} ms"
        yield f"| {one.policy} | {one.frames:,} | {one.masks:,} | {ages} | {_word(one.is_met)} |\n"


def _recovery(recoveries: Sequence[Recovery]) -> Iterator[str]:
    if recoveries:
        yield RECOVERY.format(goal=GOAL_S)
    for one in recoveries:
        away, back = (", ".join(f"{value:.1f}" for value in values) for values in (one.away_s, one.back_s))
        yield f"| {one.server} | {away} | {back} | {_word(one.is_met)} |\n"


def _word(is_met: bool | None) -> str:
    return {None: "", True: "yes", False: "**no**"}[is_met]
