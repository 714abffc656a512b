"""Own the comparing of engines over several reports, speed beside accuracy, and its JSON. Word and draw nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from edgeseg.errors import InputError
from edgeseg.files import read_file
from edgeseg.records import Record
from edgeseg.report.likeness import Difference, Kind, frame_differences, machine_differences, refuse
from edgeseg.report.record import SCOPES, Measurement, Report, Scope

__all__ = ["Accuracies", "Contender", "SideBySide", "read_accuracies", "side_by_side"]


class Contender(Record, frozen=True, kw_only=True):
    """One engine of one report.

    Attributes:
        name: unique in the comparison.
        report: file that the figures are from.
        machine: of ``SideBySide.machines``, where it was measured.
        miou: share from 0 to 1; None where no accuracy was given for this plan.
        beaten_by: names of those on the same machine that are no slower and no less accurate, and one of both better;
            empty on the front. None without accuracy.
    """

    name: str
    report: str
    machine: str
    backend: str
    precision: str
    size_hw: tuple[int, int]
    plan_sha256: str
    p50_ms: float
    p99_ms: float
    count: int
    rate_hz: float
    miou: float | None
    beaten_by: tuple[str, ...] | None


class SideBySide(Record, frozen=True, kw_only=True):
    """Engines of several reports in one scope, in the order of the command line.

    ``machines`` names each in words; ``judged_on`` is what mIoU was measured on, empty without accuracy.
    """

    schema: Literal[1] = 1
    scope: Scope
    machines: dict[str, str]
    judged_on: str
    contenders: tuple[Contender, ...]
    notes: tuple[str, ...]


class _Data(msgspec.Struct, frozen=True):
    folder: str
    layout: str
    split: str | None
    frames: int
    ignore: int | None


class _Score(msgspec.Struct, frozen=True):
    miou: float | None  # null where there was nothing to judge


class _Judged(msgspec.Struct, frozen=True):
    plan_sha256: str
    accuracy: _Score


class _Evaluation(msgspec.Struct, frozen=True):
    """What this needs of the JSON that ``edgeseg evaluate --json`` writes; the rest is passed over."""

    schema: Literal[1]
    data: _Data
    engines: tuple[_Judged, ...]


class Accuracies(msgspec.Struct, frozen=True):
    """mIoU by the plan's sha256, and what it was measured on, in words; empty without any."""

    miou: dict[str, float] = {}
    judged_on: str = ""


def read_accuracies(paths: Sequence[Path]) -> Accuracies:
    """mIoU of every plan in JSON files of ``edgeseg evaluate``.

    Raises:
        InputError: a file is none, or they judge on different data, or differ on one plan.
    """
    miou: dict[str, float] = {}
    data: _Data | None = None
    for path in paths:
        found = _evaluation(path)
        if data is not None and found.data != data:
            raise InputError(f"{path} judges on other data than {paths[0]}", "evaluate all engines on the same frames")
        data = found.data
        for one in found.engines:
            score = one.accuracy.miou
            if score is not None and miou.setdefault(one.plan_sha256, score) != score:
                raise InputError(f"{path} gives a plan another mIoU than the files before it", "give one of them")
    if data is None:
        return Accuracies()
    return Accuracies(miou, f"{data.frames} frames of {data.folder}" + (f" ({data.split})" if data.split else ""))


def side_by_side(
    reports: Sequence[tuple[str, Report]],
    accuracies: Accuracies,
    *,
    scope: Scope | None = None,
    allowed: Collection[Kind] = (),
) -> SideBySide:
    """Engines of all reports in one scope, and which of them no other beats in both speed and accuracy.

    Args:
        reports: with the names that messages use, one or more.
        accuracies: to be matched by the plan's hash.
        scope: the fullest that all reports have without it.
        allowed: what may differ between the reports; of different machines each has a front of its own.
    Raises:
        InputError: a report lacks the scope, no scope is in all, or machines or frames differ.
    """
    chosen = _scope(reports, scope)
    for (_, first), (name, other) in ((reports[0], one) for one in reports[1:]):
        refuse(_unlike(other, first, chosen), allowed, against=name)
    machines = _machines(reports)
    plain = [
        _contender(name, report, one, machine, accuracies)
        for (name, report), machine in zip(reports, machines, strict=True)
        for one in report.of_scope(chosen)
    ]
    named = _named_apart(plain)
    labels = {label: _machine_text(report) for label, (_, report) in zip(machines, reports, strict=True)}
    return SideBySide(
        scope=chosen,
        machines=labels,
        judged_on=accuracies.judged_on,
        contenders=tuple(msgspec.structs.replace(one, beaten_by=_beaten_by(one, named)) for one in named),
        notes=tuple(_notes(named, accuracies, reports)),
    )


def _evaluation(path: Path) -> _Evaluation:
    data = read_file(path, make_it="write it with 'edgeseg evaluate ENGINE --data DIR --json out.json'")
    try:
        return msgspec.json.decode(data, type=_Evaluation)
    except msgspec.DecodeError as error:
        what = f"{path} is no JSON of 'edgeseg evaluate', schema 1 ({error})"
        raise InputError(what, "evaluate again with --json") from error


def _scope(reports: Sequence[tuple[str, Report]], wanted: Scope | None) -> Scope:
    common = [scope for scope in SCOPES if all(report.of_scope(scope) for _, report in reports)]
    if wanted is None:
        if not common:
            raise InputError(
                "no scope is in all the reports", "measure all engines in one scope: --scope frame-to-mask"
            )
        return common[-1]
    for name, report in reports:
        if not report.of_scope(wanted):
            raise InputError(f"{name} has no scope {wanted}", f"measure it with --scope {wanted}")
    return wanted


def _unlike(other: Report, first: Report, scope: Scope) -> list[Difference]:
    found = machine_differences(other.environment, other.settings, first.environment, first.settings)
    return found + ([] if scope == "engine" else frame_differences(other, first))


def _machines(reports: Sequence[tuple[str, Report]]) -> list[str]:
    """``A``, ``B``, ... of every report: the same letter where nothing of the machine differs."""
    kinds: list[Report] = []
    letters = []
    for _, report in reports:
        place = next((place for place, seen in enumerate(kinds) if _is_same_machine(report, seen)), len(kinds))
        if place == len(kinds):
            kinds.append(report)
        letters.append(_letter(place))
    return letters


def _is_same_machine(one: Report, other: Report) -> bool:
    return not machine_differences(one.environment, one.settings, other.environment, other.settings)


def _letter(place: int) -> str:
    return chr(ord("A") + place) if place < 26 else f"M{place + 1}"


def _machine_text(report: Report) -> str:
    environment, threads = report.environment, report.settings.threads
    driven = "" if threads is None else f", {threads} thread(s)"
    return f"{environment.cpu}, {environment.usable_cores} core(s){driven}"


def _contender(name: str, report: Report, one: Measurement, machine: str, accuracies: Accuracies) -> Contender:
    engine = next(each for each in report.engines if each.name == one.engine)
    stats = one.headline.stats
    return Contender(
        name=one.engine,
        report=name,
        machine=machine,
        backend=engine.backend,
        precision=engine.precision,
        size_hw=engine.size_hw,
        plan_sha256=engine.plan_sha256,
        p50_ms=stats.p50_ms,
        p99_ms=stats.p99_ms,
        count=stats.count,
        rate_hz=one.rate_hz,
        miou=accuracies.miou.get(engine.plan_sha256),
        beaten_by=None,
    )


def _named_apart(contenders: Sequence[Contender]) -> list[Contender]:
    """A name that two reports share gets its report before it, and a number where that is not enough."""
    names = [one.name for one in contenders]
    found: list[Contender] = []
    for one in contenders:
        plain = name = one.name if names.count(one.name) == 1 else f"{one.report}: {one.name}"
        number = 1
        while name in {each.name for each in found}:
            number += 1
            name = f"{plain} #{number}"
        found.append(msgspec.structs.replace(one, name=name))
    return found


def _beaten_by(one: Contender, all_of_them: Sequence[Contender]) -> tuple[str, ...] | None:
    if one.miou is None:
        return None
    return tuple(other.name for other in all_of_them if other.machine == one.machine and _beats(other, one))


def _beats(other: Contender, one: Contender) -> bool:
    if other.miou is None or one.miou is None:
        return False
    is_no_worse = other.p50_ms <= one.p50_ms and other.miou >= one.miou
    return is_no_worse and (other.p50_ms, other.miou) != (one.p50_ms, one.miou)


def _notes(contenders: Sequence[Contender], accuracies: Accuracies, reports: Sequence[tuple[str, Report]]) -> list[str]:
    found = []
    without = [one.name for one in contenders if one.miou is None]
    if without and accuracies.miou:
        found.append(f"no accuracy was given for {', '.join(without)}: in the table, not in the plot")
    if not accuracies.miou:
        found.append("no accuracy was given, so there is no plot: --accuracy takes the JSON of 'edgeseg evaluate'")
    if len({one.machine for one in contenders}) > 1:
        found.append("the machines differ: figures of one say nothing of the other; each has its own front")
    if len(reports) > 1:
        found.append("the reports were measured apart: what the machine did meanwhile is in their difference")
    return found
