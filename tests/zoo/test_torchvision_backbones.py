"""Torchvision's own state dicts in our backbones, and its DeepLab V3: the same names, the same numbers.

That the masks of settled weights agree is not asked here: the same weights give the same features, or they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from vision import torchvision

from edgeseg.export.nets.deeplab_v3 import deeplab_v3
from edgeseg.export.nets.mobilenet_v2 import MobileNetV2
from edgeseg.export.nets.resnet import ResNet
from edgeseg.export.nets.vgg import Vgg

PUBLISHED: dict[str, Any] = {"in_channels": 3, "width": 1}
#: ours, and what torchvision's has that ours has not
BACKBONES: dict[str, tuple[Callable[[], nn.Module], set[str]]] = {
    "vgg16": (lambda: Vgg("vgg16", **PUBLISHED), {"classifier"}),
    "vgg19": (lambda: Vgg("vgg19", **PUBLISHED), {"classifier"}),
    "vgg16_bn": (lambda: Vgg("vgg16", norm=True, **PUBLISHED), {"classifier"}),
    "resnet50": (lambda: ResNet("resnet50", **PUBLISHED), {"fc"}),
    "resnet101": (lambda: ResNet("resnet101", **PUBLISHED), {"fc"}),
    "mobilenet_v2": (lambda: MobileNetV2(with_last=True, **PUBLISHED), {"classifier"}),
}
RELATIVE = 1e-4  # of the largest value; FP32, in the same order of operations


@pytest.mark.parametrize("name", BACKBONES)
def test_torchvision_s_weights_load_but_for_the_classifier_and_give_its_features(name: str) -> None:
    theirs = with_statistics(torchvision.models.get_model(name))
    make, rest = BACKBONES[name]
    ours = make().eval()

    misfits = ours.load_state_dict(theirs.state_dict(), strict=False)

    assert misfits.missing_keys == []
    assert {key.partition(".")[0] for key in misfits.unexpected_keys} == rest
    image = torch.rand(1, 3, 96, 128)
    with torch.inference_mode():
        assert_same(ours(image)[-1], last_features(theirs, image))


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
def test_a_dilated_resnet_is_torchvision_s_and_a_narrow_mobilenet_has_its_shapes(name: str) -> None:
    if name == "resnet50":
        theirs = torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])
        ours: nn.Module = ResNet("resnet50", output_stride=8, **PUBLISHED)
    else:
        theirs = torchvision.models.mobilenet_v2(width_mult=0.75)
        ours = MobileNetV2(in_channels=3, width=0.75, with_last=True)
    ours.load_state_dict(with_statistics(theirs).state_dict(), strict=False)

    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert_same(ours.eval()(image)[-1], last_features(theirs, image))


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
def test_torchvision_s_deeplab_v3_loads_as_a_whole_and_scores_alike(backbone: Any) -> None:
    make = torchvision.models.get_model_builder(f"deeplabv3_{backbone}")
    theirs = with_statistics(make(weights=None, weights_backbone=None, aux_loss=True))
    ours = deeplab_v3(backbone=backbone, output_stride=8, multi_grid=None, extra_convolution=True, auxiliary=True)

    ours.load_state_dict(theirs.state_dict())

    image = torch.rand(1, 3, 97, 129)
    with torch.inference_mode():
        assert_same(ours.eval()(image), theirs(image)["out"])


def with_statistics(net: nn.Module) -> nn.Module:
    """The net in evaluation mode, with statistics other than the 0 and 1 that every fresh BatchNorm has."""
    for one in net.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.running_mean.normal_(std=0.1)
            one.running_var.uniform_(0.5, 1.5)
    return net.eval()


def last_features(net: Any, image: Tensor) -> Tensor:
    """What torchvision's classifier has in front of its pooling and its linear layers."""
    if hasattr(net, "features"):
        return net.features(image)
    stem = net.maxpool(net.relu(net.bn1(net.conv1(image))))
    return net.layer4(net.layer3(net.layer2(net.layer1(stem))))


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert theirs.std() > 0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=RELATIVE * float(theirs.abs().max()))
