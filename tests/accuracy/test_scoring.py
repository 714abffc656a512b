from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pixel_engine import SIZE_HW, frame_of, pixel_session

from edgeseg.accuracy.scoring import WorstFrames, ignored_label, score
from edgeseg.data import LabelledFrame, LabelledSet
from edgeseg.errors import DataError
from edgeseg.imaging.images import write_png
from edgeseg.metrics import ConfusionMatrix
from edgeseg.spec import LabelSpec


def labelled(seed: int, *, classes: int = 4, ignore: int | None = None) -> LabelledFrame:
    """A frame that a pixel engine gets right in most places."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, SIZE_HW).astype(np.uint8)
    mask = np.where(rng.random(SIZE_HW) < 0.7, label, rng.integers(0, classes, SIZE_HW)).astype(np.uint8)
    if ignore is not None:
        label[:5] = ignore
    return LabelledFrame(f"{seed:04d}", frame_of(mask), label)


def one_label(label_id: int) -> LabelledFrame:
    frame = labelled(0)
    frame.label[2, 3] = label_id
    return frame


def test_a_score_is_the_confusion_matrix_of_all_frames() -> None:
    frames = [labelled(seed, ignore=255) for seed in range(3)]
    matrix = ConfusionMatrix(4, ignore=255)
    for frame in frames:
        matrix.add(frame.label, frame.bgr[..., 0])
    with pixel_session(4, ignore=255) as session:
        assert score(session, frames) == matrix.accuracy()
        assert score(session, iter(frames)) == matrix.accuracy()


def test_no_frame_is_refused() -> None:
    with pixel_session(4) as session, pytest.raises(DataError, match="no frame to judge"):
        score(session, [])


def test_an_id_outside_the_classes_names_frame_id_classes_and_what_to_do() -> None:
    with pixel_session(4) as session:
        with pytest.raises(DataError, match=r"frame 0000: id 7 is no class of 4 \(0 to 3; ignored: None\): give --ign"):
            score(session, [one_label(7)])
        with pytest.raises(DataError, match="id 4 is no class"):
            score(session, [one_label(4)], ignore=255)
        score(session, [one_label(7)], ignore=7)


def test_many_ids_outside_the_classes_are_cut_short() -> None:
    frame = labelled(0)
    frame.label[0, :9] = range(10, 19)
    with pixel_session(4) as session, pytest.raises(DataError, match=r"ids 10, 11, 12, 13, 14, \.\.\. are no classes"):
        score(session, [frame])


def camvid(folder: Path) -> LabelledSet:
    """A set whose layout ignores id 11."""
    for name in ("test", "testannot"):
        (folder / name).mkdir()
    write_png(folder / "test" / "a.png", np.zeros((4, 4, 3), np.uint8))
    write_png(folder / "testannot" / "a.png", np.zeros((4, 4), np.uint8))
    return LabelledSet(folder, layout="camvid")


def test_the_ignored_label_is_the_callers_then_the_sets_then_the_models(tmp_path: Path) -> None:
    data, model, silent = camvid(tmp_path), LabelSpec(classes=(), ignore=255), LabelSpec(classes=())
    assert ignored_label(data, model, 0) == 0
    assert ignored_label(data, model, None) == 11
    assert ignored_label([], model, None) == 255
    assert ignored_label([], silent, None) is None


def test_the_worst_frames_are_kept_in_order_with_ties_by_name() -> None:
    worst, mask = WorstFrames(), np.zeros((4, 4), np.uint8)
    scores = {"f": 0.5, "a": 0.9, "e": 0.5, "b": 0.8, "d": 0.5, "c": 0.7, "g": 0.1, "h": float("nan")}
    for name, miou in scores.items():
        worst.offer(LabelledFrame(name, frame_of(mask), mask), mask, miou)
    assert [(one.name, one.miou) for one in worst.pictures] == [("g", 0.1), ("d", 0.5), ("e", 0.5), ("f", 0.5)]


@pytest.mark.parametrize(
    ("size_hw", "kept_hw"), [((540, 960), (270, 480)), ((90, 160), (90, 160)), ((3, 4000), (1, 480))]
)
def test_kept_pictures_are_at_most_480_pixels_wide(size_hw: tuple[int, int], kept_hw: tuple[int, int]) -> None:
    worst, mask = WorstFrames(), np.full(size_hw, 3, np.uint8)
    worst.offer(LabelledFrame("wide", frame_of(mask), mask + 1), mask, 0.5)
    (picture,) = worst.pictures
    assert picture.frame_bgr.shape == (*kept_hw, 3)
    assert picture.label.shape == picture.mask.shape == kept_hw
    assert (set(np.unique(picture.label)), set(np.unique(picture.mask))) == ({4}, {3})
    assert not np.shares_memory(picture.mask, mask)
