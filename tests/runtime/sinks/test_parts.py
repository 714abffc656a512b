from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeseg.errors import OptionsError, OutputError
from edgeseg.runtime.sinks import SinkOptions, open_sink
from edgeseg.runtime.sinks.parts import PartNames, part_path

LIVE = SinkOptions(is_live=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def keeping(**bounds: Any) -> SinkOptions:
    return SinkOptions(is_live=True, segment_s=1.0, **bounds)


def leave(folder: Path, sizes: dict[int, int]) -> None:
    """What earlier runs have recorded under the name a.mp4."""
    for number, size_bytes in sizes.items():
        part_path(folder / "a.mp4", number).write_bytes(bytes(size_bytes))


def test_numbers_go_on_behind_the_highest_that_is_there(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.part-0007.mp4", "a.part-12.mp4", "b.part-0009.mp4", "a.part-0011.mkv", "a-0012.mp4"):
        (tmp_path / name).touch()
    assert PartNames(tmp_path / "a.mp4", LIVE).take().name == "a.part-0008.mp4"
    assert PartNames(tmp_path / "a.mp4", SinkOptions()).take().name == "a.mp4"


def test_a_recording_that_is_one_file_has_the_name_itself_and_goes_on_in_parts(tmp_path: Path) -> None:
    names_of_one = PartNames(tmp_path / "a.mp4", LIVE)
    assert [names_of_one.take().name for _ in range(2)] == ["a.mp4", "a.part-0002.mp4"]
    (tmp_path / "a.mp4").touch()
    assert PartNames(tmp_path / "a.mp4", LIVE).take().name == "a.part-0002.mp4"


@pytest.mark.parametrize("is_live", [True, False])
def test_one_in_parts_leaves_the_name_itself_to_others(is_live: bool, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    part_names = PartNames(tmp_path / "a.mp4", SinkOptions(is_live=is_live, segment_s=1.0))
    assert [part_names.take().name for _ in range(2)] == ["a.part-0001.mp4", "a.part-0002.mp4"]


def test_parts_sort_in_the_order_of_their_numbers() -> None:
    ordered = [part_path(Path("a.mp4"), number).name for number in (1, 2, 10, 999, 9999)]
    assert sorted(ordered) == ordered


def test_so_many_files_are_left_with_the_one_that_is_written(tmp_path: Path) -> None:
    leave(tmp_path, {1: 10, 2: 10, 5: 10})  # the user has taken some away
    part_names = PartNames(tmp_path / "a.mp4", keeping(keep_parts=2))
    part_names.take().touch()
    part_names.delete_old()
    assert names(tmp_path) == ["a.part-0005.mp4", "a.part-0006.mp4"]
    part_names.take().touch()
    part_names.delete_old()
    assert names(tmp_path) == ["a.part-0006.mp4", "a.part-0007.mp4"]


@pytest.mark.parametrize(("keep_bytes", "left"), [(300, [1, 2, 3]), (299, [2, 3]), (150, [3]), (99, [])])
def test_so_many_bytes_are_left_beside_the_file_that_is_written(
    tmp_path: Path, keep_bytes: int, left: list[int]
) -> None:
    leave(tmp_path, {1: 100, 2: 100, 3: 100})
    part_names = PartNames(tmp_path / "a.mp4", keeping(keep_bytes=keep_bytes))
    part_names.take().write_bytes(bytes(1000))
    part_names.delete_old()
    assert names(tmp_path) == sorted(part_path(tmp_path / "a.mp4", number).name for number in [*left, 4])


def test_the_tighter_of_two_bounds_holds(tmp_path: Path) -> None:
    leave(tmp_path, {1: 100, 2: 100, 3: 100})
    part_names = PartNames(tmp_path / "a.mp4", keeping(keep_bytes=250, keep_parts=2))
    part_names.take()
    part_names.delete_old()
    assert names(tmp_path) == ["a.part-0003.mp4"]


def test_nothing_else_is_ever_deleted(tmp_path: Path) -> None:
    others = [
        "a.mp4", "a-2026.mp4", "a-0002.mp4", "a.part-12.mp4", "a.part-00003.mp4", "a.part-0002.mkv",
        "a.part-0002.part-0001.mp4", "b.part-0002.mp4", "a.part-0002.mp4.bak", "xa.part-0002.mp4",
    ]  # fmt: skip
    for name in others:
        (tmp_path / name).write_bytes(bytes(50))
    (tmp_path / "a.part-0003.mp4").mkdir()
    leave(tmp_path, {2: 50})
    part_names = PartNames(tmp_path / "a.mp4", keeping(keep_parts=1, keep_bytes=1))
    part_names.take().touch()
    part_names.delete_old()
    assert names(tmp_path) == sorted([*others, "a.part-0003.mp4", "a.part-0004.mp4"])


def test_without_a_bound_nothing_is_deleted(tmp_path: Path) -> None:
    leave(tmp_path, {1: 10, 2: 10})
    part_names = PartNames(tmp_path / "a.mp4", LIVE)
    part_names.take()
    part_names.delete_old()
    assert names(tmp_path) == ["a.part-0001.mp4", "a.part-0002.mp4"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.mkv"])
def test_a_recording_keeps_its_newest_files(name: str, labels: Any, make: Any, tmp_path: Path) -> None:
    if name.endswith("mkv"):
        pytest.importorskip("av")
    for restart in range(2):
        sink = open_sink(str(tmp_path / name), labels, fps=30, options=keeping(keep_parts=3))
        for number in range(5):
            sink.write(*make(number, at_s=10.0 * restart + number))
        sink.close()
    assert names(tmp_path) == [part_path(tmp_path / name, number).name for number in (8, 9, 10)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.mkv"])
def test_a_run_that_gets_no_frame_costs_no_older_recording(name: str, labels: Any, tmp_path: Path) -> None:
    if name.endswith("mkv"):
        pytest.importorskip("av")
    part_path(tmp_path / name, 1).write_bytes(b"older")
    open_sink(str(tmp_path / name), labels, fps=30, options=keeping(keep_parts=1)).close()
    assert names(tmp_path) == [part_path(tmp_path / name, 1).name]


def test_what_a_batch_left_behind_the_name_in_turn_stays(labels: Any, make: Any, tmp_path: Path) -> None:
    (tmp_path / "a.part-0009.jsonl").touch()
    options = SinkOptions(segment_s=0.001, keep_parts=1)
    sink = open_sink(str(tmp_path / "a.jsonl"), labels, fps=30, options=options)
    for number in range(3):
        sink.write(*make(number, at_s=float(number)))
    sink.close()
    assert names(tmp_path) == ["a.part-0003.jsonl", "a.part-0009.jsonl"]


def test_a_file_that_resists_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, {1: 10, 2: 10})

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, f"Operation not permitted ({missing_ok})", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    part_names = PartNames(tmp_path / "a.mp4", keeping(keep_parts=1))
    part_names.take()
    with pytest.raises(OutputError, match=r"a\.part-0001\.mp4 is to make room and cannot be deleted"):
        part_names.delete_old()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"segment_s": 1.0, "keep_parts": 0}, "0 files of a recording"),
        ({"segment_s": 1.0, "keep_bytes": 0}, "0 bytes of a recording"),
        ({"keep_bytes": 1000}, "one file without end"),
    ],
)
def test_a_bound_that_cannot_hold_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        SinkOptions(**wrong)
