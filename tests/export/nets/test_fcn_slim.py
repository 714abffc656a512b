"""The narrow FCN-8s and FCN-2s: what their text prescribes, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from published import parameters, shapes_of, weightless

torch = pytest.importorskip("torch")

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.fcn_slim import fcn2s_slim, fcn8s_slim  # noqa: E402

nn = torch.nn
Factory = Callable[..., Any]

WIDTH = 0.125
FACTORIES = (fcn8s_slim, fcn2s_slim)
BLOCKS = ((32, 2), (64, 2), (128, 3), (256, 3), (256, 3))  # channels, convolutions
#: nobody published a count: the layers of the text, weights and biases, by plain arithmetic
CONVOLUTIONS = (
    (320 + 9_248)  # 1 x 9 x 32 + 32, 32 x 9 x 32 + 32
    + (18_496 + 36_928)
    + (73_856 + 2 * 147_584)
    + (295_168 + 2 * 590_080)
    + 3 * 590_080
)
FULLY_CONNECTED = (256 * 1024 + 1024) + (1024 * 1024 + 1024)
SCORE = 1024 + 1
SKIPS_8S = (256 * 9 + 1) + (128 * 9 + 1)
SKIPS_2S = SKIPS_8S + (64 * 9 + 1) + (32 * 9 + 1)
UP_2, UP_8 = 2 * 2 + 1, 8 * 8 + 1


@pytest.mark.parametrize(
    ("factory", "skips", "deconvolutions"),
    [(fcn8s_slim, SKIPS_8S, UP_2 + UP_2 + UP_8), (fcn2s_slim, SKIPS_2S, 5 * UP_2)],
)
def test_a_slim_fcn_has_the_parameters_of_its_text(factory: Factory, skips: int, deconvolutions: int) -> None:
    expected = CONVOLUTIONS + FULLY_CONNECTED + SCORE + skips + deconvolutions
    assert parameters(factory) == expected


@pytest.mark.parametrize("factory", FACTORIES)
def test_blocks_have_2_2_3_3_3_convolutions_of_3x3_and_a_maximum_pooling(factory: Factory) -> None:
    blocks = weightless(factory).blocks
    convolutions = [[one for one in block if isinstance(one, nn.Conv2d)] for block in blocks]
    assert [(made[-1].out_channels, len(made)) for made in convolutions] == list(BLOCKS)
    assert {one.kernel_size for made in convolutions for one in made} == {(3, 3)}
    assert all(isinstance(block[-1], nn.MaxPool2d) for block in blocks)


@pytest.mark.parametrize("factory", FACTORIES)
def test_fc6_and_fc7_are_1x1_convolutions_of_1024_with_dropout(factory: Factory) -> None:
    layers = weightless(factory).fully_connected
    convolutions = [(one.kernel_size, one.out_channels) for one in layers if isinstance(one, nn.Conv2d)]
    assert convolutions == [((1, 1), 1024)] * 2
    assert [one.p for one in layers if isinstance(one, nn.Dropout)] == [0.3, 0.3]


@pytest.mark.parametrize(
    ("factory", "channels", "factors"),
    [(fcn8s_slim, [256, 128], [2, 2, 8]), (fcn2s_slim, [256, 128, 64, 32], [2, 2, 2, 2, 2])],
)
def test_skips_are_3x3_scores_with_relu_between_deconvolutions_as_wide_as_their_stride(
    factory: Factory, channels: list[int], factors: list[int]
) -> None:
    net = weightless(factory)
    assert [(skip[0].kernel_size, skip[0].in_channels) for skip in net.skips] == [((3, 3), one) for one in channels]
    assert all(isinstance(skip[-1], nn.ReLU) for skip in net.skips)
    assert [up.kernel_size for up in net.ups] == [up.stride for up in net.ups] == [(one, one) for one in factors]


@pytest.mark.parametrize(("factory", "sides"), [(fcn8s_slim, [64, 512]), (fcn2s_slim, [64, 128, 256, 512])])
def test_every_stage_has_the_shape_that_its_docstring_says(factory: Factory, sides: list[int]) -> None:
    shapes = shapes_of(weightless(factory), (1, 1, 512, 512))
    blocks = zip((channels for channels, _ in BLOCKS), (256, 128, 64, 32, 16), strict=True)
    assert [shapes[f"blocks.{index}"] for index in range(5)] == [(1, one, side, side) for one, side in blocks]
    assert shapes["fully_connected"] == (1, 1024, 16, 16)
    assert shapes["score"] == (1, 1, 16, 16)
    ups = [(1, 1, side, side) for side in (32, *sides)]
    assert [shapes[f"ups.{index}"] for index in range(len(ups))] == ups
    assert [shapes[f"skips.{index}"] for index in range(len(ups) - 1)] == ups[:-1]


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("classes", [1, 2])
def test_two_classes_are_one_probability(factory: Factory, classes: int) -> None:
    made = factory(classes, width=WIDTH).eval()(torch.rand(2, 1, 64, 96))
    assert made.shape == (2, 1, 64, 96)
    assert ((made > 0) & (made < 1)).all()


@pytest.mark.parametrize("factory", FACTORIES)
def test_more_classes_share_a_probability_of_1_and_the_image_may_be_in_colour(factory: Factory) -> None:
    made = factory(7, in_channels=3, width=WIDTH).eval()(torch.rand(1, 3, 32, 64))
    assert made.shape == (1, 7, 32, 64)
    assert torch.allclose(made.sum(1), torch.ones(1, 32, 64))


@pytest.mark.parametrize("factory", FACTORIES)
def test_training_gets_logits(factory: Factory) -> None:
    net = factory(width=WIDTH)
    image = torch.rand(1, 1, 32, 32)
    torch.manual_seed(0)
    logits = net.train()(image)
    torch.manual_seed(0)  # the same dropout
    assert torch.equal(logits, net.scores(image))


@pytest.mark.parametrize("factory", FACTORIES)
def test_deconvolutions_begin_as_the_repetition_of_pixels(factory: Factory) -> None:
    for up in factory(5, width=WIDTH).ups:
        scores = torch.rand(1, 5, 3, 4)
        repeated = scores.repeat_interleave(up.stride[0], 2).repeat_interleave(up.stride[1], 3)
        up.bias.data.zero_()
        assert torch.equal(up(scores), repeated)


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_skip_reaches_the_scores(factory: Factory) -> None:
    net = factory(width=WIDTH).eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        for skip in net.skips:
            before = net.scores(image)
            skip[0].bias += 10.0
            assert (net.scores(image) > before).all()


@pytest.mark.parametrize("size_hw", [(32, 48), (0, 32), (16, 16)])
def test_a_size_that_is_no_multiple_of_32_is_refused(size_hw: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="multiples of 32, from 32 on"):
        fcn8s_slim(width=WIDTH)(torch.zeros(1, 1, *size_hw))


def test_half_the_width_has_half_the_channels() -> None:
    with torch.device("meta"):
        net = fcn8s_slim(width=0.5)
    assert [block[0].out_channels for block in net.blocks] == [16, 32, 64, 128, 128]
    assert pairs(net.fully_connected) == [(128, 512), (512, 512)]


def pairs(layers: Any) -> list[tuple[int, int]]:
    """Channels in and out of every convolution."""
    return [(one.in_channels, one.out_channels) for one in layers if isinstance(one, nn.Conv2d)]
