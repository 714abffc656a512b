"""Engines judged on plain pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.accuracy import evaluate_engines
from edgeseg.data import LabelledSet
from edgeseg.errors import DataError
from edgeseg.imaging.images import write_png


def make_pairs(folder: Path, labels: list[np.ndarray]) -> Path:
    for index, label in enumerate(labels):
        frame = np.random.default_rng(index).integers(0, 256, (*label.shape, 3), np.uint8)
        for name, picture in (("images", frame), ("labels", label)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_png(folder / name / f"{index}.png", picture)
    return folder


def test_an_engine_agrees_with_itself_and_is_perfect_on_its_own_masks(chain: Any, tmp_path: Path) -> None:
    from edgeseg import Session

    data = make_pairs(tmp_path, [np.zeros((40, 60), np.uint8)] * 3)
    with Session(chain.fp32) as session:
        for frame in list(LabelledSet(data)):
            write_png(data / "labels" / f"{frame.name}.png", session.segment(frame.bgr))
    fp32, int8 = evaluate_engines([chain.fp32, chain.int8], LabelledSet(data))
    assert fp32.accuracy.pixel_accuracy == fp32.agreement == 1.0
    assert int8.agreement == pytest.approx(int8.accuracy.pixel_accuracy)
    assert (fp32.frames, int8.precision) == (3, "int8")


def test_a_label_with_an_id_that_is_no_class_names_the_frame(chain: Any, tmp_path: Path) -> None:
    data = make_pairs(tmp_path, [np.full((40, 60), 9, np.uint8)])
    with pytest.raises(DataError, match="frame 0: id 9 is no class"):
        evaluate_engines([chain.fp32], LabelledSet(data))
