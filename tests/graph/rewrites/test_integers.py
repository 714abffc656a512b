"""Integers inside a graph: int32 where the numbers are known to fit, and the numbers stay what they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional

from edgeseg.graph.rewrites import rewrite

SHAPE = (1, 5, 6, 8)
SCORES = np.random.default_rng(0).integers(-2, 3, SHAPE).astype(np.float32)  # with ties
node = helper.make_node
IDS = node("ArgMax", ["scores"], ["ids"], axis=1)
TORCH_NEAREST = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
LARGER = np.array([1, 1, 12, 16])


def of_ids(lab: Any, nodes: list[onnx.NodeProto], outputs: dict[str, type], **weights: Any) -> ir.Model:
    """A graph of scores whose first node makes class ids, 0 to 4."""
    copies = [onnx.NodeProto.FromString(one.SerializeToString()) for one in [IDS, *nodes]]
    model: ir.Model = lab.graph_of(copies, {"scores": (np.float32, SHAPE)}, outputs, weights)
    return model


def dtypes(model: ir.Model) -> dict[str, str]:
    """Of what each operator puts out, by its name."""
    return {one.op_type: str(one.outputs[0].dtype) for one in model.graph}


def cast(source: str, target: str, dtype: int) -> onnx.NodeProto:
    return node("Cast", [source], [target], to=dtype)


def test_what_is_computed_of_class_ids_is_int32(lab: Any) -> None:
    nodes = [
        node("Mul", ["ids", "two"], ["twice"]),
        node("Sub", ["twice", "one"], ["odd"]),
        node("Equal", ["ids", "one"], ["is_road"]),
        node("Where", ["is_road", "odd", "far"], ["out"]),
    ]
    weights = {"two": np.int64(2), "one": np.int64(1), "far": np.int64(2**31 - 1)}
    before = of_ids(lab, nodes, {"out": np.int64}, **weights)
    after = lab.rewritten(before, "integers")
    found = dtypes(after)
    assert {found[one] for one in ("Mul", "Sub", "Where")} == {"INT32"}
    assert lab.ops(after).count("Cast") == 2  # behind ArgMax, and before the output, which stays int64
    np.testing.assert_array_equal(lab.run(after, SCORES), lab.run(before, SCORES))
    assert lab.refusal(before) == lab.refusal(after) == ""


@pytest.mark.parametrize("dtype", [TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8])
def test_nearest_resize_of_ids_is_refused_before_and_built_after(lab: Any, dtype: int) -> None:
    nodes = [
        cast("ids", "kind", dtype),
        node("Resize", ["kind", "", "", "larger"], ["wide"], mode="nearest", **TORCH_NEAREST),
        cast("wide", "out", TensorProto.FLOAT),
    ]
    before = of_ids(lab, nodes, {"out": np.float32}, larger=LARGER)
    assert lab.refusal(before) != ""
    after = lab.rewritten(before, "integers")
    expected = SCORES.argmax(1, keepdims=True).repeat(2, axis=2).repeat(2, axis=3)  # ONNX Runtime resizes no int64
    np.testing.assert_array_equal(lab.run(after, SCORES)[0], expected)
    assert lab.refusal(after) == ""


def test_torch_masks_of_uint8_are_resized_and_compared(lab: Any) -> None:
    class Masked(nn.Module):
        def forward(self, scores: torch.Tensor) -> torch.Tensor:
            ids = scores.argmax(1, keepdim=True).to(torch.uint8)
            wide = functional.interpolate(ids, scale_factor=2, mode="nearest")
            return (wide == 2).float() * functional.interpolate(scores, scale_factor=2, mode="bilinear")

    before = lab.exported(Masked(), SCORES)
    assert "UINT8" in lab.refusal(before)
    after = lab.rewritten(before, "integers")
    np.testing.assert_array_equal(lab.run(after, SCORES), lab.run(before, SCORES))
    assert lab.refusal(after) == ""


@pytest.mark.parametrize("dtype", [TensorProto.UINT8, TensorProto.INT16, TensorProto.INT8])
def test_narrow_ids_are_refused_before_and_built_after(lab: Any, dtype: int) -> None:
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    nodes = [
        cast("ids", "narrow", dtype),
        node("Transpose", ["narrow"], ["turned"], perm=[0, 2, 3, 1]),
        node("Concat", ["turned", "more"], ["both"], axis=2),
        cast("both", "out", TensorProto.FLOAT),
    ]
    before = of_ids(lab, nodes, {"out": np.float32}, more=np.full((1, 6, 2, 1), 3, kind))
    assert lab.refusal(before) != ""
    after = lab.rewritten(before, "integers")
    np.testing.assert_array_equal(lab.run(after, SCORES), lab.run(before, SCORES))
    assert lab.refusal(after) == ""


def test_a_cast_to_uint8_and_on_to_float_passes_it_over(lab: Any) -> None:
    nodes = [cast("ids", "narrow", TensorProto.UINT8), cast("narrow", "out", TensorProto.FLOAT)]
    before = of_ids(lab, nodes, {"out": np.float32})
    assert "UINT8" in lab.refusal(before)
    after = lab.rewritten(before, "integers")
    np.testing.assert_array_equal(lab.run(after, SCORES), lab.run(before, SCORES))
    assert lab.refusal(after) == ""


STEPS = {
    "Add": lambda name, to: [node("Add", [name, "small"], [to])],
    "Sub": lambda name, to: [node("Sub", ["small", name], [to])],
    "Mul": lambda name, to: [node("Mul", [name, "small"], [to])],
    "square": lambda name, to: [node("Mul", [name, name], [to])],
    "Where": lambda name, to: [
        node("Less", [name, "small"], [f"{to}_less"]),
        node("Where", [f"{to}_less", name, "far"], [to]),
    ],
    "Gather": lambda name, to: [node("Gather", [name, "first"], [to], axis=2)],
    "Transpose": lambda name, to: [node("Transpose", [name], [to], perm=[0, 1, 3, 2])],
    "Concat": lambda name, to: [node("Concat", [name, name], [to], axis=3)],
    "table": lambda name, to: [
        node("Equal", [name, "small"], [f"{to}_mask"]),
        node("Cast", [f"{to}_mask"], [f"{to}_index"], to=TensorProto.INT64),
        node("Gather", ["values", f"{to}_index"], [to]),
    ],
}


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6), small=st.integers(-3, 1000))
def test_any_chain_of_steps_keeps_its_numbers(lab: Any, steps: list[str], small: int) -> None:
    """Among them squares of squares, which soon need more than 32 bits and then stay int64."""
    nodes, name = [], "ids"
    for at, step in enumerate(steps):
        target = "out" if at == len(steps) - 1 else f"step{at}"
        nodes += STEPS[step](name, target)
        name = target
    taken = {one for part in nodes for one in part.input}
    weights = {"small": np.int64(small), "far": np.int64(2**30), "first": np.array([0, 1]), "values": np.array([7, -7])}
    before = of_ids(lab, nodes, {"out": np.int64}, **{k: v for k, v in weights.items() if k in taken})
    after = before.clone()
    rewrite(after)
    np.testing.assert_array_equal(lab.run(after, SCORES), lab.run(before, SCORES))


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ([node("Mul", ["ids", "k"], ["out"])], {"k": np.int64(2**30)}),  # 4 * 2**30 needs more than 32 bits
        ([node("Add", ["ids", "k"], ["out"])], {"k": np.int64(2**31)}),
        ([cast("scores", "n", TensorProto.INT64), node("Add", ["n", "k"], ["out"])], {"k": np.int64(1)}),
        ([node("ReduceSum", ["ids", "k"], ["out"])], {"k": np.array([2])}),
        ([node("Transpose", ["ids"], ["out"], perm=[0, 2, 3, 1])], {}),
    ],
)
def test_numbers_of_unknown_size_or_beyond_int32_are_left_alone(lab: Any, nodes: Any, weights: Any) -> None:
    model = of_ids(lab, nodes, {"out": np.int64}, **weights)
    assert lab.ops(lab.rewritten(model)) == lab.ops(model)
    assert lab.refusal(model) == ""


def test_numbers_that_wrap_around_in_their_dtype_are_left_alone(lab: Any) -> None:
    nodes = [
        cast("ids", "narrow", TensorProto.UINT8),
        node("Sub", ["narrow", "one"], ["less"]),  # 0 - 1 is 255 there
        cast("less", "out", TensorProto.FLOAT),
    ]
    model = of_ids(lab, nodes, {"out": np.float32}, one=np.uint8(1))
    assert lab.ops(lab.rewritten(model)) == lab.ops(model)


def test_quantised_numbers_stay_int8(lab: Any) -> None:
    nodes = [
        node("QuantizeLinear", ["scores", "scale", "zero"], ["q"]),
        node("Transpose", ["q"], ["turned"], perm=[0, 2, 3, 1]),
        node("DequantizeLinear", ["turned", "scale", "zero"], ["out"]),
    ]
    model = of_ids(lab, nodes, {"out": np.float32}, scale=np.float32(0.1), zero=np.int8(0))
    assert lab.ops(lab.rewritten(model)) == lab.ops(model)


def test_quantised_weights_stay_int8(lab: Any) -> None:
    nodes = [
        node("Transpose", ["kernel"], ["turned"], perm=[1, 0, 2, 3]),
        node("DequantizeLinear", ["turned", "scale", "zero"], ["weights"]),
        node("Conv", ["scores", "weights"], ["out"]),
    ]
    weights = {"kernel": np.ones((5, 2, 3, 3), np.int8), "scale": np.float32(0.1), "zero": np.int8(0)}
    model = of_ids(lab, nodes, {"out": np.float32, "ids": np.int64}, **weights)
    assert lab.ops(lab.rewritten(model)) == lab.ops(model)


def test_shapes_indices_and_bounds_stay_int64_and_are_built(lab: Any) -> None:
    """TensorRT knows INT64; the bound is torch's word for the end."""
    nodes = [
        node("Reshape", ["scores", "shape"], ["rows"]),
        node("Slice", ["rows", "start", "end", "axis"], ["part"]),
        node("Expand", ["part", "wide"], ["more"]),
        node("Gather", ["more", "picked"], ["out"], axis=1),
    ]
    weights = {"shape": np.array([1, 5, 48]), "start": np.array([1]), "end": np.array([2**63 - 1])}
    more = {"axis": np.array([1]), "wide": np.array([2, 4, 48]), "picked": np.array([3, -1])}
    model = of_ids(lab, nodes, {"out": np.float32, "ids": np.int64}, **weights, **more)
    assert lab.ops(lab.rewritten(model)) == lab.ops(model)
    assert lab.refusal(model) == ""
