"""Own the parent's side of a build: start the child, follow it, kill it. Know nothing of TensorRT.

A build in a process of its own ends at once whatever TensorRT is doing, and its death - a crash in the library, the
kernel's out-of-memory killer on a small Jetson - is an error message here and not the end of ours.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from typing import BinaryIO

from edgeseg import errors
from edgeseg.builder.backends.base import Progress
from edgeseg.builder.backends.tensorrt.job import Done, Failed, Job, Reached, encoded, event_of
from edgeseg.errors import BuildError, EdgesegError

__all__ = ["run_build"]

WORKER = "edgeseg.builder.backends.tensorrt.worker"
SHOWN_CHARACTERS = 300
LESS_MEMORY = (
    "lower --workspace, --optimization-level or the input size, close other programs, or add swap; "
    "'edgeseg build-engine --dry-run' shows what it needs"
)


def run_build(job: Job, progress: Progress) -> Done:
    """Build in a child process.

    Whatever ends this function - KeyboardInterrupt, an exception of ``progress`` - kills the child first.

    Args:
        job: what to build.
        progress: called in this thread.
    Raises:
        BuildError: the builder refused, failed, crashed or was killed.
        OutputError: the plan or the timing cache cannot be written.
    """
    receive, send = os.pipe()
    with tempfile.TemporaryFile() as said, os.fdopen(receive, "rb") as pipe:
        child = _started(send, said)
        try:
            outcome = _followed(child, job, pipe, progress)
        finally:
            child.kill()
            child.wait()
        if outcome is None:
            raise _death(child.returncode, said)
    if isinstance(outcome, Failed):
        raise _error(outcome)
    return outcome


def _started(send: int, said: BinaryIO) -> subprocess.Popen[bytes]:
    """In a session of its own, so that the terminal's Ctrl-C reaches us alone."""
    try:
        return subprocess.Popen(
            [sys.executable, "-m", WORKER, str(send)],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            pass_fds=(send,),
            start_new_session=True,
        )
    finally:
        os.close(send)


def _followed(child: subprocess.Popen[bytes], job: Job, pipe: BinaryIO, progress: Progress) -> Done | Failed | None:
    """The last event; None where the child died without one."""
    if child.stdin is None:
        return None
    try:
        with child.stdin as stdin:
            stdin.write(encoded(job))
    except BrokenPipeError:  # it died before it read
        child.wait()
        return None
    for line in pipe:
        event = event_of(line)
        if not isinstance(event, Reached):
            return event
        progress(event.fraction, event.step)
    child.wait()
    return None


def _error(failed: Failed) -> EdgesegError:
    kind: type[EdgesegError] = getattr(errors, failed.kind)
    return kind(failed.what, failed.hint)


def _death(code: int, said: BinaryIO) -> BuildError:
    said.seek(0)
    words = " ".join(said.read().decode(errors="replace").split())[-SHOWN_CHARACTERS:] or "it said nothing"
    if code == -signal.SIGKILL:
        return BuildError("the builder was killed, most likely for want of memory", LESS_MEMORY)
    if code < 0:
        name = signal.Signals(-code).name
        return BuildError(f"the builder crashed with {name} ({words})", "try another precision or --backend openvino")
    return BuildError(f"the builder ended with exit code {code} ({words})", "run it again with --debug and report this")
