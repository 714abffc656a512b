"""Own FCN-8s on VGG19 with average pooling, which joins features and not scores, and ends in class ids.

Long, Shelhamer, Darrell: Fully Convolutional Networks for Semantic Segmentation (2015), as it is widely trained on
ADE20K's 150 classes: https://github.com/shekkizh/FCN.tensorflow.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.export.nets.base import SegmentationNet, check_arguments
from edgeseg.export.nets.fcn import SMALLEST, ConvolutionalVgg
from edgeseg.export.nets.layers import Bilinear, cropped_like, he_initialised

__all__ = ["FcnVgg19", "fcn8s_vgg19"]


class FcnVgg19(SegmentationNet):
    """See ``fcn8s_vgg19``."""

    smallest = SMALLEST

    def __init__(self, num_classes: int, in_channels: int, width: float) -> None:
        check_arguments(num_classes=num_classes, in_channels=in_channels, width=width)
        super().__init__(end="argmax" if num_classes > 1 else "sigmoid")
        self.backbone = ConvolutionalVgg("vgg19", in_channels=in_channels, width=width)
        _average(self.backbone.features)
        *_, third, fourth, inner = self.backbone.channels
        self.score = nn.Conv2d(inner, num_classes, 1)
        self.up_to_fourth = Bilinear(num_classes, fourth, 2, bias=True)
        self.up_to_third = Bilinear(fourth, third, 2, bias=True)
        self.up_to_image = Bilinear(third, num_classes, 8, bias=True)
        he_initialised(self)

    def scores(self, image: Tensor) -> Tensor:
        """Logits at the image's size."""
        *_, third, fourth, last = self.backbone(image)
        joined = cropped_like(self.up_to_fourth(self.score(last)), fourth) + fourth
        joined = cropped_like(self.up_to_third(joined), third) + third
        return cropped_like(self.up_to_image(joined), image)


def _average(features: nn.Sequential) -> None:
    """Let every pooling but the last average.

    What lies beyond an odd side's end must not be counted: where it is, runtimes divide by different numbers
    (onnxruntime issue 16203).
    """
    poolings = [index for index, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    for index in poolings[:-1]:
        features[index] = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)


def fcn8s_vgg19(num_classes: int = 151, in_channels: int = 3, width: float = 1.0) -> FcnVgg19:
    """FCN-8s whose skips add VGG19's features themselves to those enlarged, and whose output is class ids.

    Stages of a 1x3x224x224 image at width 1 (NCHW, float32):

        stages 1-4     1 x 64 x 112 x 112 to 1 x 512 x 14 x 14   VGG19's convolutions, average pooling
        stage 5        1 x  512 x   7 x   7   likewise, maximum pooling
        classifier.0   1 x 4096 x   7 x   7   conv6: 7x7 convolution, ReLU, dropout 0.5
        classifier.3   1 x 4096 x   7 x   7   conv7: 1x1 convolution, ReLU, dropout 0.5
        score          1 x    C x   7 x   7   1x1 convolution
        up_to_fourth   1 x  512 x  14 x  14   4x4 deconvolution, stride 2; stage 4 is added
        up_to_third    1 x  256 x  28 x  28   4x4 deconvolution, stride 2; stage 3 is added
        up_to_image    1 x    C x 224 x 224   16x16 deconvolution, stride 8
        output         1 x 224 x 224          int64, the class of the highest score

    The deconvolutions have biases, and begin as bilinear interpolation of some of their inputs. Poolings round up, and
    enlarged maps are cropped at the bottom and the right: images of any size from 32x32 on work.
    Colours are RGB, 0 to 255, less 123.68, 116.779 and 103.939.

    Args:
        num_classes: 1 to 255, with background: ADE20K's 150 and one; 1 ends in a sigmoid, for there is no maximum.
        in_channels: of the image.
        width: channels of every stage and of the classifier, times the published ones.
    Raises:
        ModelError: an argument is out of its range.
    """
    return FcnVgg19(num_classes, in_channels, width)
