"""Own the demo net: a small U-Net and its shipped weights. Train, export and pre-process nothing.

The net exists to be quantised: dense 3x3 convolutions whose channel counts are multiples of 16, BatchNorm that folds,
ReLU, nearest upsampling, skips that add. Depthwise convolutions and hard-swish are left out: they lose accuracy or
speed in INT8. Skips that concatenate are left out too: OpenVINO then runs the convolution behind them in FP32.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

INPUT_SIZE_HW = (256, 512)
WEIGHTS_PATH = Path(__file__).with_name("demo_unet.safetensors")


class ConvBlock(nn.Sequential):
    """3x3 convolution, BatchNorm, ReLU: (N, in, H, W) -> (N, out, H / stride, W / stride), float32."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class UpBlock(nn.Module):
    """Match channels, double, add the skip map, convolve: (N, c, H, W) + (N, s, 2H, 2W) -> (N, s, 2H, 2W)."""

    def __init__(self, in_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.match = ConvBlock(in_channels, skip_channels)
        self.conv = ConvBlock(skip_channels, skip_channels)

    def forward(self, coarse: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Return the joined map at the skip map's size, float32 (N, s, 2H, 2W)."""
        doubled = functional.interpolate(self.match(coarse), scale_factor=2.0, mode="nearest")
        joined: torch.Tensor = self.conv(doubled + skip)
        return joined


class DemoUnet(nn.Module):
    """U-Net over four scales with logits at half the input's size; see `demo_unet` for every stage's shape."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        half, quarter, eighth, deep = width, width * 2, width * 3, width * 4
        self.stem = nn.Sequential(ConvBlock(3, half, stride=2), ConvBlock(half, half))
        self.down4 = nn.Sequential(ConvBlock(half, quarter, stride=2), ConvBlock(quarter, quarter))
        self.down8 = nn.Sequential(ConvBlock(quarter, eighth, stride=2), ConvBlock(eighth, eighth))
        self.down16 = nn.Sequential(
            ConvBlock(eighth, deep, stride=2),
            ConvBlock(deep, deep),
            ConvBlock(deep, deep),
        )
        self.up8 = UpBlock(deep, eighth)
        self.up4 = UpBlock(eighth, quarter)
        self.up2 = UpBlock(quarter, half)
        self.head = nn.Conv2d(half, num_classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Score every class at every second pixel.

        Args:
            image: float32 (N, 3, H, W), RGB, (x / 255 - mean) / std with ImageNet's figures; H and W divisible by 16.

        Returns:
            float32 logits (N, num_classes, H / 2, W / 2), not normalised.
        """
        at_2 = self.stem(image)
        at_4 = self.down4(at_2)
        at_8 = self.down8(at_4)
        at_16 = self.down16(at_8)
        logits: torch.Tensor = self.head(self.up2(self.up4(self.up8(at_16, at_8), at_4), at_2))
        return logits


def demo_unet(num_classes: int = 9, width: int = 32) -> nn.Module:
    """Build the demo net with random weights.

    Shapes for the 1x3x256x512 input at the default width of 32 (NCHW, float32):

        stem     1 x  32 x 128 x 256   stride 2
        down4    1 x  64 x  64 x 128   stride 4
        down8    1 x  96 x  32 x  64   stride 8
        down16   1 x 128 x  16 x  32   stride 16
        up8      1 x  96 x  32 x  64   down16 at 96 channels, nearest x2, plus down8, convolved
        up4      1 x  64 x  64 x 128   up8 at 64 channels, nearest x2, plus down4, convolved
        up2      1 x  32 x 128 x 256   up4 at 32 channels, nearest x2, plus stem, convolved
        head     1 x   9 x 128 x 256   1x1 convolution: the logits

    Upsampling to the camera's size and the argmax are the runtime's, so they are no part of the net.

    Args:
        num_classes: classes to score, >= 1.
        width: channels at stride 2; a multiple of 16 keeps every INT8 kernel's vectors full.

    Returns:
        The net in training mode, on the CPU.

    Raises:
        ValueError: `num_classes` is below 1, or `width` is no positive multiple of 16.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; expected at least 1")
    if width < 16 or width % 16:
        raise ValueError(f"width is {width}; expected a positive multiple of 16, such as 16 or 32")
    return DemoUnet(num_classes, width)
