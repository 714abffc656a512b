from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import OutputError, SourceError
from edgeseg.imaging.formats import PIXEL_FORMATS, FrameForm, PixelFormat, planes_of
from edgeseg.runtime.sources import SourceOptions
from edgeseg.runtime.sources.shared import SharedSource, SharedWriter
from edgeseg.runtime.sources.synthetic import SyntheticSource

ROOT = Path(__file__).parents[3]
IMPATIENT = SourceOptions(read_timeout_s=0.4)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SharedWriter]:
    made = SharedWriter("cam", picture_bytes=64 * 48 * 4, folder=tmp_path)
    yield made
    made.close()


def source_of(folder: Path, options: SourceOptions = IMPATIENT) -> SharedSource:
    return SharedSource("shm://cam", "cam", options, folder=folder)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_a_frame_of_any_format_comes_as_it_was_written(
    tmp_path: Path, writer: SharedWriter, pixel_format: PixelFormat
) -> None:
    options = SourceOptions(size_wh=(64, 48), pixel_format=pixel_format)
    given = next(iter(SyntheticSource("t", options)))
    form = FrameForm(pixel_format=pixel_format, colour_matrix="BT.709", is_full_range=True)
    writer.write(given.picture, form, sequence=41, captured_s=12.5)
    with source_of(tmp_path) as source:
        frame = next(iter(source))
    assert (frame.form, frame.sequence, frame.captured_s) == (form, 41, 12.5)
    for one, other in zip(planes_of(frame.picture, pixel_format), planes_of(given.picture, pixel_format), strict=True):
        np.testing.assert_array_equal(one, other.reshape(one.shape))


def test_the_newest_frame_is_given_and_each_once(tmp_path: Path, writer: SharedWriter) -> None:
    with source_of(tmp_path) as source:
        frames = iter(source)
        for upto in (3, 4, 9):
            for sequence in range(upto):
                writer.write(np.full((2, 2), sequence, np.uint8), FrameForm(pixel_format="GRAY8"), sequence=sequence)
            frame = next(frames)
            assert (frame.sequence, planes_of(frame.picture, "GRAY8")[0][0, 0]) == (upto - 1, upto - 1)
        with pytest.raises(SourceError, match=r"stopped after 3 frames \(nothing came for 0.4 s\)"):
            next(frames)


def test_no_frame_is_torn_while_a_writer_overtakes(tmp_path: Path) -> None:
    """A process writes as fast as it can; every frame is of one value, its number's."""
    program = f"""
import numpy as np
from pathlib import Path
from edgeseg.imaging.formats import FrameForm
from edgeseg.runtime.sources.shared import SharedWriter
writer = SharedWriter("cam", picture_bytes=1 << 18, slots=2, folder=Path({str(tmp_path)!r}))
print("ready", flush=True)
sequence = 0
while True:
    picture = np.full((512, 512), sequence % 251, np.uint8)
    writer.write(picture, FrameForm(pixel_format="GRAY8"), sequence=sequence)
    sequence += 1
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with source_of(tmp_path, SourceOptions(read_timeout_s=20)) as source:
            frames = iter(source)
            for frame in itertools.islice(frames, 200):
                (plane,) = planes_of(frame.picture, "GRAY8")
                assert plane.min() == plane.max() == frame.sequence % 251
            process.kill()
            process.wait()
            with pytest.raises(SourceError, match="its writer died"):
                list(frames)


def test_a_writer_that_begins_anew_or_leaves_ends_the_source(tmp_path: Path, writer: SharedWriter) -> None:
    patient = SourceOptions(read_timeout_s=20)
    with source_of(tmp_path, patient) as source:
        (tmp_path / "cam").unlink()
        other = SharedWriter("cam", folder=tmp_path)
        with pytest.raises(SourceError, match="its writer began anew"):
            list(source)
    with source_of(tmp_path, patient) as source:
        other.close()
        with pytest.raises(SourceError, match="its writer took it away"):
            list(source)


def test_frames_that_grow_are_followed(tmp_path: Path, writer: SharedWriter) -> None:
    with source_of(tmp_path) as source:
        frames = iter(source)
        for sequence, side in enumerate((8, 300, 20)):
            writer.write(np.full((side, side), 7, np.uint8), FrameForm(pixel_format="GRAY8"), sequence=sequence)
            frame = next(frames)
            assert (frame.sequence, frame.size_hw) == (sequence, (side, side))


def test_a_warm_source_allocates_nothing_large(tmp_path: Path, writer: SharedWriter) -> None:
    picture, peaks = np.zeros((48, 64, 3), np.uint8), []
    with source_of(tmp_path) as source:
        frames = iter(source)
        for sequence in range(6):
            tracemalloc.start()
            writer.write(picture, FrameForm(), sequence=sequence)
            next(frames)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert max(peaks[3:]) < picture.nbytes  # all small objects together


def test_a_source_that_is_let_go_holds_no_file(tmp_path: Path, writer: SharedWriter) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for is_read in (False, True):
        with source_of(tmp_path) as source:
            writer.write(np.zeros((2, 2), np.uint8), FrameForm(pixel_format="GRAY8"), sequence=0)
            if is_read:
                next(iter(source))
        del source  # with it goes the mapping, which holds the file as well
        assert len(os.listdir("/proc/self/fd")) == before


def test_masks_are_no_frames(tmp_path: Path, writer: SharedWriter) -> None:
    mask = np.zeros((2, 2), np.uint8)
    writer.publish([mask], size_wh=(2, 2), form="MASK", sequence=0, arrived_s=1.0)
    with source_of(tmp_path) as source, pytest.raises(SourceError, match="holds 'MASK', no frame"):
        next(iter(source))


def test_closing_from_another_thread_ends_a_waiting_read(tmp_path: Path, writer: SharedWriter) -> None:
    source = source_of(tmp_path, SourceOptions(read_timeout_s=20))
    given: list[object] = []
    reader = threading.Thread(target=lambda: given.extend(source))
    reader.start()
    source.close()
    reader.join(15)
    assert not reader.is_alive()
    assert given == []


def test_memory_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"x", b"EDGESEG1" + bytes(200)):
        (tmp_path / "cam").write_bytes(content)
        with pytest.raises(SourceError):
            source_of(tmp_path)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_program_in_c_writes_frames(tmp_path: Path) -> None:
    program, name = tmp_path / "write_frames", f"edgeseg-test-c-{os.getpid()}"
    code = ROOT / "deploy" / "write_frames.c"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-O2", "-o", program, code], check=True)
    with subprocess.Popen([program, name, "50", "40", "1000000"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with SharedSource("shm://c", name, SourceOptions(read_timeout_s=20)) as source:
            frames = iter(source)
            for frame in itertools.islice(frames, 4):
                (plane,) = planes_of(frame.picture, "GRAY8")
                assert (plane.shape, plane.min(), plane.max()) == ((40, 50), *[frame.sequence % 256] * 2)
                assert frame.captured_s is not None
                assert frame.captured_s <= frame.arrived_s
            with pytest.raises(OutputError, match="written by another process"):
                SharedWriter(name)
            process.terminate()
            with pytest.raises(SourceError, match="its writer took it away"):
                list(frames)
    assert process.returncode == 0


def test_shared_memory_of_the_system_is_the_default() -> None:
    name = f"edgeseg-test-{os.getpid()}"
    made = SharedWriter(name, picture_bytes=64)
    try:
        assert Path("/dev/shm", name).exists()
        with SharedSource(f"shm://{name}", name, IMPATIENT) as source:
            made.write(np.zeros((2, 2), np.uint8), FrameForm(pixel_format="GRAY8"), sequence=0)
            assert next(iter(source)).size_hw == (2, 2)
    finally:
        made.close()
    assert not Path("/dev/shm", name).exists()
