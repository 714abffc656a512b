"""Own the reading of what ``ptxas -v`` says of compiled functions: registers, stack and spills. Compile nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Usage", "usages"]

FUNCTION = re.compile(r"Function properties for (\S+)")
ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)\w*'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


@dataclass(frozen=True)
class Usage:
    """What one function takes of a thread's memory; only a kernel (an entry) has its registers reported."""

    function: str
    is_entry: bool
    stack_bytes: int
    spill_store_bytes: int
    spill_load_bytes: int
    registers: int | None

    @property
    def spills(self) -> bool:
        return self.spill_store_bytes + self.spill_load_bytes > 0


def usages(report: str) -> tuple[Usage, ...]:
    """Every function of a report, in its order.

    Raises:
        ValueError: a function has no frame, or an entry no properties: the report is not of the form known here.
    """
    entries = {found[1] for found in ENTRY.finditer(report)}
    parts = FUNCTION.split(report)[1:]
    read = tuple(_usage(name, text, entries) for name, text in zip(parts[::2], parts[1::2], strict=True))
    missing = entries - {one.function for one in read}
    if missing:
        raise ValueError(f"the report says nothing of {sorted(missing)}")
    return read


def _usage(name: str, text: str, entries: set[str]) -> Usage:
    frame, registers = FRAME.search(text), REGISTERS.search(text)
    if frame is None:
        raise ValueError(f"the report has no frame of {name}")
    is_entry = name in entries
    return Usage(name, is_entry, *map(int, frame.groups()), int(registers[1]) if is_entry and registers else None)
