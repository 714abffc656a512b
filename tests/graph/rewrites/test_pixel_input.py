"""A uint8 input: its Cast moves up to it, over whatever only moves pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

SHAPE = (1, 6, 8, 4)
PIXELS = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
WEIGHTS = {
    "flat": np.array([1, -1]),
    "first": np.array([0]),
    "four": np.array([4]),
    "rows": np.array([1]),
    "turned": np.array([3, 2, 1, 0]),
    "twice": np.array([1, 2, 1, 1]),
    "larger": np.array([1, 12, 16, 4]),
    "three": np.uint8(3),
}
node = helper.make_node
MOVES = {
    "Transpose": node("Transpose", ["image"], ["moved"], perm=[0, 3, 1, 2]),
    "Reshape": node("Reshape", ["image", "flat"], ["moved"]),
    "Unsqueeze": node("Unsqueeze", ["image", "first"], ["moved"]),
    "Squeeze": node("Squeeze", ["image", "first"], ["moved"]),
    "Flatten": node("Flatten", ["image"], ["moved"]),
    "Identity": node("Identity", ["image"], ["moved"]),
    "Slice": node("Slice", ["image", "first", "four", "rows"], ["moved"]),
    "Gather": node("Gather", ["image", "turned"], ["moved"], axis=3),
    "Tile": node("Tile", ["image", "twice"], ["moved"]),
    "Expand": node("Expand", ["image", "twice"], ["moved"]),
    "Concat": node("Concat", ["image", "image"], ["moved"], axis=3),
    "SpaceToDepth": node("SpaceToDepth", ["image"], ["moved"], blocksize=2),
    "Resize": node("Resize", ["image", "", "", "larger"], ["moved"], mode="nearest"),
}


def taking_pixels(lab: Any, nodes: list[onnx.NodeProto], outputs: dict[str, type]) -> ir.Model:
    copies = [onnx.NodeProto.FromString(one.SerializeToString()) for one in nodes]
    taken = {name for one in copies for name in one.input}
    weights = {name: value for name, value in WEIGHTS.items() if name in taken}
    if "Expand" in [one.op_type for one in copies]:
        weights["twice"] = np.array([2, 6, 8, 4])
    model: ir.Model = lab.graph_of(copies, {"image": (np.uint8, SHAPE)}, outputs, weights)
    return model


def cast(source: str, target: str, dtype: int = TensorProto.FLOAT) -> onnx.NodeProto:
    return node("Cast", [source], [target], to=dtype)


@pytest.mark.parametrize("move", MOVES)
def test_the_cast_moves_up_over(lab: Any, move: str) -> None:
    nodes = [MOVES[move], cast("moved", "scores"), node("Relu", ["scores"], ["out"])]
    before = taking_pixels(lab, nodes, {"out": np.float32})
    after = lab.rewritten(before, "pixel_input")
    assert lab.ops(after) == ["Cast", move, "Relu"]
    assert lab.refusal(before) != ""
    assert lab.refusal(after) == ""
    if move != "SpaceToDepth":  # ONNX Runtime has none for uint8
        np.testing.assert_array_equal(lab.run(after, PIXELS), lab.run(before, PIXELS))


def test_torch_pixels_in_nhwc_are_cast_first(lab: Any) -> None:
    class Pixels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            planes = image.permute(0, 3, 1, 2).flip(1)[:, :3, :-1]
            return self.conv(planes.float() / 255)

    before = lab.exported(Pixels(), PIXELS)
    assert "UInt8" in lab.refusal(before)
    after = lab.rewritten(before, "pixel_input")
    assert lab.ops(after)[0] == "Cast"
    np.testing.assert_array_equal(lab.run(after, PIXELS), lab.run(before, PIXELS))
    assert lab.refusal(after) == ""


@pytest.mark.parametrize(
    ("kinds", "shared"),
    [
        ((TensorProto.FLOAT16, TensorProto.FLOAT16), TensorProto.FLOAT16),
        ((TensorProto.FLOAT, TensorProto.FLOAT16), TensorProto.FLOAT),
        ((TensorProto.INT32, TensorProto.INT32), TensorProto.FLOAT),
        ((TensorProto.BOOL, TensorProto.FLOAT), TensorProto.FLOAT),
    ],
)
def test_two_consumers_share_one_cast(lab: Any, kinds: tuple[int, int], shared: int) -> None:
    nodes = [
        MOVES["Transpose"],
        node("Split", ["moved"], ["red", "green"], axis=1, num_outputs=2),
        node("Concat", ["red", "green"], ["both"], axis=1),
        cast("both", "first_kind", kinds[0]),
        cast("moved", "second_kind", kinds[1]),
        cast("first_kind", "a"),
        cast("second_kind", "b"),
        node("Add", ["a", "b"], ["out"]),
    ]
    before = taking_pixels(lab, nodes, {"out": np.float32})
    after = lab.rewritten(before, "pixel_input")
    at_input = [one for one in after.graph if after.graph.inputs[0] in one.inputs]
    assert [(one.op_type, one.attributes["to"].value) for one in at_input] == [("Cast", shared)]
    np.testing.assert_array_equal(lab.run(after, PIXELS), lab.run(before, PIXELS))
    assert lab.refusal(after) == ""


def test_a_cast_that_is_an_output_stays_one(lab: Any) -> None:
    before = taking_pixels(lab, [MOVES["Transpose"], cast("moved", "out")], {"out": np.float32})
    after = lab.rewritten(before, "pixel_input")
    np.testing.assert_array_equal(lab.run(after, PIXELS), lab.run(before, PIXELS))
    assert lab.refusal(after) == ""


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([cast("image", "out")], {"out": np.float32}),
        ([cast("image", "out"), cast("image", "half", TensorProto.FLOAT16)], {"out": np.float32, "half": np.float16}),
    ],
)
def test_casts_right_behind_the_input_are_left_alone(lab: Any, nodes: Any, outputs: Any) -> None:
    model = taking_pixels(lab, nodes, outputs)
    assert lab.ops(lab.rewritten(model)) == lab.ops(model)
    assert lab.refusal(model) == ""


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([node("Sub", ["image", "three"], ["less"]), cast("less", "out")], {"out": np.float32}),
        ([MOVES["Transpose"], node("Max", ["moved", "three"], ["m"]), cast("m", "out")], {"out": np.float32}),
        ([MOVES["Transpose"], cast("moved", "out")], {"out": np.float32, "moved": np.uint8}),
    ],
)
def test_what_computes_with_uint8_is_left_alone_and_refused(lab: Any, nodes: Any, outputs: Any) -> None:
    model = taking_pixels(lab, nodes, outputs)
    assert lab.ops(lab.rewritten(model)) == lab.ops(model)
    assert lab.refusal(model) != ""
