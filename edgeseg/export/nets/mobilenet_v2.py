"""Own MobileNet V2's features as a backbone that may dilate instead of stride, with torchvision's names. Own no head.

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from torch import Tensor, nn

from edgeseg.export.nets.base import scaled

__all__ = ["InvertedResidual", "MobileNetV2"]

STEM, LAST = 32, 1280


class Row(NamedTuple):
    """A line of the paper's table 2; only the first of its blocks strides."""

    expansion: int
    channels: int
    blocks: int
    stride: int


TABLE = (
    Row(1, 16, 1, 1),
    Row(6, 24, 2, 2),
    Row(6, 32, 3, 2),
    Row(6, 64, 4, 2),
    Row(6, 96, 3, 1),
    Row(6, 160, 3, 2),
    Row(6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """1x1 convolution that widens, 3x3 by channel, 1x1 that narrows without ReLU; where shapes allow, a shortcut.

    (N, in, H, W) -> (N, out, H / stride, W / stride)
    """

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.is_residual = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            *([_convolution(inputs, inner, 1)] if expansion > 1 else []),
            _convolution(inner, inner, 3, stride=stride, dilation=dilation, groups=inner),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, float32."""
        made: Tensor = self.conv(x)
        return x + made if self.is_residual else made


class MobileNetV2(nn.Module):
    """MobileNet V2 without its classifier.

    The maps of a 1x3x512x512 image, by ``output_stride``; of ``features`` 3, 6, 13 and the last one:

             32                  16                 8
        1    1 x  24 x 128x128   the same           the same
        2    1 x  32 x  64x64    the same           the same
        3    1 x  96 x  32x32    the same           1 x  96 x 64x64
        4    1 x 320 x  16x16    1 x 320 x 32x32    1 x 320 x 64x64

    Args:
        in_channels: of the image.
        width: of every layer, times the published one.
        output_stride: 32; or 16 or 8, where the last one or two of the strides become 1 and the 3x3 convolutions
            behind each dilate twice as far, the one that strode not yet, as in its authors' DeepLab.
        with_last: 1x1 convolution to 1280 channels behind the last block, for classifying; the fourth map then has
            1280. Its authors' DeepLab is without it (section 6.3).

    Attributes:
        channels: of the four maps.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        width: float,
        output_stride: Literal[8, 16, 32] = 32,
        with_last: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(in_channels, _scaled(STEM, width), 3, stride=2)]
        layers += _blocks(width, output_stride)
        channels = [_scaled(TABLE[index].channels, width) for index in (1, 2, 4, 6)]
        if with_last:
            layers.append(_convolution(channels[-1], _scaled(LAST, max(width, 1)), 1))
            channels[-1] = _scaled(LAST, max(width, 1))
        self.features = nn.Sequential(*layers)
        self.channels = tuple(channels)
        self.ends = (3, 6, 13, len(layers) - 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """The four maps, float32, the finest first."""
        made = []
        for index, layer in enumerate(self.features):
            image = layer(image)
            if index in self.ends:
                made.append(image)
        return made


def _blocks(width: float, output_stride: int) -> Iterator[nn.Module]:
    inputs, strode, dilation = _scaled(STEM, width), 2, 1
    for row in TABLE:
        for index in range(row.blocks):
            stride, outputs = row.stride if index == 0 else 1, _scaled(row.channels, width)
            is_dilated = stride > 1 and strode == output_stride
            taken = 1 if is_dilated else stride
            yield InvertedResidual(inputs, outputs, expansion=row.expansion, stride=taken, dilation=dilation)
            inputs, strode = outputs, strode * taken
            dilation *= stride if is_dilated else 1


def _scaled(channels: int, width: float) -> int:
    """As the published narrow ones are: rounding takes a tenth of the channels at most."""
    rounded = scaled(channels, width)
    return rounded if rounded >= 0.9 * channels * width else rounded + 8


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = kernel // 2 * dilation
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )
