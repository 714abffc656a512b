"""Quantisation put into a graph and taken off again."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from precision_lab import net, noise_ratio_db, quantisation_of, run

from edgeseg.graph.casting import lowered
from edgeseg.graph.qdq import (
    Quantisation,
    Site,
    active_sites,
    channel_axis,
    has_qdq,
    layers_of,
    lifted,
    quantised,
    sites_in,
    weight_scales,
)

LAYERS = ("stem", "block", "up", "head")
#: 8 bits hold a net of four layers to about 30 dB; what is wrongly scaled falls below 10
INT8_FLOOR_DB = 20.0


def pairs_of(model: ir.Model) -> dict[str, set[str]]:
    """By node, the tensors that come to it by way of a pair."""
    found: dict[str, set[str]] = {}
    for node in model.graph:
        for value in node.inputs:
            before = value.producer() if value is not None else None
            if before is not None and before.op_type == "DequantizeLinear":
                source = before.inputs[0].producer().inputs[0]  # type: ignore[union-attr]
                found.setdefault(node.name or "", set()).add(source.name)
    return found


def test_every_site_gets_a_pair_and_the_output_stays_close() -> None:
    model = net()
    quantisation = quantisation_of(model)
    coarse = quantised(model, quantisation)
    assert pairs_of(coarse) == {
        "stem": {"image", "w_stem"},
        "block": {"ra", "w_block"},
        "add": {"ra"},
        "pool": {"rc"},
        "up": {"p", "w_up"},
        "head": {"k", "w_head"},
    }
    assert INT8_FLOOR_DB < noise_ratio_db(run(model), run(coarse)) < 60
    assert not has_qdq(model) and has_qdq(coarse)


def test_one_pair_serves_all_consumers_of_a_tensor() -> None:
    model = net()
    coarse = quantised(model, quantisation_of(model))
    sources = [node.inputs[0].name for node in coarse.graph if node.op_type == "QuantizeLinear"]  # type: ignore[union-attr]
    assert len(sources) == len(set(sources)) == 9


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_what_is_lifted_is_what_was_put_in(kind: str) -> None:
    model = net()
    quantisation = quantisation_of(model, kind)
    again, found = lifted(quantised(model, quantisation))
    assert found.sites == quantisation.sites
    assert found.kind == kind
    assert {name: scale.tolist() for name, scale in found.scales.items()} == {
        name: scale.tolist() for name, scale in quantisation.scales.items()
    }
    np.testing.assert_array_equal(run(again), run(model))


def test_weights_that_are_codes_alone_become_what_they_stand_for() -> None:
    """Other tools leave no floating-point weights in their files."""
    model = net()
    quantisation = quantisation_of(model)
    coarse = quantised(model, quantisation)
    expected = run(coarse)
    graph = coarse.graph
    pair = next(node for node in graph if node.op_type == "QuantizeLinear" and node.inputs[0].name == "w_block")  # type: ignore[union-attr]
    weights, scale = graph.initializers["w_block"].const_value.numpy(), quantisation.scales["w_block"]  # type: ignore[union-attr]
    codes = np.clip(np.round(weights / scale[:, None, None, None]), -128, 127).astype(np.int8)
    tensor = ir.tensor(codes, name="codes")
    value = ir.Value(name="codes", const_value=tensor, shape=tensor.shape, type=ir.TensorType(ir.DataType.INT8))
    graph.register_initializer(value)
    pair.outputs[0].replace_all_uses_with(value)
    graph.remove(pair, safe=True)
    again, found = lifted(coarse)
    assert {(site.node, site.input_index) for site in found.sites} == {
        (site.node, site.input_index) for site in quantisation.sites
    }
    np.testing.assert_allclose(run(quantised(again, found)), expected, atol=1e-6)


def test_a_kept_layer_takes_its_followers_along() -> None:
    """A pooling in 8 bits between layers in floating point would cost accuracy and save nothing."""
    model = net()
    quantisation = quantisation_of(model)
    left = {site.node for site in active_sites(model, quantisation, kept=("up",))}
    assert left == {"stem", "block", "add", "head"}
    assert {site.node for site in active_sites(model, quantisation, kept=("up", "head"))} == {"stem", "block"}


def test_followers_stay_for_a_layer_behind_them() -> None:
    model = net()
    left = {site.node for site in active_sites(model, quantisation_of(model), kept=("stem", "block", "head"))}
    assert left == {"add", "pool", "up"}


def test_nothing_is_quantised_where_every_layer_is_kept() -> None:
    model = net()
    coarse = quantised(model, quantisation_of(model), kept=LAYERS)
    assert not has_qdq(coarse)
    np.testing.assert_array_equal(run(coarse), run(model))


def test_scales_take_the_dtype_of_what_they_scale() -> None:
    model = net()
    half = quantised(lowered(model, "fp16", wide=("block",)), quantisation_of(model))
    dtypes = {
        (node.inputs[0].name, node.inputs[1].dtype)  # type: ignore[union-attr]
        for node in half.graph
        if node.op_type == "QuantizeLinear"
    }
    assert ("k", ir.DataType.FLOAT16) in dtypes
    assert ("w_block", ir.DataType.FLOAT) in dtypes
    assert noise_ratio_db(run(model), run(half)) > INT8_FLOOR_DB


def test_weight_scales_make_the_largest_number_the_largest_code() -> None:
    model = net()
    sites = tuple(sites_in(model, [("block", 1), ("up", 1)]))
    scales = weight_scales(model, sites, "int8")
    block = model.graph.initializers["w_block"].const_value.numpy()
    np.testing.assert_allclose(scales["w_block"], np.abs(block).max((1, 2, 3)) / 127, rtol=1e-6)
    assert scales["w_up"].shape == ()


def test_a_channel_of_zeros_has_a_scale_above_zero() -> None:
    model = net(factors={"w_block": 0.0})
    scales = weight_scales(model, tuple(sites_in(model, [("block", 1)])), "int8")
    assert (scales["w_block"] == 1).all()


@pytest.mark.parametrize(
    ("body", "shape", "axis"),
    [
        ("[n] logits = Conv(image, w)", (4, 3, 1, 1), 0),
        ("[n] logits = ConvTranspose(image, w)", (3, 4, 1, 1), None),
        ("[n] logits = MatMul(image, w)", (24, 5), 1),
        ("flat = Flatten<axis=3>(image) [n] logits = Gemm(flat, w)", (24, 5), 1),
        ("flat = Flatten<axis=3>(image) [n] logits = Gemm<transB=1>(flat, w)", (5, 24), 0),
    ],
)
def test_weights_have_a_scale_an_output_channel_but_for_deconvolutions(
    body: str, shape: tuple[int, ...], axis: int | None
) -> None:
    model = net(body, {"w": shape})
    node = next(one for one in model.graph if one.name == "n")
    assert channel_axis(node, 1) == axis
    assert next(sites_in(model, [("n", 1)])).axis == axis
    assert channel_axis(node, 0) is None


def test_layers_come_in_the_order_of_the_graph() -> None:
    model = net()
    assert layers_of(model) == LAYERS
    assert Quantisation(kind="int8", sites=(Site(node="a", input_index=0, tensor="t"),) * 2, scales={}).nodes == ("a",)
