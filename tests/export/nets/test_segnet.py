"""SegNet: its size, its stages, values that go back to the places of their maxima, its weights' names."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from published import VGG, assert_names_load_into_the_backbone, count, parameters, shapes_of, vgg_keys, weightless

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.segnet import SegNet, segnet  # noqa: E402

WIDTH = 0.125
#: channels before and behind every 3x3 convolution of the authors' prototxt, but for the last one, to the classes:
#: github.com/alexgkendall/SegNet-Tutorial, Models/segnet_inference.prototxt
ENCODER = (3, *(64, 64), *(128, 128), *(256, 256, 256), *(512, 512, 512), *(512, 512, 512))
DECODER = (512, *(512, 512, 512), *(512, 512, 256), *(256, 256, 128), *(128, 64), 64)
ENCODER_MILLIONS = 14.7  # Badrinarayanan et al., section 3: the encoder without VGG16's fully connected layers
ENET_S_MILLIONS = 29.46  # Paszke et al., ENet (2016), table of hardware requirements: SegNet
FIRST_OF_STAGES = (0, 7, 14, 24, 34)  # convolutions of torchvision's vgg16_bn
LAST_OF_STAGES = (5, 12, 22, 32, 42)  # the ReLU before each pooling


@pytest.mark.parametrize("num_classes", [11, 12, 20])
def test_segnet_has_the_parameters_of_its_authors_prototxt(num_classes: int) -> None:
    layers = [*pairwise(ENCODER), *pairwise(DECODER)]
    convolutions = sum(9 * inputs * outputs + outputs for inputs, outputs in layers)
    scales_and_shifts = sum(2 * outputs for _, outputs in layers)
    head = 9 * 64 * num_classes + num_classes
    assert parameters(segnet, num_classes=num_classes) == convolutions + scales_and_shifts + head


def test_segnet_is_as_large_as_its_authors_and_enet_s_say() -> None:
    assert round(count(weightless(segnet).backbone) / 1e6, 1) == ENCODER_MILLIONS
    # 29.45 for 12 classes; ENet's authors do not say how they count BatchNorm: with running statistics it is 29.47
    assert parameters(segnet, num_classes=12) / 1e6 == pytest.approx(ENET_S_MILLIONS, rel=0.001)


def test_every_stage_has_the_shape_that_its_docstring_says() -> None:
    net, taken = weightless(segnet), list[tuple[int, ...]]()
    for index in FIRST_OF_STAGES:
        net.backbone.features[index].register_forward_pre_hook(lambda _, given: taken.append(tuple(given[0].shape)))
    shapes = shapes_of(net, (1, 3, 352, 480))
    pooled = [(1, channels, 176 >> index, 240 >> index) for index, channels in enumerate((64, 128, 256, 512, 512))]
    assert taken == [(1, 3, 352, 480), *pooled[:4]]
    assert shapes[f"backbone.features.{LAST_OF_STAGES[-1]}"] == pooled[3]
    assert [shapes[f"decoder.{index}"] for index in range(5)] == [*pooled[3::-1], (1, 64, 352, 480)]
    assert shapes["head"] == shapes[""] == (1, 12, 352, 480)


def test_values_go_back_to_where_the_encoder_had_its_maxima() -> None:
    net, seen, spread = small(5), [], []
    for index in LAST_OF_STAGES:
        net.backbone.features[index].register_forward_hook(lambda _, __, made: seen.append(made.clone()))
    for stage in net.decoder:
        stage.register_forward_pre_hook(lambda _, given: spread.append(given[0].clone()))
    with torch.no_grad():
        net(torch.rand(1, 3, 64, 96))
    assert len(seen) == len(spread) == 5
    for looked_at, sparse in zip(seen, reversed(spread), strict=True):
        best = functional.max_pool2d(looked_at, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        places = sparse != 0
        assert places.any()
        assert torch.equal(looked_at[places], best[places])
        assert functional.avg_pool2d(places.float(), 2).max() <= 0.25  # one of four


def test_the_decoder_mirrors_the_encoder() -> None:
    net = weightless(segnet)
    sides = [[kernels(one) for one in layers] for layers in (net.backbone.features, [*net.decoder, [net.head]])]
    encoder, decoder = ([pair for stage in side for pair in stage] for side in sides)
    assert [(outputs, inputs) for inputs, outputs in encoder[:0:-1]] == decoder[:-1]
    assert decoder[-1] == (64, 12)


def test_evaluation_ends_in_softmax_and_one_class_in_a_sigmoid() -> None:
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for num_classes in (1, 3):
            net = small(num_classes)
            logits = net.scores(image)
            expected = logits.sigmoid() if num_classes == 1 else logits.softmax(1)
            assert torch.equal(net(image), expected)
            assert not torch.allclose(expected, torch.ones(1))


def test_torchvision_s_key_names_load_into_the_backbone() -> None:
    assert_names_load_into_the_backbone(small(5), [*vgg_keys(VGG["vgg16"], norm=True)])


@pytest.mark.parametrize("size_hw", [(32, 32), (64, 160)])
def test_grey_images_of_any_multiple_of_32_have_as_many_probabilities_as_classes(size_hw: tuple[int, int]) -> None:
    net = segnet(7, in_channels=1, width=WIDTH).eval()
    with torch.no_grad():
        found = net(torch.rand(1, 1, *size_hw))
    assert found.shape == (1, 7, *size_hw)
    assert torch.allclose(found.sum(1), torch.ones(1, *size_hw))


def test_camvid_s_own_size_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(ModelError, match=r"SegNet takes multiples of 32.*take height 352 or 384"):
        small(12)(torch.zeros(1, 3, 360, 480))


def small(num_classes: int) -> SegNet:
    torch.manual_seed(1)
    return segnet(num_classes, width=WIDTH).eval()


def kernels(layer: Any) -> list[tuple[int, int]]:
    """Inputs and outputs of its convolutions."""
    layers = [one for part in ([layer] if isinstance(layer, torch.nn.Module) else layer) for one in part.modules()]
    return [(one.in_channels, one.out_channels) for one in layers if isinstance(one, torch.nn.Conv2d)]
