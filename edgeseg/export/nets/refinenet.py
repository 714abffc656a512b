"""Own RefineNet. Lin, Milan, Shen, Reid: Multi-Path Refinement Networks for Semantic Segmentation (2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.errors import ModelError
from edgeseg.export.nets.base import SegmentationNet, check_arguments, check_choice, scaled
from edgeseg.export.nets.layers import enlarged
from edgeseg.export.nets.resnet import BLOCKS, ResNet, ResNetName

__all__ = ["RefineNet", "refinenet"]

#: of the four blocks, the coarsest first
CHANNELS = (512, 256, 256, 256)
UNITS_BEFORE, UNITS_BEHIND = 2, 3
DROPOUT = 0.5


class ResidualUnit(nn.Module):
    """ReLU, 3x3 convolution, twice, and a shortcut, without BatchNorm: (N, c, H, W) -> (N, c, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels, bias=True)
        self.conv2 = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The refined map."""
        refined: Tensor = self.conv2(torch.relu(self.conv1(torch.relu(x))))
        return x + refined


class ChainedPooling(nn.Module):
    """ReLU, then poolings in a chain, whose every link is added: (N, c, H, W) -> (N, c, H, W).

    A link is 5x5 maximum pooling of stride 1 and a 3x3 convolution.
    """

    def __init__(self, channels: int, poolings: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(5, 1, padding=2)
        self.convs = nn.ModuleList(_conv(channels, channels) for _ in range(poolings))

    def forward(self, x: Tensor) -> Tensor:
        """The map with its surroundings."""
        link = total = torch.relu(x)
        for conv in self.convs:
            link = conv(self.pool(link))
            total = total + link
        return total


class RefineBlock(nn.Module):
    """A map of the backbone, and what the coarser block made, become one: (N, in, H, W) -> (N, out, H, W).

    Args:
        inputs: channels of the backbone's map.
        coarser: channels of the coarser block, 0 for none.
        channels: of what it makes.
        poolings: links of the chained pooling.
    """

    def __init__(self, inputs: int, coarser: int, channels: int, poolings: int) -> None:
        super().__init__()
        self.adapt = nn.Sequential(_conv(inputs, channels), *(ResidualUnit(channels) for _ in range(UNITS_BEFORE)))
        self.match = _conv(channels, channels) if coarser else nn.Identity()
        self.match_coarser = _conv(coarser, channels) if coarser else None
        self.pooling = ChainedPooling(channels, poolings)
        # the last of a block's units, and the two that refine what it gives to the next block or to the classifier
        self.units = nn.Sequential(*(ResidualUnit(channels) for _ in range(UNITS_BEHIND)))

    def forward(self, x: Tensor, coarser: Tensor | None) -> Tensor:
        """The refined map, at the size of ``x``."""
        fused = self.match(self.adapt(x))
        if self.match_coarser is not None and coarser is not None:
            fused = fused + enlarged(self.match_coarser(coarser), fused)
        refined: Tensor = self.units(self.pooling(fused))
        return refined


class RefineNet(SegmentationNet):
    """See ``refinenet``."""

    def __init__(
        self, num_classes: int, in_channels: int, width: float, *, backbone: ResNetName, poolings: int
    ) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        check_choice("backbone", backbone, BLOCKS)
        if poolings < 1:
            raise ModelError(f"poolings is {poolings}", "the released models have 4, the paper's drawing has 2")
        super().__init__()
        self.backbone = ResNet(backbone, in_channels=in_channels, width=width)
        channels = [scaled(one, width) for one in CHANNELS]
        triples = zip(reversed(self.backbone.channels), [0, *channels], channels, strict=False)
        self.blocks = nn.ModuleList(RefineBlock(*triple, poolings) for triple in triples)
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = _conv(channels[-1], num_classes, bias=True)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size."""
        first, second, third, fourth = self.backbone(image)
        x: Tensor | None = None
        maps = (self.dropout(fourth), self.dropout(third), second, first)
        for block, one in zip(self.blocks, maps, strict=True):
            x = block(one, x)
        return enlarged(self.classifier(self.dropout(x)), image)


def refinenet(
    num_classes: int = 21,
    in_channels: int = 3,
    width: float = 1.0,
    backbone: ResNetName = "resnet101",
    poolings: int = 4,
) -> RefineNet:
    """RefineNet for PASCAL VOC: four blocks, each of which refines the coarser one's map by one of the backbone's.

    Stages of a 1x3x512x512 image at width 1 (NCHW, float32); other sizes are rounded up at every stage:

        backbone.layer1   1 x  256 x 128 x 128
        backbone.layer2   1 x  512 x  64 x  64
        backbone.layer3   1 x 1024 x  32 x  32   dropout 0.5 behind it
        backbone.layer4   1 x 2048 x  16 x  16   dropout 0.5 behind it
        blocks.0          1 x  512 x  16 x  16   of layer4
        blocks.1          1 x  256 x  32 x  32   of layer3 and blocks.0
        blocks.2          1 x  256 x  64 x  64   of layer2 and blocks.1
        blocks.3          1 x  256 x 128 x 128   of layer1 and blocks.2
        classifier        1 x    C x 128 x 128   dropout 0.5, 3x3 convolution
        enlarged          1 x    C x 512 x 512   bilinear

    A block, all of whose convolutions are 3x3: the backbone's map is convolved to the block's channels and passes two
    residual units of two convolutions; both maps are convolved to the block's channels, the coarser one is enlarged,
    their sum passes the chained pooling and three residual units. The paper counts two of these three to the next
    block, or to the classifier.

    Args:
        num_classes: 1 to 255; PASCAL VOC has 21 with its background.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
        backbone: ``resnet50``, ``resnet101`` or ``resnet152``.
        poolings: links of the chained pooling. The released models have 4; the paper's drawing has 2.
    Raises:
        ModelError: an argument is out of its range.
    """
    return RefineNet(num_classes, in_channels, width, backbone=backbone, poolings=poolings)


def _conv(inputs: int, outputs: int, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
