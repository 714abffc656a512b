from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeseg.errors import OutputError
from edgeseg.files import atomic_path, write_atomically


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
