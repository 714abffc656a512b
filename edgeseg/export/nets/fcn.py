"""Own FCN. Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation (2015)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edgeseg.export.nets.base import SegmentationNet, check_arguments, check_choice, scaled
from edgeseg.export.nets.layers import Bilinear, cropped_like, he_initialised
from edgeseg.export.nets.vgg import CONVOLUTIONS, Vgg, VggName

__all__ = ["SMALLEST", "ConvolutionalVgg", "Fcn", "fcn2s", "fcn8s", "fcn16s", "fcn32s"]

FULLY_CONNECTED = 4096
DROPOUT = 0.5
SMALLEST = 32  # of 16 pixels the fourth pooling leaves one, which OpenVINO refuses to pool by 2x2


class ConvolutionalVgg(Vgg):
    """VGG with its two hidden fully connected layers as convolutions, numbered as torchvision's layers are.

    Of a 1x3x224x224 image, behind the five stages:

        classifier.0    1 x 4096 x 7 x 7   7x7 convolution, padded, ReLU, dropout 0.5
        classifier.3    1 x 4096 x 7 x 7   1x1 convolution, ReLU, dropout 0.5

    Args:
        name: which VGG.
        in_channels: of the image.
        width: of every stage and of the fully connected layers, times the published one.

    Attributes:
        channels: of the five maps.
    """

    def __init__(self, name: VggName, *, in_channels: int, width: float) -> None:
        check_choice("backbone", name, CONVOLUTIONS)
        super().__init__(name, in_channels=in_channels, width=width)
        inner = scaled(FULLY_CONNECTED, width)
        self.classifier = nn.Sequential(
            nn.Conv2d(self.channels[-1], inner, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout(DROPOUT),
            nn.Conv2d(inner, inner, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(DROPOUT),
        )
        self.channels = (*self.channels[:-1], inner)

    def forward(self, image: Tensor) -> list[Tensor]:
        """What the first four stages give, and what the fully connected layers make of the fifth's."""
        *maps, last = super().forward(image)
        return [*maps, self.classifier(last)]


class Fcn(SegmentationNet):
    """See ``fcn8s``.

    Args:
        stride: 32, 16, 8, 4 or 2; pixels of the image, along a side, to one of the finest map that is scored.
    """

    smallest = SMALLEST

    def __init__(
        self,
        stride: int,
        num_classes: int,
        in_channels: int,
        width: float,
        backbone: VggName,
        learned_upsampling: bool,
    ) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__()
        self.stride = stride
        self.backbone = ConvolutionalVgg(backbone, in_channels=in_channels, width=width)
        scored = self.backbone.channels[stride.bit_length() - 2 :]
        # the coarsest first, as they are joined
        self.score_layers = nn.ModuleList(nn.Conv2d(channels, num_classes, 1) for channels in reversed(scored))
        self.ups = nn.ModuleList(Bilinear(num_classes, num_classes, 2) for _ in scored[1:])
        self.last_up = Bilinear(num_classes, num_classes, stride) if learned_upsampling else None
        he_initialised(self)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size."""
        maps = self.backbone(image)[::-1]
        joined: Tensor = self.score_layers[0](maps[0])
        for up, score, finer in zip(self.ups, list(self.score_layers)[1:], maps[1:], strict=False):
            joined = cropped_like(up(joined), finer) + score(finer)
        return cropped_like(self._enlarged(joined), image)

    def _enlarged(self, joined: Tensor) -> Tensor:
        """By the stride and not to the image's size, which may be less: that would shift the scores."""
        if self.last_up is not None:
            larger: Tensor = self.last_up(joined)
            return larger
        return functional.interpolate(joined, scale_factor=float(self.stride), mode="bilinear", align_corners=False)


def fcn32s(
    num_classes: int = 21,
    in_channels: int = 3,
    width: float = 1.0,
    *,
    backbone: VggName = "vgg16",
    learned_upsampling: bool = False,
) -> Fcn:
    """FCN without skips: scores at 1/32 of the image, enlarged 32 times. See ``fcn8s`` for all else.

    Stages of a 1x3x512x512 image behind the backbone's:

        score_layers.0   1 x C x  16 x  16   of classifier.3
        last             1 x C x 512 x 512
    """
    return Fcn(32, num_classes, in_channels, width, backbone, learned_upsampling)


def fcn16s(
    num_classes: int = 21,
    in_channels: int = 3,
    width: float = 1.0,
    *,
    backbone: VggName = "vgg16",
    learned_upsampling: bool = False,
) -> Fcn:
    """FCN with a skip from the fourth pooling. See ``fcn8s`` for all else.

    Stages of a 1x3x512x512 image behind the backbone's:

        score_layers.0   1 x C x  16 x  16   of classifier.3
        ups.0            1 x C x  32 x  32   joined with score_layers.1 of stage 4
        last             1 x C x 512 x 512
    """
    return Fcn(16, num_classes, in_channels, width, backbone, learned_upsampling)


def fcn8s(
    num_classes: int = 21,
    in_channels: int = 3,
    width: float = 1.0,
    *,
    backbone: VggName = "vgg16",
    learned_upsampling: bool = False,
) -> Fcn:
    """FCN with skips from the fourth and the third pooling.

    Stages of a 1x3x512x512 image at width 1 (NCHW, float32):

        stages 1-5       1 x 64 x 256 x 256 to 1 x 512 x 16 x 16: backbone.features, VGG's convolutions and poolings
        classifier.0     1 x 4096 x 16 x 16   7x7 convolution, ReLU, dropout 0.5
        classifier.3     1 x 4096 x 16 x 16   1x1 convolution, ReLU, dropout 0.5
        score_layers.0   1 x C x  16 x  16   1x1 convolution of classifier.3
        ups.0            1 x C x  32 x  32   4x4 deconvolution, stride 2; joined with score_layers.1 of stage 4
        ups.1            1 x C x  64 x  64   likewise with score_layers.2 of stage 3
        last             1 x C x 512 x 512   8 times, bilinear

    Deconvolutions begin as bilinear interpolation and learn. The last is fixed in the paper (section 4.3) and is none
    here, so that the runtime does it: it differs from a deconvolution in the outermost half of a stride only, whose
    scores a deconvolution makes smaller, those of all classes alike, so that their order is the same.

    The image may have any size from 32x32 on. The paper pads it by 100 pixels and crops the scores; here every
    convolution keeps its map's size, poolings round up, and what an enlarged map has beyond the finer one is cropped
    at the bottom and the right. Of a size that is no multiple of the stride, the last crop keeps the enlargement in
    the engine.

    Args:
        num_classes: 1 to 255; 21 are PASCAL VOC's.
        in_channels: of the image.
        width: channels of every stage and of the classifier, times the published ones.
        backbone: which VGG; the paper has vgg16.
        learned_upsampling: makes the last enlargement a deconvolution too, ``last_up``, within the engine.
    Raises:
        ModelError: an argument is out of its range.
    """
    return Fcn(8, num_classes, in_channels, width, backbone, learned_upsampling)


def fcn2s(
    num_classes: int = 21,
    in_channels: int = 3,
    width: float = 1.0,
    *,
    backbone: VggName = "vgg16",
    learned_upsampling: bool = False,
) -> Fcn:
    """FCN with skips from all of the first four poolings. See ``fcn8s`` for all else.

    Named by Kamran et al., Efficient Yet Deep Convolutional Neural Networks for Semantic Segmentation (2017), whose
    net has the same skips and dilates what stands for the fully connected layers.

    Stages of a 1x3x512x512 image behind the backbone's:

        score_layers.0   1 x C x  16 x  16   of classifier.3
        ups.0            1 x C x  32 x  32   joined with score_layers.1 of stage 4
        ups.1            1 x C x  64 x  64   joined with score_layers.2 of stage 3
        ups.2            1 x C x 128 x 128   joined with score_layers.3 of stage 2
        ups.3            1 x C x 256 x 256   joined with score_layers.4 of stage 1
        last             1 x C x 512 x 512
    """
    return Fcn(2, num_classes, in_channels, width, backbone, learned_upsampling)
