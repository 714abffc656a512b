"""Own where GStreamer runs: which Python has it, and how its process ends. Talk to no process."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["START_S", "end_process", "start_process"]

SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's GStreamer belongs to it
START_S = 20.0  # GStreamer's first start on a machine reads all its plugins


def start_process(
    script: Path, *words: str, stdin: int, stdout: int = subprocess.DEVNULL, stderr: int | None = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Run a script that imports nothing of edgeseg, under a Python that has gi.

    It is a session of its own: Ctrl-C is for the loop, which ends it in its turn.
    """
    return subprocess.Popen(
        [_python(), "-I", str(script), *words],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        bufsize=0,
    )


def end_process(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Its input's end ends it; what hangs after ``grace_s`` is killed."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _python() -> str:
    """The Python that has gi: this one, else the system's."""
    return sys.executable if importlib.util.find_spec("gi") else shutil.which(SYSTEM_PYTHON) or sys.executable
