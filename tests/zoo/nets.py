"""Own the list of public nets, and the making of each by its own package. Export nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn
from vision import torchvision  # before those that import it too

__all__ = ["CLASSES", "NETS", "PublicNet"]

CLASSES = 19
STREET_HW = (256, 512)


@dataclass(frozen=True, kw_only=True)
class PublicNet:
    """One net as its package makes it, without weights.

    Attributes:
        source: the word before the colon of ``edgeseg export``.
        name: the function or class; of transformers the configuration, without its ``Config``.
        arguments: of that function, class or configuration, beside the number of classes.
        variant: told in the table behind the name.
        upsampling: the coordinate rule of the Resize at its end; empty where it has none.
    """

    source: Literal["torchvision", "smp", "transformers"]
    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    size_hw: tuple[int, int] = STREET_HW
    variant: str = ""
    upsampling: Literal["", "half_pixel", "align_corners"] = ""

    def __str__(self) -> str:
        return f"{self.name} {self.variant}".strip()

    def make(self) -> nn.Module:
        """The module, its weights random."""
        if self.source == "torchvision":
            factory = getattr(torchvision.models.segmentation, self.name)
            module: nn.Module = factory(weights=None, weights_backbone=None, **self.all_arguments)
        elif self.source == "smp":
            import segmentation_models_pytorch as smp

            module = getattr(smp, self.name)(encoder_weights=None, **self.all_arguments)
        else:
            import transformers

            module = transformers.AutoModelForSemanticSegmentation.from_config(self.config())
        return module

    def command_words(self, folder: Path) -> list[str]:
        """How `edgeseg export` is told; a configuration is written into ``folder``."""
        if self.source == "transformers":
            self.config().save_pretrained(folder)
            return [f"transformers:{folder}"]
        words = [f"{self.source}:{self.name}"]
        for name, value in self.all_arguments.items():
            words += ["--arg", f"{name}={value}"]
        return words

    def config(self) -> Any:
        """The configuration of a net of transformers."""
        import transformers

        return getattr(transformers, f"{self.name}Config")(**self.all_arguments)

    @property
    def all_arguments(self) -> dict[str, object]:
        """With the number of classes, by the name that the package has for it."""
        name = {"torchvision": "num_classes", "smp": "classes", "transformers": "num_labels"}[self.source]
        return {name: CLASSES, **self.arguments}


def _torchvision(name: str) -> PublicNet:
    return PublicNet(source="torchvision", name=name, upsampling="half_pixel")


def _smp(name: str, encoder: str = "resnet18") -> PublicNet:
    return PublicNet(source="smp", name=name, arguments={"encoder_name": encoder}, variant=f"({encoder})")


def _upsampling_smp(name: str, encoder: str = "resnet18") -> PublicNet:
    return dataclasses.replace(_smp(name, encoder), upsampling="align_corners")


# with timm's smallest ViT, which takes the size that it was made for, or any, resizing its position embedding
_DPT = PublicNet(
    source="smp",
    name="DPT",
    arguments={
        "encoder_name": "tu-vit_tiny_patch16_224",
        "decoder_intermediate_channels": (64, 128, 256, 256),
        "decoder_fusion_channels": 64,
    },
    size_hw=(224, 224),
    variant="(vit_tiny)",
    upsampling="align_corners",
)

NETS = (
    _torchvision("lraspp_mobilenet_v3_large"),
    _torchvision("deeplabv3_mobilenet_v3_large"),
    _torchvision("deeplabv3_resnet50"),
    _torchvision("fcn_resnet50"),
    _smp("Unet"),
    _smp("Unet", "mobilenet_v2"),
    _smp("UnetPlusPlus"),
    _smp("MAnet"),
    _smp("Linknet"),
    _upsampling_smp("FPN"),
    _upsampling_smp("PSPNet"),
    _upsampling_smp("PAN"),
    _upsampling_smp("DeepLabV3"),
    _upsampling_smp("DeepLabV3Plus"),
    _upsampling_smp("UPerNet"),
    _upsampling_smp("Segformer", "mit_b0"),
    _DPT,
    dataclasses.replace(
        _DPT,
        arguments={**_DPT.arguments, "dynamic_img_size": True},
        size_hw=STREET_HW,
        variant="(vit_tiny, dynamic_img_size)",
    ),
    PublicNet(source="transformers", name="Segformer", variant="(b0)"),
    PublicNet(
        source="transformers", name="MobileViTV2", arguments={"width_multiplier": 0.5}, variant="(width_multiplier 0.5)"
    ),
)
