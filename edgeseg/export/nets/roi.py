"""Own the ways between boxes and pixels: RoIAlign and the pasting of masks. Own no weights.

He et al.: Mask R-CNN (2017), section 3. Boxes are float32 (N, 4): left, top, right, bottom in pixels of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Atlas", "class_scores", "joined", "levels_of", "pasted", "roi_align"]

SAMPLES = 2  # a bin's side
CANONICAL_SIDE = 224  # a box of this side is taken from P4; Lin et al., Feature Pyramid Networks, equation 1
ROUNDING = 2**-1e-6  # torchvision's: a side that is a hair too short still counts


class Atlas(NamedTuple):
    """The levels of a pyramid in one map, so that one GridSample serves boxes of all levels.

    ``features`` is float32 (1, C, H, W). A row of ``places`` (levels, 5) is a level's scale, height and width, and the
    row and column of its first pixel.
    """

    features: Tensor
    places: Tensor


def joined(maps: Sequence[Tensor]) -> Atlas:
    """P2 on top, the others in a row below it, which are narrower together than P2: each (1, C, H, W), halved."""
    first, second, *_ = maps
    height, width = first.shape[2:]
    below = [functional.pad(one, (0, 0, 0, second.shape[2] - one.shape[2])) for one in maps[1:]]
    row = torch.cat(below, 3)
    row = functional.pad(row, (0, width - row.shape[3], 0, 0))
    places, column = [(1 / 4, height, width, 0, 0)], 0
    for index, one in enumerate(maps[1:]):
        places.append((1 / (8 << index), one.shape[2], one.shape[3], height, column))
        column += one.shape[3]
    return Atlas(torch.cat([first, row], 2), first.new_tensor(places))


def levels_of(boxes: Tensor, count: int) -> Tensor:
    """From which level a box takes its features, int64 (N,), 0 for P2: the larger, the coarser."""
    sides = (boxes[:, 2:] - boxes[:, :2]) / CANONICAL_SIDE  # whose product float16 holds, too
    area = sides[:, 0] * sides[:, 1]
    bounds = [(2 ** (level - 1) * ROUNDING) ** 2 for level in range(count - 1)]
    return torch.stack([area >= bound for bound in bounds]).to(torch.int64).sum(0)


def roi_align(atlas: Atlas, boxes: Tensor, size: int) -> Tensor:
    """Features of every box on a grid of ``size`` x ``size`` bins: float32 (N, C, size, size).

    A bin is the average of 2x2 bilinear samples; boxes are at least one pixel of their level wide and are not moved
    by half of one. That is torchvision's ``roi_align`` with sampling_ratio 2 and aligned False.
    """
    places = atlas.places.index_select(0, levels_of(boxes, len(atlas.places)))
    scale, height, width, row, column = places[..., None].unbind(1)
    _, channels, *atlas_hw = atlas.features.shape
    y = _sampled(boxes[:, 1:2] * scale, boxes[:, 3:4] * scale, height, row, size) * (2 / (atlas_hw[0] - 1)) - 1
    x = _sampled(boxes[:, 0:1] * scale, boxes[:, 2:3] * scale, width, column, size) * (2 / (atlas_hw[1] - 1)) - 1
    count, side = len(boxes), size * SAMPLES
    grid = torch.stack([x[:, None, :].expand(count, side, side), y[:, :, None].expand(count, side, side)], -1)
    samples = functional.grid_sample(atlas.features, grid.reshape(1, count * side, side, 2), align_corners=True)
    bins = functional.avg_pool2d(samples, SAMPLES)
    return bins.reshape(channels, count, size, size).transpose(0, 1)


def _sampled(start: Tensor, end: Tensor, length: Tensor, origin: Tensor, size: int) -> Tensor:
    """Where samples lie in the atlas along one axis: (N, 1) each -> (N, size * 2)."""
    steps = (torch.arange(size * SAMPLES, device=start.device) + 0.5) / (size * SAMPLES)
    points = start + (end - start).clamp(min=1) * steps
    far = -start.new_tensor(1e4)  # so far outside that GridSample gives 0
    return torch.where(points <= length, torch.minimum(points.clamp(min=0), length - 1) + origin, far)


def pasted(masks: Tensor, boxes: Tensor, size_hw: tuple[int, int], stride: int) -> Tensor:
    """Enlarge masks bilinearly into their boxes; 0 outside.

    Two MatMuls do it, as bilinear weights are a product of one of rows and one of columns. The geometry is that of
    torchvision's pasting, which pads masks by a pixel of 0, but for its rounding of boxes to whole pixels.

    Args:
        masks: float32 (N, side, side), probabilities.
        boxes: of the image.
        size_hw: of the result, whose pixels are ``stride`` pixels of the image wide.
    Returns:
        float32 (N, H, W).
    """
    rows = _hat_weights(boxes[:, 1], boxes[:, 3], size_hw[0], masks.shape[1], stride)
    columns = _hat_weights(boxes[:, 0], boxes[:, 2], size_hw[1], masks.shape[2], stride)
    return rows @ masks @ columns.transpose(1, 2)


def _hat_weights(start: Tensor, end: Tensor, pixels: int, cells: int, stride: int) -> Tensor:
    """How much of a mask's every cell a pixel takes: (N,) -> (N, pixels, cells)."""
    centres = (torch.arange(pixels, device=start.device) + 0.5) * stride
    share = (centres - start[:, None]) / (end - start).clamp(min=1)[:, None]
    away = share[..., None] * cells - (torch.arange(cells, device=start.device) + 0.5)
    return (1 - away.abs()).clamp(min=0)


def class_scores(margins: Tensor, labels: Tensor, classes: int) -> Tensor:
    """One map a class out of one an instance: the pixel is the instance's with the largest margin.

    Where that margin is positive, its class has it and all others have 0; where none is, all have the largest, which is
    negative; background has 0 everywhere. So the best class is exact at every pixel, and between pixels bilinear
    interpolation crosses from an instance to the background where its margin does. Between two instances it crosses
    where the winners' margins are equal; the losing class' own margin is not kept.

    Args:
        margins: float32 (N, H, W).
        labels: int64 (N,), 1 to ``classes`` - 1.
        classes: with background, class 0.
    Returns:
        float32 (1, classes, H, W).
    """
    best, winner = margins.amax(0), margins.argmax(0)
    winning_class = labels.index_select(0, winner.flatten()).reshape(winner.shape)
    classes_chw = torch.arange(1, classes, device=labels.device)[:, None, None]
    scores = torch.where(winning_class == classes_chw, best, best.clamp(max=0))
    return torch.cat([torch.zeros_like(best)[None], scores])[None]
