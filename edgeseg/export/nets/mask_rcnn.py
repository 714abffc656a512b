"""Own Mask R-CNN as a net with one semantic mask. He, Gkioxari, Dollár, Girshick: Mask R-CNN (2017)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgeseg.errors import ModelError
from edgeseg.export.nets.base import SegmentationNet, check_arguments, scaled
from edgeseg.export.nets.detection import (
    ASPECTS,
    anchors,
    clipped,
    decoded,
    is_large,
    overlapping,
    suppressed,
)
from edgeseg.export.nets.detection_heads import BOX_BINS, BoxHead, BoxPredictor, MaskPredictor, ProposalHead
from edgeseg.export.nets.fpn import PyramidBackbone
from edgeseg.export.nets.layers import conv_relu, enlarged
from edgeseg.export.nets.roi import Atlas, class_scores, joined, pasted, roi_align

__all__ = ["Limits", "MaskRCNN", "mask_rcnn"]

PYRAMID, HIDDEN = 256, 1024
ANCHOR_SIDES = (32, 64, 128, 256, 512)  # of P2 to P6
MASK_BINS = 14
PROPOSAL_CODING, DETECTION_CODING = (1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)
PROPOSAL_OVERLAP, DETECTION_OVERLAP = 0.7, 0.5
SMALLEST_PROPOSAL, SMALLEST_DETECTION = 1e-3, 1e-2
STRIDE = 4  # of the mask
#: keys of the published file, which is older than torchvision's present names
OLD_KEYS = (
    (r"(backbone\.fpn\.\w+_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"(rpn\.head\.conv)\.(weight|bias)", r"\1.0.0.\2"),
    *((rf"(roi_heads\.mask_head)\.mask_fcn{layer + 1}\.", rf"\1.{layer}.0.") for layer in range(4)),
)


class Limits(NamedTuple):
    """How many boxes there are, see ``mask_rcnn``: shapes are fixed, so that weak boxes are masked and not left out."""

    level_proposals: int
    proposals: int
    candidates: int
    detections: int
    rounds: int
    score: float


class Found(NamedTuple):
    """Detections by falling score, (N, 4), (N,) and (N,); those with the score 0 do not count."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor


class Proposals(nn.Module):
    """The region proposal network: from the maps to boxes that may hold an object."""

    def __init__(self, channels: int, limits: Limits) -> None:
        super().__init__()
        self.head = ProposalHead(channels)
        self.limits = limits

    def forward(self, maps: Sequence[Tensor], image_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (N, 4) by falling score, and which of them count, bool (N,), of one image's maps (1, C, H, W)."""
        levels = [self._of_level(one, side, image_hw) for one, side in zip(maps, ANCHOR_SIDES, strict=True)]
        boxes, scores = (torch.stack(padded(one)) for one in zip(*levels, strict=True))
        counts = is_large(boxes, SMALLEST_PROPOSAL)
        rivals = overlapping(boxes, PROPOSAL_OVERLAP) & counts[..., None, :] & counts[..., None]
        stays = suppressed(rivals, self.limits.rounds) & counts
        ranked = torch.where(stays, scores, -torch.ones_like(scores)).flatten()
        best, chosen = ranked.topk(min(self.limits.proposals, len(ranked)))
        return boxes.flatten(0, 1).index_select(0, chosen), best >= 0

    def _of_level(self, features: Tensor, side: int, image_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        logits, deltas = self.head(features)
        ranked = logits[0].permute(1, 2, 0).flatten()
        best, chosen = ranked.topk(min(self.limits.level_proposals, len(ranked)))
        coded = deltas[0].unflatten(0, (len(ASPECTS), 4)).permute(2, 3, 0, 1).reshape(-1, 4).index_select(0, chosen)
        base = anchors(side, features, image_hw).index_select(0, chosen)
        return clipped(decoded(coded, base, PROPOSAL_CODING), image_hw), best.sigmoid()


class RoiHeads(nn.Module):
    """From proposals to detections, and from detections to masks."""

    def __init__(self, channels: int, hidden: int, classes: int, limits: Limits) -> None:
        super().__init__()
        self.box_head = BoxHead(channels, hidden)
        self.box_predictor = BoxPredictor(hidden, classes)
        self.mask_head = nn.Sequential(*(nn.Sequential(*conv_relu(channels, channels)) for _ in range(4)))
        self.mask_predictor = MaskPredictor(channels, classes)
        self.limits = limits

    def detections(self, atlas: Atlas, proposals: Tensor, counts: Tensor, image_hw: tuple[int, int]) -> Found:
        """The best boxes of all classes but background, suppressed class by class."""
        logits, deltas = self.box_predictor(self.box_head(roi_align(atlas, proposals, BOX_BINS)))
        classes = logits.shape[1]
        coded = deltas.unflatten(1, (classes, 4))[:, 1:]
        boxes = clipped(decoded(coded, proposals[:, None], DETECTION_CODING), image_hw)
        scores = (logits.softmax(1) * counts[:, None])[:, 1:]
        scores = torch.where((scores > self.limits.score) & is_large(boxes, SMALLEST_DETECTION), scores, 0)
        labels = torch.arange(1, classes, device=scores.device).expand_as(scores)
        best, chosen = scores.flatten().topk(min(self.limits.candidates, scores.numel()))
        found = Found(boxes.flatten(0, 1).index_select(0, chosen), labels.flatten().index_select(0, chosen), best)
        return self._suppressed(found)

    def _suppressed(self, found: Found) -> Found:
        rivals = overlapping(found.boxes, DETECTION_OVERLAP) & (found.labels[:, None] == found.labels)
        stays = suppressed(rivals & (found.scores > 0), self.limits.rounds)
        scores = torch.where(stays, found.scores, 0)
        best, chosen = scores.topk(min(self.limits.detections, len(scores)))
        return Found(found.boxes.index_select(0, chosen), found.labels.index_select(0, chosen), best)

    def masks(self, atlas: Atlas, found: Found) -> Tensor:
        """The probability of every detection's own class, float32 (N, 28, 28)."""
        logits = self.mask_predictor(self.mask_head(roi_align(atlas, found.boxes, MASK_BINS)))
        count, classes = logits.shape[:2]
        own = torch.arange(count, device=logits.device) * classes + found.labels
        masks: Tensor = logits.flatten(0, 1).index_select(0, own).sigmoid()
        return masks


class MaskRCNN(SegmentationNet):
    """See ``mask_rcnn``."""

    step = 32
    smallest = 64

    def __init__(self, classes: int, in_channels: int, width: float, norm_eps: float, limits: Limits) -> None:
        check_arguments(num_classes=classes, in_channels=in_channels, width=width)
        if classes < 2:
            raise ModelError("num_classes is 1", "background counts: 2 and more tell objects from it")
        if min(limits[:-1]) < 1:
            raise ModelError(f"a number of boxes or rounds is {min(limits[:-1])}", "all are 1 at least")
        super().__init__()
        channels = scaled(PYRAMID, width)
        self.classes = classes
        self.backbone = PyramidBackbone(in_channels=in_channels, width=width, channels=channels, norm_eps=norm_eps)
        self.rpn = Proposals(channels, limits)
        self.roi_heads = RoiHeads(channels, scaled(HIDDEN, width), classes, limits)
        self.register_load_state_dict_pre_hook(_renamed)  # type: ignore[no-untyped-call]

    def scores(self, image: Tensor) -> Tensor:
        """Class scores at the image's size.

        Raises:
            ModelError: in training mode; its losses are those of boxes and instances.
        """
        if self.training:
            raise ModelError(
                "mask-rcnn does not train here", "train torchvision's maskrcnn_resnet50_fpn, load its weights"
            )
        maps = self.backbone(image)
        scores = [self._scores_of_one([one[index : index + 1] for one in maps], image) for index in range(len(image))]
        return enlarged(torch.cat(scores), image)

    def _scores_of_one(self, maps: Sequence[Tensor], image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        atlas = joined(maps[:-1])
        proposals, counts = self.rpn(maps, (height, width))
        found = self.roi_heads.detections(atlas, proposals, counts, (height, width))
        masks = pasted(self.roi_heads.masks(atlas, found), found.boxes, (height // STRIDE, width // STRIDE), STRIDE)
        margins = torch.where(found.scores[:, None, None] > 0, (masks - 0.5) * found.scores[:, None, None], -1)
        return class_scores(margins, found.labels, self.classes)


def padded(one: Sequence[Tensor]) -> list[Tensor]:
    """Zeros behind the shorter ones."""
    longest = max(map(len, one))
    return [torch.cat([tensor, tensor.new_zeros(longest - len(tensor), *tensor.shape[1:])]) for tensor in one]


def _renamed(_module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object) -> None:
    """Give old keys of a state dict their present names; in place."""
    for key in list(state_dict):
        for pattern, name in OLD_KEYS:
            new = re.sub(f"^{re.escape(prefix)}{pattern}", prefix + name, key)
            if new != key:
                state_dict[new] = state_dict.pop(key)


def mask_rcnn(
    num_classes: int = 91,
    in_channels: int = 3,
    width: float = 1.0,
    *,
    level_proposals: int = 1000,
    proposals: int = 300,
    candidates: int = 300,
    detections: int = 50,
    rounds: int = 20,
    score: float = 0.5,
    norm_eps: float = 1e-5,
) -> MaskRCNN:
    """Mask R-CNN on ResNet-50 with a feature pyramid, whose instances become one semantic mask.

    All shapes are fixed, and suppression, RoIAlign and pasting are in the graph. Stages of a 1x3x800x1088 image at
    width 1 (float32), with the names and so the weights of torchvision's ``maskrcnn_resnet50_fpn``:

        backbone.body         1 x  256 x 200 x 272   ResNet-50, its four layers at strides 4 to 32,
                              1 x 2048 x  25 x  34   the last
        backbone.fpn          1 x  256 x 200 x 272   P2, the finest of five maps
                              1 x  256 x  13 x  17   P6, the coarsest
        rpn.head              1 x    3 x 200 x 272   object or not, of three anchors a pixel; and the maps below
                              1 x   12 x 200 x 272   their deltas
        rpn                 300 x    4               of the best 1000 a level those that suppression leaves
        roi_heads.box_head  300 x 1024               behind 7x7 bins of every proposal, two fully connected layers
          .box_predictor    300 x   91               class scores, and as many boxes
        (suppression)        50 x    4               class by class
        roi_heads.mask_head  50 x  256 x  14 x  14   behind 14x14 bins of every detection, four 3x3 convolutions
          .mask_predictor    50 x   91 x  28 x  28   deconvolution x2, 1x1 convolution to a mask a class
        (pasting)            50 x  200 x 272         the own class' mask in its box, at a quarter of the image's size
        scores                1 x   91 x 200 x 272   enlarged bilinearly to the image

    A pixel has the class of the instance with the largest (probability - 1/2) * score, background where that is not
    positive. Suppression is exact where no chain of boxes that suppress each other is longer than ``rounds``: on
    photographs, with 1000 boxes a level, 13 were enough (see ``detection.suppressed``). Weights are torchvision's to
    train: in training mode ``forward`` raises ModelError.

    Args:
        num_classes: 2 to 255, background, class 0 of the mask, counted.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
        level_proposals: best anchors of a level that suppression looks at; torchvision's number.
        proposals: of all levels together; torchvision takes 1000.
        candidates: best pairs of a proposal and a class that the second suppression looks at. Above a ``score`` of 1/2
            a proposal has one class at most, so that as many as proposals are all.
        detections: instances at most; torchvision takes 100. Its two numbers cost a quarter more time on a CPU: 5.7 s
            instead of 4.5 s at 800x1088 (two cores, OpenVINO 2026.4, float32, best of 5).
        rounds: of both suppressions.
        score: instances below this probability do not count; torchvision's 0.05 would paint every guess.
        norm_eps: of BatchNorm. 1e-5 is that of nets trained today; torchvision's published file was trained with 0.
    Raises:
        ModelError: an argument is out of its range.
    """
    limits = Limits(level_proposals, proposals, candidates, detections, rounds, score)
    return MaskRCNN(num_classes, in_channels, width, norm_eps, limits)
