"""Own what a soak must show, figure by figure. Run nothing, write nothing."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from soak.measuring import Sample, growth_bytes, step_bytes
from soak.running import Outcome, Plan, is_balanced

__all__ = ["Check", "checks_of", "leaks_of", "settled"]

WARM_UP = 0.1  # of the frames, and at least until every fault has come
GROWTH_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report; ``is_met`` is None for a figure without a goal."""

    what: str
    figure: str
    goal: str = ""
    is_met: bool | None = None


def settled(outcome: Outcome, plan: Plan) -> list[Sample]:
    """The samples after warm-up."""
    since = max(plan.frames * WARM_UP, outcome.all_come)
    return [one for one in outcome.samples if one.frames >= since]


def checks_of(outcome: Outcome, plan: Plan) -> list[Check]:
    """All of them, in the order of the report."""
    return [*_of_frames(outcome, plan), *_of_sinks(outcome), *_of_memory(outcome, plan), *_of_leaks(outcome),
            _of_faults(outcome), _of_latency(outcome)]  # fmt: skip


def _of_frames(outcome: Outcome, plan: Plan) -> list[Check]:
    seen, wrong = outcome.seen, outcome.unbalanced + (not is_balanced(outcome.seen))
    in_flight = sum(one.in_flight for one in seen.sources)
    return [
        Check(
            what="frames in", figure=f"{seen.frames_in:,}", goal=f">= {plan.frames:,}",
            is_met=seen.frames_in >= plan.frames,
        ),
        Check(
            what="moments at which a source's accounts do not add up, of those looked at",
            figure=f"{wrong} of {outcome.looked + 1}", goal="0", is_met=wrong == 0,
        ),
        Check(what="frames in flight at the end", figure=str(in_flight), goal="0", is_met=in_flight == 0),
    ]  # fmt: skip


def _of_sinks(outcome: Outcome) -> list[Check]:
    seen = outcome.seen
    whole = [one for one in seen.sinks if one.standing == "closed"]
    wrong = [one.name for one in whole if one.written + one.dropped != seen.masks]
    standings = Counter(one.standing for one in seen.sinks)
    return [
        Check(
            what="sinks whose written + dropped are not all masks", figure=", ".join(wrong) or f"0 of {len(whole)}",
            goal="0", is_met=not wrong,
        ),
        Check(
            what="sinks that failed: the one that was made to", figure=str(standings["failed"]), goal="1",
            is_met=standings["failed"] == 1 and standings["closed"] == len(seen.sinks) - 1,
        ),
    ]  # fmt: skip


def _of_memory(outcome: Outcome, plan: Plan) -> list[Check]:
    samples = settled(outcome, plan)
    if len(samples) < 2:
        return [Check(what="resident memory", figure="too few samples after warm-up", goal="2", is_met=False)]
    growth, anonymous = growth_bytes(samples), growth_bytes(samples, part="anonymous_bytes")
    return [
        Check(
            what="resident memory, growth after warm-up", figure=_mib(growth), goal="< 1 MiB",
            is_met=growth < GROWTH_BYTES,
        ),
        Check(what="of it anonymous (heaps, stacks, buffers)", figure=_mib(anonymous)),
        Check(what="its last tenth above its first, medians", figure=_mib(step_bytes(samples))),
    ]  # fmt: skip


def leaks_of(outcome: Outcome) -> dict[str, str]:
    """What is there at the end and was not at the beginning; empty where nothing is."""
    before, after = outcome.before, outcome.after
    return {
        "Python threads": _more(before.threads, after.threads),
        "native threads": str(max(after.native_threads - before.native_threads, 0) or ""),
        "file descriptors": _more(before.descriptors, after.descriptors),
        "entries of /dev/shm": _more(_ours(before.shared), _ours(after.shared)),
        "child processes": _more(before.children, after.children),
    }


def _of_leaks(outcome: Outcome) -> list[Check]:
    return [
        Check(what=f"{what} left behind", figure=left or "0", goal="0", is_met=not left)
        for what, left in leaks_of(outcome).items()
    ]


def _of_faults(outcome: Outcome) -> Check:
    came = sum(count > 0 for count in outcome.faults.values())
    return Check(
        what="kinds of fault that came", figure=f"{came} of {len(outcome.faults)}", goal="all",
        is_met=came == len(outcome.faults),
    )  # fmt: skip


def _of_latency(outcome: Outcome) -> Check:
    ages = outcome.ages_ms
    part = max(len(ages) // 10, 1)
    first, last = statistics.median(ages[part : 2 * part] or ages), statistics.median(ages[-part:])
    return Check(
        what="frame to mask, median: after warm-up, at the end", figure=f"{first:.1f} ms, {last:.1f} ms",
        goal="no trend: the end <= 2 times", is_met=last <= 2 * first,
    )  # fmt: skip


def _ours(names: Sequence[str]) -> list[str]:
    """Not those of other processes of the machine."""
    return [one for one in names if f"edgeseg-soak-{os.getpid()}" in one]


def _more(before: Sequence[object], after: Sequence[object]) -> str:
    more = Counter(map(str, after)) - Counter(map(str, before))
    return ", ".join(f"{name} ({count})" for name, count in more.items())


def _mib(size: float) -> str:
    return f"{size / 2**20:+.2f} MiB"
