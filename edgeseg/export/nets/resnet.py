"""Own ResNet as a backbone that may dilate instead of stride, with torchvision's names. Own no head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from edgeseg.export.nets.base import scaled

__all__ = ["BLOCKS", "Bottleneck", "ResNet", "ResNetName", "residual_layer"]

ResNetName = Literal["resnet50", "resnet101", "resnet152"]
#: bottlenecks of every layer; He et al., Deep Residual Learning (2016), table 1
BLOCKS: dict[ResNetName, tuple[int, int, int, int]] = {
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
EXPANSION = 4
#: what a block's last BatchNorm is begun with. At 1 the blocks of a fresh ResNet-101 together enlarge a change of the
#: image 500 times, and rounding with it; Goyal et al. (2017, section 5.1) begin at 0, where the blocks do nothing.
LAST_SCALE = 0.2


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and a shortcut: (N, in, H, W) -> (N, 4 planes, H / stride, W / stride).

    The 3x3 convolution strides, as torchvision's and unlike the paper's.
    """

    def __init__(self, inputs: int, planes: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        outputs = planes * EXPANSION
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        nn.init.constant_(self.bn3.weight, LAST_SCALE)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, float32."""
        shortcut = x if self.downsample is None else self.downsample(x)
        inner = self.relu(self.bn1(self.conv1(x)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        return torch.relu(self.bn3(self.conv3(inner)) + shortcut)


def residual_layer(inputs: int, planes: int, *, stride: int, dilations: Sequence[int]) -> nn.Sequential:
    """Bottlenecks in a row, one a dilation; the first one strides."""
    blocks = [Bottleneck(inputs, planes, stride=stride, dilation=dilations[0])]
    blocks += [Bottleneck(planes * EXPANSION, planes, dilation=dilation) for dilation in dilations[1:]]
    return nn.Sequential(*blocks)


class ResNet(nn.Module):
    """ResNet without its classifier.

    What layers 1 to 4 give of a 1x3x512x512 image, by ``output_stride``:

                32                  16                 8
        1   1 x  256 x 128 x 128    the same           the same
        2   1 x  512 x  64 x  64    the same           the same
        3   1 x 1024 x  32 x  32    the same           1 x 1024 x 64 x 64
        4   1 x 2048 x  16 x  16    1 x 2048 x 32x32   1 x 2048 x 64 x 64

    Args:
        name: which ResNet.
        in_channels: of the image.
        width: of every layer, times the published one.
        output_stride: 32; or 16 or 8, where the last one or two layers dilate by 2, or 2 and 4, instead of striding.
        multi_grid: factors on the dilations of the last layer's three blocks (Chen et al., DeepLab V3, section 3.1).
            With factors, the first block of a dilated layer dilates as the others do; without, as torchvision's, it
            has the dilation of the layer before.
        deep_stem: three 3x3 convolutions of 64, 64 and 128 channels instead of one 7x7, as PSPNet's.

    Attributes:
        channels: of the four layers.
    """

    def __init__(
        self,
        name: ResNetName,
        *,
        in_channels: int,
        width: float,
        output_stride: Literal[8, 16, 32] = 32,
        multi_grid: Sequence[int] | None = None,
        deep_stem: bool = False,
    ) -> None:
        super().__init__()
        planes = [scaled(channels, width) for channels in (64, 128, 256, 512)]
        self.channels = tuple(one * EXPANSION for one in planes)
        inputs = self._add_stem(in_channels, planes[0], deep_stem)
        strides, dilation = {32: (1, 2, 2, 2), 16: (1, 2, 2, 1), 8: (1, 2, 1, 1)}[output_stride], 1
        for index, (count, stride) in enumerate(zip(BLOCKS[name], strides, strict=True)):
            before, dilation = dilation, dilation * (2 if index and stride == 1 else 1)
            first = dilation if multi_grid else before
            dilations = [first, *[dilation] * (count - 1)]
            if multi_grid and index == 3:
                dilations = [dilation * factor for factor in multi_grid]
            layer = residual_layer(inputs, planes[index], stride=stride, dilations=dilations)
            self.add_module(f"layer{index + 1}", layer)
            inputs = self.channels[index]

    def _add_stem(self, in_channels: int, planes: int, deep: bool) -> int:
        outputs = planes * 2 if deep else planes
        self.conv1: nn.Module = nn.Conv2d(in_channels, outputs, 7, 2, padding=3, bias=False)
        if deep:
            self.conv1 = nn.Sequential(
                nn.Conv2d(in_channels, planes, 3, 2, padding=1, bias=False),
                nn.BatchNorm2d(planes),
                nn.ReLU(inplace=True),
                nn.Conv2d(planes, planes, 3, padding=1, bias=False),
                nn.BatchNorm2d(planes),
                nn.ReLU(inplace=True),
                nn.Conv2d(planes, outputs, 3, padding=1, bias=False),
            )
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        return outputs

    def forward(self, image: Tensor) -> list[Tensor]:
        """What layers 1 to 4 give, float32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        made = []
        for index in range(1, 5):
            x = self.get_submodule(f"layer{index}")(x)
            made.append(x)
        return made
