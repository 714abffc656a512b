"""Own SegNet. Badrinarayanan, Kendall, Cipolla: SegNet, A Deep Convolutional Encoder-Decoder Architecture (2017)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from edgeseg.export.nets.base import SegmentationNet, check_arguments
from edgeseg.export.nets.layers import he_initialised
from edgeseg.export.nets.vgg import CONVOLUTIONS, Vgg

__all__ = ["SegNet", "segnet"]


class SegNet(SegmentationNet):
    """See ``segnet``."""

    step = 32

    def __init__(self, num_classes: int, in_channels: int, width: float) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__(end="sigmoid" if num_classes == 1 else "softmax")
        self.backbone = Vgg("vgg16", in_channels=in_channels, width=width, norm=True)
        self.decoder = _mirrored(self.backbone.channels)
        self.head = nn.Conv2d(self.backbone.channels[0], num_classes, 3, padding=1)
        he_initialised(self)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size."""
        x, places = self._encoded(image)
        for stage, indices in zip(self.decoder, reversed(places), strict=True):
            x = stage(functional.max_unpool2d(x, indices, (2, 2)))
        logits: Tensor = self.head(x)
        return logits

    def _encoded(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The coarsest map, and where each stage's pooling found its maxima (int64)."""
        places = []
        for *layers, _ in self.backbone.stages():
            for layer in layers:
                image = layer(image)
            image, indices = functional.max_pool2d(image, 2, return_indices=True)
            places.append(indices)
        return image, places


def segnet(num_classes: int = 12, in_channels: int = 3, width: float = 1.0) -> SegNet:
    """SegNet on VGG16 with BatchNorm, for CamVid's eleven classes and void.

    Stages of a 1x3x352x480 image at width 1 (NCHW, float32), 3x3 convolutions with BatchNorm and ReLU in all:

        backbone, stage 1   1 x  64 x 176 x 240   two convolutions, 2x2 maximum pooling that notes its places
        backbone, stage 2   1 x 128 x  88 x 120   likewise
        backbone, stage 3   1 x 256 x  44 x  60   likewise, three convolutions
        backbone, stage 4   1 x 512 x  22 x  30   likewise
        backbone, stage 5   1 x 512 x  11 x  15   likewise
        decoder.0           1 x 512 x  22 x  30   values go back to stage 5's places, zero elsewhere; three convolutions
        decoder.1           1 x 256 x  44 x  60   likewise with stage 4's
        decoder.2           1 x 128 x  88 x 120   likewise with stage 3's
        decoder.3           1 x  64 x 176 x 240   likewise with stage 2's, two convolutions
        decoder.4           1 x  64 x 352 x 480   likewise with stage 1's, one convolution
        head                1 x   C x 352 x 480   the last convolution, to the classes, then softmax

    CamVid's pictures are 360x480, of which the authors' pooling rounds up where a side is odd; 352x480 is the nearest
    size that halves five times.

    Args:
        num_classes: 1 to 255; 1 gives one score, of the object against the background, behind a sigmoid.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
    Raises:
        ModelError: an argument is out of its range.
    """
    return SegNet(num_classes, in_channels, width)


def _mirrored(channels: tuple[int, ...]) -> nn.ModuleList:
    """VGG16's stages backwards: the last convolution of each has the channels of the stage before."""
    stages = []
    for index in reversed(range(len(channels))):
        inside = [channels[index]] * CONVOLUTIONS["vgg16"][index]
        below = [channels[index - 1]] if index else []  # the finest stage's last convolution is the head
        stages.append(nn.Sequential(*(layer for pair in pairwise([*inside, *below]) for layer in _conv(*pair))))
    return nn.ModuleList(stages)


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    """With the bias that the authors' prototxt and torchvision's ``vgg16_bn`` have beside BatchNorm."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
