"""Col2Im of blocks side by side: the same elements at the same places."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from torch import nn
from torch.nn import functional


def folded(lab: Any, columns: tuple[int, ...], image: list[int], block: list[int], **attributes: Any) -> ir.Model:
    node = helper.make_node("Col2Im", ["columns", "image", "block"], ["out"], **attributes)
    sizes = {"image": np.array(image), "block": np.array(block)}
    model: ir.Model = lab.graph_of([node], {"columns": (np.float32, columns)}, {"out": np.float32}, sizes)
    return model


@settings(max_examples=50, deadline=None)
@given(
    channels=st.integers(1, 4),
    block=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    count=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_blocks_side_by_side_are_moved_without_col2im(lab: Any, channels: int, block: Any, count: Any) -> None:
    shape = (1, channels * block[0] * block[1], count[0] * count[1])
    image = [block[0] * count[0], block[1] * count[1]]
    before = folded(lab, shape, image, list(block), strides=list(block))
    after = lab.rewritten(before, "folding")
    columns = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert "Col2Im" not in lab.ops(after)
    np.testing.assert_array_equal(lab.run(after, columns), lab.run(before, columns))


class Patchwise(nn.Module):
    """MobileViT's way: patches unfolded, worked on, folded again."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        patches = functional.unfold(image, kernel_size=2, stride=2)
        return functional.fold(patches.softmax(dim=-1), image.shape[2:], kernel_size=2, stride=2)


def test_torch_fold_is_refused_before_and_built_after(lab: Any) -> None:
    image = np.random.default_rng(0).normal(size=(1, 4, 8, 12)).astype(np.float32)
    before = lab.exported(Patchwise(), image)
    assert "Col2Im" in lab.refusal(before)
    after = lab.rewritten(before, "folding")
    np.testing.assert_array_equal(lab.run(after, image), lab.run(before, image))
    assert lab.refusal(after) == ""


@pytest.mark.parametrize(
    ("columns", "image", "attributes"),
    [
        ((1, 8, 9), [4, 4], {}),  # stride 1: blocks overlap
        ((1, 8, 4), [5, 5], {"strides": [2, 2]}),  # a row and a column that no block covers
        ((1, 8, 9), [4, 4], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((1, 8, 4), [6, 6], {"strides": [3, 3], "dilations": [2, 2]}),
    ],
)
def test_blocks_that_do_not_tile_the_image_are_left_alone(lab: Any, columns: Any, image: Any, attributes: Any) -> None:
    before = folded(lab, columns, image, [2, 2], **attributes)
    assert lab.ops(lab.rewritten(before)) == ["Col2Im"]
