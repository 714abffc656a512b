from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import OutputError, SourceError
from edgeseg.runtime.shared_memory import SharedReader, SharedWriter, shared_path

ROOT = Path(__file__).parents[2]


@pytest.fixture
def name() -> Iterator[str]:
    """A name of this test alone; nothing is left under it or beside it."""
    name = f"edgeseg-test-{os.getpid()}"
    yield name
    left = [path for path in Path("/dev/shm").iterdir() if name in path.name]
    for path in left:
        path.unlink()
    assert left == []


def publish(writer: SharedWriter, number: int, size_hw: tuple[int, int] = (6, 8)) -> None:
    mask = np.full(size_hw, number % 256, np.uint8)
    writer.publish([mask], size_wh=size_hw[::-1], form="MASK", sequence=number, arrived_s=number / 10, captured_s=0.25)


def test_a_reader_gets_the_newest_picture_once(name: str) -> None:
    writer = SharedWriter(name)
    reader = SharedReader(name)
    assert reader.newest() is None
    for number in range(5):
        publish(writer, number)
    got = reader.newest()
    assert got is not None
    assert (got.sequence, got.size_wh, got.pitch, got.form, got.published) == (4, (8, 6), 8, "MASK", 5)
    assert (got.arrived_s, got.captured_s, got.source) == (0.4, 0.25, 0)
    np.testing.assert_array_equal(got.mask, np.full((6, 8), 4))
    assert reader.newest() is None
    reader.close()
    writer.close()


def test_planes_lie_one_after_another_and_may_have_gaps_before(name: str) -> None:
    writer = SharedWriter(name)
    luma, chroma = np.arange(48, dtype=np.uint8).reshape(4, 12)[:, :8], np.full((2, 8), 99, np.uint8)
    writer.publish([luma, chroma], size_wh=(8, 4), form="NV12", sequence=1, arrived_s=1.0)
    got = SharedReader(name).newest()
    assert got is not None
    assert (got.form, got.pitch, got.captured_s) == ("NV12", 8, None)
    np.testing.assert_array_equal(got.data, np.concatenate([luma.ravel(), chroma.ravel()]))
    writer.close()


def test_a_larger_picture_and_a_new_writer_reach_an_old_reader(name: str) -> None:
    writer = SharedWriter(name)
    reader = SharedReader(name)
    for size_hw in ((6, 8), (600, 800), (6, 8)):
        publish(writer, 3, size_hw)
        got = reader.newest()
        assert got is not None
        assert got.mask.shape == size_hw
    writer.close()
    assert reader.newest() is None
    assert reader.is_ended
    second = SharedWriter(name)
    publish(second, 77)
    assert not reader.is_ended
    got = reader.newest()
    assert got is not None
    assert (got.sequence, got.published) == (77, 1)
    second.close()


def test_a_reader_that_missed_the_last_picture_of_a_smaller_ring_waits_for_the_next(name: str) -> None:
    writer = SharedWriter(name)
    publish(writer, 0)
    reader = SharedReader(name)
    publish(writer, 1)
    writer._ring_for(1 << 16)  # the moment between the new ring and its first picture
    late = SharedReader(name)
    assert late.newest() is None
    got = reader.newest()  # out of the ring that it has open
    assert got is not None
    assert got.sequence == 1
    assert reader.newest() is None
    publish(writer, 2, (1000, 1000))
    for one in (late, reader):
        got = one.newest()
        assert got is not None
        assert got.sequence == 2
    writer.close()


def test_no_reader_ever_gets_half_a_picture(name: str) -> None:
    """A writer as fast as it can, in a process of its own; every picture is of one value, its number."""
    program = f"""
import numpy as np
from edgeseg.runtime.shared_memory import SharedWriter
writer, mask = SharedWriter({name!r}), np.empty((480, 640), np.uint8)
for number in range(4000):
    mask[:] = number % 251
    writer.publish([mask], size_wh=(640, 480), form="MASK", sequence=number, arrived_s=0.0)
    if number == 0:
        print("ready", flush=True)
writer.close()
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        reader, seen = SharedReader(name), []
        while not reader.is_ended:
            got = reader.newest()
            if got is not None:
                assert got.mask.min() == got.mask.max() == got.sequence % 251
                seen.append(got.sequence)
    assert len(seen) > 10
    assert seen == sorted(set(seen))


def test_one_name_has_one_writer_and_a_killed_ones_name_can_be_taken(name: str) -> None:
    writer = SharedWriter(name)
    with pytest.raises(OutputError, match="another process"):
        SharedWriter(name)
    writer.close()
    program = f"""
import os, signal
import numpy as np
from edgeseg.runtime.shared_memory import SharedWriter
writer = SharedWriter({name!r})
writer.publish([np.zeros((2, 2), np.uint8)], size_wh=(2, 2), form="MASK", sequence=5, arrived_s=0.0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT)
    reader = SharedReader(name)
    got = reader.newest()
    assert got is not None
    assert got.sequence == 5
    second = SharedWriter(name)
    publish(second, 1)
    got = reader.newest()
    assert got is not None
    assert got.sequence == 1
    second.close()
    second.close()


def test_closing_another_writers_ring_leaves_the_name(name: str) -> None:
    writer = SharedWriter(name)
    shared_path(name, error=OutputError).unlink()  # somebody cleans up
    second = SharedWriter(name)
    writer.close()
    assert SharedReader(name).newest() is None
    second.close()
    with pytest.raises(OutputError, match="is closed"):
        publish(second, 1)


@pytest.mark.parametrize("wrong", ["", "a/b", "../a", ".a", "a b"])
def test_names_that_would_be_paths_are_refused(wrong: str) -> None:
    with pytest.raises(OutputError, match="cannot be called"):
        SharedWriter(wrong)
    with pytest.raises(SourceError, match="cannot be called"):
        SharedReader(wrong)


def test_what_is_not_there_or_of_another_kind_is_told(name: str) -> None:
    with pytest.raises(SourceError, match="start its writer first"):
        SharedReader(name)
    path = shared_path(name, error=SourceError)
    for content, message in (
        (b"", "holds no pictures"),
        (b"x" * 500, "holds no pictures"),
        (b"EDGEMSK1" + bytes(500), r"masks as an older edgeseg lays them out \(EDGEMSK1\), not EDGESHM2"),
        (b"EDGESEG1" + bytes(500), r"frames as an older edgeseg lays them out \(EDGESEG1\), not EDGESHM2"),
        (b"EDGESHM3" + bytes(500), "laid out in version 3, this edgeseg reads 2"),
        (b"EDGESHM2" + bytes(500), "its header tells"),
        (b"EDGESHM2" + np.array([4, 1 << 20], np.uint64).tobytes() + bytes(500), "its header tells 4194432 in 4 slots"),
    ):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=message):
            SharedReader(name)
    path.unlink()


def test_a_full_memory_is_told_at_the_first_picture(name: str) -> None:
    program = f"""
import resource
import numpy as np
from edgeseg.errors import OutputError
from edgeseg.runtime.shared_memory import SharedWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
writer = SharedWriter({name!r})
try:
    writer.publish([np.zeros((500, 500), np.uint8)], size_wh=(500, 500), form="MASK", sequence=5, arrived_s=0.0)
except OutputError as error:
    print(error)
writer.close()
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, capture_output=True, text=True)
    assert re.match(rf"/dev/shm/{name} finds no room for \d{{7}} bytes \(File too large\): free some", done.stdout)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_program_in_c_reads_the_masks(name: str, tmp_path: Path) -> None:
    program = tmp_path / "read_masks"
    subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror", "-O2", "-o", program, ROOT / "deploy" / "read_masks.c"], check=True
    )
    writer = SharedWriter(name)
    with subprocess.Popen([program, name, "3"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = []
        for number, size_hw in enumerate(((6, 8), (600, 800), (2, 3))):
            publish(writer, number, size_hw)
            lines.append(read_line(child))
    assert lines == ["0 8x6 0:48\n", "1 800x600 1:480000\n", "2 3x2 2:6\n"]
    assert child.returncode == 0
    writer.close()


def read_line(child: subprocess.Popen[str]) -> str:
    """The next line; a program that hangs is ended."""
    timer = threading.Timer(30, child.kill)
    timer.start()
    try:
        assert child.stdout is not None
        return child.stdout.readline()
    finally:
        timer.cancel()
