"""DeepLab V2: its size on both backbones, its stages, what it dilates, and its CRF."""

from __future__ import annotations

from typing import Any

import pytest
from published import (
    RESNET,
    VGG,
    assert_names_load_into_the_backbone,
    parameters,
    resnet_keys,
    shapes_of,
    vgg_keys,
    weightless,
)

torch = pytest.importorskip("torch")

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.deeplab_v2 import deeplab_v2, deeplab_v2_crf  # noqa: E402

WIDTH = 0.125
TOLERANCE = 1e-5  # float32, another order of additions
BACKBONES = ["resnet101", "vgg16"]
RATES = [6, 12, 18, 24]
#: torchvision's documentation, num_params, without the layers that tell ImageNet's classes apart
RESNET101 = 44_549_160 - (2048 * 1000 + 1000)
VGG16 = 138_357_544 - (25_088 * 4096 + 4096) - (4096 * 4096 + 4096) - (4096 * 1000 + 1000)
KEYS = {"resnet101": [*resnet_keys(RESNET["resnet101"])], "vgg16": [*vgg_keys(VGG["vgg16"])]}
LAYERS = ("layer1", "layer2", "layer3", "layer4")


@pytest.mark.parametrize("factory", [deeplab_v2, deeplab_v2_crf])
def test_deeplab_v2_has_resnet_s_parameters_and_four_classifiers(factory: Any) -> None:
    # no figure was found published; the paper, section 4.1.2: four 3x3 convolutions to the 21 classes, summed
    assert parameters(factory) == RESNET101 + 4 * (9 * 2048 * 21 + 21) == 44_048_532


def test_deeplab_v2_on_vgg_has_its_convolutions_and_four_branches_of_three_layers() -> None:
    # no figure was found published; the paper, figure 7: fc6, fc7 and fc8 in each branch
    branch = (9 * 512 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 21 + 21)
    assert parameters(deeplab_v2, backbone="vgg16") == VGG16 + 4 * branch == 37_877_652


def test_every_stage_on_resnet_has_the_shape_that_its_docstring_says() -> None:
    shapes = shapes_of(weightless(deeplab_v2_crf), (1, 3, 513, 513))
    assert shapes["backbone.conv1"] == (1, 64, 257, 257)
    assert shapes["backbone.layer1"] == (1, 256, 129, 129)
    assert shapes["backbone.layer2"] == (1, 512, 65, 65)
    assert shapes["backbone.layer3"] == (1, 1024, 65, 65)
    assert shapes["backbone.layer4"] == (1, 2048, 65, 65)
    assert [shapes[f"branches.{index}"] for index in range(4)] == [(1, 21, 65, 65)] * 4
    assert shapes["crf"] == (1, 21, 65, 65)
    assert shapes[""] == (1, 21, 513, 513)


def test_every_stage_on_vgg_has_the_shape_that_its_docstring_says() -> None:
    shapes = shapes_of(weightless(deeplab_v2_crf, backbone="vgg16"), (1, 3, 513, 513))
    assert shapes["backbone.features.30"] == (1, 512, 65, 65)
    for index in range(4):
        assert shapes[f"branches.{index}.0"] == shapes[f"branches.{index}.3"] == (1, 1024, 65, 65)
        assert shapes[f"branches.{index}"] == (1, 21, 65, 65)
    assert shapes[""] == (1, 21, 513, 513)


def test_all_of_layer3_dilates_by_2_and_all_of_layer4_by_4() -> None:
    with torch.device("meta"):
        backbone = deeplab_v2(width=WIDTH).backbone
    found = {layer: {block.conv2.dilation[0] for block in backbone.get_submodule(layer)} for layer in LAYERS}
    strides = {layer: backbone.get_submodule(layer)[0].conv2.stride[0] for layer in LAYERS}
    assert found == {"layer1": {1}, "layer2": {1}, "layer3": {2}, "layer4": {4}}
    assert strides == {"layer1": 1, "layer2": 2, "layer3": 1, "layer4": 1}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_four_branches_dilate_by_6_12_18_and_24_and_are_summed(backbone: str) -> None:
    net = deeplab_v2(5, width=WIDTH, backbone=backbone).eval()
    firsts = [branch if backbone == "resnet101" else branch[0] for branch in net.branches]
    image = torch.rand(1, 3, 33, 49)
    with torch.no_grad():
        features = net.backbone(image)[-1]
        logits = torch.stack([branch(features) for branch in net.branches]).sum(0)
        expected = torch.nn.functional.interpolate(logits, size=(33, 49), mode="bilinear")
        assert torch.allclose(net(image), expected, atol=TOLERANCE)
    assert [one.dilation[0] for one in firsts] == [one.padding[0] for one in firsts] == RATES
    assert logits.shape[2:] == (5, 7)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_torchvision_s_key_names_load_into_the_backbone(backbone: str) -> None:
    assert_names_load_into_the_backbone(deeplab_v2(5, width=WIDTH, backbone=backbone), KEYS[backbone])


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size_hw", [(1, 1), (9, 8), (33, 47)])
def test_grey_images_of_any_size_have_as_many_scores_as_classes(backbone: str, size_hw: tuple[int, int]) -> None:
    net = deeplab_v2_crf(7, in_channels=1, width=WIDTH, backbone=backbone).eval()
    assert net(torch.zeros(1, 1, *size_hw)).shape == (1, 7, *size_hw)


def test_the_crf_refines_the_sum_before_it_is_enlarged() -> None:
    net = deeplab_v2_crf(5, width=WIDTH).eval()
    image = torch.rand(1, 3, 33, 49)
    with torch.no_grad():
        features = net.backbone(image)[-1]
        logits = torch.stack([branch(features) for branch in net.branches]).sum(0)
        refined = net.crf(logits, image)
        expected = torch.nn.functional.interpolate(refined, size=(33, 49), mode="bilinear")
        assert torch.allclose(net(image), expected, atol=TOLERANCE)
    assert not torch.allclose(refined, logits, atol=0.1)


def test_in_training_mode_the_crf_is_left_out() -> None:
    net = deeplab_v2_crf(5, width=WIDTH, backbone="vgg16")
    net.crf.register_forward_hook(lambda *_: pytest.fail("the CRF was called"))
    assert net.train()(torch.rand(2, 3, 33, 33)).shape == (2, 5, 33, 33)


def test_the_named_factory_is_the_one_with_a_crf() -> None:
    with torch.device("meta"):
        assert deeplab_v2().crf is None
        assert deeplab_v2(crf=True).crf.window == 7
        assert deeplab_v2_crf(crf_window=11).crf.window == 11


@pytest.mark.parametrize(
    ("backbone", "published"),
    # the authors' pages of both nets: bi_w, bi_xy_std, bi_rgb_std, pos_w, pos_xy_std
    [("resnet101", [4, 67, 3, 3, 1]), ("vgg16", [4, 65, 3, 2, 2])],
)
def test_the_crf_s_deviations_are_the_authors_in_scores(backbone: str, published: list[float]) -> None:
    held = deeplab_v2_crf(width=WIDTH, backbone=backbone).crf.pairwise.tolist()
    scale = [1, 8, 1, 1, 8]
    assert held == pytest.approx([value / by for value, by in zip(published, scale, strict=True)])


def test_another_backbone_is_refused() -> None:
    with pytest.raises(ModelError, match="backbone is 'resnet18'"):
        deeplab_v2(backbone="resnet18")  # type: ignore[arg-type]
