"""Own DeepLab V3+. Chen et al., Encoder-Decoder with Atrous Separable Convolution for Segmentation (2018)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from edgeseg.export.nets.base import SegmentationNet, check_arguments, check_choice, scaled
from edgeseg.export.nets.deeplab_v3 import Aspp, OutputStride, trunk
from edgeseg.export.nets.layers import ConvNormReLU, enlarged
from edgeseg.export.nets.mobilenet_v2 import MobileNetV2
from edgeseg.export.nets.resnet import ResNet

__all__ = ["Backbone", "Decoder", "DeepLabV3Plus", "deeplab_v3_plus"]

Backbone = Literal["resnet50", "resnet101", "mobilenet_v2"]
BACKBONES: tuple[Backbone, ...] = ("resnet50", "resnet101", "mobilenet_v2")
MULTI_GRID = (1, 2, 4)
CHANNELS = 256
LOW_LEVEL = 48


class Decoder(nn.Module):
    """Narrow the fine map, join the coarse one enlarged, convolve twice: (N, l, H, W) + (N, c, h, w) -> (N, c, H, W).

    Args:
        fine: channels of the fine map.
        narrowed: what they are reduced to.
        channels: of the coarse map and of the result.
    """

    def __init__(self, fine: int, narrowed: int, channels: int) -> None:
        super().__init__()
        self.narrow = ConvNormReLU(fine, narrowed, 1)
        self.convs = nn.Sequential(ConvNormReLU(narrowed + channels, channels), ConvNormReLU(channels, channels))

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """The joined map, at the fine map's size."""
        joined: Tensor = self.convs(torch.cat([self.narrow(fine), enlarged(coarse, fine)], 1))
        return joined


class DeepLabV3Plus(SegmentationNet):
    """See ``deeplab_v3_plus``."""

    def __init__(
        self, num_classes: int, in_channels: int, width: float, *, backbone: Backbone, output_stride: OutputStride
    ) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__()
        self.backbone = _backbone(backbone, in_channels, width, output_stride)
        fine, *_, coarse = self.backbone.channels
        inner = scaled(CHANNELS, width)
        self.aspp = Aspp(coarse, inner, output_stride)
        self.decoder = Decoder(fine, scaled(LOW_LEVEL, width), inner)
        self.classifier = nn.Conv2d(inner, num_classes, 1)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size."""
        fine, *_, coarse = self.backbone(image)
        return enlarged(self.classifier(self.decoder(fine, self.aspp(coarse))), image)


def _backbone(name: Backbone, in_channels: int, width: float, output_stride: OutputStride) -> ResNet | MobileNetV2:
    check_choice("backbone", name, BACKBONES)
    check_choice("output_stride", output_stride, (8, 16))
    if name == "mobilenet_v2":
        return MobileNetV2(in_channels=in_channels, width=width, output_stride=output_stride)
    return trunk(name, in_channels, width, output_stride, MULTI_GRID)


def deeplab_v3_plus(
    num_classes: int = 21,
    in_channels: int = 3,
    width: float = 1.0,
    backbone: Backbone = "resnet101",
    output_stride: OutputStride = 16,
) -> DeepLabV3Plus:
    """DeepLab V3+: DeepLab V3 as an encoder, and a decoder that adds fine features.

    Stages of a 1x3x513x513 image at width 1 and output stride 16 (NCHW, float32):

        backbone.layer1   1 x  256 x 129 x 129   the fine map; up to it and to layer4 as ``deeplab_v3``
        backbone.layer4   1 x 2048 x  33 x  33   dilations 2, 4, 8 in its three blocks
        aspp              1 x  256 x  33 x  33   1x1 convolution, 3x3 of dilations 6, 12, 18, image-level features;
                                                 joined, 1x1 convolution, dropout 0.5
        decoder.narrow    1 x   48 x 129 x 129   1x1 convolution of the fine map
        decoder.convs.0   1 x  256 x 129 x 129   joined with the encoder's, bilinearly enlarged; 3x3 convolution
        decoder.convs.1   1 x  256 x 129 x 129   3x3 convolution
        classifier        1 x    C x 129 x 129   1x1 convolution
        enlarged          1 x    C x 513 x 513   bilinear

    With mobilenet_v2 (its paper's section 6.3):

        backbone.features.3    1 x   24 x 129 x 129   the fine map
        backbone.features.17   1 x  320 x  33 x  33   dilation 2 behind features.14; the last block

    At output stride 8 the maps of 33 x 33 are 65 x 65, and the dilations double. The convolutions are whole, as the
    paper's are with ResNet-101 (tables 1 to 3); with Xception it separates them.

    Args:
        num_classes: 1 to 255.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
        backbone: resnet101, resnet50 or mobilenet_v2.
        output_stride: 16 or 8.
    Raises:
        ModelError: an argument is out of its range.
    """
    return DeepLabV3Plus(num_classes, in_channels, width, backbone=backbone, output_stride=output_stride)
