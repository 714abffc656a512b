"""Max unpooling without indices: the same places as PyTorch and ONNX Runtime find, on ties above all."""

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

from edgeseg.graph.access import module_path

CHANNELS = 3


class Unpooled(nn.Module):
    """Pools the first half of the channels, and puts the second half, shrunk, where the first has its maxima."""

    def __init__(self, side: int = 2, *, to_input_size: bool = True, **pool: Any) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(side, side, return_indices=True, **pool)
        self.unpool = nn.MaxUnpool2d(side, side, padding=pool.get("padding", 0))
        self.to_input_size = to_input_size

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        looked_at, other = image.chunk(2, dim=1)
        small, indices = self.pool(looked_at)
        values = other[:, :, : small.shape[2], : small.shape[3]] + small
        return self.unpool(values, indices, output_size=looked_at.shape if self.to_input_size else None)


class SmallSegNet(nn.Module):
    """Two levels of SegNet: one unpooling follows a convolution, the other follows that unpooling."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)])
        self.up = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        first, first_at = functional.max_pool2d(self.down[0](image).relu(), 2, 2, return_indices=True)
        second, second_at = functional.max_pool2d(self.down[1](first).relu(), 2, 2, return_indices=True)
        back = functional.max_unpool2d(self.up[0](second).relu(), second_at, 2, 2)
        return self.up[1](functional.max_unpool2d(back, first_at, 2, 2))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ties(*shape: int, seed: int = 0) -> np.ndarray:
    """Whole numbers from -1 to 1: most windows have several maxima; with zeros of both signs."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-1, 2, shape) * rng.choice([-1.0, 1.0], shape)).astype(np.float32)


def of_onnx(
    lab: Any, shape: tuple[int, ...], *, pool: Any = (), unpool: Any = (), dtype: type = np.float32
) -> ir.Model:
    """ONNX's own form, MaxPool -> MaxUnpool of 2x2, with a sum in between."""
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("MaxPool", ["image"], ["small", "at"], **{**window, **dict(pool)}),
        helper.make_node("Add", ["small", "one"], ["values"]),
        helper.make_node("MaxUnpool", ["values", "at"], ["out"], **{**window, **dict(unpool)}),
    ]
    model: ir.Model = lab.graph_of(nodes, {"image": (dtype, shape)}, {"out": dtype}, {"one": dtype(1.5)})
    return model


@pytest.mark.parametrize("size_hw", [(8, 10), (9, 11), (2, 3)])
def test_torch_unpooling_gives_the_same_numbers_without_indices(lab: Any, size_hw: tuple[int, int]) -> None:
    shape = (1, 2 * CHANNELS, *size_hw)
    module = Unpooled()
    before = lab.exported(module, noise(*shape))
    after = lab.rewritten(before, "unpooling")
    assert "ScatterND" in lab.ops(before) and "ScatterND" not in lab.ops(after)
    for image in (noise(*shape), ties(*shape), np.zeros(shape, np.float32), np.full(shape, -np.inf, np.float32)):
        (got,) = lab.run(after, image)
        np.testing.assert_array_equal(got, module(torch.from_numpy(image)).numpy())
        if np.isfinite(image).all():  # ONNX Runtime has no place for the maximum of -inf alone
            np.testing.assert_array_equal(got, lab.run(before, image)[0])


def test_windows_of_three_are_put_back_as_well(lab: Any) -> None:
    image = ties(1, 2 * CHANNELS, 9, 11)
    before = lab.exported(Unpooled(3), image)
    np.testing.assert_array_equal(lab.run(lab.rewritten(before, "unpooling"), image), lab.run(before, image))


@settings(max_examples=60, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    levels=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_any_even_size_and_any_ties_agree_with_onnx_runtime(lab: Any, sides: Any, levels: int, seed: int) -> None:
    channels, height, width = sides
    shape = (1, channels, 2 * height, 2 * width)
    image = np.random.default_rng(seed).integers(0, levels, shape).astype(np.float32)
    before = of_onnx(lab, shape)
    np.testing.assert_array_equal(lab.run(lab.rewritten(before, "unpooling"), image), lab.run(before, image))


def test_every_window_has_exactly_one_place_whatever_the_numbers_are(lab: Any) -> None:
    shape = (1, 2, 8, 8)
    image = np.random.default_rng(3).choice(np.float32([np.nan, np.inf, -np.inf, 0, 1]), shape)
    after = lab.rewritten(of_onnx(lab, shape), "unpooling")
    (got,) = lab.run(after, image)
    windows = got.reshape(1, 2, 4, 2, 4, 2).transpose(0, 1, 2, 4, 3, 5).reshape(-1, 4)
    assert ((windows != 0).sum(axis=1) == 1).all()


def test_a_small_segnet_keeps_its_numbers_and_is_built(lab: Any) -> None:
    torch.manual_seed(0)
    image = noise(1, 3, 16, 24)
    before = lab.exported(SmallSegNet(), image)
    assert "MaxPool" in lab.refusal(before)
    after = lab.rewritten(before, "unpooling")
    np.testing.assert_array_equal(lab.run(after, image), lab.run(before, image))
    assert lab.refusal(lab.simplified(after)) == ""


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_form_of_onnx_is_refused_before_and_built_after(lab: Any, dtype: type) -> None:
    before = of_onnx(lab, (1, 4, 8, 10), dtype=dtype)
    assert "MaxPool" in lab.refusal(before)
    assert lab.refusal(lab.rewritten(before, "unpooling")) == ""


def test_indices_that_nothing_uses_are_dropped_with_any_rewrite(lab: Any) -> None:
    model = of_onnx(lab, (1, 2, 8, 8))
    model.graph.outputs[0] = model.graph[1].outputs[0]  # what is unpooled leaves the graph, the unpooling does not
    model.graph.outputs[0].shape = ir.Shape((1, 2, 4, 4))
    assert "indices" in lab.refusal(model) or "outputs" in lab.refusal(model)
    assert lab.refusal(lab.rewritten(model, "unpooling")) == ""


def test_new_nodes_keep_the_place_in_the_module_tree(lab: Any) -> None:
    after = lab.rewritten(lab.exported(Unpooled(), noise(1, 2, 4, 4)), "unpooling")
    paths = {module_path(node) for node in after.graph if "unpooling" in (node.name or "")}
    assert paths == {"unpool (MaxUnpool2d)"}


@pytest.mark.parametrize(
    ("pool", "unpool", "size_hw"),
    [
        ({"strides": [1, 1]}, {"strides": [1, 1]}, (5, 5)),
        ({"pads": [1, 1, 1, 1]}, {"pads": [1, 1, 1, 1]}, (8, 8)),
        ({"kernel_shape": [2, 1], "strides": [2, 1]}, {"kernel_shape": [2, 1], "strides": [2, 1]}, (8, 8)),
        ({"kernel_shape": [3, 3]}, {"kernel_shape": [3, 3]}, (9, 9)),
        ({}, {}, (9, 8)),  # ONNX's text and ONNX Runtime disagree on where indices point to
        ({"storage_order": 1}, {}, (8, 8)),
    ],
)
def test_windows_that_do_not_tile_the_input_are_left_alone(lab: Any, pool: Any, unpool: Any, size_hw: Any) -> None:
    before = of_onnx(lab, (1, 2, *size_hw), pool=pool, unpool=unpool)
    assert lab.ops(lab.rewritten(before)) == lab.ops(before)


def test_torch_windows_that_overlap_are_left_alone(lab: Any) -> None:
    class Overlapping(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            small, at = functional.max_pool2d(image, 2, 1, return_indices=True)
            return functional.max_unpool2d(small, at, 2, 1)

    before = lab.exported(Overlapping(), noise(1, 1, 5, 5))
    assert "ScatterND" in lab.ops(lab.rewritten(before))


def test_an_odd_size_unpooled_to_an_even_one_is_left_alone(lab: Any) -> None:
    """Torch takes indices into 9x11 for indices into 8x10 there: what it computes is no unpooling."""
    before = lab.exported(Unpooled(to_input_size=False), noise(1, 2 * CHANNELS, 9, 11))
    assert "ScatterND" in lab.ops(lab.rewritten(before))


def test_values_scattered_into_something_else_than_zeros_are_left_alone(lab: Any) -> None:
    model = lab.exported(Unpooled(), noise(1, 2, 4, 4))
    (scatter,) = (node for node in model.graph if node.op_type == "ScatterND")
    target = scatter.inputs[0]
    ones = np.ones(target.shape.numpy(), np.float32)
    target.const_value = ir.tensor(ones, name=target.name)
    assert "ScatterND" in lab.ops(lab.rewritten(model))
