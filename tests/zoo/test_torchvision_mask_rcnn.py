"""Mask R-CNN against torchvision's own with the same weights: maps, detections, masks, their places."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from net_lab import photographs
from reference import pixels_of
from torch import Tensor, nn
from vision import torchvision  # before what imports it too

from edgeseg.export.nets.mask_rcnn import mask_rcnn
from edgeseg.export.nets.roi import joined, pasted
from edgeseg.export.nets.settling import settle

SIZE_HW = (192, 256)
CLASSES = 7
SCORE = 0.5
LIMITS = {"level_proposals": 200, "proposals": 150, "detections": 100}
NAMES = {"level_proposals": "rpn_pre_nms_top_n_test", "proposals": "rpn_post_nms_top_n_test"}
ROUNDS = 60  # more than any chain of rivals here
TOLERANCE = 1e-3  # of pixels and of probabilities: float32 through fifty layers
SAME_INSIDE = 0.95  # of the pixels of masks: torchvision rounds boxes to whole pixels before it pastes


@pytest.fixture(scope="module", autouse=True)
def without_compiled_operators() -> Iterator[None]:
    """Suppression by a loop, and RoIAlign as torchvision itself writes it down in Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["torchvision.ops.boxes"], "nms", greedy)
        patch.setattr(sys.modules["torchvision.ops.poolers"], "roi_align", roi_align)
        yield


@pytest.fixture(scope="module")
def nets() -> tuple[nn.Module, Any]:
    """torchvision's and edgeseg's, weights that detect something, the same in both."""
    torch.manual_seed(1)
    arguments = {NAMES[name]: LIMITS[name] for name in NAMES}
    theirs = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES,
        min_size=SIZE_HW[0],
        max_size=SIZE_HW[1],
        image_mean=[0.0] * 3,  # the pixels are ready
        image_std=[1.0] * 3,
        box_score_thresh=SCORE,
        box_detections_per_img=LIMITS["detections"],
        **arguments,
    )
    settle(theirs, torch.cat([pixels_of(frame) for frame in photographs(SIZE_HW)[:2]]), classes=CLASSES)
    ours = mask_rcnn(CLASSES, **LIMITS, candidates=900, rounds=ROUNDS, score=SCORE)
    ours.load_state_dict(theirs.state_dict())
    return theirs.eval(), ours.eval()


def test_backbone_and_pyramid_give_torchvision_s_maps(nets: tuple[nn.Module, Any]) -> None:
    theirs, ours = nets
    with torch.no_grad():
        expected = list(theirs.backbone(image()).values())
        found = ours.backbone(image())
    assert len(found) == len(expected) == 5
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=TOLERANCE * float(other.abs().max()))


def test_boxes_labels_scores_and_masks_are_torchvision_s(nets: tuple[nn.Module, Any]) -> None:
    theirs, ours = nets
    made: list[Tensor] = []
    hook = theirs.roi_heads.mask_predictor.register_forward_hook(lambda _, __, masks: made.append(masks))
    with torch.no_grad(), hook:
        expected = theirs([image()[0]])[0]
        found, masks = detections(ours)
    count = len(expected["scores"])
    assert 5 < count < LIMITS["detections"]
    assert len(expected["labels"].unique()) >= 3
    assert [bool(score > 0) for score in found.scores] == [index < count for index in range(len(found.scores))]
    assert found.labels[:count].tolist() == expected["labels"].tolist()
    assert torch.allclose(found.scores[:count], expected["scores"], atol=TOLERANCE)
    assert torch.allclose(found.boxes[:count], expected["boxes"], atol=SIZE_HW[1] * TOLERANCE)
    own = torch.stack([one[label] for one, label in zip(made[0].sigmoid(), expected["labels"], strict=True)])
    assert torch.allclose(masks[:count], own, atol=TOLERANCE)


def test_masks_are_pasted_where_torchvision_pastes_them() -> None:
    steps = (torch.arange(28) + 0.5) / 14 - 1
    disc = (1.5 - (steps[:, None] ** 2 + steps**2).sqrt()).clamp(0, 1)  # above 1/2 within the box's ellipse
    corners = torch.rand(30, 2, generator=torch.Generator().manual_seed(2)) * 150
    sides = 20 + torch.rand(30, 2, generator=torch.Generator().manual_seed(3)) * 100
    boxes = torch.cat([corners, corners + sides], 1)
    discs = disc.expand(30, 28, 28)
    paste = torchvision.models.detection.roi_heads.paste_masks_in_image
    expected = paste(discs[:, None], boxes, SIZE_HW)[:, 0] > 0.5
    found = pasted(discs, boxes, SIZE_HW, 1) > 0.5
    assert (found & expected).sum() / (found | expected).sum() >= SAME_INSIDE


def detections(net: Any) -> tuple[Any, Tensor]:
    """What edgeseg's net finds in the image, and the masks of it all."""
    maps = net.backbone(image())
    atlas = joined(maps[:-1])
    found = net.roi_heads.detections(atlas, *net.rpn(maps, SIZE_HW), SIZE_HW)
    return found, net.roi_heads.masks(atlas, found)


def image() -> Tensor:
    """A photograph of a size that no net enlarges or reduces."""
    return pixels_of(photographs(SIZE_HW)[0])


def greedy(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Non-maximum suppression, box after box: the indices of those that stay, by falling score."""
    order, kept = scores.argsort(descending=True, stable=True).tolist(), list[int]()
    overlaps = torchvision.ops.box_iou(boxes, boxes)
    for index in order:
        if not kept or float(overlaps[index, kept].max()) <= threshold:
            kept.append(index)
    return torch.tensor(kept, dtype=torch.int64)


def roi_align(features: Tensor, rois: Tensor, **arguments: Any) -> Tensor:
    """torchvision's ``roi_align`` without its compiled operator."""
    side, _ = arguments["output_size"]
    module = sys.modules["torchvision.ops.roi_align"]
    made: Tensor = module._roi_align.__wrapped__(  # which torch would compile
        features, rois, arguments["spatial_scale"], side, side, arguments["sampling_ratio"], False
    )
    return made
