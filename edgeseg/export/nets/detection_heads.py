"""Own the layers of Mask R-CNN's heads, with torchvision's names. Own no box arithmetic, no choice of boxes.

He et al.: Mask R-CNN (2017), section 3 and figure 4, right.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.export.nets.detection import ASPECTS
from edgeseg.export.nets.layers import conv_relu

__all__ = ["BOX_BINS", "BoxHead", "BoxPredictor", "MaskPredictor", "ProposalHead"]

BOX_BINS = 7


class ProposalHead(nn.Module):
    """Is there an object, and where, for every anchor of a map: (N, C, H, W) -> (N, 3, H, W) and (N, 12, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Sequential(*conv_relu(channels, channels)))
        self.cls_logits = nn.Conv2d(channels, len(ASPECTS), 1)
        self.bbox_pred = nn.Conv2d(channels, len(ASPECTS) * 4, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and deltas."""
        hidden = self.conv(features)
        return self.cls_logits(hidden), self.bbox_pred(hidden)


class BoxHead(nn.Module):
    """Two fully connected layers: (N, C, 7, 7) -> (N, hidden)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(channels * BOX_BINS**2, hidden)
        self.fc7 = nn.Linear(hidden, hidden)

    def forward(self, features: Tensor) -> Tensor:
        """Hidden features."""
        return torch.relu(self.fc7(torch.relu(self.fc6(features.flatten(1)))))


class BoxPredictor(nn.Module):
    """What is in a box, and where it really is, for every class: (N, hidden) -> (N, classes) and (N, classes * 4)."""

    def __init__(self, hidden: int, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(hidden, classes)
        self.bbox_pred = nn.Linear(hidden, classes * 4)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and deltas."""
        return self.cls_score(hidden), self.bbox_pred(hidden)


class MaskPredictor(nn.Module):
    """A mask a class: (N, C, 14, 14) -> (N, classes, 28, 28)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv5_mask = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.mask_fcn_logits = nn.Conv2d(channels, classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.mask_fcn_logits(torch.relu(self.conv5_mask(features)))
        return logits
