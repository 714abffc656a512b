"""Adaptive average pooling of bins that differ in size: the same averages by two MatMuls."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.nn import functional

# averages of the same numbers, summed in another order in float32
ROUNDING = 1e-6


class Pooled(nn.Module):
    """One level of PSPNet's pyramid."""

    def __init__(self, bins: int | tuple[int, int]) -> None:
        super().__init__()
        self.bins = bins
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.conv(functional.adaptive_avg_pool2d(image.relu(), self.bins)) * 2


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("size_hw", "bins"),
    [
        ((7, 10), 6),  # both sides differ
        ((7, 10), 3),  # bins overlap, all as large as each other: torch makes no mask
        ((12, 10), 3),  # one side divides
        ((5, 5), 1),
        ((3, 4), 6),  # more bins than pixels
        ((8, 9), (2, 7)),
    ],
)
def test_bins_that_differ_are_averaged_by_two_products(lab: Any, size_hw: Any, bins: Any) -> None:
    image = noise(1, 4, *size_hw)
    before = lab.exported(Pooled(bins), image)
    is_gathered = "GatherND" in lab.ops(before)
    after = lab.rewritten(before, *(["adaptive_pooling"] if is_gathered else []))
    assert is_gathered == (bins != 1)
    assert lab.ops(after).count("MatMul") == 2 * is_gathered
    np.testing.assert_allclose(lab.run(after, image)[0], lab.run(before, image)[0], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("opset", [17, 21])
def test_the_form_is_the_same_in_other_opsets(lab: Any, opset: int) -> None:
    image = noise(1, 4, 7, 10)
    before = lab.exported(Pooled(3), image, opset=opset)
    after = lab.rewritten(before, "adaptive_pooling")
    np.testing.assert_allclose(lab.run(after, image)[0], lab.run(before, image)[0], rtol=0, atol=ROUNDING)


def test_bins_that_divide_stay_an_average_pool(lab: Any) -> None:
    model = lab.exported(Pooled(3), noise(1, 4, 6, 9))
    assert "AveragePool" in lab.ops(lab.rewritten(model))


def test_the_builder_takes_the_products_and_the_pyramid_gets_shorter(lab: Any) -> None:
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.levels = nn.ModuleList([Pooled(bins) for bins in (1, 2, 3, 6)])

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            made = [functional.interpolate(level(image), image.shape[2:], mode="bilinear") for level in self.levels]
            return torch.cat([image, *made], dim=1)

    image = noise(1, 4, 16, 20)
    before = lab.exported(Pyramid(), image)
    after = lab.rewritten(before, "adaptive_pooling")
    assert lab.refusal(before) == lab.refusal(after) == ""
    assert len(lab.ops(after)) < len(lab.ops(before)) / 2
    np.testing.assert_allclose(lab.run(after, image)[0], lab.run(before, image)[0], rtol=0, atol=4 * ROUNDING)


def test_a_gathering_that_averages_something_else_is_left_alone(lab: Any) -> None:
    model = lab.exported(Pooled(6), noise(1, 4, 7, 10))
    (division,) = (node for node in model.graph if node.op_type == "Div")
    counts = division.inputs[1]
    wrong = counts.const_value.numpy() + np.float32(1)
    counts.const_value = ir.tensor(wrong, name=counts.name)
    assert "GatherND" in lab.ops(lab.rewritten(model))


def test_a_gathering_beyond_the_image_is_left_alone(lab: Any) -> None:
    """Torch 2.13 makes such a graph of a dynamic net, for sizes that are not its example's."""
    model = lab.exported(Pooled(6), noise(1, 4, 7, 10))
    (gathering,) = (node for node in model.graph if node.op_type == "GatherND")
    indices = gathering.inputs[1]
    indices.const_value = ir.tensor(indices.const_value.numpy() + 1, name=indices.name)
    assert "GatherND" in lab.ops(lab.rewritten(model))


def test_a_gathering_that_something_else_uses_is_left_alone(lab: Any) -> None:
    class Shared(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            rows = torch.tensor([[0, 1], [1, 2]])
            picked = image[:, :, rows[:, :, None, None], rows]
            return picked.mean(dim=(-3, -1)) + picked.amax(dim=(-3, -1))

    model = lab.exported(Shared(), noise(1, 4, 3, 3))
    assert lab.ops(lab.rewritten(model)) == lab.ops(model)
