"""Own VGG's convolutions as a backbone, with torchvision's names. Own no head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor, nn

from edgeseg.export.nets.base import scaled

__all__ = ["CONVOLUTIONS", "Vgg", "VggName"]

VggName = Literal["vgg16", "vgg19"]
#: convolutions of every stage; Simonyan and Zisserman, Very Deep Convolutional Networks (2015), table 1, D and E
CONVOLUTIONS: dict[VggName, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


class Vgg(nn.Module):
    """The convolutions of VGG16 or VGG19; ``features.N`` are numbered as torchvision's are.

    Stages of a 1x3x224x224 image, behind their pooling (height and width are rounded up):

        1   1 x  64 x 112 x 112
        2   1 x 128 x  56 x  56
        3   1 x 256 x  28 x  28
        4   1 x 512 x  14 x  14
        5   1 x 512 x   7 x   7

    Args:
        name: which VGG.
        in_channels: of the image.
        width: of every stage, times the published one.
        norm: BatchNorm behind every convolution, as torchvision's ``vgg16_bn``.

    Attributes:
        channels: of the five stages.
    """

    def __init__(self, name: VggName, *, in_channels: int, width: float, norm: bool = False) -> None:
        super().__init__()
        self.channels = tuple(scaled(channels, width) for channels in CHANNELS)
        layers: list[nn.Module] = []
        inputs = in_channels
        for count, outputs in zip(CONVOLUTIONS[name], self.channels, strict=True):
            for _ in range(count):
                layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
                layers += [nn.BatchNorm2d(outputs)] if norm else []
                layers.append(nn.ReLU(inplace=True))
                inputs = outputs
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers)

    def stages(self) -> list[list[nn.Module]]:
        """The layers of every stage, the last of which is its pooling; the module's own, to be called or altered."""
        return list(self._stages())

    def forward(self, image: Tensor) -> list[Tensor]:
        """What the five stages give, float32, each behind its pooling."""
        made = []
        for stage in self._stages():
            for layer in stage:
                image = layer(image)
            made.append(image)
        return made

    def _stages(self) -> Iterator[list[nn.Module]]:
        stage: list[nn.Module] = []
        for layer in self.features:
            stage.append(layer)
            if isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)):
                yield stage
                stage = []
