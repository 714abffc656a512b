"""Own MobileNet U-Net: Howard et al., MobileNets (2017), as the encoder of Ronneberger et al., U-Net (2015)."""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.export.nets.base import SegmentationNet, check_arguments
from edgeseg.export.nets.layers import enlarged, he_initialised
from edgeseg.export.nets.mobilenet_v1 import MobileNetV1
from edgeseg.export.nets.unet import Decoder

__all__ = ["MobileNetUNet", "mobilenet_unet"]


class MobileNetUNet(SegmentationNet):
    """See ``mobilenet_unet``."""

    step = 32

    def __init__(self, num_classes: int, in_channels: int, width: float) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__()
        self.backbone = MobileNetV1(in_channels=in_channels, width=width)
        self.decoder = Decoder(self.backbone.channels)
        self.head = nn.Conv2d(self.backbone.channels[0], num_classes, 3, padding=1)
        he_initialised(self)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size."""
        return enlarged(self.head(self.decoder(self.backbone(image))), image)


def mobilenet_unet(num_classes: int = 21, in_channels: int = 3, width: float = 1.0) -> MobileNetUNet:
    """U-Net's decoder on MobileNet V1, whose maps have the channels of U-Net's stages; it ends as logits.

    Stages of a 1x3x224x224 image at width 1 (NCHW, float32):

        backbone.features.1     1 x   64 x 112 x 112
        backbone.features.3     1 x  128 x  56 x  56
        backbone.features.5     1 x  256 x  28 x  28
        backbone.features.11    1 x  512 x  14 x  14
        backbone.features.13    1 x 1024 x   7 x   7
        decoder.ups.0           1 x  512 x  14 x  14   nearest x2, 2x2 convolution to 512, joined with features.11,
                                                       two 3x3 convolutions
        decoder.ups.1           1 x  256 x  28 x  28   likewise with features.5
        decoder.ups.2           1 x  128 x  56 x  56   likewise with features.3
        decoder.ups.3           1 x   64 x 112 x 112   likewise with features.1
        head                    1 x    C x 112 x 112   3x3 convolution to the classes, then bilinear to the image's size

    Args:
        num_classes: 1 to 255; 1 gives one score, above 0 where the object is and not the background.
        in_channels: of the image.
        width: MobileNet's width multiplier; the decoder is scaled with it.
    Raises:
        ModelError: an argument is out of its range.
    """
    return MobileNetUNet(num_classes, in_channels, width)
