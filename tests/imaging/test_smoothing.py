"""Still cells keep the mean of their scores, moving ones the newest; nothing else is touched."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseg.errors import ShapeError
from edgeseg.imaging.smoothing import ScoreSmoother, Smoothing
from edgeseg.spec import HeadSpec, InputSpec

IMAGE = InputSpec(name="image", size_hw=(32, 48), mean=(0.5,) * 3, std=(0.25,) * 3)
HEAD = HeadSpec(output="y", channels=4, size_hw=(8, 12), decision="argmax")
LEVEL = 1 / (0.25 * 255)  # one grey level in the tensor


def scores(number: int, head: HeadSpec = HEAD) -> Any:
    return np.random.default_rng(number).normal(0, 1, head.shape).astype(np.float32)


def tensor(level: float = 100.0, image: InputSpec = IMAGE) -> Any:
    return np.full(image.shape, level * LEVEL, np.float32)


def test_where_nothing_moves_the_scores_are_their_exponential_mean() -> None:
    smoother = ScoreSmoother(IMAGE, HEAD, Smoothing(strength=0.75))
    expected = scores(0)
    for number in range(6):
        found = smoother.smoothed(tensor(), scores(number))
        expected = expected if number == 0 else 0.75 * expected + 0.25 * scores(number)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_where_the_picture_moves_the_new_scores_stand_alone() -> None:
    smoother = ScoreSmoother(IMAGE, HEAD, Smoothing(motion=10.0))
    smoother.smoothed(tensor(), scores(0))
    moved = tensor()
    moved[:, :, :, 24:] += 11 * LEVEL
    found = smoother.smoothed(moved, scores(1))
    np.testing.assert_allclose(found[..., 6:], scores(1)[..., 6:], atol=1e-6)
    np.testing.assert_allclose(found[..., :6], 0.7 * scores(0)[..., :6] + 0.3 * scores(1)[..., :6], atol=1e-6)


def test_between_still_and_moving_the_weight_falls_in_a_line() -> None:
    smoother = ScoreSmoother(IMAGE, HEAD, Smoothing(strength=0.8, motion=10.0))
    smoother.smoothed(tensor(100), scores(0))
    found = smoother.smoothed(tensor(105), scores(1))
    np.testing.assert_allclose(found, 0.4 * scores(0) + 0.6 * scores(1), atol=1e-4)  # float32 of a grey level


def test_without_strength_nothing_changes_and_forget_begins_anew() -> None:
    plain = ScoreSmoother(IMAGE, HEAD, Smoothing(strength=0.0))
    smoother = ScoreSmoother(IMAGE, HEAD, Smoothing())
    for number in range(3):
        np.testing.assert_allclose(plain.smoothed(tensor(), scores(number)), scores(number), atol=1e-6)
        smoother.smoothed(tensor(), scores(number))
    smoother.forget()
    np.testing.assert_array_equal(smoother.smoothed(tensor(), scores(9)), scores(9))


def test_other_layouts_and_types_mean_the_same() -> None:
    smoother = ScoreSmoother(IMAGE, HEAD, Smoothing())
    last_image = msgspec.structs.replace(IMAGE, layout="NHWC")
    last_head = msgspec.structs.replace(HEAD, layout="NHWC")
    other = ScoreSmoother(last_image, last_head, Smoothing())
    coded = ScoreSmoother(IMAGE, msgspec.structs.replace(HEAD, scores_dtype="int8", scale=0.05), Smoothing())
    for number in range(3):
        given = np.round(scores(number) / 0.05).clip(-128, 127).astype(np.int8)
        expected = smoother.smoothed(tensor(100 + number), given * np.float32(0.05))
        moved = tensor(100 + number).transpose(0, 2, 3, 1), (given * np.float32(0.05)).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(other.smoothed(*moved), expected.transpose(0, 2, 3, 1), atol=1e-6)
        np.testing.assert_allclose(coded.smoothed(tensor(100 + number), given), expected, atol=1e-6)


@pytest.mark.parametrize(("options", "words"), [({"strength": 1.0}, "0 to below 1"), ({"motion": 0.0}, "above 0")])
def test_what_cannot_be_is_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        Smoothing(**options)


def test_finished_ids_are_refused() -> None:
    ids = HeadSpec(output="y", channels=1, size_hw=(8, 12), decision="ids")
    with pytest.raises(ShapeError, match="no scores to be smoothed"):
        ScoreSmoother(IMAGE, ids, Smoothing())
