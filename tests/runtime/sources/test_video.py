"""Video files and streams: what comes, what is left out and said, and how they end."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import MissingPackageError, SourceError
from edgeseg.runtime.sources import SourceOptions, VideoFile, open_source

av = pytest.importorskip("av")

IMPATIENT = SourceOptions(open_timeout_s=0.5, read_timeout_s=0.5)


def elementary(path: Path, sizes_wh: list[tuple[int, int]], frames: int = 5) -> Path:
    """H.264 without a container, of one size after another."""
    with path.open("wb") as file:
        for index, (width, height) in enumerate(sizes_wh):
            part = path.with_suffix(f".{index}.h264")
            with av.open(str(part), "w", format="h264") as container:
                stream = container.add_stream("libx264", rate=30)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                for _ in range(frames):
                    container.mux(stream.encode(av.VideoFrame(width, height, "yuv420p")))
                container.mux(stream.encode())
            file.write(part.read_bytes())
    return path


def test_a_file_comes_in_the_decoders_format_without_a_capture_time(clip: Path) -> None:
    with open_source(str(clip)) as source:
        frame = next(iter(source))
    assert (frame.form.pixel_format, frame.size_hw, frame.captured_s) == ("I420", (90, 160), None)
    assert isinstance(frame.picture, tuple)


def test_a_file_is_named_by_its_address_too(clip: Path, tmp_path: Path) -> None:
    spaced = tmp_path / "a clip?#.mp4"
    spaced.write_bytes(clip.read_bytes())
    for name in (str(spaced), f"file://{tmp_path}/a%20clip%3F%23.mp4"):
        with open_source(name) as source:
            assert (source.length, source.fps, source.is_live) == (40, pytest.approx(30.0), False)
            assert [(one.sequence, one.name) for one in source] == [(i, f"{i:06d}") for i in range(40)]


def test_a_repeated_file_counts_on(clip: Path) -> None:
    with open_source(str(clip), SourceOptions(repeat=3)) as source:
        assert source.length == 120
        frames = list(source)
    assert [frame.sequence for frame in frames] == list(range(120))
    np.testing.assert_array_equal(frames[5].bgr, frames[85].bgr)


def test_a_file_that_repeats_for_ever_ends_when_it_is_closed(clip: Path) -> None:
    source = open_source(str(clip), SourceOptions(repeat=0))
    assert source.length is None
    seen = 0
    for seen, _ in enumerate(source, 1):
        if seen == 100:
            source.close()
    assert 100 <= seen < 100 + 40
    source.close()


def test_a_paced_file_waits_before_every_frame_by_its_own_clock(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_source(str(clip), SourceOptions(is_paced=True)) as source:
        assert isinstance(source, VideoFile)
        asked: list[float] = []
        monkeypatch.setattr(source, "_pace", type("Asked", (), {"until": lambda _, at: asked.append(at)})())
        assert sum(1 for _ in source) == 40
    assert np.diff(asked) == pytest.approx([1 / 30] * 39, abs=1e-3)


def test_closing_a_paced_file_from_another_thread_ends_its_wait(clip: Path) -> None:
    with av.open(str(clip)) as container:
        rate = container.streams.video[0].average_rate
    assert rate == 30
    source = open_source(str(clip), SourceOptions(is_paced=True, repeat=0))
    frames = iter(source)
    next(frames)
    closer = threading.Thread(target=source.close)
    closer.start()
    assert sum(1 for _ in frames) < 40
    closer.join()


def test_frames_of_another_size_in_mid_stream_come_in_theirs(tmp_path: Path) -> None:
    path = elementary(tmp_path / "a.h264", [(64, 48), (96, 64)])
    with open_source(str(path)) as source:
        sizes = [frame.size_hw for frame in source]
    assert sizes == [(48, 64)] * 5 + [(64, 96)] * 5


def test_damaged_packets_are_counted_and_left_out_and_use_their_numbers_up(clip: Path, tmp_path: Path) -> None:
    with av.open(str(clip)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(clip.read_bytes())
    for packet in packets[10:13]:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    with open_source(str(path)) as source:
        numbers = [frame.sequence for frame in source]
        assert source.corrupt >= 3
    assert len(numbers) + source.corrupt == 40
    assert numbers[:5] == [0, 1, 2, 3, 4]
    assert numbers == sorted(set(numbers))


def test_a_video_cannot_be_asked_for_another_size(clip: Path) -> None:
    with pytest.raises(SourceError, match=r"size_wh, fps cannot be asked"):
        open_source(str(clip), SourceOptions(size_wh=(64, 48), fps=5))


def test_a_file_of_sound_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(SourceError, match="holds no video"):
        open_source(str(path))


def test_without_pyav_the_extra_is_named(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingPackageError, match=r"edgeseg\[video\]"):
        open_source(str(clip))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that takes connections; the test says what it answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_never_answers_ends_opening_in_its_time(listener: socket.socket, scheme: str) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(SourceError, match=r"cannot be opened as a video \(no answer in 0.5 s\)"):
        open_source(f"{scheme}://127.0.0.1:{port}/live", IMPATIENT)


def test_nobody_there_is_told(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(SourceError, match="Connection refused"):
        open_source(f"rtsp://127.0.0.1:{port}/live", IMPATIENT)


def hang_after(listener: socket.socket, data: bytes, release: threading.Event) -> threading.Thread:
    """Send the beginning of a stream over HTTP, then nothing, with the connection kept."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + data)
            release.wait()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def transport_stream(path: Path, frames: int) -> bytes:
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=30, options={"tune": "zerolatency", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())
    return path.read_bytes()


def test_a_stream_that_hangs_ends_at_the_read_timeout(listener: socket.socket, tmp_path: Path) -> None:
    release = threading.Event()
    thread = hang_after(listener, transport_stream(tmp_path / "a.ts", 60), release)
    try:
        with open_source(f"http://127.0.0.1:{listener.getsockname()[1]}/a.ts", IMPATIENT) as source:
            frames = []
            with pytest.raises(SourceError, match=r"stopped after \d+ frames \(nothing came for 0.5 s\)"):
                frames.extend(iter(source))
                raise AssertionError("it ended without a word")
    finally:
        release.set()
        thread.join()


def test_closing_from_another_thread_ends_a_waiting_read_without_an_error(
    listener: socket.socket, tmp_path: Path
) -> None:
    release, waiting = threading.Event(), threading.Event()
    thread = hang_after(listener, transport_stream(tmp_path / "a.ts", 60), release)
    source = open_source(f"http://127.0.0.1:{listener.getsockname()[1]}/a.ts", SourceOptions(read_timeout_s=1.0))
    failed: list[BaseException] = []

    def read() -> None:
        try:
            for number in itertools.takewhile(lambda _: True, source):
                if number.sequence >= 10:
                    waiting.set()
        except BaseException as error:  # noqa: BLE001  # told to the test
            failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert waiting.wait(20)
        source.close()
        source.close()
        reader.join(20)
        assert not reader.is_alive()
        assert failed == []
    finally:
        release.set()
        thread.join()
