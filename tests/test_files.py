from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseg.errors import OutputError
from edgeseg.files import atomic_path, locked, write_atomically, write_together


def test_the_old_file_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "net.engine"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["net.engine"]


def test_the_new_file_replaces_the_old_one_with_the_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.json"
    write_atomically(path, "one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_full_device_is_an_output_error_that_names_the_file(tmp_path: Path) -> None:
    told = r"net\.engine cannot be written \(No space left"
    with (
        pytest.raises(OutputError, match=told),
        atomic_path(tmp_path / "net.engine"),
        Path("/dev/full").open("wb") as file,
    ):
        file.write(b"x")


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "x.json", "")


def test_files_that_belong_together_stay_as_they_were_when_one_cannot_be_written(tmp_path: Path) -> None:
    write_together([(tmp_path / "net.engine", b"old"), (tmp_path / "net.engine.json", b"of old")])
    (tmp_path / "net.engine.onnx").mkdir()
    files = [(tmp_path / name, b"new") for name in ("net.engine", "net.engine.json", "net.engine.onnx")]
    with pytest.raises(OutputError, match=r"net\.engine\.onnx cannot be written \(a folder is there\)"):
        write_together(files)
    assert (tmp_path / "net.engine").read_bytes() == b"old"
    assert (tmp_path / "net.engine.json").read_bytes() == b"of old"
    assert len(list(tmp_path.iterdir())) == 3


WRITE_OFTEN = """
import sys
from pathlib import Path
from edgeseg.files import write_together
for _ in range(100):
    write_together([(Path(name), sys.argv[1].encode()) for name in ("net.engine", "net.engine.json")])
"""


def test_files_that_two_processes_write_together_are_of_one_of_them(tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", WRITE_OFTEN, word], cwd=tmp_path) for word in ("1", "2")]
    seen = set()
    while any(worker.poll() is None for worker in workers):
        if not (tmp_path / "net.engine").exists():
            continue
        with locked(tmp_path / "net.engine"):
            seen.add(((tmp_path / "net.engine").read_bytes(), (tmp_path / "net.engine.json").read_bytes()))
    assert [worker.returncode for worker in workers] == [0, 0]
    assert seen
    assert seen <= {(b"1", b"1"), (b"2", b"2")}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["net.engine", "net.engine.json"]
