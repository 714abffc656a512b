"""Graphs in 16 bits: what is cast, what is not, and that they still compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from precision_lab import SHAPES, net, noise_ratio_db, run

from edgeseg.graph.casting import lowered
from edgeseg.graph.opsets import at_least

FLOAT, FLOAT16, BFLOAT16 = ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16
#: float16 has 11 bits of precision, 66 dB; a few layers add up to less than a tenth of that being lost
FLOAT16_FLOOR_DB = 55.0


def dtypes_of(model: Any) -> dict[str, ir.DataType]:
    """What every node computes in: the dtype of its first input."""
    return {node.name: node.inputs[0].dtype for node in model.graph if node.inputs and node.op_type != "Cast"}


def casts_of(model: Any) -> list[str]:
    return [node.inputs[0].name for node in model.graph if node.op_type == "Cast"]


def test_the_whole_net_is_cast_at_its_ends_alone() -> None:
    model = net()
    half = lowered(model, "fp16")
    assert set(dtypes_of(half).values()) == {FLOAT16}
    assert casts_of(half) == ["image", "logits_float16"]
    assert (half.graph.inputs[0].dtype, half.graph.outputs[0].dtype) == (FLOAT, FLOAT)
    assert half.graph.outputs[0].name == "logits"
    assert FLOAT16_FLOOR_DB < noise_ratio_db(run(model), run(half)) < 100


def test_weights_are_kept_once_in_the_dtype_that_is_used() -> None:
    half = lowered(net(), "fp16", wide=("block",))
    dtypes = {name: value.dtype for name, value in half.graph.initializers.items()}
    assert dtypes["w_block"] == FLOAT
    assert dtypes["w_stem_float16"] == FLOAT16
    assert len(dtypes) == len(SHAPES)


def test_a_wide_node_has_a_cast_on_either_side() -> None:
    model = net()
    half = lowered(model, "fp16", wide=("block",))
    dtypes = dtypes_of(half)
    assert dtypes.pop("block") == FLOAT
    assert set(dtypes.values()) == {FLOAT16}
    assert casts_of(half) == ["image", "ra", "b", "logits_float16"]
    assert noise_ratio_db(run(model), run(half)) > FLOAT16_FLOOR_DB


def test_wide_neighbours_pass_their_numbers_on_in_float32() -> None:
    half = lowered(net(), "fp16", wide=("block", "add", "add_relu"))
    assert casts_of(half) == ["image", "ra", "rc", "logits_float16"]


def test_all_wide_is_the_net_itself() -> None:
    model = net()
    names = [node.name or "" for node in model.graph]
    same = lowered(model, "fp16", wide=names)
    assert [node.op_type for node in same.graph] == [node.op_type for node in model.graph]
    np.testing.assert_array_equal(run(same), run(model))


def test_bfloat16_is_what_onnx_takes_from_opset_22_on() -> None:
    model = at_least(net(), 22)
    brain = lowered(model, "bf16")
    assert set(dtypes_of(brain).values()) == {BFLOAT16}
    onnx.checker.check_model(ir.to_proto(brain), full_check=True)


def test_the_scales_of_a_resize_stay_float32() -> None:
    """Rounded scales give other sizes: 7 * float16(6 / 7) is less than 6."""
    model = net('[n] logits = Resize<mode="linear">(image, , scales)', {"scales": (4,)}, factors={"scales": 0.0})
    half = lowered(model, "fp16")
    assert [value.dtype for value in half.graph[1].inputs if value is not None] == [FLOAT16, FLOAT]


def test_a_constant_that_an_attribute_types_stays_float32_and_is_cast() -> None:
    body = "size = Shape(image) [zeros] z = ConstantOfShape(size) [n] logits = Add(image, z)"
    model = net(body, {})
    half = lowered(model, "fp16")
    assert dtypes_of(half)["n"] == FLOAT16
    assert "z" in casts_of(half)
    np.testing.assert_allclose(run(half), run(model), atol=4e-3)


def test_pixels_are_cast_to_float16_at_once() -> None:
    body = "[c] x = Cast<to=1>(image) [n] logits = Relu(x)"
    model = net(body, {})
    model.graph.inputs[0].type = ir.TensorType(ir.DataType.UINT8)
    half = lowered(model, "fp16")
    casts = [(node.inputs[0].name, node.attributes["to"].as_int()) for node in half.graph if node.op_type == "Cast"]
    assert casts == [("image", FLOAT16.value), ("logits_float16", FLOAT.value)]


def test_an_output_that_a_wide_node_gives_needs_no_cast() -> None:
    half = lowered(net(), "fp16", wide=("head",))
    assert casts_of(half) == ["image", "k"]


def test_the_net_that_was_given_is_left_as_it_was() -> None:
    model = net()
    before = ir.to_proto(model).SerializeToString()
    lowered(model, "fp16")
    assert ir.to_proto(model).SerializeToString() == before
