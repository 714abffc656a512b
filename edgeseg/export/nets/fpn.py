"""Own the feature pyramid on ResNet-50. Lin et al.: Feature Pyramid Networks for Object Detection (2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from edgeseg.export.nets.resnet import ResNet

__all__ = ["FeaturePyramid", "PyramidBackbone"]


class PyramidBackbone(nn.Module):
    """ResNet-50 and the pyramid on its four layers, with torchvision's names: ``body`` and ``fpn``.

    What it gives of a 1x3x800x1088 image: one map a level, all with the same number of channels.

        P2   1 x 256 x 200 x 272   stride  4
        P3   1 x 256 x 100 x 136   stride  8
        P4   1 x 256 x  50 x  68   stride 16
        P5   1 x 256 x  25 x  34   stride 32
        P6   1 x 256 x  13 x  17   every second pixel of P5; proposals come from it, features do not

    Args:
        channels: of the maps.
        norm_eps: what BatchNorm adds to variances.
    """

    def __init__(self, *, in_channels: int, width: float, channels: int, norm_eps: float) -> None:
        super().__init__()
        self.body = ResNet("resnet50", in_channels=in_channels, width=width)
        for one in self.body.modules():
            if isinstance(one, nn.BatchNorm2d):
                one.eps = norm_eps
        self.fpn = FeaturePyramid(self.body.channels, channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """P2 to P6, float32."""
        maps: list[Tensor] = self.fpn(self.body(image))
        return maps


class FeaturePyramid(nn.Module):
    """A 1x1 convolution into the pyramid for every layer of a backbone, the way down it, and a 3x3 convolution out.

    Args:
        inputs: channels of the layers, the finest first.
        channels: of all maps.
    """

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(one, channels, 1)) for one in inputs)
        self.layer_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1)) for _ in inputs)

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """One map a layer, and one more of half the coarsest's size."""
        inner = [block(stage) for block, stage in zip(self.inner_blocks, stages, strict=True)]
        for finer in reversed(range(len(inner) - 1)):  # each level takes what the coarser one knows
            inner[finer] = inner[finer] + functional.interpolate(inner[finer + 1], scale_factor=2.0, mode="nearest")
        maps = [block(one) for block, one in zip(self.layer_blocks, inner, strict=True)]
        return [*maps, functional.max_pool2d(maps[-1], 1, 2)]
