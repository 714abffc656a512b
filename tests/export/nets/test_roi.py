"""Between boxes and pixels: RoIAlign, the level of a box, pasting, and one map a class."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgeseg.export.nets.roi import class_scores, joined, levels_of, pasted, roi_align  # noqa: E402

IMAGE_HW = (192, 256)
LEVELS = 4
TOLERANCE = 1e-4  # float32, and GridSample's places are rounded in -1 to 1
BOXES = [
    [10.0, 20.0, 50.0, 90.0],
    [0.0, 0.0, 256.0, 192.0],
    [30.3, 40.7, 150.2, 160.9],
    [100.5, 3.25, 255.9, 191.5],
    [250.0, 100.0, 256.0, 110.0],  # at the edge
    [255.0, 191.0, 256.0, 192.0],  # at the corner, narrower than a pixel of its level, so that samples leave the map
    [7.0, 9.0, 7.5, 9.5],
]
#: a box of 224 squared is taken from P4, of twice the side from P5, and so on; the two ends take the rest
SIDES = {1: 0, 111: 0, 112: 1, 223: 1, 224: 2, 447: 2, 448: 3, 2000: 3}


@pytest.mark.parametrize("size", [7, 14])
def test_roi_align_is_the_average_of_2x2_bilinear_samples_a_bin_on_the_box_s_level(size: int) -> None:
    maps, boxes = pyramid(), torch.tensor(BOXES)
    levels = levels_of(boxes, LEVELS).tolist()
    made = roi_align(joined(maps), boxes, size)
    expected = [
        roi_align_of(maps[level][0].numpy(), box, 1 / (4 << level), size)
        for level, box in zip(levels, BOXES, strict=True)
    ]
    assert len(set(levels)) >= 2
    np.testing.assert_allclose(made, expected, atol=TOLERANCE)


@pytest.mark.parametrize("level", range(LEVELS))
def test_roi_align_takes_a_level_s_features_alone(level: int) -> None:
    maps = [torch.full_like(one, float(index == level)) for index, one in enumerate(pyramid((896, 896)))]
    side = 60.0 * 2**level
    boxes = torch.tensor([[0.0, 0.0, side, side], [896 - side, 896 - side, 896.0, 896.0]])
    assert levels_of(boxes, LEVELS).tolist() == [level, level]
    assert torch.allclose(roi_align(joined(maps), boxes, 7), torch.ones(1), atol=TOLERANCE)


def test_a_box_is_taken_from_a_coarser_level_the_larger_it_is() -> None:
    boxes = torch.tensor([[3.0, 5.0, 3.0 + side, 5.0 + side] for side in SIDES])
    assert levels_of(boxes, LEVELS).tolist() == list(SIDES.values())


def test_a_pasted_mask_is_the_padded_mask_s_bilinear_enlargement_into_its_box() -> None:
    masks = torch.rand(len(BOXES), 28, 28, generator=torch.Generator().manual_seed(5))
    made = pasted(masks, torch.tensor(BOXES), (48, 64), 4)
    expected = [pasted_by_hand(mask, box, (48, 64), 4) for mask, box in zip(masks.tolist(), BOXES, strict=True)]
    np.testing.assert_allclose(made, expected, atol=TOLERANCE)


def test_a_pixel_has_the_class_of_the_instance_with_the_largest_margin_or_is_background() -> None:
    margins = torch.tensor([[[0.2, 0.1, -0.1, -0.3]], [[0.1, 0.3, -0.4, -0.2]], [[-0.5, 0.25, 0.0, -0.4]]])
    scores = class_scores(margins, torch.tensor([3, 1, 3]), 5)
    assert scores.shape == (1, 5, 1, 4)
    assert scores[0, :, 0].tolist() == pytest.approx(
        np.array([[0, 0, 0, 0], [0, 0.3, 0, -0.2], [0, 0, 0, -0.2], [0.2, 0, 0, -0.2], [0, 0, 0, -0.2]])
    )
    assert scores.argmax(1).tolist() == [[[3, 1, 0, 0]]]


def test_an_instance_s_edge_is_where_its_margin_crosses_zero_between_pixels() -> None:
    scores = class_scores(torch.tensor([[[0.3, -0.1]]]), torch.tensor([2]), 3)
    line = torch.nn.functional.interpolate(scores, (1, 400), mode="bilinear", align_corners=True).argmax(1)
    assert abs(int((line == 2).sum()) - 300) <= 1


def pyramid(image_hw: tuple[int, int] = IMAGE_HW) -> list[Any]:
    """P2 to P5 of noise."""
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(1, 3, *(side // (4 << level) for side in image_hw), generator=generator) for level in range(4)]


def roi_align_of(features: Any, box: list[float], scale: float, size: int) -> Any:
    """He et al., section 3, point by point: features (C, H, W) -> (C, size, size)."""
    left, top, right, bottom = (one * scale for one in box)
    high, wide = max(bottom - top, 1) / size, max(right - left, 1) / size
    made = np.zeros((len(features), size, size))
    for row in range(size):
        for column in range(size):
            for y in (top + (row + 0.25) * high, top + (row + 0.75) * high):
                for x in (left + (column + 0.25) * wide, left + (column + 0.75) * wide):
                    made[:, row, column] += bilinear(features, y, x) / 4
    return made


def bilinear(features: Any, y: float, x: float) -> Any:
    """The value between four pixels; the last row and column go on to the map's end, behind which all is 0."""
    height, width = features.shape[1:]
    if y > height or x > width:
        return 0
    y, x = min(y, height - 1), min(x, width - 1)
    row, column = math.floor(y), math.floor(x)
    down, right = min(row + 1, height - 1), min(column + 1, width - 1)
    v, u = y - row, x - column
    above = (1 - u) * features[:, row, column] + u * features[:, row, right]
    below = (1 - u) * features[:, down, column] + u * features[:, down, right]
    return (1 - v) * above + v * below


def pasted_by_hand(mask: list[list[float]], box: list[float], size_hw: tuple[int, int], stride: int) -> Any:
    """Padded by a cell of 0, and sampled where the centres of pixels lie in it."""
    padded = np.pad(np.array(mask), 1)
    left, top, right, bottom = box
    made = np.zeros(size_hw)
    for row in range(size_hw[0]):
        for column in range(size_hw[1]):
            y = ((row + 0.5) * stride - top) / max(bottom - top, 1) * len(mask) + 0.5
            x = ((column + 0.5) * stride - left) / max(right - left, 1) * len(mask) + 0.5
            if 0 <= y <= len(padded) - 1 and 0 <= x <= len(padded) - 1:
                made[row, column] = bilinear(padded[None], y, x)[0]
    return made
