"""The rules of explicit quantisation, each broken once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from precision_lab import net, quantisation_of

from edgeseg.errors import BuildError
from edgeseg.graph.casting import lowered
from edgeseg.graph.qdq import quantised
from edgeseg.graph.qdq_rules import check_qdq, violations


def coarse() -> ir.Model:
    model = net()
    return quantised(model, quantisation_of(model))


def first(model: ir.Model, op: str, source: str = "ra") -> ir.Node:
    """Of the pair behind a tensor."""
    pair = next(n for n in model.graph if n.op_type == "QuantizeLinear" and n.inputs[0].name == source)  # type: ignore[union-attr]
    return pair if op == "QuantizeLinear" else next(iter(pair.outputs[0].consumers()))


def set_constant(model: ir.Model, value: ir.Value | None, array: np.ndarray) -> None:
    assert value is not None
    tensor = ir.tensor(array, name=value.name)
    value.const_value, value.shape, value.type = tensor, tensor.shape, ir.TensorType(tensor.dtype)


def shift_zero(model: ir.Model) -> None:
    set_constant(model, first(model, "QuantizeLinear").inputs[2], np.array(3, np.int8))


def make_unsigned(model: ir.Model) -> None:
    set_constant(model, first(model, "QuantizeLinear").inputs[2], np.array(0, np.uint8))


def drop_zero(model: ir.Model) -> None:
    first(model, "QuantizeLinear").replace_input_with(2, None)


def zero_scale(model: ir.Model) -> None:
    set_constant(model, first(model, "QuantizeLinear").inputs[1], np.array(0, np.float32))


def computed_scale(model: ir.Model) -> None:
    first(model, "QuantizeLinear").replace_input_with(1, next(iter(model.graph)).outputs[0])


def other_scale(model: ir.Model) -> None:
    tensor = ir.tensor(np.array(9, np.float32), name="other")
    other = ir.Value(name="other", const_value=tensor, shape=tensor.shape, type=ir.TensorType(tensor.dtype))
    model.graph.register_initializer(other)
    first(model, "DequantizeLinear").replace_input_with(1, other)


def scale_a_channel_of_an_activation(model: ir.Model) -> None:
    for value in first(model, "QuantizeLinear").inputs[1:]:
        set_constant(model, value, np.repeat(value.const_value.numpy(), 8))  # type: ignore[union-attr]


def quantise_the_bias(model: ir.Model) -> None:
    block = next(node for node in model.graph if node.name == "head")
    block.replace_input_with(2, first(model, "DequantizeLinear").outputs[0])


def copy_what_is_quantised(model: ir.Model) -> None:
    cat = next(node for node in model.graph if node.name == "cat")
    cat.replace_input_with(0, first(model, "DequantizeLinear", "rc").outputs[0])


def end_in_a_pair(model: ir.Model) -> None:
    model.graph.outputs[0] = first(model, "DequantizeLinear", "k").outputs[0]


def leave_codes_loose(model: ir.Model) -> None:
    pair = first(model, "QuantizeLinear")
    cast = ir.node("Cast", [pair.outputs[0]], {"to": ir.DataType.FLOAT.value})
    model.graph.insert_after(pair, cast)


BROKEN: dict[str, Callable[[ir.Model], None]] = {
    "zero point is 3, it must be 0": shift_zero,
    "unsigned": make_unsigned,
    "no zero point": drop_zero,
    "above 0 and finite": zero_scale,
    "its scale is no constant": computed_scale,
    "its scale is not that of": other_scale,
    "8 scales along axis 1 of input 0": scale_a_channel_of_an_activation,
    "quantises the bias of Conv 'head'": quantise_the_bias,
    "in front of Concat 'cat', which copies": copy_what_is_quantised,
    "is an output of the net": end_in_a_pair,
    "to a DequantizeLinear and nowhere else": leave_codes_loose,
}


def test_what_edgeseg_quantises_breaks_no_rule() -> None:
    assert list(violations(coarse())) == []
    check_qdq(coarse())
    half = net()
    assert list(violations(quantised(lowered(half, "fp16"), quantisation_of(half)))) == []


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_rule_is_named_with_its_node(words: str) -> None:
    model = coarse()
    BROKEN[words](model)
    rules = [one.rule for one in violations(model)]
    assert any(words in rule for rule in rules), rules
    with pytest.raises(BuildError, match=r"(Q|Deq)uantizeLinear '.*edgeseg quantize"):
        check_qdq(model)


def test_scales_in_float16_need_opset_19() -> None:
    model = net()
    half = quantised(lowered(model, "fp16"), quantisation_of(model))
    half.graph.opset_imports[""] = 17
    assert any("opset 17 has no FLOAT16 there, 19 has" in one.rule for one in violations(half))


def test_many_broken_rules_are_counted() -> None:
    model = coarse()
    for node in list(model.graph):
        if node.op_type == "QuantizeLinear":
            node.replace_input_with(2, None)
    with pytest.raises(BuildError, match=r"; and \d+ more"):
        check_qdq(model)
