"""MobileNet U-Net: the size of its encoder, its stages, its padding, its weights' names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from published import assert_names_load_into_the_backbone, count, layer_keys, parameters, shapes_of, weightless

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.mobilenet_unet import mobilenet_unet  # noqa: E402
from edgeseg.export.nets.mobilenet_v1 import MobileNetV1  # noqa: E402

WIDTH = 0.125
#: Keras' summary without the classifier, BatchNorm's averages and variances included
KERAS = {1.0: 3_228_864, 0.75: 1_832_976, 0.5: 829_536, 0.25: 218_544}
#: Howard et al., table 6: million parameters with the classifier of 1000 classes
PAPER = {1.0: 4.2, 0.75: 2.6, 0.5: 1.3, 0.25: 0.5}
KERAS_WITH_CLASSIFIER = 4_253_864  # Keras 2, documentation of keras.applications
CHANNELS = (64, 128, 256, 512, 1024)


@pytest.mark.parametrize("width", PAPER)
def test_the_encoder_is_the_paper_s_at_each_of_its_width_multipliers(width: float) -> None:
    encoder = weightless(MobileNetV1, in_channels=3, width=width)
    classifier = (encoder.channels[-1] + 1) * 1000
    assert round((count(encoder) + classifier) / 1e6, 1) == PAPER[width]


@pytest.mark.parametrize("width", KERAS)
def test_the_encoder_has_as_many_numbers_as_keras_counts(width: float) -> None:
    encoder = weightless(MobileNetV1, in_channels=3, width=width)
    statistics = sum(2 * one.num_features for one in encoder.modules() if isinstance(one, nn.BatchNorm2d))
    assert count(encoder) + statistics == KERAS[width]
    if width == 1:
        assert count(encoder) + statistics + 1024 * 1000 + 1000 == KERAS_WITH_CLASSIFIER


def test_the_whole_net_is_the_encoder_u_net_s_decoder_and_a_3x3_convolution() -> None:
    # no one publishes this sum: the encoder's 3,206,976 as above, U-Net's layers written out
    decoder = 0
    for inputs, skip in ((1024, 512), (512, 256), (256, 128), (128, 64)):
        decoder += 4 * inputs * skip + skip  # 2x2 of the doubled map
        decoder += 9 * 2 * skip * skip + skip + 9 * skip * skip + skip
    assert parameters(mobilenet_unet) == 3_206_976 + decoder + 9 * 64 * 21 + 21


def test_every_stage_has_the_shape_that_its_docstring_says() -> None:
    shapes = shapes_of(weightless(mobilenet_unet), (1, 3, 224, 224))
    stages = [(1, channels, 112 >> index, 112 >> index) for index, channels in enumerate(CHANNELS)]
    assert [shapes[f"backbone.features.{index}"] for index in (1, 3, 5, 11, 13)] == stages
    assert [shapes[f"decoder.ups.{index}"] for index in range(4)] == stages[3::-1]
    assert shapes["head"] == (1, 21, 112, 112)
    assert shapes[""] == (1, 21, 224, 224)


def test_every_convolution_of_the_encoder_ends_in_relu6() -> None:
    net = mobilenet_unet(5, width=WIDTH).eval()
    for one in net.backbone.modules():
        if isinstance(one, nn.BatchNorm2d):
            nn.init.constant_(one.bias, 9.0)
    with torch.no_grad():
        assert {float(one.max()) for one in net.backbone(torch.rand(1, 3, 64, 64))} == {6.0}
    assert not [one for one in net.backbone.modules() if type(one) is nn.ReLU]


def test_the_encoder_s_maps_are_those_of_depthwise_and_pointwise_convolutions_one_after_another() -> None:
    torch.manual_seed(1)
    encoder, x = MobileNetV1(in_channels=3, width=WIDTH).eval(), torch.rand(1, 3, 64, 96)
    weights = [one for key, one in encoder.state_dict().items() if one.ndim == 4]
    strides = (2, *(1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1))
    with torch.no_grad():
        found, expected = encoder(x), []
        x = normed(functional.conv2d(x, weights[0], stride=strides[0], padding=1))
        for block, (depthwise, pointwise) in enumerate(zip(weights[1::2], weights[2::2], strict=True), 1):
            x = normed(functional.conv2d(x, depthwise, stride=strides[block], padding=1, groups=x.shape[1]))
            x = normed(functional.conv2d(x, pointwise))
            expected += [x] if block in (1, 3, 5, 11, 13) else []
    assert len(found) == len(expected)
    assert all(torch.allclose(one, other, rtol=1e-4, atol=1e-7) for one, other in zip(found, expected, strict=True))


def test_the_logits_are_taken_at_half_the_image_s_size_and_enlarged_bilinearly() -> None:
    net, image, halves = mobilenet_unet(5, width=WIDTH).eval(), torch.rand(1, 3, 64, 96), []
    net.head.register_forward_hook(lambda _, __, made: halves.append(made))
    with torch.no_grad():
        found = net(image)
    assert halves[0].shape == (1, 5, 32, 48)
    assert torch.equal(found, functional.interpolate(halves[0], scale_factor=2.0, mode="bilinear"))


def test_names_as_torchvision_gives_them_in_v2_load_into_the_backbone() -> None:
    assert_names_load_into_the_backbone(mobilenet_unet(5, width=WIDTH), [*published_keys()])


@pytest.mark.parametrize("size_hw", [(32, 32), (64, 160)])
def test_grey_images_of_any_multiple_of_32_have_as_many_logits_as_classes(size_hw: tuple[int, int]) -> None:
    torch.manual_seed(1)
    net = mobilenet_unet(7, in_channels=1, width=WIDTH).eval()
    with torch.no_grad():
        found = net(torch.rand(1, 1, *size_hw))
    assert found.shape == (1, 7, *size_hw)
    assert found.min() < 0


def test_a_size_that_does_not_halve_five_times_is_refused() -> None:
    with pytest.raises(ModelError, match=r"MobileNetUNet takes multiples of 32.*take height 96 or 128"):
        mobilenet_unet(width=WIDTH)(torch.zeros(1, 3, 112, 128))


def normed(x: Any) -> Any:
    """BatchNorm as it begins, and ReLU6."""
    return (x / (1 + 1e-5) ** 0.5).clamp(0, 6)


def published_keys() -> Iterator[str]:
    """As torchvision's mobilenet_v2 has them in features.0 and features.1, for V1's 13 blocks."""
    yield from layer_keys("features.0.0", "features.0.1")
    for block in range(1, 14):
        name = f"features.{block}.conv"
        yield from (*layer_keys(f"{name}.0.0", f"{name}.0.1"), *layer_keys(f"{name}.1", f"{name}.2"))
