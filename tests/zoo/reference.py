"""Own what PyTorch says: inputs, logits and masks. Know no engine."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["mask_of", "pixels_of", "scores_of"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Frame = NDArray[np.uint8]


def pixels_of(frame_bgr: Frame) -> Tensor:
    """As every net here was made for: float32 RGB (1, 3, H, W), ImageNet's mean and deviation taken off."""
    rgb = frame_bgr[..., ::-1].astype(np.float32) / 255
    scaled = (rgb - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]


def scores_of(net: nn.Module, image: Tensor) -> Tensor:
    """float32 (classes, H, W) at the size of ``image``, enlarged as the packages' own post-processing does."""
    with torch.no_grad():
        made = net(image)
        logits = made if isinstance(made, Tensor) else made["out" if "out" in made else "logits"]
        return nn.functional.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)[0]


def mask_of(scores: Tensor) -> NDArray[np.uint8]:
    """The best class of every pixel."""
    return scores.argmax(0).numpy().astype(np.uint8)
