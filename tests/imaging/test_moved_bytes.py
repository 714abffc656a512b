"""The bytes that pre- and post-processing must move, worked out by hand."""

from __future__ import annotations

import pytest

from edgeseg.imaging.moved_bytes import mask_bytes, overlay_bytes, preprocess_bytes
from edgeseg.spec import HeadSpec, InputSpec, Interpolation

TENSOR = 4 * 8 * 3 * 4
HEAD = HeadSpec(output="logits", channels=19, size_hw=(8, 16), decision="argmax")


def image(interpolation: Interpolation = "linear") -> InputSpec:
    return InputSpec(name="x", size_hw=(4, 8), mean=(0.0,) * 3, std=(1.0,) * 3, interpolation=interpolation)


@pytest.mark.parametrize(
    ("interpolation", "source_wh", "rows"),
    [
        ("linear", (8, 4), 4),  # as large as the tensor
        ("linear", (32, 16), 8),  # two of every four rows
        ("antialias", (32, 16), 16),  # every row has a weight
        ("linear", (8, 12), 4),  # a third of the height: the middle row alone
    ],
)
def test_preprocessing_reads_the_rows_that_some_output_needs(
    interpolation: Interpolation, source_wh: tuple[int, int], rows: int
) -> None:
    assert preprocess_bytes(image(interpolation), source_wh=source_wh) == rows * 3 * source_wh[0] + TENSOR


def test_a_mask_reads_the_scores_and_is_written() -> None:
    scores, mask = 19 * 8 * 16, 32 * 64
    assert mask_bytes(HEAD, size_hw=(32, 64), itemsize=4) == 4 * scores + mask
    both = mask_bytes(HEAD, size_hw=(32, 64), itemsize=2, has_confidence=True, has_areas=True)
    assert both == 2 * scores + 3 * mask


def test_an_overlay_reads_frame_and_mask_and_writes_a_picture() -> None:
    assert overlay_bytes((10, 20)) == 7 * 200
