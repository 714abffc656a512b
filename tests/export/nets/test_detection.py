"""Boxes in static shapes: anchors, their coding, clipping, overlaps, suppression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgeseg.export.nets.detection import anchors, clipped, decoded, is_large, overlapping, suppressed  # noqa: E402

TOLERANCE = 1e-4  # of a pixel: float32 at coordinates of a few hundred
LINE = 12  # boxes in a row, each the rival of its neighbours alone
ENOUGH = 60


def test_anchors_have_the_area_of_their_side_and_heights_of_half_once_and_twice_their_width() -> None:
    boxes = anchors(64, torch.zeros(1, 8, 2, 3), (32, 48))
    width, height = (boxes[:, 2] - boxes[:, 0]).numpy(), (boxes[:, 3] - boxes[:, 1]).numpy()
    assert boxes.shape == (2 * 3 * 3, 4)
    np.testing.assert_allclose(width * height, 64**2, rtol=0.03)  # corners are whole pixels
    np.testing.assert_allclose(height / width, np.tile([0.5, 1, 2], 6), rtol=0.03)


def test_anchors_lie_row_by_row_around_the_upper_left_corners_of_the_grid_s_cells() -> None:
    boxes = anchors(64, torch.zeros(1, 8, 2, 3), (32, 48))
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).reshape(2, 3, 3, 2)
    expected = [[[16 * column, 16 * row] for column in range(3)] for row in range(2)]
    for aspect in range(3):
        assert centres[:, :, aspect].tolist() == expected


def test_deltas_of_zero_leave_a_box_where_it_is() -> None:
    boxes = random_boxes(20)
    made = decoded(torch.zeros(20, 4), boxes, (10.0, 10.0, 5.0, 5.0))
    assert torch.allclose(made, boxes, atol=TOLERANCE)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_deltas_that_code_a_box_give_it_back(weights: tuple[float, float, float, float]) -> None:
    base, wanted = random_boxes(50), random_boxes(50, seed=2)
    assert torch.allclose(decoded(coded(wanted, base, weights), base, weights), wanted, atol=TOLERANCE)


def test_a_side_grows_by_a_factor_of_62_5_at_most() -> None:
    made = decoded(torch.full((1, 4), 9.0), torch.tensor([[0.0, 0.0, 16.0, 32.0]]), (1.0, 1.0, 1.0, 1.0))
    sides = (made[0, 2:] - made[0, :2]).tolist()
    assert sides == pytest.approx([16 * 62.5, 32 * 62.5], rel=1e-5)


def test_a_box_is_clipped_to_the_image_s_width_and_height() -> None:
    boxes = torch.tensor([[-5.0, -6.0, 70.0, 80.0], [1.0, 2.0, 3.0, 4.0], [90.0, 50.0, 95.0, 60.0]])
    assert clipped(boxes, (40, 60)).tolist() == [[0, 0, 60, 40], [1, 2, 3, 4], [60, 40, 60, 40]]


def test_a_box_is_large_where_neither_side_is_below_the_smallest() -> None:
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 9.0], [0.0, 0.0, 9.0, 1.0]])
    assert is_large(boxes, 2).tolist() == [True, False, False]


def test_boxes_overlap_where_their_intersection_over_union_is_above_the_threshold() -> None:
    boxes = random_boxes(40)
    expected = [[iou(one, other) > 0.3 for other in boxes.tolist()] for one in boxes.tolist()]
    assert 40 < np.sum(expected) < 40**2
    assert overlapping(boxes, 0.3).tolist() == expected


def test_boxes_without_area_overlap_nothing() -> None:
    assert not overlapping(torch.zeros(3, 4), 0.5).any()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_suppression_is_the_greedy_one(threshold: float, seed: int) -> None:
    boxes = random_boxes(150, seed=seed)
    stays = suppressed(overlapping(boxes, threshold), ENOUGH).tolist()
    assert stays == greedy(boxes.tolist(), threshold)
    assert 0 < sum(stays) < len(stays)


def test_suppression_treats_every_level_for_itself() -> None:
    levels = torch.stack([random_boxes(50, seed=seed) for seed in range(3)])
    together = suppressed(overlapping(levels, 0.4), ENOUGH)
    assert [one.tolist() for one in together] == [greedy(one.tolist(), 0.4) for one in levels]


@pytest.mark.parametrize("rounds", range(1, LINE))
def test_a_round_makes_one_more_rival_of_a_chain_final(rounds: int) -> None:
    rivals = torch.eye(LINE).roll(1, 0).tril(-1).bool()
    alternating = [index % 2 == 0 for index in range(LINE)]
    stays = suppressed(rivals | rivals.T, rounds).tolist()
    assert stays[: rounds + 1] == alternating[: rounds + 1]
    assert (stays == alternating) == (rounds >= LINE - 1)


def random_boxes(count: int, seed: int = 1) -> Any:
    """Within 100 pixels, so that many overlap."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 50
    return torch.cat([corners, corners + 10 + torch.rand(count, 2, generator=generator) * 40], 1)


def coded(wanted: Any, base: Any, weights: tuple[float, ...]) -> Any:
    """Girshick et al., Rich Feature Hierarchies (2014), equations 6 to 9."""
    sides, base_sides = wanted[:, 2:] - wanted[:, :2], base[:, 2:] - base[:, :2]
    centres, base_centres = (wanted[:, :2] + wanted[:, 2:]) / 2, (base[:, :2] + base[:, 2:]) / 2
    moved = (centres - base_centres) / base_sides
    return torch.cat([moved, (sides / base_sides).log()], 1) * torch.tensor(weights)


def greedy(boxes: list[list[float]], threshold: float) -> list[bool]:
    """Which boxes stay, as textbooks have it."""
    stays: list[bool] = []
    for index, box in enumerate(boxes):
        earlier = [other for other, kept in zip(boxes[:index], stays, strict=True) if kept]
        stays.append(all(iou(box, other) <= threshold for other in earlier))
    return stays


def iou(one: list[float], other: list[float]) -> float:
    """Of two boxes."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)
