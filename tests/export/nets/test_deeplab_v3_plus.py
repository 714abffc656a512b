"""DeepLab V3+ and its MobileNet V2: published size, shapes, dilations, names, and what they take."""

from __future__ import annotations

from typing import Any

import pytest
from published import count, layer_keys, mobilenet_v2_keys, parameters, shapes_of, shifted, weightless

torch = pytest.importorskip("torch")

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.deeplab_v3_plus import deeplab_v3_plus  # noqa: E402
from edgeseg.export.nets.mobilenet_v2 import MobileNetV2  # noqa: E402

BACKBONES = ("resnet101", "resnet50", "mobilenet_v2")
NARROW: dict[str, Any] = {"width": 0.125, "backbone": "mobilenet_v2"}


# --- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "trunk", "fine", "coarse"),
    [
        # torchvision/models/resnet.py: "num_params" of ResNet101_Weights and ResNet50_Weights, less fc
        ("resnet101", 44_549_160 - 2049 * 1000, 256, 2048),
        ("resnet50", 25_557_032 - 2049 * 1000, 256, 2048),
        # torchvision/models/mobilenetv2.py: "num_params", less its classifier and the last convolution
        ("mobilenet_v2", 3_504_872 - 1281 * 1000 - (320 * 1280 + 2 * 1280), 24, 320),
    ],
)
def test_the_net_has_the_parameters_of_its_parts(backbone: Any, trunk: int, fine: int, coarse: int) -> None:
    # the paper states no count: DeepLab V3's pooling, and the decoder of its section 3.1 and table 2, [3x3, 256] x 2
    pooling = (1 + 3 * 9 + 1) * coarse * 256 + 5 * 256 * 256 + 6 * 2 * 256
    decoder = fine * 48 + 2 * 48 + 9 * (48 + 256) * 256 + 9 * 256 * 256 + 2 * 2 * 256

    assert parameters(deeplab_v3_plus, backbone=backbone) == trunk + pooling + decoder + 256 * 21 + 21


def test_on_mobilenet_v2_it_is_as_large_as_another_implementation_of_it() -> None:
    # Qualcomm AI Hub, DeepLabV3-Plus-MobileNet for 21 classes (of github.com/jfzhang95/pytorch-deeplab-xception):
    # "Number of parameters: 5.80M". That is the count once BatchNorm's scales are folded into the convolutions.
    net = weightless(deeplab_v3_plus, backbone="mobilenet_v2")
    scales = sum(one.weight.numel() for one in net.modules() if isinstance(one, torch.nn.BatchNorm2d))

    assert round((count(net) - scales) / 1e6, 2) == 5.80


def test_mobilenet_v2_with_pooling_and_classifier_is_as_large_as_its_paper_s() -> None:
    # Sandler et al. (2018), table 7: MNet V2*, ASPP, 4.52M; without the decoder
    net = weightless(deeplab_v3_plus, backbone="mobilenet_v2")

    assert round(sum(map(count, (net.backbone, net.aspp, net.classifier))) / 1e6, 2) == 4.52


def test_mobilenet_v2_has_the_parameters_that_torchvision_states() -> None:
    # torchvision/models/mobilenetv2.py, "num_params", of which the classifier's are 1280 x 1000 and 1000
    assert parameters(MobileNetV2, in_channels=3, width=1, with_last=True) + 1280 * 1000 + 1000 == 3_504_872


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("output_stride", "side"), [(16, 33), (8, 65)])
@pytest.mark.parametrize(
    ("backbone", "fine", "coarse"),
    [
        ("resnet101", ("layer1", 256), ("layer4", 2048)),
        ("mobilenet_v2", ("features.3", 24), ("features.17", 320)),
    ],
)
def test_a_stage_has_the_shape_that_the_docstring_says(
    backbone: Any, fine: tuple[str, int], coarse: tuple[str, int], output_stride: Any, side: int
) -> None:
    expected = {
        f"backbone.{fine[0]}": (fine[1], 129),
        f"backbone.{coarse[0]}": (coarse[1], side),
        "aspp": (256, side),
        "decoder.narrow": (48, 129),
        "decoder.convs.0": (256, 129),
        "decoder.convs.1": (256, 129),
        "classifier": (21, 129),
        "": (21, 513),
    }
    net = weightless(deeplab_v3_plus, backbone=backbone, output_stride=output_stride)
    shapes = shapes_of(net, (1, 3, 513, 513))

    assert {name: shapes[name] for name in expected} == {
        name: (1, channels, one, one) for name, (channels, one) in expected.items()
    }


@pytest.mark.parametrize(
    ("output_stride", "sides"), [(32, (128, 64, 32, 16)), (16, (128, 64, 32, 32)), (8, (128, 64, 64, 64))]
)
def test_mobilenet_v2_s_maps_have_the_shapes_that_its_docstring_says(output_stride: Any, sides: Any) -> None:
    with torch.device("meta"):
        backbone = MobileNetV2(in_channels=3, width=1, output_stride=output_stride).eval()
        maps = backbone(torch.empty(1, 3, 512, 512))

    assert [tuple(one.shape) for one in maps] == [
        (1, channels, side, side) for channels, side in zip((24, 32, 96, 320), sides, strict=True)
    ]
    assert backbone.channels == (24, 32, 96, 320)


# --- rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [
        (32, [1] * 17),
        (16, [1] * 14 + [2] * 3),  # features.14 no longer strides: those behind it dilate
        (8, [1] * 7 + [2] * 7 + [4] * 3),  # and features.7
    ],
)
def test_mobilenet_v2_dilates_behind_where_it_no_longer_strides(output_stride: Any, expected: list[int]) -> None:
    features = weightless(MobileNetV2, in_channels=3, width=1, output_stride=output_stride).features

    by_channel = [one for one in features.modules() if isinstance(one, torch.nn.Conv2d) and one.groups > 1]
    assert [one.dilation[0] for one in by_channel] == expected
    assert [one.padding[0] for one in by_channel] == expected


def test_dilated_and_strided_mobilenet_v2_see_the_same_where_both_look() -> None:
    strided = MobileNetV2(in_channels=3, width=0.25).eval()
    dilated = MobileNetV2(in_channels=3, width=0.25, output_stride=8).eval()
    dilated.load_state_dict(strided.state_dict())
    image = torch.rand(1, 3, 65, 65)

    with torch.inference_mode():
        coarse, fine = strided(image)[3], dilated(image)[3]

    torch.testing.assert_close(fine[..., ::4, ::4], coarse, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "channels"),
    [(0.75, (24, 24, 72, 240)), (0.5, (16, 16, 48, 160)), (0.35, (8, 16, 32, 112)), (1.4, (32, 48, 136, 448))],
)
def test_a_narrow_mobilenet_v2_is_rounded_as_published_ones_are(width: float, channels: tuple[int, ...]) -> None:
    # multiples of 8, and never less than nine tenths: make_divisible of github.com/tensorflow/models, slim's MobileNet
    assert weightless(MobileNetV2, in_channels=3, width=width).channels == channels


def test_the_encoder_dilates_as_deeplab_v3_s() -> None:
    net = weightless(deeplab_v3_plus)

    assert [block.conv2.dilation[0] for block in net.backbone.layer4] == [2, 4, 8]
    assert [net.aspp.convs[index][0].dilation[0] for index in range(4)] == [1, 6, 12, 18]


def test_the_scores_follow_fine_features_and_coarse_ones() -> None:
    decoder = deeplab_v3_plus(**NARROW).eval().decoder
    fine, coarse = torch.rand(1, 8, 17, 17), torch.rand(1, 32, 5, 5)

    with torch.inference_mode():
        made, other_fine, other_coarse = decoder(fine, coarse), decoder(fine * 2, coarse), decoder(fine, coarse * 2)

    assert made.shape == (1, 32, 17, 17)
    assert not torch.allclose(made, other_fine)
    assert not torch.allclose(made, other_coarse)


# --- names ---------------------------------------------------------------------------------------------------------


def test_torchvision_s_mobilenet_v2_loads_into_the_backbone_but_for_its_classifier() -> None:
    net, image = deeplab_v3_plus(**NARROW).eval(), torch.rand(1, 3, 33, 33)
    before, held = net(image), net.backbone.state_dict()
    published = {name: shifted(held[name]) for name in mobilenet_v2_keys()}
    rest = {name: torch.rand(4) for name in ("features.18.0.weight", "classifier.1.weight", "classifier.1.bias")}

    misfits = net.backbone.load_state_dict(published | rest, strict=False)

    assert misfits.missing_keys == []
    assert set(misfits.unexpected_keys) == set(rest)
    assert net(image).isfinite().all()
    assert not torch.allclose(before, net(image))


def test_torchvision_s_mobilenet_v2_names_its_last_convolution_features_18() -> None:
    held = set(weightless(MobileNetV2, in_channels=3, width=1, with_last=True).state_dict())

    assert held == {*mobilenet_v2_keys(), *layer_keys("features.18.0", "features.18.1")}


# --- what it takes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", BACKBONES[1:])
@pytest.mark.parametrize("size_hw", [(1, 1), (33, 50), (97, 64)])
def test_a_grey_image_of_any_size_has_a_score_for_every_class_and_pixel(
    backbone: Any, size_hw: tuple[int, int]
) -> None:
    net = deeplab_v3_plus(num_classes=7, in_channels=1, width=0.125, backbone=backbone).eval()

    assert net(torch.rand(1, 1, *size_hw)).shape == (1, 7, *size_hw)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"backbone": "vgg16"}, "backbone is 'vgg16'"),
        ({"output_stride": 4}, "output_stride is 4"),
        ({"output_stride": 32, "backbone": "mobilenet_v2"}, "output_stride is 32"),
        ({"num_classes": 256}, "num_classes is 256"),
        ({"in_channels": 0}, "in_channels is 0"),
        ({"width": 0.0}, "width is 0"),
    ],
)
def test_an_argument_out_of_its_range_is_refused(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        deeplab_v3_plus(**{"width": 0.125, **arguments})
