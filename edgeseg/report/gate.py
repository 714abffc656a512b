"""Own the decision whether a report is slower than its baselines allow. Word and draw nothing; see gate_text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from edgeseg.errors import InputError
from edgeseg.report.likeness import Kind, differences, notes, refuse
from edgeseg.report.record import HEADLINE_STAGE, Measurement, Report, Scope
from edgeseg.report.slowdown import Rounds, Slowdown, slowdown

__all__ = ["FALSE_ALARMS", "Check", "CheckRow", "check_report"]

#: most checks of equal runs that may be called a regression at a limit of 0; all judged rows share it
FALSE_ALARMS = 0.05


@dataclass(frozen=True, kw_only=True)
class CheckRow:
    """One stage of one engine in one scope, old against new.

    ``is_judged``: it is held to the limit, others are shown only. ``is_regression``: the whole interval lies above the
    limit. ``is_unclear``: the interval has the limit in it, so that neither is shown.
    """

    engine: str
    scope: Scope
    stage: str
    slowdown: Slowdown
    is_judged: bool
    is_regression: bool
    is_unclear: bool


@dataclass(frozen=True, kw_only=True)
class Check:
    """All rows that both sides have, and what they do not have in common.

    Attributes:
        limit: the most that a median may grow, as a share.
        confidence: of every row's interval.
        baselines: how many old reports there were.
        rows: in the new report's order.
        missing: rows that only one side has, in words.
        notes: what else differs.
    """

    limit: float
    confidence: float
    baselines: int
    rows: tuple[CheckRow, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[CheckRow, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.is_regression)

    @property
    def unclear(self) -> tuple[CheckRow, ...]:
        """The judged rows whose interval is too wide to tell."""
        return tuple(row for row in self.rows if row.is_unclear)


def check_report(
    new: Report,
    baselines: Sequence[tuple[str, Report]],
    *,
    limit: float,
    allowed: Collection[Kind] = (),
    each_stage: bool = False,
) -> Check:
    """Hold a report to its baselines: the median of the whole may be slower by ``limit``, not more.

    Args:
        new: what was measured now.
        baselines: earlier reports with the names that messages use; several tell how far equal runs lie apart.
        limit: as a share, 0.05 for 5 %.
        allowed: what may differ between the reports.
        each_stage: hold every stage to the limit, not the whole alone.
    Raises:
        InputError: the reports are not alike, have no row in common, or too few samples to judge by.
    """
    for name, old in baselines:
        refuse(differences(new, old), allowed, against=name)
    olds = [_lanes(old, new, allowed) for _, old in baselines]
    common = [one for one in new.measurements if all((one.engine, one.scope) in old for old in olds)]
    if not common:
        raise InputError("no engine is in all the reports in the same scope", "measure the same engines in both")
    stages = [(one, stage) for one in common for stage in _stages(one, olds)]
    judged = [each_stage or HEADLINE_STAGE[one.scope] == stage for one, stage in stages]
    confidence = 1 - FALSE_ALARMS / sum(judged)
    rows = [
        _row(one, stage, olds, limit=limit, confidence=confidence, is_judged=is_judged)
        for (one, stage), is_judged in zip(stages, judged, strict=True)
    ]
    return Check(
        limit=limit,
        confidence=confidence,
        baselines=len(baselines),
        rows=tuple(rows),
        missing=_missing(new, {name: lanes for (name, _), lanes in zip(baselines, olds, strict=True)}),
        notes=tuple(dict.fromkeys(note for _, old in baselines for note in notes(new, old))),
    )


_Lanes = dict[tuple[str, Scope], Measurement]


def _lanes(old: Report, new: Report, allowed: Collection[Kind]) -> _Lanes:
    """By the new report's names; engines that may be others are taken in their order where no name is shared."""
    theirs, ours = [one.name for one in old.engines], [one.name for one in new.engines]
    by_order = "engine" in allowed and len(theirs) == len(ours) and not set(theirs) & set(ours)
    names = dict(zip(theirs, ours if by_order else theirs, strict=True))
    return {(names[one.engine], one.scope): one for one in old.measurements}


def _stages(one: Measurement, olds: Sequence[_Lanes]) -> list[str]:
    """Those that all sides have and that took any time, the whole first."""
    key, headline = (one.engine, one.scope), HEADLINE_STAGE[one.scope]
    sides = [one, *(old[key] for old in olds)]
    shared = [stage for stage in one.stages if all(stage in side.stages for side in sides)]
    taking = [stage for stage in shared if all(side.stages[stage].stats.p50_ms > 0 for side in sides)]
    return [headline, *(stage for stage in taking if stage != headline)]


def _row(
    one: Measurement, stage: str, olds: Sequence[_Lanes], *, limit: float, confidence: float, is_judged: bool
) -> CheckRow:
    old = [_rounds(lanes[one.engine, one.scope], stage) for lanes in olds]
    try:
        found = slowdown(old, _rounds(one, stage), confidence=confidence)
    except ValueError as error:
        raise InputError(f"{one.engine}, {one.scope}: {error}", "measure longer: raise --iterations") from error
    return CheckRow(
        engine=one.engine,
        scope=one.scope,
        stage=stage,
        slowdown=found,
        is_judged=is_judged,
        is_regression=is_judged and found.low > limit,
        is_unclear=is_judged and found.low <= limit < found.high,
    )


def _rounds(one: Measurement, stage: str) -> Rounds:
    return np.split(np.asarray(one.stages[stage].samples_ms), np.cumsum(one.round_counts)[:-1])


def _missing(new: Report, olds: dict[str, _Lanes]) -> tuple[str, ...]:
    ours = {(one.engine, one.scope) for one in new.measurements}
    found = []
    for name, theirs in olds.items():
        found += [f"{engine}, {scope}: not in {name}" for engine, scope in sorted(ours - set(theirs))]
        found += [f"{engine}, {scope}: in {name} alone" for engine, scope in sorted(set(theirs) - ours)]
    return tuple(found)
