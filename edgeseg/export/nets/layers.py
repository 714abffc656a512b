"""Own the layers that several built-in nets are made of. Define no net."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Bilinear", "ConvNormReLU", "conv_relu", "cropped_like", "enlarged", "he_initialised"]


class ConvNormReLU(nn.Sequential):
    """Convolution without bias, BatchNorm, ReLU: (N, in, H, W) -> (N, out, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2 * dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Bilinear(nn.ConvTranspose2d):
    """Deconvolution that enlarges ``factor`` times, and begins as bilinear interpolation.

    (N, in, H, W) -> (N, out, H * factor, W * factor). Its kernel is 2 x ``factor`` wide, as in FCN's (Long et al.,
    2015, section 3.3). Channels are interpolated each for itself; where ``out`` differs from ``in``, output c begins
    as input c modulo ``in``.
    """

    def __init__(self, inputs: int, outputs: int, factor: int, *, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 2 * factor, factor, padding=factor // 2, output_padding=factor % 2, bias=bias)
        side = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
        with torch.no_grad():
            self.weight.zero_()
            for output in range(outputs):
                self.weight[output % inputs, output] = side[:, None] * side[None, :]
            if self.bias is not None:
                self.bias.zero_()


def conv_relu(inputs: int, outputs: int, kernel: int = 3, *, dilation: int = 1) -> list[nn.Module]:
    """Convolution with bias and ReLU, at the image's size."""
    padding = kernel // 2 * dilation
    return [nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation), nn.ReLU(inplace=True)]


def cropped_like(larger: Tensor, image: Tensor) -> Tensor:
    """The upper left part of ``larger`` that has the height and width of ``image``."""
    return larger[:, :, : image.shape[2], : image.shape[3]]


def enlarged(scores: Tensor, image: Tensor) -> Tensor:
    """Bilinear, corners not aligned, to the height and width of ``image``; the runtime does it instead of an engine."""
    return functional.interpolate(scores, size=image.shape[2:], mode="bilinear", align_corners=False)


def he_initialised(net: nn.Module) -> None:
    """Draw the convolutions' weights so that signals keep their size through ReLU; for nets without BatchNorm.

    He et al., Delving Deep into Rectifiers (2015), equation 10. Deconvolutions that begin as bilinear stay so.
    """
    for one in net.modules():
        if isinstance(one, (nn.Conv2d, nn.ConvTranspose2d)) and not isinstance(one, Bilinear):
            nn.init.kaiming_normal_(one.weight, nonlinearity="relu")
            if one.bias is not None:
                nn.init.zeros_(one.bias)
