from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import ShapeError, SourceError
from edgeseg.imaging.formats import planes_of
from edgeseg.runtime.sources import open_source

SIZE_BYTES = 8 * 6 * 3 // 2


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def writer_of(path: Path, pieces: list[bytes]) -> threading.Thread:
    def write() -> None:
        with path.open("wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_frames_come_whole_however_their_bytes_are_cut(fifo: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, 4 * SIZE_BYTES, np.uint8).tobytes()
    with open_source(f"raw://{fifo}?size=8x6&format=I420") as source:
        thread = writer_of(fifo, [data[:5], data[5 : SIZE_BYTES + 1], data[SIZE_BYTES + 1 :]])
        frames = list(source)
        thread.join()
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3]
    planes = [planes_of(frame.picture, "I420") for frame in frames]
    assert b"".join(plane.tobytes() for one in planes for plane in one) == data


def test_a_frame_that_is_cut_off_is_corrupt_and_ends_the_source(fifo: Path) -> None:
    with open_source(f"raw://{fifo}?size=8x6&format=NV12") as source:
        thread = writer_of(fifo, [bytes(2 * SIZE_BYTES + 7)])
        given = []
        with pytest.raises(SourceError, match=rf"ends with 7 bytes of frame 2: 8x6 NV12 has {SIZE_BYTES}"):
            given.extend(source)
        thread.join()
        assert source.corrupt == 1


def test_a_pipe_without_a_byte_is_an_error(fifo: Path) -> None:
    with open_source(f"raw://{fifo}?size=8x6") as source:
        thread = writer_of(fifo, [])
        with pytest.raises(SourceError, match="ends with 0 bytes of frame 0"):
            list(source)
        thread.join()


def test_closing_from_another_thread_ends_a_waiting_read(fifo: Path) -> None:
    source = open_source(f"raw://{fifo}?size=8x6")
    given: list[object] = []
    reader = threading.Thread(target=lambda: given.extend(source))
    reader.start()
    source.close()
    source.close()
    reader.join(20)
    assert not reader.is_alive()
    assert given == []


def test_a_raw_file_is_read_as_well_and_no_descriptor_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.bgr"
    path.write_bytes(bytes(range(12)) * 2)
    before = len(os.listdir("/proc/self/fd"))
    with open_source(f"raw://{path}?size=2x2") as source:
        frames = [frame.bgr.tolist() for frame in source]
    assert frames == [[[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]] * 2
    del source
    assert len(os.listdir("/proc/self/fd")) == before


def test_stdin_is_a_source() -> None:
    program = (
        "from edgeseg.runtime.sources import open_source\n"
        "print([frame.bgr.tolist() for frame in open_source('-?size=1x1')])"
    )
    done = subprocess.run([sys.executable, "-c", program], input=b"abcdef", capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[[[[97, 98, 99]]], [[[100, 101, 102]]]]"


def test_odd_sides_are_refused_where_the_format_halves_them(tmp_path: Path) -> None:
    with pytest.raises((SourceError, ShapeError), match="even"):
        open_source(f"raw://{tmp_path}?size=7x6&format=NV12")
