"""Own DeepLab V3. Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation (2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from edgeseg.errors import ModelError
from edgeseg.export.nets.base import SegmentationNet, check_arguments, check_choice, scaled
from edgeseg.export.nets.layers import ConvNormReLU, enlarged
from edgeseg.export.nets.resnet import ResNet, residual_layer

__all__ = ["Aspp", "Backbone", "DeepLabV3", "DeepLabV3Cascade", "OutputStride", "deeplab_v3", "deeplab_v3_cascade"]

Backbone = Literal["resnet50", "resnet101"]
OutputStride = Literal[8, 16]
BACKBONES: tuple[Backbone, ...] = ("resnet50", "resnet101")
CHANNELS = 256
RATES = (6, 12, 18)
DROPOUT, AUXILIARY_DROPOUT = 0.5, 0.1
PLANES = 512  # of ResNet's last layer


class ImageFeatures(nn.Sequential):
    """The mean over the image, 1x1 convolution, everywhere the same: (N, in, H, W) -> (N, out, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *ConvNormReLU(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """One vector an image, at the size of ``x``."""
        made = x
        for layer in self:
            made = layer(made)
        return made.expand(-1, -1, x.shape[2], x.shape[3])


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling with image-level features: (N, in, H, W) -> (N, out, H, W).

    The names within are torchvision's.

    Args:
        rates: dilations of the 3x3 convolutions at output stride 16; at 8 they double (section 3.3).
    """

    def __init__(self, inputs: int, outputs: int, output_stride: int, rates: Sequence[int] = RATES) -> None:
        super().__init__()
        dilated = [ConvNormReLU(inputs, outputs, dilation=rate * 16 // output_stride) for rate in rates]
        branches = [ConvNormReLU(inputs, outputs, 1), *dilated, ImageFeatures(inputs, outputs)]
        self.convs = nn.ModuleList(branches)
        self.project = nn.Sequential(*ConvNormReLU(len(branches) * outputs, outputs, 1), nn.Dropout(DROPOUT))

    def forward(self, x: Tensor) -> Tensor:
        """Context of every scale, joined."""
        joined: Tensor = self.project(torch.cat([branch(x) for branch in self.convs], 1))
        return joined


class DeepLabV3(SegmentationNet):
    """See ``deeplab_v3``."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        width: float,
        *,
        backbone: Backbone,
        output_stride: OutputStride,
        multi_grid: Sequence[int] | None,
        extra_convolution: bool,
        auxiliary: bool,
    ) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__()
        self.backbone = trunk(backbone, in_channels, width, output_stride, multi_grid)
        channels, inner = self.backbone.channels, scaled(CHANNELS, width)
        self.classifier = nn.Sequential(
            Aspp(channels[3], inner, output_stride),
            *(ConvNormReLU(inner, inner) if extra_convolution else ()),
            nn.Conv2d(inner, num_classes, 1),
        )
        self.aux_classifier: nn.Module | None = None
        if auxiliary:
            self.aux_classifier = _auxiliary_head(channels[2], num_classes)

    def scores(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Logits at the image's size; in training behind them those of the auxiliary head, if there is one."""
        *_, third, last = self.backbone(image)
        logits = enlarged(self.classifier(last), image)
        if self.aux_classifier is None or not self.training:
            return logits
        return logits, enlarged(self.aux_classifier(third), image)


class DeepLabV3Cascade(SegmentationNet):
    """See ``deeplab_v3_cascade``."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        width: float,
        *,
        backbone: Backbone,
        output_stride: OutputStride,
        multi_grid: Sequence[int],
    ) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__()
        self.backbone = trunk(backbone, in_channels, width, output_stride, multi_grid)
        channels, planes = self.backbone.channels[3], scaled(PLANES, width)
        rates = [32 // output_stride * factor for factor in (2, 4, 8)]
        grids = [[rate * factor for factor in multi_grid or (1, 1, 1)] for rate in rates]
        self.blocks = nn.Sequential(*(residual_layer(channels, planes, stride=1, dilations=grid) for grid in grids))
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size."""
        return enlarged(self.classifier(self.blocks(self.backbone(image)[3])), image)


def trunk(
    name: Backbone, in_channels: int, width: float, output_stride: OutputStride, multi_grid: Sequence[int] | None
) -> ResNet:
    """DeepLab V3's ResNet.

    Raises:
        ModelError: it is none that DeepLab V3 has.
    """
    check_choice("backbone", name, BACKBONES)
    check_choice("output_stride", output_stride, (8, 16))
    if multi_grid and len(multi_grid) != 3:
        raise ModelError(f"multi_grid is {multi_grid}", "it has a factor for each of the last layer's three blocks")
    return ResNet(name, in_channels=in_channels, width=width, output_stride=output_stride, multi_grid=multi_grid)


def _auxiliary_head(inputs: int, num_classes: int) -> nn.Sequential:
    """FCN's, as torchvision names it."""
    inner = inputs // 4
    return nn.Sequential(*ConvNormReLU(inputs, inner), nn.Dropout(AUXILIARY_DROPOUT), nn.Conv2d(inner, num_classes, 1))


def deeplab_v3(
    num_classes: int = 21,
    in_channels: int = 3,
    width: float = 1.0,
    backbone: Backbone = "resnet101",
    output_stride: OutputStride = 16,
    multi_grid: Sequence[int] | None = (1, 2, 4),
    extra_convolution: bool = False,
    auxiliary: bool = False,
) -> DeepLabV3:
    """DeepLab V3 with atrous spatial pyramid pooling (section 3.3).

    Stages of a 1x3x513x513 image at width 1 and output stride 16 (NCHW, float32):

        backbone.conv1          1 x   64 x 257 x 257   7x7, stride 2; 3x3 maximum pooling of stride 2 behind it
        backbone.layer1         1 x  256 x 129 x 129
        backbone.layer2         1 x  512 x  65 x  65
        backbone.layer3         1 x 1024 x  33 x  33   23 blocks, with resnet50 6
        backbone.layer4         1 x 2048 x  33 x  33   dilations 2, 4, 8 in its three blocks
        classifier.0.convs.0    1 x  256 x  33 x  33   1x1 convolution
        classifier.0.convs.1-3  1 x  256 x  33 x  33   3x3, dilations 6, 12, 18
        classifier.0.convs.4    1 x  256 x  33 x  33   image-level features: mean over the image, 1x1 convolution
        classifier.0.project    1 x  256 x  33 x  33   the five joined, 1x1 convolution, dropout 0.5
        classifier.1            1 x    C x  33 x  33   1x1 convolution
        enlarged                1 x    C x 513 x 513   bilinear

    At output stride 8 layer3 and all behind it are 65 x 65, layer3 dilates by 2, and the other dilations double.

    torchvision's deeplabv3_resnet50 and deeplabv3_resnet101, whose state dicts load as a whole, are this net with
    ``output_stride=8, multi_grid=None, extra_convolution=True, auxiliary=True``; dilations in its pooling are 12, 24,
    36.

    Args:
        num_classes: 1 to 255.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
        backbone: resnet101 or resnet50.
        output_stride: 16 or 8.
        multi_grid: factors on the dilations of layer4's three blocks. None: as torchvision's layer4, whose first block
            dilates half as far as the others.
        extra_convolution: a 3x3 convolution before the last, which the paper does not have and torchvision has.
        auxiliary: a second head on layer3, for training alone; evaluation does not compute it.
    Raises:
        ModelError: an argument is out of its range.
    """
    return DeepLabV3(
        num_classes,
        in_channels,
        width,
        backbone=backbone,
        output_stride=output_stride,
        multi_grid=multi_grid,
        extra_convolution=extra_convolution,
        auxiliary=auxiliary,
    )


def deeplab_v3_cascade(
    num_classes: int = 21,
    in_channels: int = 3,
    width: float = 1.0,
    backbone: Backbone = "resnet101",
    output_stride: OutputStride = 16,
    multi_grid: Sequence[int] = (1, 2, 1),
) -> DeepLabV3Cascade:
    """DeepLab V3 with blocks in cascade instead of the pyramid (section 3.2).

    Stages of a 1x3x513x513 image at width 1 and output stride 16 (NCHW, float32); up to layer3 as ``deeplab_v3``:

        backbone.layer4   1 x 2048 x  33 x  33   the paper's block 4: dilations 2, 4, 2
        blocks.0          1 x 2048 x  33 x  33   block 5, three bottlenecks as block 4's: dilations 4, 8, 4
        blocks.1          1 x 2048 x  33 x  33   block 6: dilations 8, 16, 8
        blocks.2          1 x 2048 x  33 x  33   block 7: dilations 16, 32, 16
        classifier        1 x    C x  33 x  33   1x1 convolution
        enlarged          1 x    C x 513 x 513   bilinear

    At output stride 8 all of these are 65 x 65, and the dilations double.

    Args:
        num_classes: 1 to 255.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
        backbone: resnet101 or resnet50.
        output_stride: 16 or 8.
        multi_grid: factors on the dilations of the three bottlenecks of blocks 4 to 7.
    Raises:
        ModelError: an argument is out of its range.
    """
    return DeepLabV3Cascade(
        num_classes, in_channels, width, backbone=backbone, output_stride=output_stride, multi_grid=multi_grid
    )
