"""FCN on VGG16 and VGG19: its size, its stages, its enlargements, its weights' names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from published import VGG, assert_names_load_into_the_backbone, parameters, shapes_of, vgg_keys, weightless

torch = pytest.importorskip("torch")

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.fcn import fcn2s, fcn8s, fcn16s, fcn32s  # noqa: E402

Factory = Callable[..., Any]

WIDTH = 0.125
FACTORIES = {32: fcn32s, 16: fcn16s, 8: fcn8s, 2: fcn2s}
#: torchvision's documentation, num_params of vgg16 and vgg19, without the last layer of 1000 classes
PARAMETERS = {"vgg16": 138_357_544 - 4097 * 1000, "vgg19": 143_667_240 - 4097 * 1000}
#: channels of the maps that are scored, the coarsest first, down to a stride
SCORED = {32: (4096,), 16: (4096, 512), 8: (4096, 512, 256), 2: (4096, 512, 256, 128, 64)}
TOLERANCE = 1e-5  # float32, another order of additions


def test_fcn_on_vgg16_is_the_paper_s_134_million_parameters() -> None:
    # Long et al., table 1: FCN-VGG16, that is FCN-32s, 21 classes
    assert round(parameters(fcn32s) / 1e6) == 134


def test_fcn8s_with_a_learned_end_has_the_parameters_that_others_count() -> None:
    # github.com/YBIGTA/DL_Models, models/fcn, PyTorch on VOC 2012, whose deconvolutions are all parameters
    assert parameters(fcn8s, learned_upsampling=True) == 134_489_759


@pytest.mark.parametrize("backbone", PARAMETERS)
@pytest.mark.parametrize("stride", FACTORIES)
def test_fcn_has_vgg_s_parameters_a_1x1_convolution_a_map_and_4x4_deconvolutions_between(
    stride: int, backbone: str
) -> None:
    scores = sum(channels * 21 + 21 for channels in SCORED[stride])
    deconvolutions = (len(SCORED[stride]) - 1) * 21 * 21 * 4 * 4
    assert parameters(FACTORIES[stride], backbone=backbone) == PARAMETERS[backbone] + scores + deconvolutions


@pytest.mark.parametrize("stride", FACTORIES)
def test_every_stage_has_the_shape_that_its_docstring_says(stride: int) -> None:
    shapes = shapes_of(weightless(FACTORIES[stride]), (1, 3, 512, 512))
    assert shapes["backbone.features.30"] == (1, 512, 16, 16)
    assert shapes["backbone.classifier.0"] == shapes["backbone.classifier.3"] == (1, 4096, 16, 16)
    sides = [512 >> power for power in range(5, 0, -1) if 2**power >= stride]
    assert [shapes[f"score_layers.{index}"] for index in range(len(sides))] == [(1, 21, side, side) for side in sides]
    assert [shapes[f"ups.{index}"] for index in range(len(sides) - 1)] == [(1, 21, side, side) for side in sides[1:]]
    assert f"ups.{len(sides) - 1}" not in shapes
    assert shapes[""] == (1, 21, 512, 512)


@pytest.mark.parametrize("learned_upsampling", [False, True])
@pytest.mark.parametrize("size_hw", [(128, 128), (100, 75)])
@pytest.mark.parametrize("stride", FACTORIES)
def test_scores_of_all_maps_meet_at_their_place_in_an_image_of_any_size(
    stride: int, size_hw: tuple[int, int], learned_upsampling: bool
) -> None:
    net = FACTORIES[stride](2, width=WIDTH, learned_upsampling=learned_upsampling).eval()
    for index, score in enumerate(net.score_layers):
        score.register_forward_hook(lambda _, __, made, height=32 >> index: rows_of(made, height))
    with torch.no_grad():
        found = net(torch.zeros(1, 3, *size_hw))[0, 0, :, 40]
    inside = slice(32, 96)  # away from the edges, where deconvolutions count zeros from beyond
    expected = len(net.score_layers) * (torch.arange(128) + 0.5)
    assert found.shape == size_hw[:1]
    assert torch.allclose(found[inside], expected[inside], rtol=TOLERANCE)


@pytest.mark.parametrize("stride", FACTORIES)
def test_the_last_enlargement_decides_as_a_bilinear_deconvolution_does(stride: int) -> None:
    fixed = FACTORIES[stride](5, width=WIDTH).eval()
    learned = FACTORIES[stride](5, width=WIDTH, learned_upsampling=True).eval()
    absent = learned.load_state_dict(fixed.state_dict(), strict=False)
    image = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        one, other = fixed(image), learned(image)
    edge = stride // 2
    inside = (..., slice(edge, -edge), slice(edge, -edge))
    assert absent.missing_keys == ["last_up.weight"]
    assert torch.allclose(one[inside], other[inside], atol=TOLERANCE, rtol=TOLERANCE)
    assert (one.argmax(1) == other.argmax(1)).float().mean() > 0.9999  # but for ties
    assert not torch.allclose(one, other, atol=0.01)


def test_deconvolutions_begin_as_bilinear_interpolation_of_every_class_for_itself() -> None:
    net = fcn8s(3, width=WIDTH)
    side = torch.tensor([0.25, 0.75, 0.75, 0.25])
    for up in net.ups:
        assert torch.equal(up.weight, torch.eye(3)[:, :, None, None] * torch.outer(side, side))


@pytest.mark.parametrize("name", PARAMETERS)
def test_torchvision_s_key_names_load_into_the_backbone(name: str) -> None:
    names = [*vgg_keys(VGG[name], fully_connected=True)]
    assert_names_load_into_the_backbone(fcn8s(5, width=WIDTH, backbone=name), names)


def test_the_fully_connected_layers_are_convolutions_of_7x7_and_1x1() -> None:
    weights = weightless(fcn8s).backbone.state_dict()
    assert weights["classifier.0.weight"].shape == (4096, 512, 7, 7)
    assert weights["classifier.3.weight"].shape == (4096, 4096, 1, 1)


@pytest.mark.parametrize("factory", FACTORIES.values())
@pytest.mark.parametrize("size_hw", [(32, 32), (33, 47), (64, 96)])
def test_grey_images_of_any_size_have_as_many_scores_as_classes(factory: Factory, size_hw: tuple[int, int]) -> None:
    net = factory(7, in_channels=1, width=WIDTH).eval()
    assert net(torch.zeros(1, 1, *size_hw)).shape == (1, 7, *size_hw)


def test_an_image_below_32_pixels_is_refused() -> None:
    with pytest.raises(ModelError, match="from 32 on, and not 31x64"):
        fcn8s(width=WIDTH)(torch.zeros(1, 3, 31, 64))


def test_another_backbone_is_refused() -> None:
    with pytest.raises(ModelError, match="backbone is 'resnet50'"):
        fcn8s(backbone="resnet50")  # type: ignore[arg-type]


def rows_of(scores: Any, height: int) -> Any:
    """In place of scores, where the middle of each is in the image, if a score stands for so many rows of it."""
    rows = (torch.arange(scores.shape[2]) + 0.5) * height
    return rows[:, None].expand(scores.shape).contiguous()
