"""Own the question whether a process has ended. Start none, end none."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["has_ended"]


def has_ended(process: int) -> bool:
    """Within ten seconds: the operating system passes the parent's death on, and a loaded machine is slow."""
    for _ in range(100):
        if not Path(f"/proc/{process}/cmdline").exists() or not Path(f"/proc/{process}/cmdline").read_text():
            return True
        time.sleep(0.1)
    return False
