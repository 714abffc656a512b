from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sinks import MaskRecords, SinkOptions, open_sink
from edgeseg.runtime.sinks.parts import part_path

LIVE = SinkOptions(is_live=True)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_tells_the_frame_and_every_class_that_is_there(labels: Any, tmp_path: Path) -> None:
    mask = np.full((4, 6), 255, np.uint8)  # not seen
    mask[1:3, 2:4] = 2
    frame = Frame(
        picture=np.zeros((4, 6, 3), np.uint8), sequence=7, arrived_s=50.0, captured_s=49.5, name="000007", source=3
    )
    sink = MaskRecords(tmp_path / "a.jsonl", labels, clock=lambda: 60.0, unix_clock=lambda: 1e9)
    sink.write(frame, mask)
    sink.close()
    assert lines(tmp_path / "a.jsonl") == [
        {
            "source": 3,
            "sequence": 7,
            "name": "000007",
            "time_s": 1e9 - 10.5,
            "captured_s": 49.5,
            "arrived_s": 50.0,
            "size": [4, 6],
            "classes": [
                {
                    "category_id": 2,
                    "name": "tree",
                    "area": 4,
                    "bbox": [2, 1, 2, 2],
                    "segmentation": {"size": [4, 6], "counts": "92207"},
                }
            ],
        }
    ]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools 2.0.11 itself
def test_pycocotools_gives_the_mask_back(labels: Any, make: Any, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    frame, mask = make(0)
    with_classes = open_sink(str(tmp_path / "a.jsonl"), labels, fps=30)
    with_classes.write(frame, mask)
    with_classes.close()
    back = np.full(mask.shape, 255, np.uint8)
    for one in lines(tmp_path / "a.jsonl")[0]["classes"]:
        back[coco.decode(one["segmentation"]) == 1] = one["category_id"]
    np.testing.assert_array_equal(back, mask)


def test_a_killed_process_leaves_every_line_of_a_live_source(killed: Callable[[str], None], tmp_path: Path) -> None:
    killed('write(open_sink("a.jsonl", labels, fps=30, options=SinkOptions(is_live=True)), 50)')
    assert [one["sequence"] for one in lines(tmp_path / "a.jsonl")] == list(range(50))


def test_a_batch_result_appears_when_it_is_whole(
    killed: Callable[[str], None], labels: Any, make: Any, tmp_path: Path
) -> None:
    killed('write(open_sink("a.jsonl", labels, fps=30), 50)')
    assert not (tmp_path / "a.jsonl").exists()
    sink = open_sink(str(tmp_path / "b.jsonl"), labels, fps=30)
    sink.write(*make(0))
    assert not (tmp_path / "b.jsonl").exists()
    sink.close()
    sink.close()
    assert len(lines(tmp_path / "b.jsonl")) == 1


def test_a_full_disk_leaves_whole_lines_and_takes_more_when_there_is_room(cramped: Any, tmp_path: Path) -> None:
    said = cramped(
        """
        from edgeseg.errors import OutputError
        sink = open_sink("a.jsonl", labels, fps=30, options=SinkOptions(is_live=True))
        try:
            write(sink, 300)
        except OutputError as error:
            print(error)
        write(sink, 1, size_hw=(2, 2), first=1000)
        sink.close()
        """,
        limit_bytes=50_000,
    )
    assert said.startswith("a.jsonl cannot be written (File too large)")
    found = [one["sequence"] for one in lines(tmp_path / "a.jsonl")]
    assert found == [*range(len(found) - 1), 1000]


def test_segments_hold_every_frame_once(labels: Any, make: Any, tmp_path: Path) -> None:
    options = SinkOptions(is_live=True, segment_s=1.0)
    sink = open_sink(str(tmp_path / "a.jsonl"), labels, fps=30, options=options)
    for number in range(70):
        sink.write(*make(number))
    sink.close()
    names = ("a.part-0001.jsonl", "a.part-0002.jsonl", "a.part-0003.jsonl")
    assert [[one["sequence"] for one in lines(tmp_path / name)] for name in names] == [
        list(range(30)),
        list(range(30, 60)),
        list(range(60, 70)),
    ]


def test_a_segment_ends_at_its_size(labels: Any, make: Any, tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.jsonl"), labels, fps=30, options=SinkOptions(segment_bytes=1))
    for number in range(3):
        sink.write(*make(number))
    sink.close()
    assert sorted(tmp_path.iterdir()) == [part_path(tmp_path / "a.jsonl", number) for number in (1, 2, 3)]


def test_an_abandoned_batch_result_leaves_nothing_and_a_live_one_its_lines(
    labels: Any, make: Any, tmp_path: Path
) -> None:
    for options, left in ((SinkOptions(), []), (LIVE, ["a.jsonl"])):
        sink = open_sink(str(tmp_path / "a.jsonl"), labels, fps=30, options=options)
        sink.write(*make(0))
        sink.abandon()
        sink.abandon()
        sink.close()
        assert [path.name for path in tmp_path.iterdir()] == left


def test_live_lines_without_a_frame_leave_nothing(labels: Any, tmp_path: Path) -> None:
    open_sink(str(tmp_path / "a.jsonl"), labels, fps=30, options=LIVE).close()
    assert list(tmp_path.iterdir()) == []
