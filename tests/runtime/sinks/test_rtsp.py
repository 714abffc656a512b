from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stream_servers import free_port, needs_rtsp

from edgeseg.errors import OutputError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.gstreamer_process import end_process, start_process
from edgeseg.runtime.sinks import MaskSink, RtspStream, open_sink, rtsp

av = pytest.importorskip("av")
DEADLINE_S = 30.0  # generous: a claim of no time


@contextmanager
def feeding(sink: MaskSink, size_hw: Callable[[], tuple[int, int]] = lambda: (240, 320)) -> Iterator[None]:
    """Write frames all of class 1 until the block ends."""
    ended = threading.Event()

    def feed() -> None:
        number = 0
        while not ended.wait(1 / 30):
            size = size_hw()
            frame = Frame(picture=np.zeros((*size, 3), np.uint8), sequence=number, arrived_s=0.0, name="a")
            sink.write(frame, np.ones(size, np.uint8))
            number += 1

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def first_pictures(address: str, count: int) -> list[np.ndarray]:
    options = {"rtsp_transport": "tcp", "timeout": str(int(DEADLINE_S * 1e6))}
    with av.open(address, options=options) as container:
        found = []
        for picture in container.decode(video=0):
            found.append(picture.to_ndarray(format="rgb24"))
            if len(found) == count:
                break
    return found


@needs_rtsp
def test_a_client_gets_the_pictures_and_so_does_the_next(labels: Any) -> None:
    port = free_port()
    sink = open_sink(f"rtsp-out://:{port}/live", labels, fps=30, alpha=1.0)
    with feeding(sink):
        for _ in range(2):
            found = first_pictures(f"rtsp://127.0.0.1:{port}/live", 5)
            assert found[4].shape == (240, 320, 3)
            assert np.abs(found[4].astype(int) - (0, 255, 0)).max() < 40  # H.264 in 4:2:0
    sink.close()
    sink.close()
    sink.abandon()
    assert not is_open(port)


@needs_rtsp
def test_frames_go_on_when_nobody_watches_and_keep_the_first_size_after_a_change(labels: Any, make: Any) -> None:
    port = free_port()
    sink = open_sink(f"rtsp-out://127.0.0.1:{port}/live", labels, fps=30)
    for number in range(100):  # more than a pipe holds
        sink.write(*make(number, (240, 320)))
    with feeding(sink, lambda: (101, 201)):
        assert first_pictures(f"rtsp://127.0.0.1:{port}/live", 40)[-1].shape == (240, 320, 3)
    sink.abandon()


@needs_rtsp
def test_a_server_that_dies_or_hangs_is_an_output_error(
    labels: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeseg.runtime.sinks.rtsp.STALL_S", 0.2)
    monkeypatch.setattr("edgeseg.runtime.sinks.rtsp.END_S", 0.2)
    for number, message in ((signal.SIGKILL, "has ended"), (signal.SIGSTOP, "takes no more")):
        sink = RtspStream(f"rtsp-out://:{free_port()}/live", labels)
        child: Any = sink._child
        os.kill(child.pid, number)
        with pytest.raises(OutputError, match=message):
            until_refused(sink, make)
        sink.abandon()
        assert child.returncode is not None
        with pytest.raises(OutputError, match="is closed"):
            sink.write(*make(0))


def until_refused(sink: RtspStream, make: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        sink.write(*make(0, (240, 320)))


@needs_rtsp
def test_a_port_that_is_taken_is_told_at_opening(labels: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OutputError, match=r"cannot be listened on.*take another port"):
            RtspStream(f"rtsp-out://:{taken.getsockname()[1]}/live", labels)


def test_a_machine_without_gstreamer_is_told_what_to_install(labels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr("edgeseg.runtime.gstreamer_process._python", lambda: sys.executable)
    with pytest.raises(OutputError, match=r"not installed .*apt-get install python3-gi"):
        RtspStream(f"rtsp-out://:{free_port()}/live", labels)


@pytest.mark.parametrize(
    "name",
    ["rtsp-out://8554", "rtsp-out://:8554", "rtsp-out://:port/live", "rtsp-out://:0/live", "rtsp-out://:99999/live"],
)
def test_an_address_without_port_or_path_is_refused(name: str, labels: Any) -> None:
    with pytest.raises(OutputError, match=r"rtsp-out://:8554/live"):
        open_sink(name, labels, fps=30)


@needs_rtsp
def test_a_killed_process_takes_its_server_along(killed: Callable[[str], None]) -> None:
    port = free_port()
    killed(f'sink = open_sink("rtsp-out://:{port}/live", labels, fps=30)')
    deadline = time.monotonic() + DEADLINE_S
    while is_open(port):
        assert time.monotonic() < deadline, "the server stays"
        time.sleep(0.05)


@needs_rtsp
def test_a_server_whose_input_has_ended_before_it_serves_ends_too() -> None:
    script = Path(rtsp.__file__).with_name("rtsp_child.py")
    server = start_process(script, "127.0.0.1", str(free_port()), "/live", stdin=subprocess.DEVNULL)
    try:
        assert server.wait(DEADLINE_S) == 0
    finally:
        end_process(server, 0.0)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
