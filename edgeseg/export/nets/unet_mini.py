"""Own the mini U-Net: three stages of Ronneberger, Fischer, Brox: U-Net (2015), as image-segmentation-keras' unet_mini.

https://github.com/divamgupta/image-segmentation-keras
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeseg.export.nets.base import SegmentationNet, check_arguments, scaled
from edgeseg.export.nets.layers import conv_relu, he_initialised

__all__ = ["UNetMini", "unet_mini"]

CHANNELS = (32, 64, 128)
DROPOUT = 0.2


class UNetMini(SegmentationNet):
    """See ``unet_mini``."""

    step = 4

    def __init__(self, num_classes: int, in_channels: int, width: float) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__()
        fine, middle, coarse = (scaled(one, width) for one in CHANNELS)
        self.downs = nn.ModuleList([_stage(in_channels, fine), _stage(fine, middle), _stage(middle, coarse)])
        self.pool = nn.MaxPool2d(2)
        self.ups = nn.ModuleList([_stage(coarse + middle, middle), _stage(middle + fine, fine)])
        self.head = nn.Conv2d(fine, num_classes, 1)
        he_initialised(self)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size."""
        *skips, x = self._encoded(image)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            doubled = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = up(torch.cat([doubled, skip], 1))
        logits: Tensor = self.head(x)
        return logits

    def _encoded(self, image: Tensor) -> Iterator[Tensor]:
        for index, down in enumerate(self.downs):
            image = down(self.pool(image) if index else image)
            yield image


def unet_mini(num_classes: int = 21, in_channels: int = 3, width: float = 1.0) -> UNetMini:
    """U-Net of three stages and half the channels, which ends as logits.

    Stages of a 1x3x224x224 image at width 1 (NCHW, float32), each of two 3x3 convolutions with ReLU and dropout 0.2
    between them:

        downs.0    1 x  32 x 224 x 224
        downs.1    1 x  64 x 112 x 112   behind 2x2 maximum pooling, as the next
        downs.2    1 x 128 x  56 x  56
        ups.0      1 x  64 x 112 x 112   nearest x2, joined with downs.1
        ups.1      1 x  32 x 224 x 224   nearest x2, joined with downs.0
        head       1 x   C x 224 x 224   1x1 convolution

    Args:
        num_classes: 1 to 255; 1 gives one score, above 0 where the object is and not the background.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
    Raises:
        ModelError: an argument is out of its range.
    """
    return UNetMini(num_classes, in_channels, width)


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*conv_relu(inputs, outputs), nn.Dropout(DROPOUT), *conv_relu(outputs, outputs))
