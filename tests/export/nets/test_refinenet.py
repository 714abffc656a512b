from __future__ import annotations

from typing import Any

import pytest
from published import RESNET, parameters, resnet_keys, shapes_of, weightless

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.refinenet import ChainedPooling, RefineBlock, ResidualUnit, refinenet  # noqa: E402

#: torchvision's stated num_params, less the classifier's 2048 x 1000 + 1000
BACKBONES = {
    "resnet50": 25_557_032 - 2_049_000,
    "resnet101": 44_549_160 - 2_049_000,
    "resnet152": 60_192_808 - 2_049_000,
}
SMALL = {"width": 0.125, "num_classes": 5}


def decoder(poolings: int, classes: int) -> int:
    """Lin et al., figures 2 and 3, and section 3.2; 3x3 convolutions, of which a unit's first and the last have a bias.

    A block has a convolution of the backbone's map, two units, one convolution of every map that is fused (a single
    map is not), the poolings' convolutions, a unit, and the two units before the next block or the classifier.
    """
    total, coarser = 256 * classes * 9 + classes, 0
    for inputs, channels in ((2048, 512), (1024, 256), (512, 256), (256, 256)):
        one = channels * channels * 9
        units = (2 + 3) * (2 * one + channels)
        fusing = one + coarser * channels * 9 if coarser else 0
        total, coarser = total + inputs * channels * 9 + units + fusing + poolings * one, channels
    return total


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("poolings", [2, 4])
def test_the_parameters_are_those_of_the_paper_s_layers(name: Any, poolings: int) -> None:
    assert parameters(refinenet, backbone=name, poolings=poolings) == BACKBONES[name] + decoder(poolings, 21)


def test_the_parameters_are_the_118_million_of_light_weight_refinenet_s_table() -> None:
    """Nekrasov et al. 2018, table 1: RefineNet-101, whose released weights have four poolings."""
    assert round(parameters(refinenet) / 1e6) == 118


def test_every_stage_has_the_shape_that_the_docstring_gives() -> None:
    shapes = shapes_of(weightless(refinenet), (1, 3, 512, 512))
    layers = [f"backbone.layer{index}" for index in range(1, 5)]
    assert shapes[""] == (1, 21, 512, 512)
    assert [shapes[name][1:] for name in (*layers, *(f"blocks.{index}" for index in range(4)), "classifier")] == [
        (256, 128, 128),
        (512, 64, 64),
        (1024, 32, 32),
        (2048, 16, 16),
        (512, 16, 16),
        (256, 32, 32),
        (256, 64, 64),
        (256, 128, 128),
        (21, 128, 128),
    ]


def test_a_residual_unit_adds_to_its_map_two_convolutions_of_what_is_positive() -> None:
    unit, x = ResidualUnit(4), torch.randn(1, 4, 5, 6)
    inner = functional.conv2d(x.clamp(min=0), unit.conv1.weight, unit.conv1.bias, padding=1).clamp(min=0)
    torch.testing.assert_close(unit(x), x + functional.conv2d(inner, unit.conv2.weight, padding=1))


def test_chained_pooling_adds_maxima_over_growing_surroundings() -> None:
    """With convolutions that change nothing: of one bright pixel, 1x1, 5x5 and 9x9 squares."""
    pooling = ChainedPooling(1, 2)
    for conv in pooling.convs:
        conv.weight.data.zero_()
        conv.weight.data[0, 0, 1, 1] = 1.0
    x = torch.full((1, 1, 15, 15), -1.0)
    x[0, 0, 7, 7] = 1.0
    made = pooling(x)[0, 0]
    row = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 2, 2, 1, 1, 0, 0, 0.0])
    assert torch.equal(made[7], row)
    assert torch.equal(made[:, 7], row)
    assert made.sum() == 1 + 25 + 81


def test_a_block_enlarges_the_coarser_map_and_the_first_fuses_nothing() -> None:
    first, second = RefineBlock(16, 0, 8, 2), RefineBlock(12, 8, 4, 2)
    coarser = first(torch.rand(1, 16, 3, 4), None)
    fine = torch.rand(1, 12, 5, 7)
    assert second(fine, coarser).shape == (1, 4, 5, 7)
    assert not torch.equal(second(fine, coarser), second(fine, coarser + 1))
    assert isinstance(first.match, torch.nn.Identity)


def test_dropout_halves_the_two_coarsest_maps_and_the_last_in_training_only() -> None:
    net, sizes = refinenet(**SMALL), list[tuple[int, ...]]()
    net.dropout.register_forward_hook(lambda _, __, made: sizes.append(tuple(made.shape[1:])))
    image = torch.rand(2, 3, 64, 96)
    first, second = net(image), net(image)
    assert net.dropout.p == 0.5
    assert sizes[:3] == [(256, 2, 3), (128, 4, 6), (32, 16, 24)]
    assert not torch.equal(first, second)
    assert torch.equal(net.eval()(image), net(image))


def test_every_weight_takes_part() -> None:
    net = refinenet(**SMALL)
    net(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(one.grad is not None for one in net.parameters())


@pytest.mark.parametrize("name", ["resnet50", "resnet101"])
def test_torchvision_s_resnet_loads_into_the_backbone_and_counts(name: Any) -> None:
    torch.manual_seed(0)
    net, image = refinenet(**SMALL, backbone=name).eval(), torch.rand(1, 3, 64, 64)
    before, shapes = net(image), {key: one.shape for key, one in net.backbone.state_dict().items()}
    keys = [*resnet_keys(RESNET[name]), "fc.weight", "fc.bias"]
    published = {key: torch.rand(shapes.get(key, (1,))) for key in keys}
    kept = net.backbone.load_state_dict(published, strict=False)
    assert (kept.missing_keys, sorted(kept.unexpected_keys)) == ([], ["fc.bias", "fc.weight"])
    assert not torch.allclose(net(image), before)


def test_grey_images_and_any_count_of_classes_are_taken() -> None:
    net = refinenet(1, in_channels=1, width=0.125).eval()
    assert net(torch.rand(1, 1, 40, 50)).shape == (1, 1, 40, 50)


@pytest.mark.parametrize("size_hw", [(1, 1), (31, 33), (65, 97), (100, 64)])
def test_every_size_works(size_hw: tuple[int, int]) -> None:
    assert refinenet(**SMALL).eval()(torch.rand(1, 3, *size_hw)).shape == (1, 5, *size_hw)


@pytest.mark.parametrize(("argument", "value"), [("backbone", "vgg16"), ("poolings", 0)])
def test_what_no_net_can_be_made_of_is_refused(argument: str, value: Any) -> None:
    with pytest.raises(ModelError, match=f"{argument} is"):
        refinenet(**{argument: value})
