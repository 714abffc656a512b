"""Own the narrow FCN-8s and FCN-2s for grey images and one object, on a backbone of their own.

Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation (2015), of which they keep the joining
of scores.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from edgeseg.export.nets.base import SegmentationNet, check_arguments, scaled
from edgeseg.export.nets.layers import conv_relu, he_initialised
from edgeseg.export.nets.unet import scores_of

__all__ = ["FcnSlim", "fcn2s_slim", "fcn8s_slim"]

CONVOLUTIONS = (2, 2, 3, 3, 3)
CHANNELS = (32, 64, 128, 256, 256)
FULLY_CONNECTED = 1024
DROPOUT = 0.3


class FcnSlim(SegmentationNet):
    """See ``fcn8s_slim`` and ``fcn2s_slim``.

    Args:
        factors: of the deconvolutions; the results of all but the last are joined with a finer map's scores.
    """

    step = 32
    smallest = 32

    def __init__(self, num_classes: int, in_channels: int, width: float, factors: tuple[int, ...]) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__(end="sigmoid" if num_classes <= 2 else "softmax")
        scores = scores_of(num_classes)
        channels = [scaled(one, width) for one in CHANNELS]
        stages = zip(pairwise([in_channels, *channels]), CONVOLUTIONS, strict=True)
        self.blocks = nn.ModuleList(_block(inputs, outputs, count) for (inputs, outputs), count in stages)
        self.fully_connected = _fully_connected(channels[-1], scaled(FULLY_CONNECTED, width))
        self.score = nn.Conv2d(scaled(FULLY_CONNECTED, width), scores, 1)
        finer = channels[-2 : -1 - len(factors) : -1]
        self.skips = nn.ModuleList(nn.Sequential(*conv_relu(one, scores)) for one in finer)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(scores, scores, factor, factor) for factor in factors)
        he_initialised(self)
        _begin_as_repetition(self.ups)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size."""
        maps = [image]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        joined: Tensor = self.score(self.fully_connected(maps[-1]))
        *ups, last_up = self.ups
        for up, skip, finer in zip(ups, self.skips, maps[-2::-1], strict=False):
            joined = up(joined) + skip(finer)
        enlarged: Tensor = last_up(joined)
        return enlarged


def _block(inputs: int, outputs: int, count: int) -> nn.Sequential:
    """Convolutions and a pooling: (N, inputs, H, W) -> (N, outputs, H / 2, W / 2)."""
    more = [layer for _ in range(count - 1) for layer in conv_relu(outputs, outputs)]
    return nn.Sequential(*conv_relu(inputs, outputs), *more, nn.MaxPool2d(2))


def _fully_connected(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *conv_relu(inputs, outputs, 1), nn.Dropout(DROPOUT), *conv_relu(outputs, outputs, 1), nn.Dropout(DROPOUT)
    )


def _begin_as_repetition(ups: nn.ModuleList) -> None:
    """Kernels as wide as their stride do not overlap: the nearest to bilinear that they can be is to repeat pixels."""
    for up in ups:
        assert isinstance(up, nn.ConvTranspose2d)
        with torch.no_grad():
            up.weight.copy_(torch.eye(up.in_channels)[:, :, None, None])


def fcn8s_slim(num_classes: int = 2, in_channels: int = 1, width: float = 1.0) -> FcnSlim:
    """FCN-8s of half of VGG16's width and less, with skips from the fourth and the third pooling.

    Stages of a 1x1x512x512 image at width 1 (NCHW, float32), 3x3 convolutions with ReLU and 2x2 maximum pooling:

        blocks.0          1 x   32 x 256 x 256   2 convolutions
        blocks.1          1 x   64 x 128 x 128   2
        blocks.2          1 x  128 x  64 x  64   3
        blocks.3          1 x  256 x  32 x  32   3
        blocks.4          1 x  256 x  16 x  16   3
        fully_connected   1 x 1024 x  16 x  16   fc6 and fc7: 1x1 convolution, ReLU, dropout 0.3 each
        score             1 x    S x  16 x  16   1x1 convolution
        ups.0             1 x    S x  32 x  32   2x2 deconvolution, stride 2
        skips.0           1 x    S x  32 x  32   3x3 convolution of blocks.3, ReLU, added
        ups.1             1 x    S x  64 x  64   2x2 deconvolution, stride 2
        skips.1           1 x    S x  64 x  64   3x3 convolution of blocks.2, ReLU, added
        ups.2             1 x    S x 512 x 512   8x8 deconvolution, stride 8; sigmoid

    S, the scores, is one for two classes, and then it is class 1's; more classes have a score each, and softmax.
    Deconvolutions begin as the repetition of pixels.

    Args:
        num_classes: 1 to 255; 1 is the same as 2, background and object.
        in_channels: of the image, which has multiples of 32 pixels at each side.
        width: channels of every block, times the published ones.
    Raises:
        ModelError: an argument is out of its range.
    """
    return FcnSlim(num_classes, in_channels, width, (2, 2, 8))


def fcn2s_slim(num_classes: int = 2, in_channels: int = 1, width: float = 1.0) -> FcnSlim:
    """``fcn8s_slim`` with skips from the second and the first pooling as well.

    Stages of a 1x1x512x512 image at width 1 behind skips.1 (NCHW, float32):

        ups.2     1 x S x 128 x 128   2x2 deconvolution, stride 2, as the next
        skips.2   1 x S x 128 x 128   3x3 convolution of blocks.1, ReLU, added
        ups.3     1 x S x 256 x 256
        skips.3   1 x S x 256 x 256   3x3 convolution of blocks.0, ReLU, added
        ups.4     1 x S x 512 x 512   sigmoid

    Args:
        num_classes: 1 to 255; 1 is the same as 2, background and object.
        in_channels: of the image, which has multiples of 32 pixels at each side.
        width: channels of every block, times the published ones.
    Raises:
        ModelError: an argument is out of its range.
    """
    return FcnSlim(num_classes, in_channels, width, (2, 2, 2, 2, 2))
