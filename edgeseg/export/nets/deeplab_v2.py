"""Own DeepLab V2, atrous spatial pyramid pooling on ResNet-101 or VGG16.

Chen, Papandreou, Kokkinos, Murphy, Yuille: DeepLab, Semantic Image Segmentation with Deep Convolutional Nets, Atrous
Convolution, and Fully Connected CRFs (2016), section 3 and 4.1, DeepLab-ASPP-L.
"""

from __future__ import annotations

from functools import reduce
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from edgeseg.export.nets.base import SegmentationNet, check_arguments, check_choice
from edgeseg.export.nets.crf import LocalCrf, Pairwise
from edgeseg.export.nets.deeplab_v1 import STRIDE, dense_vgg, field_of_view
from edgeseg.export.nets.layers import enlarged, he_initialised
from edgeseg.export.nets.resnet import ResNet

__all__ = ["BackboneName", "DeepLabV2", "deeplab_v2", "deeplab_v2_crf"]

BackboneName = Literal["resnet101", "vgg16"]
RATES = (6, 12, 18, 24)
#: the authors' choice for each net on Pascal VOC's validation images, from their pages of models
PAIRWISE: dict[BackboneName, Pairwise] = {
    "resnet101": Pairwise(appearance=4, near=67, alike=3, smoothness=3, beside=1),
    "vgg16": Pairwise(appearance=4, near=65, alike=3, smoothness=2, beside=2),
}


class DeepLabV2(SegmentationNet):
    """See ``deeplab_v2``."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        width: float,
        *,
        backbone: BackboneName,
        crf: bool,
        crf_window: int,
    ) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        check_choice("backbone", backbone, get_args(BackboneName))
        super().__init__()
        if backbone == "vgg16":
            self._add_vgg(num_classes, in_channels, width)
        else:
            self._add_resnet(num_classes, in_channels, width)
        pairwise = PAIRWISE[backbone]
        self.crf = LocalCrf(pairwise, stride=STRIDE, in_channels=in_channels, window=crf_window) if crf else None

    def _add_vgg(self, num_classes: int, in_channels: int, width: float) -> None:
        vgg = dense_vgg(in_channels, width)
        inputs = vgg.channels[-1]
        self.backbone: nn.Module = vgg
        self.branches = nn.ModuleList(field_of_view(inputs, num_classes, rate=rate, width=width) for rate in RATES)
        he_initialised(self)

    def _add_resnet(self, num_classes: int, in_channels: int, width: float) -> None:
        # the factors are none, but with them a dilated layer's first block dilates as the authors' does
        resnet = ResNet("resnet101", in_channels=in_channels, width=width, output_stride=STRIDE, multi_grid=(1, 1, 1))
        inputs = resnet.channels[-1]
        self.backbone = resnet
        self.branches = nn.ModuleList(nn.Conv2d(inputs, num_classes, 3, padding=rate, dilation=rate) for rate in RATES)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size; in training mode as they are without the CRF."""
        features = self.backbone(image)[-1]
        logits = reduce(torch.add, [branch(features) for branch in self.branches])
        if self.crf is not None and not self.training:
            logits = self.crf(logits, image)
        return enlarged(logits, image)


def deeplab_v2(
    num_classes: int = 21,
    in_channels: int = 3,
    width: float = 1.0,
    *,
    backbone: BackboneName = "resnet101",
    crf: bool = False,
    crf_window: int = 7,
) -> DeepLabV2:
    """DeepLab-ASPP: the sum of four classifiers, each of which sees another field of view.

    Stages of a 1x3x513x513 image at width 1 (NCHW, float32), on ResNet-101:

        conv1     1 x   64 x 257 x 257   7x7, stride 2; 3x3 maximum pooling behind it
        layer1    1 x  256 x 129 x 129
        layer2    1 x  512 x  65 x  65
        layer3    1 x 1024 x  65 x  65   dilated by 2
        layer4    1 x 2048 x  65 x  65   dilated by 4
        branches  1 x    C x  65 x  65   3x3 straight to the classes, dilated by 6, 12, 18 and 24; their sum
        crf       1 x    C x  65 x  65   if there is one: mean-field over a window, five iterations
        end       1 x    C x 513 x 513   bilinear

    On VGG16, whose stages are those of ``deeplab_v1`` without the mean:

        5         1 x  512 x  65 x  65
        fc6_1-4   1 x 1024 x  65 x  65   3x3 dilated by 6, 12, 18 and 24, dropout 0.5
        fc7_1-4   1 x 1024 x  65 x  65   1x1, dropout 0.5
        fc8_1-4   1 x    C x  65 x  65   1x1; their sum

    The paper's net takes the maximum over three scales of the image; this is the net for one scale. Its CRF is, as
    ``deeplab_v1`` tells of its own, part of the graph here, and left out in training mode.

    Args:
        num_classes: 1 to 255.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
        backbone: ``resnet101`` or ``vgg16``.
        crf: whether scores are refined by ``crf.LocalCrf``, with the weights and deviations published for this net.
        crf_window: height and width of its neighbourhood, in scores; odd.
    Raises:
        ModelError: an argument is out of its range.
    """
    return DeepLabV2(num_classes, in_channels, width, backbone=backbone, crf=crf, crf_window=crf_window)


def deeplab_v2_crf(
    num_classes: int = 21,
    in_channels: int = 3,
    width: float = 1.0,
    *,
    backbone: BackboneName = "resnet101",
    crf_window: int = 7,
) -> DeepLabV2:
    """``deeplab_v2`` with its CRF.

    Args:
        num_classes: 1 to 255.
        in_channels: of the image.
        width: channels of every stage, times the published ones.
        backbone: ``resnet101`` or ``vgg16``.
        crf_window: height and width of the CRF's neighbourhood, in scores; odd.
    Raises:
        ModelError: an argument is out of its range.
    """
    return DeepLabV2(num_classes, in_channels, width, backbone=backbone, crf=True, crf_window=crf_window)
