from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import OutputError, SourceError
from edgeseg.imaging.formats import PIXEL_FORMATS, FrameForm, PixelFormat, planes_of
from edgeseg.runtime.sources import SourceOptions
from edgeseg.runtime.sources.shared import SharedSource, SharedWriter
from edgeseg.runtime.sources.synthetic import SyntheticSource

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
        other = SharedWriter("cam", picture_bytes=64, folder=tmp_path)
        with pytest.raises(SourceError, match="its writer began anew"):
            list(source)
    with source_of(tmp_path, patient) as source:
        other.close()
        with pytest.raises(SourceError, match="its writer took it away"):
            list(source)


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


def test_a_frame_too_large_for_its_slot_is_refused(writer: SharedWriter) -> None:
    with pytest.raises(OutputError, match="room for 12288 bytes, the frame has 90000"):
        writer.write(np.zeros((300, 300), np.uint8), FrameForm(pixel_format="GRAY8"), sequence=0)


C_WRITER = r"""
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>
struct head { char magic[8]; uint32_t slots, slot_bytes; uint64_t frames; char room[40]; };
struct slot { uint64_t lock, sequence, captured_ns; uint32_t width, height, pitch, format, flags; char room[20]; };
int main(int argc, char **argv) {
    const uint32_t slot_bytes = sizeof(struct slot) + 4 * 16;
    int file = open(argv[1], O_RDWR | O_CREAT, 0644);
    if (file < 0 || flock(file, LOCK_EX) || ftruncate(file, sizeof(struct head) + 2 * slot_bytes)) return 1;
    char *memory = mmap(0, sizeof(struct head) + 2 * slot_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    struct head *head = (struct head *)memory;
    memcpy(head->magic, "EDGESEG1", 8);
    head->slots = 2;
    head->slot_bytes = slot_bytes;
    rename(argv[1], argv[2]);
    struct slot *slot = (struct slot *)(memory + sizeof *head);
    __atomic_store_n(&slot->lock, 1, __ATOMIC_SEQ_CST);
    slot->sequence = 7;
    slot->captured_ns = 1500000000;
    slot->width = 3; slot->height = 4; slot->pitch = 16; slot->format = 4;
    for (int i = 0; i < 4 * 16; i++) ((uint8_t *)(slot + 1))[i] = i;
    __atomic_store_n(&slot->lock, 2, __ATOMIC_SEQ_CST);
    __atomic_store_n(&head->frames, 1, __ATOMIC_SEQ_CST);
    puts("ready");
    fflush(stdout);
    return getchar() == 'x';
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_program_in_c_can_write(tmp_path: Path) -> None:
    (tmp_path / "writer.c").write_text(C_WRITER)
    subprocess.run(["gcc", "-Wall", "-Wno-unused", "-o", tmp_path / "writer", tmp_path / "writer.c"], check=True)
    words = [tmp_path / "writer", tmp_path / ".cam", tmp_path / "cam"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with source_of(tmp_path) as source:
            frame = next(iter(source))
        process.kill()
    assert (frame.sequence, frame.captured_s, frame.size_hw) == (7, 1.5, (4, 3))
    np.testing.assert_array_equal(planes_of(frame.picture, "GRAY8")[0], np.arange(64).reshape(4, 16)[:, :3])


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
