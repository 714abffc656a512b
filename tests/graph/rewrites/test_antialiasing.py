"""Resize with antialiasing: the same pictures by two MatMuls."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx import helper
from torch import nn
from torch.nn import functional

# weights and sums in float32, taken in another order; pictures are a few units large
ROUNDING = 5e-6


class Resized(nn.Module):
    def __init__(self, mode: str, size_hw: tuple[int, int]) -> None:
        super().__init__()
        self.mode, self.size_hw = mode, size_hw

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(image, self.size_hw, mode=self.mode, antialias=True)


@pytest.mark.parametrize("size_hw", [(5, 7), (26, 34), (5, 34), (13, 4), (1, 1)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_torch_antialiasing_gives_the_same_picture(lab: Any, mode: str, size_hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(size=(1, 2, 13, 17)).astype(np.float32)
    module = Resized(mode, size_hw)
    before = lab.exported(module, image)
    after = lab.rewritten(before, "antialiasing")
    assert lab.ops(after) == ["MatMul", "MatMul"]
    (got,) = lab.run(after, image)
    np.testing.assert_allclose(got, lab.run(before, image)[0], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(got, module(torch.from_numpy(image)).numpy(), rtol=0, atol=ROUNDING)


def test_antialiasing_is_refused_before_and_built_after(lab: Any) -> None:
    before = lab.exported(Resized("bilinear", (5, 7)), np.zeros((1, 2, 13, 17), np.float32))
    assert "Antialiasing" in lab.refusal(before)
    assert lab.refusal(lab.rewritten(before, "antialiasing")) == ""


def resize(lab: Any, size: list[int], **attributes: Any) -> ir.Model:
    nodes = [helper.make_node("Resize", ["image", "", "", "size"], ["out"], **attributes)]
    inputs = {"image": (np.float32, (1, 2, 8, 8))}
    model: ir.Model = lab.graph_of(nodes, inputs, {"out": np.float32}, {"size": np.array(size)})
    return model


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "linear", "antialias": 1},  # edges go on beyond the border: other weights there
        {"mode": "linear", "antialias": 1, "exclude_outside": 1, "coordinate_transformation_mode": "align_corners"},
        {"mode": "cubic"},
        {"mode": "linear", "exclude_outside": 1},
        {"mode": "nearest"},
    ],
)
def test_every_other_resize_is_left_alone(lab: Any, attributes: dict[str, Any]) -> None:
    model = resize(lab, [1, 2, 5, 5], **attributes)
    assert lab.ops(lab.rewritten(model)) == ["Resize"]


def test_antialiasing_of_channels_is_left_alone(lab: Any) -> None:
    model = resize(lab, [1, 1, 5, 5], mode="linear", antialias=1, exclude_outside=1)
    assert lab.ops(lab.rewritten(model)) == ["Resize"]
