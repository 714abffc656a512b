"""What all built-in nets share: sizes and arguments that cannot be are refused with what can."""

from __future__ import annotations

from typing import Any

import pytest

from edgeseg.errors import ModelError

torch = pytest.importorskip("torch")

from edgeseg.export.nets.base import SegmentationNet, check_arguments, check_choice, scaled  # noqa: E402
from edgeseg.export.nets.layers import enlarged  # noqa: E402

ARGUMENTS: dict[str, Any] = {"num_classes": 2, "in_channels": 3, "width": 1.0}


class Scores(SegmentationNet):
    """Two classes: the image's first channel and its negative."""

    step = 16
    smallest = 32

    def scores(self, image: Any) -> Any:
        first = image[:, :1]
        return enlarged(torch.cat([first, -first], 1), image)


class AnySize(Scores):
    step = 1
    smallest = 41


def refusal(net: Any, *size_hw: int) -> str:
    with pytest.raises(ModelError) as caught:
        net(torch.zeros(1, 3, *size_hw))
    return str(caught.value)


@pytest.mark.parametrize(
    ("size_hw", "way_out"),
    [
        ((100, 64), "take height 96 or 112"),
        ((64, 47), "take width 32 or 48"),
        ((100, 130), "take height 96 or 112 and width 128 or 144"),
        ((16, 64), "take height 32 or more"),
        ((31, 65), "take height 32 or more and width 64 or 80"),
    ],
)
def test_a_size_off_the_steps_is_refused_with_the_neighbours_of_the_wrong_sides(
    size_hw: tuple[int, int], way_out: str
) -> None:
    said = refusal(Scores(), *size_hw)
    assert said == f"Scores takes multiples of 16, from 32 on, and not {size_hw[0]}x{size_hw[1]}: {way_out}"


@pytest.mark.parametrize("size_hw", [(32, 32), (48, 160), (96, 32)])
def test_every_multiple_from_the_smallest_on_is_taken(size_hw: tuple[int, int]) -> None:
    assert Scores()(torch.zeros(1, 3, *size_hw)).shape == (1, 2, *size_hw)


def test_a_net_without_steps_takes_every_size_from_its_smallest_on() -> None:
    assert AnySize()(torch.zeros(1, 3, 41, 77)).shape == (1, 2, 41, 77)
    assert refusal(AnySize(), 40, 77).endswith(
        "any height and width, from 41 on, and not 40x77: take height 41 or more"
    )


def test_the_smallest_size_is_rounded_up_to_the_steps() -> None:
    class Odd(Scores):
        smallest = 40

    assert refusal(Odd(), 40, 48).endswith("from 48 on, and not 40x48: take height 48 or more")


@pytest.mark.parametrize("end", ["logits", "softmax", "sigmoid", "argmax"])
def test_the_end_is_put_on_in_evaluation_alone(end: Any) -> None:
    image, net = torch.randn(1, 3, 32, 48), Scores(end=end)
    logits = net.train()(image)
    assert torch.equal(logits, net.scores(image))
    expected = {
        "logits": logits,
        "softmax": logits.softmax(1),
        "sigmoid": logits.sigmoid(),
        "argmax": logits.argmax(1),
    }
    assert torch.equal(net.eval()(image), expected[end])


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("num_classes", 0, "1 to 255 classes"),
        ("num_classes", -3, "1 to 255 classes"),
        ("num_classes", 256, "1 to 255 classes"),
        ("num_classes", "five", "num_classes is 'five'"),
        ("num_classes", 2.5, "num_classes is 2.5"),
        ("num_classes", True, "num_classes is True"),
        ("in_channels", 0, "1 is grey"),
        ("in_channels", "RGB", "in_channels is 'RGB'"),
        ("width", 0, "1 is the published width"),
        ("width", -0.5, "width is -0.5"),
        ("width", "half", "width is 'half'"),
        ("width", float("nan"), "width is nan"),
        ("width", float("inf"), "width is inf"),
    ],
)
def test_arguments_that_make_no_net_are_refused(name: str, value: object, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        check_arguments(**{**ARGUMENTS, name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("num_classes", 1), ("num_classes", 255), ("in_channels", 4), ("width", 2)]
)
def test_arguments_at_their_ends_are_taken(name: str, value: int) -> None:
    check_arguments(**{**ARGUMENTS, name: value})


def test_a_value_that_is_no_choice_is_refused_with_the_choices() -> None:
    check_choice("output_stride", 8, (8, 16))
    with pytest.raises(ModelError, match=r"output_stride is 12: it is one of 8, 16"):
        check_choice("output_stride", 12, (8, 16))


@pytest.mark.parametrize(("channels", "width", "given"), [(21, 1.0, 21), (64, 0.25, 16), (64, 0.01, 8), (100, 0.5, 48)])
def test_channels_are_scaled_to_multiples_of_8_unless_the_width_is_published(
    channels: int, width: float, given: int
) -> None:
    assert scaled(channels, width) == given
