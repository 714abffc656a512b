"""Own the names of the built-in nets: which factory makes each, and what it takes. Import no torch, make no net."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgeseg.errors import ModelError
from edgeseg.spec import FrameOptions

__all__ = ["BUILT_IN", "BuiltIn", "find_built_in", "is_bare_name"]

GREY = FrameOptions(colour="GRAY", mean=(0.449,), std=(0.226,))  # ImageNet's, averaged over its colours
#: RGB minus the mean of VGG's training set, not divided; Simonyan and Zisserman's published model
VGG_MEANS = FrameOptions(mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255, 1 / 255, 1 / 255))


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A net that ships with edgeseg, without weights.

    Attributes:
        name: what a user types.
        factory: ``package.module:function``; it takes num_classes, in_channels and width at least.
        size_hw: what it was published for.
        frame: what training is taken to have done to pictures, if the image has the published number of channels.
        title: what it is, in a few words.
        source: authors and year.
    """

    name: str
    factory: str
    size_hw: tuple[int, int]
    title: str
    source: str
    frame: FrameOptions = field(default_factory=FrameOptions)

    def channels_for(self, arguments: Mapping[str, object]) -> int:
        """How many channels the net's image has, made with these arguments.

        Raises:
            ModelError: frames do not have as many.
        """
        channels = arguments.get("in_channels", 1 if self.frame.colour == "GRAY" else 3)
        if channels == 1:
            return 1
        if channels == 3:
            return 3
        raise ModelError(f"in_channels is {channels!r}", "frames have 1 channel (grey) or 3 (colour)")

    def frame_for(self, arguments: Mapping[str, object]) -> FrameOptions:
        """``frame``, or the same for grey or for colour where ``in_channels`` says that the image is another.

        Raises:
            ModelError: frames do not have as many channels.
        """
        is_grey = self.channels_for(arguments) == 1
        if is_grey == (self.frame.colour == "GRAY"):
            return self.frame
        return GREY if is_grey else FrameOptions()


def find_built_in(name: str) -> BuiltIn:
    """The built-in net of that name.

    Raises:
        ModelError: there is none; names the nearest.
    """
    if name not in BUILT_IN:
        near = difflib.get_close_matches(name.lower(), BUILT_IN, n=3)
        hint = f"nearest is {', '.join(near)}; " if near else ""
        raise ModelError(
            f"there is no built-in net '{name}'",
            f"{hint}'edgeseg export --list' shows all, package.module:factory names your own",
        )
    return BUILT_IN[name]


def is_bare_name(name: str) -> bool:
    """Whether ``name`` can be nothing but a built-in net's: a single word, no file and no module."""
    return bool(name) and not set(name) & set(":./\\ ")


def _catalogue(*nets: BuiltIn) -> dict[str, BuiltIn]:
    home = "edgeseg.export.nets"
    return {one.name: replace(one, factory=f"{home}.{one.factory}") for one in nets}


LONG = "Long et al. 2015"
RONNEBERGER = "Ronneberger et al. 2015"
CHEN_V1, CHEN_V2 = "Chen et al. 2015", "Chen et al. 2016"
CHEN_V3, CHEN_V3_PLUS = "Chen et al. 2017", "Chen et al. 2018"

BUILT_IN: Mapping[str, BuiltIn] = _catalogue(
    BuiltIn(name="fcn32s", factory="fcn:fcn32s", size_hw=(512, 512), title="FCN-32s on VGG16 or VGG19", source=LONG),
    BuiltIn(name="fcn16s", factory="fcn:fcn16s", size_hw=(512, 512), title="FCN-16s on VGG16 or VGG19", source=LONG),
    BuiltIn(name="fcn8s", factory="fcn:fcn8s", size_hw=(512, 512), title="FCN-8s on VGG16 or VGG19", source=LONG),
    BuiltIn(name="fcn2s", factory="fcn:fcn2s", size_hw=(512, 512), title="FCN-2s on VGG16 or VGG19", source=LONG),
    BuiltIn(
        name="fcn8s-vgg19",
        factory="fcn_vgg19:fcn8s_vgg19",
        size_hw=(224, 224),
        title="FCN-8s, VGG19 with average pooling, argmax",
        source=LONG,
        frame=VGG_MEANS,
    ),
    BuiltIn(
        name="fcn8s-slim",
        factory="fcn_slim:fcn8s_slim",
        size_hw=(512, 512),
        title="narrow FCN-8s for grey images",
        source=LONG,
        frame=GREY,
    ),
    BuiltIn(
        name="fcn2s-slim",
        factory="fcn_slim:fcn2s_slim",
        size_hw=(512, 512),
        title="narrow FCN-2s for grey images",
        source=LONG,
        frame=GREY,
    ),
    BuiltIn(name="unet", factory="unet:unet", size_hw=(512, 512), title="U-Net", source=RONNEBERGER),
    BuiltIn(
        name="unet-mini", factory="unet_mini:unet_mini", size_hw=(224, 224), title="small U-Net", source=RONNEBERGER
    ),
    BuiltIn(
        name="mobilenet-unet",
        factory="mobilenet_unet:mobilenet_unet",
        size_hw=(224, 224),
        title="U-Net on MobileNet V1",
        source="Howard et al. 2017",
    ),
    BuiltIn(
        name="segnet",
        factory="segnet:segnet",
        size_hw=(352, 480),
        title="SegNet, max-unpooling",
        source="Badrinarayanan et al. 2017",
    ),
    BuiltIn(
        name="deeplab-v1",
        factory="deeplab_v1:deeplab_v1",
        size_hw=(513, 513),
        title="DeepLab V1, large field of view, VGG16",
        source=CHEN_V1,
    ),
    BuiltIn(
        name="deeplab-v1-crf",
        factory="deeplab_v1:deeplab_v1_crf",
        size_hw=(513, 513),
        title="DeepLab V1 with a CRF in the graph",
        source=CHEN_V1,
    ),
    BuiltIn(
        name="deeplab-v2",
        factory="deeplab_v2:deeplab_v2",
        size_hw=(513, 513),
        title="DeepLab V2, ASPP, ResNet-101 or VGG16",
        source=CHEN_V2,
    ),
    BuiltIn(
        name="deeplab-v2-crf",
        factory="deeplab_v2:deeplab_v2_crf",
        size_hw=(513, 513),
        title="DeepLab V2 with a CRF in the graph",
        source=CHEN_V2,
    ),
    BuiltIn(
        name="deeplab-v3",
        factory="deeplab_v3:deeplab_v3",
        size_hw=(513, 513),
        title="DeepLab V3, ASPP with image-level features",
        source=CHEN_V3,
    ),
    BuiltIn(
        name="deeplab-v3-cascade",
        factory="deeplab_v3:deeplab_v3_cascade",
        size_hw=(513, 513),
        title="DeepLab V3, cascaded blocks",
        source=CHEN_V3,
    ),
    BuiltIn(
        name="deeplab-v3-plus",
        factory="deeplab_v3_plus:deeplab_v3_plus",
        size_hw=(513, 513),
        title="DeepLab V3+, ResNet-101 or MobileNet V2",
        source=CHEN_V3_PLUS,
    ),
    BuiltIn(
        name="pspnet",
        factory="pspnet:pspnet",
        size_hw=(473, 473),
        title="PSPNet, pyramid pooling, ResNet-50",
        source="Zhao et al. 2017",
    ),
    BuiltIn(
        name="refinenet",
        factory="refinenet:refinenet",
        size_hw=(512, 512),
        title="RefineNet, chained residual pooling, ResNet-101",
        source="Lin et al. 2017",
    ),
    BuiltIn(
        name="mask-rcnn",
        factory="mask_rcnn:mask_rcnn",
        size_hw=(800, 1088),
        title="Mask R-CNN as one semantic mask, ResNet-50 and FPN",
        source="He et al. 2017",
    ),
)
