"""Own PSPNet. Zhao, Shi, Qi, Wang, Jia: Pyramid Scene Parsing Network (2017)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeseg.export.nets.base import SegmentationNet, check_arguments, check_choice, scaled
from edgeseg.export.nets.layers import ConvNormReLU
from edgeseg.export.nets.resnet import BLOCKS, ResNet, ResNetName

__all__ = ["PSPNet", "PyramidPooling", "pspnet"]

BINS = (1, 2, 3, 6)
HEAD_CHANNELS = 512
AUXILIARY_CHANNELS = 256
DROPOUT = 0.1
OUTPUT_STRIDE: Literal[8] = 8


class PyramidPooling(nn.Module):
    """Means over grids of 1, 4, 9 and 36 cells, joined behind their map: (N, c, H, W) -> (N, 2c, H, W).

    Every grid's means pass a 1x1 convolution to a quarter of the channels, BatchNorm and ReLU, and are enlarged to the
    map's size.
    """

    def __init__(self, inputs: int, *, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), ConvNormReLU(inputs, inputs // len(BINS), 1)) for bins in BINS
        )

    def forward(self, x: Tensor) -> Tensor:
        """The map and its means."""
        means = [_enlarged(level(x), x, align_corners=self.align_corners) for level in self.levels]
        return torch.cat([x, *means], 1)


class PSPNet(SegmentationNet):
    """See ``pspnet``."""

    smallest = (max(BINS) - 1) * OUTPUT_STRIDE + 1  # smaller maps have fewer rows than the finest grid

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        width: float,
        *,
        backbone: ResNetName,
        deep_stem: bool,
        align_corners: bool,
    ) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        check_choice("backbone", backbone, BLOCKS)
        super().__init__()
        self.align_corners = align_corners
        self.backbone = ResNet(
            backbone,
            in_channels=in_channels,
            width=width,
            output_stride=OUTPUT_STRIDE,
            multi_grid=(1, 1, 1),  # the first block of a dilated layer dilates as the others do
            deep_stem=deep_stem,
        )
        channels = self.backbone.channels
        self.pyramid = PyramidPooling(channels[3], align_corners=align_corners)
        self.head = _head(2 * channels[3], scaled(HEAD_CHANNELS, width), num_classes)
        self.auxiliary = _head(channels[2], scaled(AUXILIARY_CHANNELS, width), num_classes)

    def scores(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits at the image's size; in training mode also the auxiliary head's."""
        *_, third, last = self.backbone(image)
        logits = _enlarged(self.head(self.pyramid(last)), image, align_corners=self.align_corners)
        if not self.training:
            return logits
        return logits, _enlarged(self.auxiliary(third), image, align_corners=self.align_corners)


def pspnet(
    num_classes: int = 150,
    in_channels: int = 3,
    width: float = 1.0,
    backbone: ResNetName = "resnet50",
    deep_stem: bool = True,
    align_corners: bool = True,
) -> PSPNet:
    """PSPNet for ADE20K: a dilated ResNet, means over the picture's regions, and an auxiliary head for training.

    Stages of a 1x3x473x473 image at width 1 (NCHW, float32):

        backbone.conv1    1 x  128 x 237 x 237   three 3x3 convolutions, the first of stride 2; 64 channels without
                                                 ``deep_stem``
        backbone.layer1   1 x  256 x 119 x 119   behind 3x3 maximum pooling of stride 2
        backbone.layer2   1 x  512 x  60 x  60
        backbone.layer3   1 x 1024 x  60 x  60   dilation 2
        backbone.layer4   1 x 2048 x  60 x  60   dilation 4
        pyramid           1 x 4096 x  60 x  60   the map, and means over 1x1, 2x2, 3x3 and 6x6 cells, 512 channels each
        head              1 x    C x  60 x  60   3x3 convolution to 512, dropout 0.1, 1x1 to the classes
        enlarged          1 x    C x 473 x 473   bilinear

        auxiliary         1 x    C x  60 x  60   of layer3: 3x3 to 256, dropout 0.1, 1x1; enlarged likewise

    In training mode the net gives its own and the auxiliary logits, whose loss the paper weighs 0.4. Evaluation does
    not compute them, so that nothing of that head is exported.

    Args:
        num_classes: 1 to 255; ADE20K has 150.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
        backbone: ``resnet50`` or ``resnet101``, as published, or ``resnet152``.
        deep_stem: three 3x3 convolutions at the start, as published. False is the 7x7 convolution that torchvision's
            weights have.
        align_corners: maps are enlarged from corner to corner, as published. That is exact where height and width are
            a multiple of 8 plus 1, such as 473; at other sizes scores drift by up to 7 pixels towards the lower right.
            False, as in most later implementations, shifts them by 3.5 pixels at most.
    Raises:
        ModelError: an argument is out of its range.
    """
    return PSPNet(num_classes, in_channels, width, backbone=backbone, deep_stem=deep_stem, align_corners=align_corners)


def _head(inputs: int, inner: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(ConvNormReLU(inputs, inner), nn.Dropout2d(DROPOUT), nn.Conv2d(inner, num_classes, 1))


def _enlarged(x: Tensor, image: Tensor, *, align_corners: bool) -> Tensor:
    return functional.interpolate(x, size=image.shape[2:], mode="bilinear", align_corners=align_corners)
