"""TensorRT's formats in NumPy: where every number of a tensor lies, and that masks are made of it as it lies there."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.errors import ShapeError
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.runtime.layouts import as_nchw, stored_shape
from edgeseg.spec import HeadSpec, TensorLayout

SHAPE = (2, 19, 3, 5)
STORED: dict[TensorLayout, tuple[int, ...]] = {
    "linear": (2, 19, 3, 5),
    "hwc": (2, 3, 5, 19),
    "hwc8": (2, 3, 5, 24),
    "hwc16": (2, 3, 5, 32),
}


@pytest.mark.parametrize("layout", STORED)
def test_channels_lie_last_and_are_padded(layout: TensorLayout) -> None:
    assert stored_shape(SHAPE, layout) == STORED[layout]


@pytest.mark.parametrize(("channels", "padded"), [(1, 16), (16, 16), (17, 32)])
def test_a_multiple_is_not_padded(channels: int, padded: int) -> None:
    assert stored_shape((1, channels, 2, 2), "hwc16")[-1] == padded


@pytest.mark.parametrize("layout", STORED)
def test_the_view_finds_every_number_without_a_copy(layout: TensorLayout) -> None:
    stored = np.arange(np.prod(STORED[layout]), dtype=np.float32).reshape(STORED[layout])
    tensor = as_nchw(stored, SHAPE, layout)
    assert tensor.shape == SHAPE
    assert np.shares_memory(tensor, stored)
    place = (1, 7, 2, 4)
    row = STORED[layout][-1]
    expected = stored[place] if layout == "linear" else ((1 * 3 + 2) * 5 + 4) * row + 7
    assert tensor[place] == expected
    tensor[place] = -1.0
    assert (stored == -1.0).sum() == 1


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("layout", STORED)
def test_a_mask_of_scores_in_any_format_is_that_of_scores_in_rows(layout: TensorLayout, dtype: str) -> None:
    scale = 0.25 if dtype == "int8" else 1.0
    head = HeadSpec(
        output="logits",
        channels=19,
        size_hw=(3, 5),
        decision="argmax",
        scores_dtype=dtype,  # type: ignore[arg-type]
        scale=scale,
    )
    shape = (1, *SHAPE[1:])
    scores = (np.random.default_rng(0).normal(size=shape) * 20).astype(dtype)
    stored = np.full(stored_shape(shape, layout), 99, dtype)  # what lies in the padding would win
    as_nchw(stored, shape, layout)[...] = scores
    maker = MaskMaker(head, threads=1)
    expected = maker.mask(scores, size_hw=(12, 20))
    np.testing.assert_array_equal(maker.mask(as_nchw(stored, shape, layout), size_hw=(12, 20)), expected)


def test_what_is_no_image_or_another_array_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"of \(5,\) cannot lie in memory as hwc8: only images"):
        stored_shape((5,), "hwc8")
    with pytest.raises(ShapeError, match=r"hwc8 of .* lies in \(2, 3, 5, 24\), not in \(2, 3, 5, 19\)"):
        as_nchw(np.zeros((2, 3, 5, 19)), SHAPE, "hwc8")
