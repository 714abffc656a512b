"""All rules together: what they leave alone, and that the other back end takes what they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional

from edgeseg.graph.rewrites import rewrite, unsupported

node = helper.make_node
SHAPE = (1, 8, 8, 12)
# OpenVINO adds in another order
ROUNDING = 1e-5


class Museum(nn.Module):
    """What nets of today are made of, as far as TensorRT takes it as torch exports it."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            [nn.LayerNorm(12), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True), nn.RMSNorm(12)]
        )
        self.activations = nn.ModuleList([nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.GLU(1)])
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        for layer in self.norms:
            image = layer(image)
        image = torch.cat([layer(image) for layer in self.activations], dim=1)[:, :8]
        for mode in ("reflect", "replicate", "circular"):
            image = functional.pad(image, (1, 1, 1, 1), mode=mode)[:, :, 1:-1, 1:-1]
        tokens = torch.einsum("bchw->bhwc", image).flatten(1, 2)
        image = self.attention(tokens, tokens, tokens)[0].transpose(1, 2).reshape(image.shape)
        image = functional.pixel_shuffle(image, 2).cumsum(1) + functional.pixel_unshuffle(image, 2)[:, :2].mean()
        image = functional.interpolate(image, scale_factor=1.5, mode="bicubic").remainder(3.0)
        first, second = image.roll(1, dims=2).chunk(2, dim=1)
        return functional.grid_sample(first, torch.stack([second, second], -1)[:, 0], align_corners=False)


@pytest.mark.parametrize("opset", [19, 23])
def test_what_torch_exports_otherwise_is_taken_and_left_alone(lab: Any, opset: int) -> None:
    torch.manual_seed(0)
    model = lab.exported(Museum(), np.zeros(SHAPE, np.float32), opset=opset)
    before = ir.to_proto(model).SerializeToString()
    assert rewrite(model) == [] == unsupported(model)
    assert ir.to_proto(model).SerializeToString() == before
    assert lab.refusal(model) == ""


def unpooling(lab: Any) -> ir.Model:
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("MaxPool", ["image"], ["small", "at"], **window),
        node("MaxUnpool", ["small", "at"], ["out"], **window),
    ]
    return lab.graph_of(nodes, {"image": (np.float32, SHAPE)}, {"out": np.float32})


def folding(lab: Any) -> ir.Model:
    nodes = [node("Reshape", ["image", "rows"], ["columns"]), node("Col2Im", ["columns", "plane", "block"], ["out"])]
    nodes[1].attribute.append(helper.make_attribute("strides", [2, 2]))
    weights = {"rows": np.array([1, 8, 96]), "plane": np.array([16, 24]), "block": np.array([2, 2])}
    return lab.graph_of(nodes, {"image": (np.float32, SHAPE)}, {"out": np.float32}, weights)


def attention(lab: Any) -> ir.Model:
    nodes = [node("Attention", ["image", "image", "image"], ["out"], is_causal=1)]
    return lab.graph_of(nodes, {"image": (np.float32, SHAPE)}, {"out": np.float32}, opset=23)


def integers(lab: Any) -> ir.Model:
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [
        node("ArgMax", ["image"], ["ids"], axis=1),
        node("Cast", ["ids"], ["narrow"], to=TensorProto.UINT8),
        node("Resize", ["narrow", "", "", "larger"], ["wide"], **nearest),
        node("Equal", ["wide", "road"], ["is_road"]),
        node("Cast", ["is_road"], ["out"], to=TensorProto.FLOAT),
    ]
    weights = {"larger": np.array([1, 1, 16, 24]), "road": np.uint8(3)}
    return lab.graph_of(nodes, {"image": (np.float32, SHAPE)}, {"out": np.float32}, weights)


@pytest.mark.parametrize("made", [unpooling, folding, attention, integers])
def test_openvino_takes_what_the_rules_make(lab: Any, made: Callable[[Any], ir.Model]) -> None:
    image = np.random.default_rng(0).integers(-2, 3, SHAPE).astype(np.float32)
    before = made(lab)
    after = lab.rewritten(before, made.__name__)
    np.testing.assert_allclose(lab.openvino(after, image)[0], lab.run(before, image)[0], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("made", [unpooling, folding, attention, integers])
def test_a_second_run_finds_nothing(lab: Any, made: Callable[[Any], ir.Model]) -> None:
    after = lab.rewritten(made(lab), made.__name__)
    assert unsupported(after) == []
    assert lab.ops(lab.rewritten(after)) == lab.ops(after)


def test_names_of_nodes_and_values_stay_unique(lab: Any) -> None:
    """Two unpoolings of nodes without names."""
    model = unpooling(lab)
    for one in model.graph:
        one.name = None
    rewrite(model)
    names = [one.name for one in model.graph] + [value.name for one in model.graph for value in one.outputs]
    assert all(names) and len(set(names)) >= len(model.graph)
    assert lab.refusal(model) == ""
