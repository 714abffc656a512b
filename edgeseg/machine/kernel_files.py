"""Own the reading of the kernel's one-line files. Know no file by name."""

from __future__ import annotations

import errno
import math
from pathlib import Path

__all__ = ["LostError", "kernel_number", "kernel_text", "sensor_value"]

#: what opening or reading says once a device has gone: its folder was removed, or its driver let it go
GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


class LostError(Exception):
    """A device that was there does not answer any more; says which, and what was said. Never leaves this room."""


def kernel_text(path: Path) -> str:
    """What a file says; nothing where it is absent or, as some thermal zones do, refuses.

    The device tree ends its strings with a NUL, sysfs with a line's end; both are taken off.
    """
    try:
        return path.read_text(errors="replace").strip("\0 \t\n")
    except OSError:
        return ""


def kernel_number(path: Path) -> int | None:
    """The first word as an integer, None where there is none."""
    words = kernel_text(path).split()
    return int(words[0]) if words and words[0].removeprefix("-").isdecimal() else None


def sensor_value(path: Path) -> float:
    """An integer that was there before; NaN where the kernel does not tell it just now, as of a part that sleeps.

    Raises:
        LostError: the file has gone.
    """
    try:
        return float(int(path.read_bytes()))
    except ValueError:
        return math.nan
    except OSError as error:
        if error.errno in GONE:
            raise LostError(f"{path} ({error.strerror})") from error
        return math.nan
