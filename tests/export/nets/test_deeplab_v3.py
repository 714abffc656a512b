"""DeepLab V3: published size, shapes, dilations, names, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from published import RESNET, layer_keys, parameters, resnet_keys, shapes_of, shifted, weightless

torch = pytest.importorskip("torch")

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.deeplab_v3 import deeplab_v3, deeplab_v3_cascade  # noqa: E402

TORCHVISION: dict[str, Any] = {
    "output_stride": 8,
    "multi_grid": None,
    "extra_convolution": True,
    "auxiliary": True,
}
NARROW: dict[str, Any] = {"width": 0.125, "backbone": "resnet50"}
TRUNK_101 = 44_549_160 - (2048 * 1000 + 1000)  # torchvision's resnet101, num_params, less its fc
ASPP = 2048 * 256 + 3 * 9 * 2048 * 256 + 2048 * 256 + 5 * 256 * 256 + 6 * 2 * 256
CLASSIFIER = 256 * 21 + 21


# --- sizes ---------------------------------------------------------------------------------------------------------


# torchvision/models/segmentation/deeplabv3.py, "num_params" of DeepLabV3_ResNet50_Weights and ..._ResNet101_Weights
@pytest.mark.parametrize(("backbone", "published"), [("resnet50", 42_004_074), ("resnet101", 60_996_202)])
def test_torchvision_s_form_has_as_many_parameters_as_torchvision_states(backbone: Any, published: int) -> None:
    assert parameters(deeplab_v3, backbone=backbone, **TORCHVISION) == published


def test_the_paper_s_form_has_the_parameters_of_its_parts() -> None:
    # no count is published of it: torchvision's ResNet-101 and the pooling of section 3.3, 1x1 and 3x3 of 256 channels
    assert parameters(deeplab_v3) == TRUNK_101 + ASPP + CLASSIFIER


def test_the_cascade_adds_three_copies_of_the_last_layer() -> None:
    # no count is published of it: blocks 5 to 7 have three bottlenecks 2048-512-512-2048 each, without a projection
    bottleneck = 2048 * 512 + 9 * 512 * 512 + 512 * 2048 + 2 * (512 + 512 + 2048)

    assert parameters(deeplab_v3_cascade) == TRUNK_101 + 9 * bottleneck + 2048 * 21 + 21


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("output_stride", "side"), [(16, 33), (8, 65)])
def test_a_stage_has_the_shape_that_the_docstring_says(output_stride: Any, side: int) -> None:
    expected = {
        "backbone.conv1": (64, 257),
        "backbone.layer1": (256, 129),
        "backbone.layer2": (512, 65),
        "backbone.layer3": (1024, side),
        "backbone.layer4": (2048, side),
        **{f"classifier.0.convs.{index}": (256, side) for index in range(5)},
        "classifier.0.project": (256, side),
        "classifier.1": (21, side),
        "": (21, 513),
    }
    shapes = shapes_of(weightless(deeplab_v3, output_stride=output_stride), (1, 3, 513, 513))

    assert {name: shapes[name] for name in expected} == {
        name: (1, channels, one, one) for name, (channels, one) in expected.items()
    }


def test_a_stage_of_the_cascade_has_the_shape_that_the_docstring_says() -> None:
    names = ["backbone.layer4", "blocks.0", "blocks.1", "blocks.2", "classifier", ""]
    shapes = shapes_of(weightless(deeplab_v3_cascade), (1, 3, 513, 513))

    assert [shapes[name] for name in names] == [(1, 2048, 33, 33)] * 4 + [(1, 21, 33, 33), (1, 21, 513, 513)]


# --- rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "third", "fourth"),
    [
        ({}, {1}, [2, 4, 8]),
        ({"output_stride": 8}, {2}, [4, 8, 16]),
        ({"multi_grid": (1, 2, 1)}, {1}, [2, 4, 2]),
        (TORCHVISION, {1, 2}, [2, 4, 4]),
    ],
)
def test_the_last_layers_dilate_instead_of_striding(
    arguments: dict[str, Any], third: set[int], fourth: list[int]
) -> None:
    backbone = weightless(deeplab_v3, **arguments).backbone

    assert set(dilations_of(backbone.layer3)) == third
    assert dilations_of(backbone.layer4) == fourth


@pytest.mark.parametrize(("output_stride", "rates"), [(16, [1, 6, 12, 18]), (8, [1, 12, 24, 36])])
def test_the_pooling_s_rates_double_at_output_stride_8(output_stride: Any, rates: list[int]) -> None:
    pooling = weightless(deeplab_v3, output_stride=output_stride).classifier[0]

    assert [pooling.convs[index][0].dilation[0] for index in range(4)] == rates


@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [(16, [[4, 8, 4], [8, 16, 8], [16, 32, 16]]), (8, [[8, 16, 8], [16, 32, 16], [32, 64, 32]])],
)
def test_the_cascade_s_dilations_double_from_block_to_block(output_stride: Any, expected: list[list[int]]) -> None:
    net = weightless(deeplab_v3_cascade, output_stride=output_stride)

    assert dilations_of(net.backbone.layer4) == [rate // 2 for rate in expected[0]]
    assert [dilations_of(block) for block in net.blocks] == expected


def test_image_level_features_are_the_same_everywhere_and_follow_the_whole_image() -> None:
    features = deeplab_v3(**NARROW).eval().classifier[0].convs[4]
    image = torch.rand(1, 256, 5, 7)
    brighter = image.clone()
    brighter[..., 0, 0] += 5

    with torch.inference_mode():
        made, other = features(image), features(brighter)

    assert made.shape == (1, 32, 5, 7)
    assert torch.equal(made, made[..., :1, :1].expand_as(made))
    assert not torch.equal(made[..., 4, 6], other[..., 4, 6])


def test_a_fresh_resnet_101_does_not_enlarge_a_change_of_its_image_beyond_measure() -> None:
    # 31 times; if the last BatchNorm of every block began at 1 it would be 840, and INT8's rounding decide
    torch.manual_seed(0)
    backbone = deeplab_v3(width=0.125).backbone.train()  # in training each BatchNorm has the image's statistics
    image = torch.rand(2, 3, 65, 65)

    with torch.no_grad():
        made, changed = (backbone(one)[3] for one in (image, image * (1 + 1e-3 * torch.randn_like(image))))

    assert (changed - made).std() / made.std() < 100 * 1e-3


def test_training_gives_the_auxiliary_head_s_scores_and_evaluation_does_not_compute_them() -> None:
    net = deeplab_v3(**NARROW, auxiliary=True)
    image = torch.rand(2, 3, 33, 33)
    calls: list[object] = []
    net.aux_classifier.register_forward_hook(lambda *call: calls.append(call))

    main, auxiliary = net(image)
    assert main.shape == auxiliary.shape == (2, 21, 33, 33)
    assert len(calls) == 1

    assert net.eval()(image).shape == (2, 21, 33, 33)
    assert len(calls) == 1


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
def test_a_whole_state_dict_of_torchvision_s_names_loads_and_is_what_is_scored(backbone: Any) -> None:
    net = deeplab_v3(width=0.125, num_classes=5, backbone=backbone, **TORCHVISION).eval()
    image = torch.rand(1, 3, 33, 33)
    before = net(image)
    held = net.state_dict()
    published = {name: shifted(held[name]) for name in torchvision_names(RESNET[backbone])}

    net.load_state_dict(published)

    assert net(image).isfinite().all()
    assert not torch.allclose(before, net(image))


@pytest.mark.parametrize("net", [deeplab_v3(**NARROW), deeplab_v3_cascade(**NARROW)], ids=["pooling", "cascade"])
def test_torchvision_s_resnet_loads_into_the_backbone_but_for_its_classifier(net: Any) -> None:
    image = torch.rand(1, 3, 33, 33)
    before, held = net.eval()(image), net.backbone.state_dict()
    published = {name: shifted(held[name]) for name in resnet_keys(RESNET["resnet50"])}
    classifier = {"fc.weight": torch.rand(4), "fc.bias": torch.rand(4)}

    misfits = net.backbone.load_state_dict(published | classifier, strict=False)

    assert (misfits.missing_keys, misfits.unexpected_keys) == ([], [*classifier])
    assert net(image).isfinite().all()
    assert not torch.allclose(before, net(image))


def torchvision_names(blocks: tuple[int, ...]) -> Iterator[str]:
    """Of deeplabv3_resnet50's state dict."""
    yield from (f"backbone.{key}" for key in resnet_keys(blocks))
    for branch in range(4):
        yield from layer_keys(f"classifier.0.convs.{branch}.0", f"classifier.0.convs.{branch}.1")
    yield from layer_keys("classifier.0.convs.4.1", "classifier.0.convs.4.2")
    yield from layer_keys("classifier.0.project.0", "classifier.0.project.1")
    yield from layer_keys("classifier.1", "classifier.2")
    yield from ("classifier.4.weight", "classifier.4.bias")
    yield from layer_keys("aux_classifier.0", "aux_classifier.1")
    yield from ("aux_classifier.4.weight", "aux_classifier.4.bias")


# --- what it takes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", [deeplab_v3, deeplab_v3_cascade])
@pytest.mark.parametrize("size_hw", [(1, 1), (33, 50), (97, 64)])
def test_a_grey_image_of_any_size_has_a_score_for_every_class_and_pixel(factory: Any, size_hw: tuple[int, int]) -> None:
    net = factory(num_classes=7, in_channels=1, **NARROW).eval()

    assert net(torch.rand(1, 1, *size_hw)).shape == (1, 7, *size_hw)


@pytest.mark.parametrize("factory", [deeplab_v3, deeplab_v3_cascade])
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"backbone": "resnet18"}, "backbone is 'resnet18'"),
        ({"output_stride": 4}, "output_stride is 4"),
        ({"output_stride": 32}, "output_stride is 32"),
        ({"multi_grid": (1, 2)}, r"multi_grid is \(1, 2\)"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"in_channels": 0}, "in_channels is 0"),
        ({"width": 0.0}, "width is 0"),
    ],
)
def test_an_argument_out_of_its_range_is_refused(factory: Any, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        factory(**{"width": 0.125, **arguments})


def dilations_of(layer: Any) -> list[int]:
    """Of the 3x3 convolutions of a ResNet's layer."""
    return [block.conv2.dilation[0] for block in layer]
