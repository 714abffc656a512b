from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import SourceError
from edgeseg.report.frames import MOST_FRAMES, load_frames, shipped_frame


def picture(path: Path, *, width: int = 16, value: int = 0) -> Path:
    cv2.imwrite(str(path), np.full((12, width, 3), value, np.uint8))
    return path


def test_the_shipped_picture_is_used_without_a_source() -> None:
    frames = load_frames()
    height, width = cv2.imread(str(shipped_frame())).shape[:2]
    assert (len(frames.frames), frames.size_wh, frames.name) == (1, (width, height), "the shipped picture")


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    frames = load_frames(str(picture(tmp_path / "one.png", value=9)))
    assert (len(frames.frames), frames.size_wh) == (1, (16, 12))
    assert (frames.frames[0] == 9).all()


def test_a_folder_gives_its_first_pictures_by_name(tmp_path: Path) -> None:
    for index in reversed(range(MOST_FRAMES + 3)):
        picture(tmp_path / f"{index:02d}.png", value=index)
    frames = load_frames(str(tmp_path))
    assert [int(frame[0, 0, 0]) for frame in frames.frames] == list(range(MOST_FRAMES))


def test_a_video_gives_its_first_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    for value in range(12):
        writer.write(np.full((48, 64, 3), 10 * value, np.uint8))
    writer.release()
    frames = load_frames(str(path))
    assert (len(frames.frames), frames.size_wh) == (MOST_FRAMES, (64, 48))


def test_pictures_of_several_sizes_are_refused_with_both(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", width=20)
    with pytest.raises(SourceError, match="'b' is 20x12 where 'a' is 16x12"):
        load_frames(str(tmp_path))


@pytest.mark.parametrize("name", ["none.png", "none.mp4"])
def test_a_missing_source_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=name):
        load_frames(str(tmp_path / name))
