"""Own MobileNet V1 as a backbone. Howard et al.: MobileNets (2017). Own no head.

torchvision has no V1. The names are those that it gives to the same layers of MobileNet V2, whose first block is built
as all of V1's are.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.export.nets.base import scaled

__all__ = ["MobileNetV1"]

STEM = 32
#: outputs and stride of every depthwise separable block; table 1
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class ConvNormReLU6(nn.Sequential):
    """3x3 convolution without bias, BatchNorm, ReLU6: (N, in, H, W) -> (N, out, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        )


class Separable(nn.Module):
    """A 3x3 convolution of every channel for itself, then a 1x1 one: (N, in, H, W) -> (N, out, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Sequential(
            ConvNormReLU6(inputs, inputs, stride=stride, groups=inputs),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, float32."""
        made: Tensor = self.conv(x)
        return made


class MobileNetV1(nn.Module):
    """MobileNet V1 without its classifier; height and width are multiples of 32.

    What it gives of a 1x3x224x224 image, the last map of every size:

        features.1     1 x   64 x 112 x 112
        features.3     1 x  128 x  56 x  56
        features.5     1 x  256 x  28 x  28
        features.11    1 x  512 x  14 x  14
        features.13    1 x 1024 x   7 x   7

    Strided convolutions are padded at both sides; TensorFlow's published weights were trained with a row and a column
    of padding at the lower right alone.

    Args:
        in_channels: of the image.
        width: the paper's width multiplier.

    Attributes:
        channels: of the five maps.
    """

    def __init__(self, *, in_channels: int, width: float) -> None:
        super().__init__()
        inputs = scaled(STEM, width)
        layers: list[nn.Module] = [ConvNormReLU6(in_channels, inputs, stride=2)]
        for channels, stride in BLOCKS:
            layers.append(Separable(inputs, scaled(channels, width), stride=stride))
            inputs = scaled(channels, width)
        self.features = nn.Sequential(*layers)
        self.channels = tuple(scaled(channels, width) for channels in (64, 128, 256, 512, 1024))

    def forward(self, image: Tensor) -> list[Tensor]:
        """The five maps, float32, the finest first."""
        maps, x = [], image
        for layer in self.features:
            if isinstance(layer, Separable) and layer.stride == 2:
                maps.append(x)
            x = layer(x)
        return [*maps, x]
