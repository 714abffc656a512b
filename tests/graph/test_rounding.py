"""Sixteen bits emulated in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from precision_lab import net, noise_ratio_db, run

from edgeseg.graph.rounding import rounded

#: where a sum falls on the boundary of two float16, its order decides: a last bit of float16, relative to the largest
LAST_BIT = 2.0**-10


def test_every_tensor_is_what_float16_holds() -> None:
    model = net()
    narrow = rounded(model, "fp16")
    ends = {value.name for node in model.graph for value in node.outputs} - {"logits"}
    producers = {node.outputs[0].name: node for node in narrow.graph}
    for name in ends:
        users = [user.op_type for user in producers[name].outputs[0].consumers()]
        assert users == ["Cast"], name
    weights = narrow.graph.initializers["w_stem_rounded"].const_value.numpy()
    np.testing.assert_array_equal(weights, weights.astype(np.float16))


def test_it_comes_to_what_float16_itself_comes_to() -> None:
    """By numpy, layer by layer: a product of float16 numbers, summed in float32, rounded."""
    body = "[n] y = Conv(image, w) [m] logits = Conv(y, v)"
    model = net(body, {"w": (5, 3, 1, 1), "v": (4, 5, 1, 1)})
    half = np.float16
    image = np.random.default_rng(2).normal(size=(1, 3, 16, 24)).astype(np.float32)
    w, v = (model.graph.initializers[name].const_value.numpy().astype(half)[:, :, 0, 0] for name in "wv")
    first = np.einsum("oc,nchw->nohw", w.astype(np.float32), image.astype(half).astype(np.float32)).astype(half)
    expected = np.einsum("oc,nchw->nohw", v.astype(np.float32), first.astype(np.float32))
    found = run(rounded(model, "fp16"), image)
    np.testing.assert_allclose(found, expected, atol=LAST_BIT * np.abs(expected).max())
    assert noise_ratio_db(expected, run(model, image)) < noise_ratio_db(expected, found)


def test_what_overflows_becomes_infinity() -> None:
    model = net("[n] y = Mul(image, w) [m] logits = Add(y, y)", {"w": (3, 16, 24)}, factors={"w": 1e7})
    assert np.isfinite(run(model)).all()
    assert np.isinf(run(rounded(model, "fp16"))).any()
    assert np.isfinite(run(rounded(model, "bf16"))).all()


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_wide_nodes_are_not_rounded(kind: Any) -> None:
    model = net()
    everything = [node.name or "" for node in model.graph]
    np.testing.assert_array_equal(run(rounded(model, kind, wide=everything)), run(model))
    some = rounded(model, kind, wide=("block",))
    block = next(node for node in some.graph if node.name == "block")
    assert [value.name for value in block.inputs] == ["ra", "w_block"]  # type: ignore[union-attr]
