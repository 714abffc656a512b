"""Own what Mask R-CNN learns from on synthetic scenes: instances, their targets, the losses. Define no net, no loop.

He et al., Mask R-CNN (2017), section 3, and for the proposals Ren et al., Faster R-CNN (2015), section 3.1; thresholds
and counts are theirs. edgeseg's net does not train by itself, so this calls its parts one by one. An instance is a
connected piece of a class, of sky as of a car. Class 0, the road, is the net's background: it is where no instance is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from scene_training import Scenes, Schedule, train
from torch import Tensor
from torch.nn import functional

from edgeseg.export.nets.detection import anchors
from edgeseg.export.nets.detection_heads import BOX_BINS
from edgeseg.export.nets.mask_rcnn import (
    ANCHOR_SIDES,
    DETECTION_CODING,
    MASK_BINS,
    PROPOSAL_CODING,
    MaskRCNN,
)
from edgeseg.export.nets.roi import Atlas, joined, roi_align

__all__ = ["train_detector"]

SMALLEST_AREA = 64  # pixels; smaller pieces are crumbs of what stands behind a fence or a crown
ANCHOR_IS_OBJECT, ANCHOR_IS_BACKGROUND = 0.7, 0.3  # intersections over union
BOX_IS_OBJECT = 0.5
ANCHORS_PER_FRAME, OBJECT_ANCHORS = 256, 128  # in all, and objects among them at most
BOXES_PER_FRAME, OBJECT_BOXES = 64, 16
SMOOTH = 1 / 9  # where the smooth L1 loss of boxes turns linear; torchvision's


class Instances(NamedTuple):
    """What is to be found in a frame: at least one.

    ``boxes`` is float32 (N, 4), ``classes`` int64 (N,); ``numbers`` int64 (H, W) tells which instance a pixel is of,
    and is -1 where it is of none.
    """

    boxes: Tensor
    classes: Tensor
    numbers: Tensor


def train_detector(net: MaskRCNN, scenes: Scenes, schedule: Schedule) -> int:
    """Fit the net as ``scene_training.train`` does, to the instances of the scenes; see there."""
    return train(net, scenes, schedule, loss_of=detection_loss)


def detection_loss(net: MaskRCNN, images: Tensor, labels: Tensor) -> Tensor:
    """The sum of the five losses: two of proposals, two of boxes, one of masks.

    Args:
        net: in training mode.
        images: float32 (N, channels, H, W).
        labels: int64 (N, H, W), class ids; 0 is background.
    """
    image_hw = (images.shape[2], images.shape[3])
    maps = [one.float() for one in net.backbone(images)]
    losses = []
    for index, label in enumerate(labels):
        wanted, own = instances_of(label, net.classes), [one[index : index + 1] for one in maps]
        losses.append(_proposal_loss(net, own, wanted, image_hw) + _instance_loss(net, own, wanted, image_hw))
    return torch.stack(losses).mean()


def instances_of(label: Tensor, classes: int) -> Instances:
    """Every connected piece of every class but 0 that is large enough.

    Args:
        label: int64 (H, W).
        classes: with background.
    """
    numbers = torch.full_like(label, -1)
    boxes: list[tuple[int, int, int, int]] = []
    found: list[int] = []
    for one in range(1, classes):
        count, pieces, stats, _ = cv2.connectedComponentsWithStats((label == one).numpy().astype(np.uint8))
        for piece in range(1, count):
            left, top, width, height, area = (int(value) for value in stats[piece])
            if area >= SMALLEST_AREA:
                numbers[torch.from_numpy(pieces == piece)] = len(boxes)
                boxes.append((left, top, left + width, top + height))
                found.append(one)
    return Instances(torch.tensor(boxes, dtype=torch.float32), torch.tensor(found), numbers)


def shared(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of all pairs: (N, 4), (M, 4) -> (N, M)."""
    start = torch.maximum(boxes[:, None, :2], others[:, :2])
    end = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    common = (end - start).clamp(min=0).prod(-1)
    areas = [(one[:, 2:] - one[:, :2]).prod(-1) for one in (boxes, others)]
    return common / (areas[0][:, None] + areas[1] - common)


def encoded(targets: Tensor, boxes: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """The deltas that ``edgeseg.export.nets.detection.decoded`` makes ``targets`` of: (N, 4), (N, 4) -> (N, 4)."""
    sides, wanted = boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2]
    moved = (targets[:, :2] + targets[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2
    return torch.cat([moved / sides, (wanted / sides).log()], 1) * boxes.new_tensor(weights)


def mask_targets(wanted: Instances, chosen: Tensor, boxes: Tensor, cells: int) -> Tensor:
    """Where instance ``chosen[i]`` is inside ``boxes[i]``, at the centres of cells: float32 (N, cells, cells)."""
    steps = (torch.arange(cells) + 0.5) / cells
    places = boxes[:, :2, None] + (boxes[:, 2:] - boxes[:, :2])[..., None] * steps
    x, y = places.long().unbind(1)
    return (wanted.numbers[y[:, :, None], x[:, None, :]] == chosen[:, None, None]).float()


def _proposal_loss(net: MaskRCNN, maps: Sequence[Tensor], wanted: Instances, image_hw: tuple[int, int]) -> Tensor:
    base = torch.cat([anchors(side, one, image_hw) for one, side in zip(maps, ANCHOR_SIDES, strict=True)])
    made = [net.rpn.head(one) for one in maps]
    logits = torch.cat([one[0].permute(1, 2, 0).flatten() for one, _ in made]).float()
    deltas = torch.cat([one[0].permute(1, 2, 0).reshape(-1, 4) for _, one in made]).float()
    shares = shared(base, wanted.boxes)
    best, nearest = shares.max(1)
    is_object = (best >= ANCHOR_IS_OBJECT) | (shares == shares.amax(0)).any(1)
    objects, others = _drawn(is_object, (best < ANCHOR_IS_BACKGROUND) & ~is_object, OBJECT_ANCHORS, ANCHORS_PER_FRAME)
    chosen = torch.cat([objects, others])
    truth = (torch.arange(len(chosen)) < len(objects)).float()
    goal = encoded(wanted.boxes[nearest[objects]], base[objects], PROPOSAL_CODING)
    boxes = functional.smooth_l1_loss(deltas[objects], goal, beta=SMOOTH, reduction="sum") / len(chosen)
    return functional.binary_cross_entropy_with_logits(logits[chosen], truth) + boxes


def _instance_loss(net: MaskRCNN, maps: Sequence[Tensor], wanted: Instances, image_hw: tuple[int, int]) -> Tensor:
    with torch.no_grad():
        proposals, counts = net.rpn(maps, image_hw)
    boxes = torch.cat([proposals[counts], wanted.boxes])
    best, nearest = shared(boxes, wanted.boxes).max(1)
    objects, others = _drawn(best >= BOX_IS_OBJECT, best < BOX_IS_OBJECT, OBJECT_BOXES, BOXES_PER_FRAME)
    atlas = joined(maps[:-1])
    found = nearest[objects]
    of_boxes = _box_loss(net, atlas, wanted, found, boxes[torch.cat([objects, others])])
    return of_boxes + _mask_loss(net, atlas, wanted, found, boxes[objects])


def _box_loss(net: MaskRCNN, atlas: Atlas, wanted: Instances, found: Tensor, boxes: Tensor) -> Tensor:
    """Of the class of all boxes, and of the place of the first ones, which hold the instances ``found``."""
    heads = net.roi_heads
    logits, deltas = heads.box_predictor(heads.box_head(roi_align(atlas, boxes, BOX_BINS)))
    truth = torch.zeros(len(boxes), dtype=torch.long)
    truth[: len(found)] = wanted.classes[found]
    own = deltas.float().unflatten(1, (net.classes, 4))[torch.arange(len(found)), truth[: len(found)]]
    goal = encoded(wanted.boxes[found], boxes[: len(found)], DETECTION_CODING)
    place = functional.smooth_l1_loss(own, goal, beta=SMOOTH, reduction="sum") / len(boxes)
    return functional.cross_entropy(logits.float(), truth) + place


def _mask_loss(net: MaskRCNN, atlas: Atlas, wanted: Instances, found: Tensor, boxes: Tensor) -> Tensor:
    heads = net.roi_heads
    logits = heads.mask_predictor(heads.mask_head(roi_align(atlas, boxes, MASK_BINS)))
    own = logits.float()[torch.arange(len(found)), wanted.classes[found]]
    return functional.binary_cross_entropy_with_logits(own, mask_targets(wanted, found, boxes, own.shape[-1]))


def _drawn(is_object: Tensor, is_background: Tensor, most_objects: int, count: int) -> tuple[Tensor, Tensor]:
    """Places of ``count`` boxes at random: objects, and background as the rest."""
    objects = _some(is_object, most_objects)
    return objects, _some(is_background, count - len(objects))


def _some(is_candidate: Tensor, count: int) -> Tensor:
    places = is_candidate.nonzero().flatten()
    return places[torch.randperm(len(places))[:count]]
