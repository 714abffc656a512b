"""Own the figures of the built-in nets that ship with edgeseg: their form, their file. Measure nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from edgeseg.errors import SpecError
from edgeseg.files import read_file, write_atomically

__all__ = ["MEASURED_PATH", "Machine", "Measured", "NetFigures", "read_measured", "write_measured"]

#: what ``edgeseg export --list`` shows
MEASURED_PATH = Path(__file__).parent / "nets" / "measured.json"
MAKE_IT = "install edgeseg again, or measure: python scripts/measure_nets.py"

Count = Annotated[int, msgspec.Meta(ge=1)]
Duration = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On what was measured, and when: ``date`` is 2026-11-21; ``versions`` by package."""

    cpu: str
    cores: Count
    date: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    versions: Mapping[str, str]


class NetFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One net at its published width, batch 1.

    Attributes:
        size_hw: of the image, pixels.
        parameters: of the net, without those of auxiliary heads, which training alone has.
        macs: multiplications with addition of one image; None where they cannot be counted.
        fp32_ms: median latency of the engine alone, on the CPU.
        int8_ms: likewise.
        fp32_bytes: the CPU engine's file.
        int8_bytes: likewise.
        rtx_bytes: TensorRT-RTX's FP32 plan.
        agreement: share of the mask's pixels in which the FP32 engine is PyTorch's equal, 0 to 1.
    """

    size_hw: tuple[Count, Count]
    parameters: Count
    macs: Count | None
    fp32_ms: Duration
    int8_ms: Duration
    fp32_bytes: Count
    int8_bytes: Count
    rtx_bytes: Count
    agreement: Share


class Measured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The nets' figures by name, and the machine of the latencies."""

    machine: Machine
    nets: Mapping[str, NetFigures]


def read_measured(path: Path = MEASURED_PATH) -> Measured:
    """Read the figures.

    Raises:
        SpecError: the file is missing or malformed.
    """
    data = read_file(path, error=SpecError, make_it=MAKE_IT)
    try:
        return msgspec.json.decode(data, type=Measured)
    except msgspec.DecodeError as error:
        raise SpecError(f"{path} holds no figures of nets ({error})", MAKE_IT) from error


def write_measured(path: Path, measured: Measured) -> None:
    """Write the figures as indented JSON; the file appears whole or not at all.

    Raises:
        OutputError: the folder cannot be written, or the device is full.
    """
    write_atomically(path, msgspec.json.format(msgspec.json.encode(measured), indent=2) + b"\n")
