"""Own the processes that send frames to the soak and look at it, killed and started anew. Inject nothing by themselves.

python -m soak.senders shm NAME | pipe PATH FRAMES | look URL
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count

from edgeseg.runtime.sources import SourceOptions
from edgeseg.runtime.sources.shared import SharedWriter
from edgeseg.runtime.sources.synthetic import SyntheticSource

__all__ = ["SIZE_WH", "Child"]

SIZE_WH = (160, 120)
FPS = 60.0
LOOK_S = 0.5


class Child:
    """One of the commands below as a process that goes when its standard input ends, and so with its parent."""

    def __init__(self, *words: str) -> None:
        self._words, self._process = words, self._start(words)

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """Without a farewell, as a crash."""
        self._process.kill()
        self._reap()

    def again(self) -> None:
        """A new one in its place."""
        self._reap()
        self._process = self._start(self._words)

    def end(self) -> None:
        """Let it clean up; one that does not is killed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def _reap(self) -> None:
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "soak.senders", *words]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)


def write_shared(name: str) -> None:
    """Frames into shared memory until SIGTERM."""
    writer = SharedWriter(name, picture_bytes=SIZE_WH[0] * SIZE_WH[1] * 3)
    try:
        for frame in SyntheticSource("bars", SourceOptions(size_wh=SIZE_WH, fps=FPS)):
            writer.write(frame.picture, frame.form, sequence=frame.sequence, captured_s=frame.captured_s)
    except KeyboardInterrupt:
        pass
    finally:
        writer.close()


def write_pipe(path: str, frames: str) -> None:
    """So many frames into a named pipe, then a half one."""
    bars = SyntheticSource("bars", SourceOptions(size_wh=SIZE_WH, fps=FPS), frames=int(frames))
    with open(path, "wb", buffering=0) as pipe:  # noqa: PTH123  # a pipe, not a file
        for frame in bars:
            pipe.write(frame.bgr.tobytes())
        pipe.write(bytes(SIZE_WH[0] * SIZE_WH[1] * 3 // 2))


def look(url: str) -> None:
    """As a browser and a Prometheus do: a socket that comes and goes, state, metrics and pictures all along."""
    import asyncio

    import aiohttp

    async def looked() -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as client:
            for turn in count():
                try:
                    async with client.ws_connect(f"{url}ws") as socket:
                        until_s = time.monotonic() + 5 * LOOK_S
                        while time.monotonic() < until_s:
                            await socket.receive(timeout=5)
                    for path in ("state", "metrics", "health", "snapshot.png?source=0")[: 3 + turn % 2]:
                        async with client.get(url + path) as answer:
                            await answer.read()
                except (aiohttp.ClientError, asyncio.TimeoutError, TypeError):
                    await asyncio.sleep(LOOK_S)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(looked())


COMMANDS: dict[str, Callable[..., None]] = {"shm": write_shared, "pipe": write_pipe, "look": look}


def main(words: Sequence[str]) -> None:
    """Do what is asked until the parent goes or SIGTERM comes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    COMMANDS[words[0]](*words[1:])


def _end_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
