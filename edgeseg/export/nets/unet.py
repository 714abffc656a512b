"""Own U-Net. Ronneberger, Fischer, Brox: U-Net, Convolutional Networks for Biomedical Image Segmentation (2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeseg.export.nets.base import SegmentationNet, check_arguments, scaled
from edgeseg.export.nets.layers import conv_relu, he_initialised

__all__ = ["Decoder", "Head", "UNet", "unet"]

CHANNELS = (64, 128, 256, 512, 1024)
DROPOUT = 0.5


class Up(nn.Module):
    """Double, convolve, join the skip map, convolve twice: (N, c, H, W) + (N, s, 2H, 2W) -> (N, s, 2H, 2W)."""

    def __init__(self, inputs: int, skip: int) -> None:
        super().__init__()
        # the 2x2 kernel needs a pixel more below and at the right, as Keras' padding "same" has it
        self.match = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(inputs, skip, 2), nn.ReLU(inplace=True))
        self.convs = nn.Sequential(*conv_relu(2 * skip, skip), *conv_relu(skip, skip))

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """The joined map, at the skip map's size."""
        doubled = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        joined: Tensor = self.convs(torch.cat([skip, self.match(doubled)], 1))
        return joined


class Decoder(nn.Module):
    """U-Net's right half: from the coarsest of the encoder's maps up to the finest.

    Args:
        channels: of the encoder's maps, the finest first.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        pairs = zip(reversed(channels[1:]), reversed(channels[:-1]), strict=True)
        self.ups = nn.ModuleList(Up(inputs, skip) for inputs, skip in pairs)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """A map with the channels and the size of the first of ``maps``, each of which has half the size before it."""
        x = maps[-1]
        for up, skip in zip(self.ups, reversed(maps[:-1]), strict=True):
            x = up(x, skip)
        return x


class Head(nn.Sequential):
    """3x3 convolution to the classes with ReLU, then 1x1; for two classes the last gives one score: of class 1."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__(
            *conv_relu(inputs, max(num_classes, 2)), nn.Conv2d(max(num_classes, 2), scores_of(num_classes), 1)
        )


def scores_of(num_classes: int) -> int:
    """How many scores tell the classes apart: one for two."""
    return 1 if num_classes <= 2 else num_classes


class UNet(SegmentationNet):
    """See ``unet``."""

    step = 16

    def __init__(self, num_classes: int, in_channels: int, width: float) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__(end="sigmoid" if num_classes <= 2 else "softmax")
        channels = [scaled(one, width) for one in CHANNELS]
        stages = zip([in_channels, *channels], channels, strict=False)
        self.downs = nn.ModuleList(nn.Sequential(*conv_relu(a, b), *conv_relu(b, b)) for a, b in stages)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(DROPOUT)
        self.decoder = Decoder(channels)
        self.head = Head(channels[0], num_classes)
        he_initialised(self)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size."""
        maps: list[Tensor] = []
        for index, down in enumerate(self.downs):
            made = down(self.pool(maps[-1]) if maps else image)
            maps.append(self.dropout(made) if index >= len(self.downs) - 2 else made)
        logits: Tensor = self.head(self.decoder(maps))
        return logits


def unet(num_classes: int = 2, in_channels: int = 3, width: float = 1.0) -> UNet:
    """U-Net with padded convolutions, so that the mask has the image's size, and nearest upsampling.

    Stages of a 1x3x512x512 image at width 1 (NCHW, float32), two 3x3 convolutions with ReLU each:

        downs.0          1 x   64 x 512 x 512
        downs.1          1 x  128 x 256 x 256   behind 2x2 maximum pooling, as the next
        downs.2          1 x  256 x 128 x 128
        downs.3          1 x  512 x  64 x  64   dropout 0.5 behind it
        downs.4          1 x 1024 x  32 x  32   dropout 0.5 behind it
        decoder.ups.0    1 x  512 x  64 x  64   nearest x2, 2x2 convolution to 512 with ReLU, joined with downs.3,
                                                two convolutions
        decoder.ups.1    1 x  256 x 128 x 128   likewise with downs.2
        decoder.ups.2    1 x  128 x 256 x 256   likewise with downs.1
        decoder.ups.3    1 x   64 x 512 x 512   likewise with downs.0
        head             1 x    C x 512 x 512   3x3 convolution to the classes with ReLU, 1x1 convolution, softmax;
                                                for two classes 3x3 to 2, 1x1 to one score, sigmoid

    The paper's convolutions are not padded: of 572x572 pixels it scores the inner 388x388.

    Args:
        num_classes: 1 to 255; 1 is the same as 2, background and object.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
    Raises:
        ModelError: an argument is out of its range.
    """
    return UNet(num_classes, in_channels, width)
