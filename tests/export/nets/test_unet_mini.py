"""Mini U-Net: its size, its stages, its dropout, layer by layer what the implementation it follows does."""

from __future__ import annotations

from typing import Any

import pytest
from published import parameters, shapes_of, weightless

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.nets.unet_mini import unet_mini  # noqa: E402

WIDTH = 0.25
TOLERANCE = 1e-5  # float32, another order of additions
#: inputs and outputs of the 3x3 convolutions of unet_mini in github.com/divamgupta/image-segmentation-keras,
#: keras_segmentation/models/unet.py, line by line: neither it nor its users publish a sum
CONVOLUTIONS = (
    *((3, 32), (32, 32)),
    *((32, 64), (64, 64)),
    *((64, 128), (128, 128)),
    *((128 + 64, 64), (64, 64)),
    *((64 + 32, 32), (32, 32)),
)


def test_mini_u_net_has_the_parameters_of_image_segmentation_keras_s_layers() -> None:
    expected = sum(9 * inputs * outputs + outputs for inputs, outputs in CONVOLUTIONS) + 32 * 21 + 21
    assert parameters(unet_mini) == expected == 472_213


def test_every_stage_has_the_shape_that_its_docstring_says() -> None:
    shapes = shapes_of(weightless(unet_mini), (1, 3, 224, 224))
    assert [shapes[f"downs.{index}"] for index in range(3)] == [
        (1, 32, 224, 224),
        (1, 64, 112, 112),
        (1, 128, 56, 56),
    ]
    assert [shapes[f"ups.{index}"] for index in range(2)] == [(1, 64, 112, 112), (1, 32, 224, 224)]
    assert shapes["head"] == shapes[""] == (1, 21, 224, 224)


def test_layer_by_layer_it_does_what_unet_mini_does() -> None:
    net, image = unet_mini(5, width=WIDTH).eval(), torch.rand(1, 3, 40, 24)
    convolutions = iter([one for one in net.modules() if isinstance(one, nn.Conv2d)])

    def twice(x: Any) -> Any:
        first, second = next(convolutions), next(convolutions)
        return second(first(x).relu()).relu()

    with torch.no_grad():
        fine = twice(image)
        middle = twice(functional.max_pool2d(fine, 2))
        coarse = twice(functional.max_pool2d(middle, 2))
        joined = twice(torch.cat([coarse.repeat_interleave(2, 2).repeat_interleave(2, 3), middle], 1))
        joined = twice(torch.cat([joined.repeat_interleave(2, 2).repeat_interleave(2, 3), fine], 1))
        expected = next(convolutions)(joined)
        assert torch.allclose(net(image), expected, atol=TOLERANCE)
    assert next(convolutions, None) is None


def test_every_stage_drops_a_fifth_between_its_two_convolutions() -> None:
    torch.manual_seed(1)
    net = unet_mini(5, width=WIDTH).train()
    dropped: list[float] = []
    for name, module in net.named_modules():
        if name.count(".") == 1:  # downs.N, ups.N
            given, back = (module.get_submodule(one) for one in ("1", "3"))
            given.register_forward_hook(lambda _, __, made, seen=given: setattr(seen, "made", made))
            back.register_forward_pre_hook(
                lambda _, taken, seen=given: dropped.append(float((taken[0][seen.made > 0] == 0).float().mean()))
            )
    with torch.no_grad():
        net(torch.rand(1, 3, 64, 64))
    assert len(dropped) == 5
    assert all(0.15 < one < 0.25 for one in dropped)


@pytest.mark.parametrize("size_hw", [(4, 4), (12, 20), (100, 64)])
def test_grey_images_of_any_multiple_of_4_have_as_many_logits_as_classes(size_hw: tuple[int, int]) -> None:
    torch.manual_seed(1)
    net = unet_mini(7, in_channels=1, width=WIDTH).eval()
    with torch.no_grad():
        found = net(torch.rand(1, 1, *size_hw))
    assert found.shape == (1, 7, *size_hw)
    assert found.min() < 0


def test_a_size_that_does_not_halve_twice_is_refused() -> None:
    with pytest.raises(ModelError, match=r"UNetMini takes multiples of 4.*take height 96 or 100"):
        unet_mini(width=WIDTH)(torch.zeros(1, 3, 98, 100))
