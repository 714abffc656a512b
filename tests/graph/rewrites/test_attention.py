"""Attention of opset 23: the same result by MatMul, Softmax and MatMul."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx import helper
from torch import nn
from torch.nn import functional

# products and exponentials in float32, in another order
ROUNDING = 1e-6
SHAPE = (1, 2, 6, 8)


def attention(lab: Any, *, mask: np.ndarray | None = None, key_tokens: int = 6, **attributes: Any) -> ir.Model:
    """Of queries and of keys that are values too; with a constant mask."""
    names = ["query", "key", "key"] + ([] if mask is None else ["mask"])
    node = helper.make_node("Attention", names, ["out"], **attributes)
    inputs = {"query": (np.float32, SHAPE), "key": (np.float32, (1, 2, key_tokens, 8))}
    weights = {} if mask is None else {"mask": mask}
    model: ir.Model = lab.graph_of([node], inputs, {"out": np.float32}, weights, opset=23)
    return model


def noise(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.3},
        {"is_causal": 1},
        {"is_causal": 1, "key_tokens": 9},
        {"key_tokens": 3},
        {"mask": noise(6, 6, seed=1)},
        {"mask": noise(1, 2, 6, 6, seed=1)},
        {"mask": np.tri(6, dtype=np.bool_)},
        {"mask": noise(6, 6, seed=1), "is_causal": 1},
    ],
)
def test_attention_agrees_with_onnx_runtime(lab: Any, options: dict[str, Any]) -> None:
    before = attention(lab, **options)
    after = lab.rewritten(before, "attention")
    arrays = noise(*SHAPE, seed=2), noise(1, 2, options.get("key_tokens", 6), 8, seed=3)
    assert "Attention" not in lab.ops(after)
    np.testing.assert_allclose(lab.run(after, *arrays)[0], lab.run(before, *arrays)[0], rtol=0, atol=ROUNDING)


def test_torch_attention_of_opset_23_is_built(lab: Any) -> None:
    """Before, the builder would end this process where no driver is."""

    class Attending(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return functional.scaled_dot_product_attention(tokens, tokens, tokens, is_causal=True)

    tokens = noise(*SHAPE, seed=0)
    before = lab.exported(Attending(), tokens, opset=23)
    assert lab.ops(before) == ["Attention"]
    after = lab.rewritten(before, "attention")
    np.testing.assert_allclose(lab.run(after, tokens)[0], lab.run(before, tokens)[0], rtol=0, atol=ROUNDING)
    assert lab.refusal(after) == ""


@pytest.mark.parametrize("attributes", [{"softcap": 3.0}])
def test_capped_scores_are_left_alone(lab: Any, attributes: dict[str, Any]) -> None:
    assert lab.ops(lab.rewritten(attention(lab, **attributes))) == ["Attention"]


def test_heads_in_groups_are_left_alone(lab: Any) -> None:
    node = helper.make_node("Attention", ["query", "key", "key"], ["out"])
    inputs = {"query": (np.float32, SHAPE), "key": (np.float32, (1, 1, 6, 8))}
    model = lab.graph_of([node], inputs, {"out": np.float32}, opset=23)
    assert lab.ops(lab.rewritten(model)) == ["Attention"]
