"""Own what must be the same for figures of two reports to be held against each other. Judge no figure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

from edgeseg.errors import InputError
from edgeseg.machine.records import MachineFacts
from edgeseg.report.record import EngineRecord, Environment, Report, Scope, Settings

__all__ = [
    "KINDS",
    "Difference",
    "Kind",
    "differences",
    "frame_differences",
    "machine_differences",
    "notes",
    "planned_scopes",
    "refuse",
]

#: what ``--allow-different`` takes: the machine and how it was driven; what was timed; which engine
Kind = Literal["machine", "scope", "engine"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MACHINE = ("machine", "cpu", "cores", "usable_cores", "governor")
#: of ``Settings``: how long to measure may differ, all else is how the machine was driven
FREE_SETTINGS = frozenset({"warm_up_ms", "duration_s", "iterations", "rounds", "scopes"})
ENGINE = ("backend", "precision", "size_hw", "classes", "onnx_sha256")
LANE = ("batch", "clock", "graph", "buffers")
HASH_DIGITS = 12  # of a hash, in a message


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Why two reports should not be compared, in words: ``cpu is 'A', was 'B'``."""

    kind: Kind
    what: str


def differences(new: Report, old: Report) -> list[Difference]:
    """All that speaks against holding the new report's figures against the old one's, machine first."""
    found = machine_differences(new.environment, new.settings, old.environment, old.settings)
    found += _scope_differences(new, old)
    pairs = _paired(new.engines, old.engines)
    for name in _missing({one.name for one in new.engines}, {one.name for one in old.engines}):
        found.append(Difference(kind="engine", what=name))
    for ours, theirs in pairs:
        found += _fields("engine", ours, theirs, ENGINE, prefix=f"{ours.name}: ")
        found += _fields("machine", ours, theirs, ("device",), prefix=f"{ours.name}: ")
    return found + _lane_differences(new, old)


def machine_differences(new: Environment, new_way: Settings, old: Environment, old_way: Settings) -> list[Difference]:
    """The machine and how it was driven; known before anything is measured."""
    driven = [name for name in Settings.__struct_fields__ if name not in FREE_SETTINGS]
    found = _fields("machine", new, old, MACHINE)
    if new.hardware is not None and old.hardware is not None:  # a report may be older than what it could tell
        ours, theirs = _clock_policy(new.hardware), _clock_policy(old.hardware)
        for name, value in ours.items():
            found += _changed("machine", name, value, theirs[name])
    return found + _fields("machine", new_way, old_way, driven)


def notes(new: Report, old: Report) -> list[str]:
    """What may differ, yet moves a latency: versions of back ends and packages, the frames' content, one line each."""
    found = []
    for ours, theirs in _paired(new.engines, old.engines):
        found += _fields("engine", ours, theirs, ("backend_version",), prefix=f"{ours.name}: ")
    found += _fields("machine", new.environment, old.environment, ("kernel", "python"))
    packages = sorted({*new.environment.packages, *old.environment.packages})
    for name in packages:
        found += _changed("machine", name, new.environment.packages.get(name), old.environment.packages.get(name))
    found += _fields("scope", new.source, old.source, ("name", "frames"), prefix="frames: ")
    return [one.what for one in found]


def refuse(found: Iterable[Difference], allowed: Collection[Kind], *, against: str) -> None:
    """Stop where something differs that was not allowed to.

    Args:
        found: all differences.
        allowed: kinds that may differ.
        against: name of the other report.
    Raises:
        InputError: names every difference, and the option that allows each kind.
    """
    wrong = [one for one in found if one.kind not in allowed]
    if wrong:
        listed = "; ".join(f"{one.kind}: {one.what}" for one in wrong)
        options = " ".join(f"--allow-different {kind}" for kind in KINDS if kind in {one.kind for one in wrong})
        raise InputError(
            f"{against} cannot be compared with: {listed}",
            f"measure both alike, or compare all the same with {options}",
        )


def _clock_policy(facts: MachineFacts) -> dict[str, object]:
    """Which GPUs there are, and what decides on clocks; readings of the moment are left out."""
    cpu, board = facts.cpu, facts.board
    return {
        "gpus": tuple(one.name for one in facts.gpus) or None,
        "gpu power limits in W": tuple(one.power_limit_w for one in facts.gpus) or None,
        "power mode": board and board.power_mode,
        "held board clocks": board and board.has_held_clocks,
        "cpu boost": cpu and cpu.boost,
        "held cpu clocks": cpu and cpu.is_held,
    }


def frame_differences(new: Report, old: Report) -> list[Difference]:
    """Frames of another size take another time in every scope but ``engine``."""
    return _fields("scope", new.source, old.source, ("size_wh",), prefix="frames: ")


def planned_scopes(settings: Settings, old: Report) -> list[Difference]:
    """Scopes that are about to be measured against those of an old report."""
    return _scopes(set(settings.scopes), old)


def _scopes(scopes: set[Scope], old: Report) -> list[Difference]:
    found = _missing(set[str](scopes), {one.scope for one in old.measurements})
    return [Difference(kind="scope", what=name) for name in found]


def _scope_differences(new: Report, old: Report) -> list[Difference]:
    found = _scopes({one.scope for one in new.measurements}, old)
    return found + (frame_differences(new, old) if any(one.scope != "engine" for one in new.measurements) else [])


def _lane_differences(new: Report, old: Report) -> list[Difference]:
    found = []
    theirs = {(one.engine, one.scope): one for one in old.measurements}
    for one in new.measurements:
        other = theirs.get((one.engine, one.scope))
        if other is not None:
            place = f"{one.engine}, {one.scope}: "
            found += _fields("machine", one, other, LANE, prefix=place)
            found += _fields("scope", one, other, ("engine_covers",), prefix=place)
    return found


def _paired(new: Iterable[EngineRecord], old: Iterable[EngineRecord]) -> list[tuple[EngineRecord, EngineRecord]]:
    theirs = {one.name: one for one in old}
    return [(one, theirs[one.name]) for one in new if one.name in theirs]


def _missing(new: set[str], old: set[str]) -> list[str]:
    return [f"'{name}' is new" for name in sorted(new - old)] + [f"'{name}' is gone" for name in sorted(old - new)]


def _fields(
    kind: Kind, new: msgspec.Struct, old: msgspec.Struct, names: Iterable[str], *, prefix: str = ""
) -> list[Difference]:
    found = []
    for name in names:
        found += _changed(kind, prefix + name, getattr(new, name), getattr(old, name))
    return found


def _changed(kind: Kind, name: str, new: object, old: object) -> list[Difference]:
    return [] if new == old else [Difference(kind=kind, what=f"{name} is {_shown(new)}, was {_shown(old)}")]


def _shown(value: object) -> str:
    if value is None:
        return "not told"
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    return f"'{value[:HASH_DIGITS]}'" if isinstance(value, str) and len(value) == 64 else f"'{value}'"
