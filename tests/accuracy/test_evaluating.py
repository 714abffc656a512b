from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pixel_engine import pixel_session

from edgeseg import Session
from edgeseg.accuracy import evaluate_engines, score
from edgeseg.boundaries import BoundaryCounts, LabelBands
from edgeseg.data import LabelledSet
from edgeseg.errors import DataError, EngineError
from edgeseg.imaging.images import write_png
from edgeseg.metrics import ConfusionMatrix, agreement

FRAMES = 6


@pytest.fixture(scope="module")
def data(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> LabelledSet:
    """The chain's pictures; labels are its FP32 masks, more and more of them turned from one class to the next."""
    folder = tmp_path_factory.mktemp("labelled")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    with Session(chain.fp32) as session:
        for index in range(FRAMES):
            shutil.copy(chain.images / f"{index:03d}.png", folder / "images")
            label = session.segment(cv2.imread(str(chain.images / f"{index:03d}.png")))
            label[: 8 * index] = (label[: 8 * index] + 1) % 3
            write_png(folder / "labels" / f"{index:03d}.png", label)
    return LabelledSet(folder)


def test_figures_are_those_of_the_engines_masks(chain: Any, data: LabelledSet) -> None:
    matrix, boundaries = ConfusionMatrix(3), BoundaryCounts(3)
    with Session(chain.int8) as session:
        for frame in data:
            mask = session.segment(frame.bgr)
            matrix.add(frame.label, mask)
            boundaries.add(LabelBands(frame.label), mask)
        assert score(session, data) == matrix.accuracy()
    result = evaluate_engines([chain.fp32, chain.int8], data)[1]
    assert result.accuracy == matrix.accuracy()
    assert result.boundaries == boundaries.accuracy()
    np.testing.assert_array_equal(result.confusion, matrix.counts)
    assert (result.frames, result.precision, result.name) == (FRAMES, "int8", "net.int8.engine")


def test_every_frame_is_a_sample_of_both_latencies_and_the_warm_up_is_none(chain: Any, data: LabelledSet) -> None:
    done: list[int] = []
    for one in evaluate_engines([chain.fp32, chain.int8], data, on_frame=done.append):
        assert one.latency.count == FRAMES
        assert 0 < one.latency.engine_p50_ms <= one.latency.total_p50_ms
        assert one.latency.engine_covers == "engine"
    assert done == [1, 2, 3, 4, 5, 6]


def test_the_worst_frames_are_those_whose_labels_were_turned_most(chain: Any, data: LabelledSet) -> None:
    found = evaluate_engines([chain.fp32], data)
    assert [one.name for one in found[0].worst] == ["005", "004", "003", "002"]
    assert [one.name for one in found.pictures[0]] == ["005", "004", "003", "002"]
    scores = [one.miou for one in found[0].worst]
    assert scores == sorted(scores)


def test_agreement_is_with_the_first_engine_or_with_the_reference(chain: Any, data: LabelledSet) -> None:
    with Session(chain.fp32) as fp32, Session(chain.int8) as int8:
        equal = [agreement(fp32.segment(frame.bgr), int8.segment(frame.bgr)) for frame in data]
        first, second = evaluate_engines([chain.fp32, chain.int8], data)
        assert (first.agreement, second.agreement) == (1.0, pytest.approx(np.mean(equal)))
        with_session = evaluate_engines([chain.fp32, chain.int8], data, reference=int8, reference_name="int8 itself")
        with_path = evaluate_engines([chain.fp32, chain.int8], data, reference=chain.int8)
        assert int8.segment(next(iter(data)).bgr).shape == (90, 160)  # the session was not closed
    for found in (with_session, with_path):
        assert [one.agreement for one in found] == [pytest.approx(np.mean(equal)), 1.0]
    assert (with_session.reference, with_path.reference) == ("int8 itself", "net.int8.engine")


def test_a_verdict_is_given_of_int8_beside_fp32(chain: Any, data: LabelledSet) -> None:
    found = evaluate_engines([chain.fp32, chain.int8], data)
    (verdict,) = found.verdicts
    assert (verdict.engine, verdict.baseline) == ("net.int8.engine", "net.fp32.engine")
    assert verdict.ratio == found[0].latency.engine_p50_ms / found[1].latency.engine_p50_ms


@pytest.mark.parametrize("skip_bad", [False, True])
def test_an_id_outside_the_classes_is_refused_and_never_skipped(
    chain: Any, data: LabelledSet, tmp_path: Path, skip_bad: bool
) -> None:
    shutil.copytree(data.folder, tmp_path, dirs_exist_ok=True)
    label = np.zeros((90, 160), np.uint8)
    label[0, 0] = 9
    write_png(tmp_path / "labels" / "002.png", label)
    with pytest.raises(DataError, match="frame 002: id 9 is no class of 3"):
        evaluate_engines([chain.fp32], LabelledSet(tmp_path, skip_bad=skip_bad))
    assert evaluate_engines([chain.fp32], LabelledSet(tmp_path), ignore=9)[0].ignore == 9


def test_skipped_frames_are_not_counted(chain: Any, data: LabelledSet, tmp_path: Path) -> None:
    shutil.copytree(data.folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "images" / "003.png").write_bytes(b"no picture")
    partly = LabelledSet(tmp_path, skip_bad=True)
    (found,) = evaluate_engines([chain.fp32], partly)
    assert (found.frames, found.latency.count, len(partly.skipped)) == (FRAMES - 1, FRAMES - 1, 1)


def test_engines_of_other_numbers_of_classes_are_refused_by_name(chain: Any, data: LabelledSet) -> None:
    with pixel_session(5) as other, pytest.raises(EngineError, match=r"net\.fp32\.engine 3, the big one 5"):
        evaluate_engines([chain.fp32], data, reference=other, reference_name="the big one")


def test_an_engine_twice_has_two_names(chain: Any, data: LabelledSet) -> None:
    found = evaluate_engines([chain.fp32, chain.fp32], data)
    assert [one.name for one in found] == [str(chain.fp32), f"{chain.fp32} #2"]
    assert found[0].accuracy == found[1].accuracy
