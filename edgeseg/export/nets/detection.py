"""Own the arithmetic of boxes: anchors, their coding, suppression, all in static shapes. Own no weights, no feature.

Boxes are float32 (..., 4): left, top, right, bottom in pixels of the image. The conventions are torchvision's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["ASPECTS", "anchors", "clipped", "decoded", "is_large", "overlapping", "suppressed"]

ASPECTS = (0.5, 1.0, 2.0)  # height over width
LARGEST_CHANGE = math.log(1000 / 16)  # of a side's logarithm; torchvision's, as a guard against overflow
UNIT = 1024  # pixels; a power of two, so that nothing is rounded


def anchors(side: int, grid: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Boxes of ``side`` squared pixels and of three aspects around every point of ``grid`` (..., H, W).

    They depend on sizes alone, so that an exported graph holds them as constants.

    Returns:
        float32 (H * W * 3, 4), row by row; rounded as torchvision's, that a published net was trained with.
    """
    roots = grid.new_tensor(ASPECTS).sqrt()
    half = torch.stack([-1 / roots, -roots, 1 / roots, roots], 1) * side / 2
    sizes = zip(grid.shape[-2:], image_hw, strict=True)
    ys, xs = (torch.arange(count, device=grid.device) * (size // count) for count, size in sizes)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    points = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    return (points + half.round()).reshape(-1, 4)


def decoded(deltas: Tensor, boxes: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Move and scale boxes as a net says; Girshick et al., Rich Feature Hierarchies (2014), appendix C.

    Args:
        deltas: float32 (..., 4): of the centre, in widths and heights, and of the logarithms of both sides.
        boxes: (..., 4), anchors or proposals.
        weights: what the deltas were multiplied by in training.
    """
    dx, dy, dw, dh = (deltas / deltas.new_tensor(weights)).unbind(-1)
    left, top, right, bottom = boxes.unbind(-1)
    width, height = right - left, bottom - top
    x, y = left + width / 2 + dx * width, top + height / 2 + dy * height
    half_width = dw.clamp(max=LARGEST_CHANGE).exp() * width / 2
    half_height = dh.clamp(max=LARGEST_CHANGE).exp() * height / 2
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], -1)


def clipped(boxes: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """The parts of boxes that are inside the image."""
    height, width = image_hw
    left, top, right, bottom = boxes.unbind(-1)
    xs, ys = (left.clamp(0, width), right.clamp(0, width)), (top.clamp(0, height), bottom.clamp(0, height))
    return torch.stack([xs[0], ys[0], xs[1], ys[1]], -1)


def is_large(boxes: Tensor, smallest: float) -> Tensor:
    """Bool (...): neither side is below ``smallest``."""
    return (boxes[..., 2:] - boxes[..., :2] >= smallest).all(-1)


def overlapping(boxes: Tensor, threshold: float) -> Tensor:
    """Which boxes have an intersection over union above ``threshold``: (..., N, 4) -> bool (..., N, N)."""
    boxes = boxes / UNIT  # areas of whole pixels would be more than float16 holds
    one, other = boxes.unsqueeze(-2), boxes.unsqueeze(-3)
    corners = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    common = (corners[1] - corners[0]).clamp(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    return common > threshold * (area.unsqueeze(-1) + area.unsqueeze(-2) - common)


def suppressed(rivals: Tensor, rounds: int) -> Tensor:
    """Greedy non-maximum suppression as a fixed point, which has a static shape and needs no loop over boxes.

    A box stays unless an earlier one that stays is its rival. Begin with all boxes, and apply that rule to all at once:
    after n rounds it is final for every box that ends a chain of at most n rivals, each suppressing the next. So the
    result is exactly the greedy one as soon as no chain is longer than ``rounds``; in a longer one the boxes behind
    may still be wrong.

    Args:
        rivals: bool (..., N, N), symmetric, boxes by falling score; False for all pairs of a box that does not count.
        rounds: how often the rule is applied.
    Returns:
        Bool (..., N): the box stays.
    """
    earlier = torch.ones(rivals.shape[-1], rivals.shape[-1], device=rivals.device).tril(-1)
    beaten_by = rivals.to(torch.float32) * earlier
    stays = torch.ones_like(beaten_by[..., :1])
    for _ in range(rounds):
        stays = (beaten_by @ stays < 0.5).to(torch.float32)
    return stays[..., 0] > 0.5
