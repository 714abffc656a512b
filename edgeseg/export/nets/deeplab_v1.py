"""Own DeepLab V1 with a large field of view, and VGG16 as DeepLab thins out its pooling.

Chen, Papandreou, Kokkinos, Murphy, Yuille: Semantic Image Segmentation with Deep Convolutional Nets and Fully
Connected CRFs (2015), section 5.2, DeepLab-LargeFOV.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from edgeseg.export.nets.base import SegmentationNet, check_arguments, scaled
from edgeseg.export.nets.crf import LocalCrf, Pairwise
from edgeseg.export.nets.layers import conv_relu, enlarged, he_initialised
from edgeseg.export.nets.vgg import Vgg

__all__ = ["STRIDE", "DeepLabV1", "deeplab_v1", "deeplab_v1_crf", "dense_vgg", "field_of_view"]

STRIDE: Final = 8
RATE = 12
HIDDEN = 1024
DROPOUT = 0.5
#: the authors' choice for this net on Pascal VOC's validation images, from their page of models
PAIRWISE = Pairwise(appearance=4, near=121, alike=5, smoothness=3, beside=3)


def dense_vgg(in_channels: int, width: float) -> Vgg:
    """VGG16 whose last stages keep an eighth of the image's height and width; keys and weights are torchvision's.

    As in the authors' definition of the net, all pooling is 3x3, so that what it gives is centred on pixels; the
    fourth and fifth do not stride, and the fifth stage's convolutions dilate by 2 instead.
    """
    vgg = Vgg("vgg16", in_channels=in_channels, width=width)
    for number, stage in enumerate(vgg.stages(), start=1):
        for layer in stage:
            if isinstance(layer, nn.MaxPool2d):
                layer.kernel_size, layer.stride, layer.padding = 3, 2 if number <= 3 else 1, 1
                layer.ceil_mode = False
            if isinstance(layer, nn.Conv2d) and number == 5:
                layer.dilation = layer.padding = (2, 2)
    return vgg


def field_of_view(inputs: int, num_classes: int, *, rate: int, width: float) -> nn.Sequential:
    """VGG's fully connected layers as convolutions, thinned out: fc6 3x3 dilated by ``rate``, fc7 and fc8 1x1."""
    hidden = scaled(HIDDEN, width)
    return nn.Sequential(
        *conv_relu(inputs, hidden, dilation=rate),
        nn.Dropout(DROPOUT),
        *conv_relu(hidden, hidden, 1),
        nn.Dropout(DROPOUT),
        nn.Conv2d(hidden, num_classes, 1),
    )


class DeepLabV1(SegmentationNet):
    """See ``deeplab_v1``."""

    def __init__(self, num_classes: int, in_channels: int, width: float, *, crf: bool, crf_window: int) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__()
        self.backbone = dense_vgg(in_channels, width)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1)
        self.head = field_of_view(self.backbone.channels[-1], num_classes, rate=RATE, width=width)
        self.crf = LocalCrf(PAIRWISE, stride=STRIDE, in_channels=in_channels, window=crf_window) if crf else None
        he_initialised(self)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size; in training mode as they are without the CRF."""
        logits: Tensor = self.head(self.pool(self.backbone(image)[-1]))
        if self.crf is not None and not self.training:
            logits = self.crf(logits, image)
        return enlarged(logits, image)


def deeplab_v1(
    num_classes: int = 21, in_channels: int = 3, width: float = 1.0, *, crf: bool = False, crf_window: int = 7
) -> DeepLabV1:
    """DeepLab-LargeFOV on VGG16.

    Stages of a 1x3x513x513 image at width 1 (NCHW, float32), as VGG16's, 3x3 maximum pooling behind each:

        1      1 x   64 x 257 x 257
        2      1 x  128 x 129 x 129
        3      1 x  256 x  65 x  65
        4      1 x  512 x  65 x  65   pooling without stride
        5      1 x  512 x  65 x  65   convolutions dilated by 2, pooling without stride, then a 3x3 mean
        fc6    1 x 1024 x  65 x  65   3x3 dilated by 12, dropout 0.5
        fc7    1 x 1024 x  65 x  65   1x1, dropout 0.5
        fc8    1 x    C x  65 x  65   1x1
        crf    1 x    C x  65 x  65   if there is one: mean-field over a window, five iterations
        end    1 x    C x 513 x 513   bilinear

    As published, the CRF looks at whole images, at their size, behind the enlarging, and has no part in training; here
    it is part of the graph, looks at a window and stands before the enlarging; in training mode it is left out.

    Args:
        num_classes: 1 to 255.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
        crf: whether scores are refined by ``crf.LocalCrf``, with the weights and deviations published for this net.
        crf_window: height and width of its neighbourhood, in scores; odd.
    Raises:
        ModelError: an argument is out of its range.
    """
    return DeepLabV1(num_classes, in_channels, width, crf=crf, crf_window=crf_window)


def deeplab_v1_crf(
    num_classes: int = 21, in_channels: int = 3, width: float = 1.0, *, crf_window: int = 7
) -> DeepLabV1:
    """``deeplab_v1`` with its CRF.

    Args:
        num_classes: 1 to 255.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
        crf_window: height and width of the CRF's neighbourhood, in scores; odd.
    Raises:
        ModelError: an argument is out of its range.
    """
    return DeepLabV1(num_classes, in_channels, width, crf=True, crf_window=crf_window)
