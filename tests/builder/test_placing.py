"""Where Model Optimizer has inputs quantised, and what is taken off of that."""

from __future__ import annotations

import pytest

pytest.importorskip("modelopt.onnx.quantization")

import numpy as np
import onnx_ir as ir
from precision_lab import BODY, SHAPES, net

from edgeseg.builder.placing import placed
from edgeseg.graph.qdq import LAYERS
from edgeseg.graph.qdq_rules import COPIES

#: Model Optimizer leaves convolutions of few channels alone
WIDE_SHAPES = {
    name: tuple(32 if side in (4, 8) else 64 if side == 16 else side for side in shape)
    for name, shape in SHAPES.items()
}


def test_layers_are_quantised_on_both_inputs_and_copies_on_none() -> None:
    model = net(shapes=WIDE_SHAPES)
    sites = placed(model, "int8")
    ops = {node.name: node.op_type for node in model.graph}
    places = {(site.node, site.input_index) for site in sites}
    assert {("block", 0), ("block", 1), ("head", 0), ("head", 1), ("up", 0), ("up", 1)} <= places
    assert not {ops[site.node] for site in sites} & set(COPIES)
    assert ("add", 1) in places and ("add", 0) not in places  # the branch that a convolution can add as it goes
    assert not {place for place in places if ops[place[0]] in LAYERS and place[1] == 2}


def test_sites_come_in_the_order_of_the_graph_with_their_tensors_and_axes() -> None:
    model = net(shapes=WIDE_SHAPES)
    sites = placed(model, "int8")
    order = [node.name for node in model.graph]
    assert [site.node for site in sites] == sorted((site.node for site in sites), key=order.index)
    found = {(site.node, site.input_index): (site.tensor, site.axis) for site in sites}
    assert found["block", 0] == ("ra", None)
    assert found["block", 1] == ("w_block", 0)
    assert found["up", 1] == ("w_up", None)


def test_what_is_to_stay_apart_is_not_quantised() -> None:
    """By its whole name: a pattern for "block" must not take "block2" along."""
    body = BODY.replace("w_block)", "w_block) ").replace("[head] logits", "[block2] logits")
    sites = placed(net(body, WIDE_SHAPES), "int8", apart=frozenset({"block"}))
    assert "block" not in {site.node for site in sites}
    assert "block2" in {site.node for site in sites}


def test_fp8_is_placed_where_the_library_offers_it() -> None:
    sites = placed(net(shapes=WIDE_SHAPES), "fp8")
    assert {"block", "head"} <= {site.node for site in sites}


def test_a_net_that_takes_pixels_is_placed_too() -> None:
    body = "[cast] x = Cast<to=1>(image) [stem] a = Conv(x, w) [block] logits = Conv(a, v)"
    model = net(body, {"w": (32, 3, 3, 3), "v": (32, 32, 3, 3)})
    model.graph.inputs[0].type = ir.TensorType(ir.DataType.UINT8)
    assert ("block", 1) in {(site.node, site.input_index) for site in placed(model, "int8")}


def test_the_same_net_is_placed_the_same_way_twice() -> None:
    first, second = (placed(net(shapes=WIDE_SHAPES), "int8") for _ in range(2))
    assert first == second
    assert np.all([site.node for site in first])
