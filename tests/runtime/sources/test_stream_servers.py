"""Streams of real servers on this machine, killed in mid-stream and started anew."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from stream_servers import SIZE_WH, HttpSender, RtspServer, Sender, UdpSender, needs_ffmpeg, needs_rtsp

from edgeseg.errors import SourceError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sources import SourceOptions, open_source

pytest.importorskip("av")

OPTIONS = SourceOptions(open_timeout_s=15.0, read_timeout_s=1.0)  # a busy machine starts a server slowly


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(RtspServer, marks=needs_rtsp),
        pytest.param(HttpSender, marks=needs_ffmpeg),
        pytest.param(UdpSender, marks=needs_ffmpeg),
    ],
)
def test_a_killed_sender_ends_the_stream_and_a_new_one_is_opened_again(server: Callable[[], Sender]) -> None:
    with server() as sender:
        with open_source(sender.address, OPTIONS) as source:
            assert source.is_live
            frames = iter(source)
            check_red(list(itertools.islice(frames, 10)))
            sender.kill()
            with pytest.raises(
                SourceError, match=r"stopped after \d+ frames \((nothing came for|the sender closed|I/O)"
            ):
                list(frames)
        sender.start()
        with open_source(sender.address, OPTIONS) as again:
            check_red(list(itertools.islice(again, 10)))


def check_red(frames: list[Frame]) -> None:
    assert [frame.sequence for frame in frames] == list(range(10))
    last = frames[-1]
    assert (last.form.pixel_format, last.size_hw) == ("I420", SIZE_WH[::-1])
    assert last.captured_s is not None
    assert last.captured_s <= last.arrived_s
    blue, green, red = last.bgr.reshape(-1, 3).mean(axis=0)
    assert max(blue, green) < 30 < 220 < red
