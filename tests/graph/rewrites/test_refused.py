"""What is known to be refused: named with its place, its reason and a way out, and the real builder agrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional

from edgeseg.graph.rewrites import unsupported

SHAPE = (1, 4, 8, 10)
WEIGHTS: dict[str, np.ndarray] = {
    "larger": np.array([1, 4, 16, 20]),
    "kernel": np.ones((4, 2, 3, 3), np.float32),
    "square": np.ones((10, 10), np.int32),
    "first": np.array([[0]]),
    "rows": np.zeros(SHAPE, np.float32),
    "plane": np.array([5, 5]),
    "block": np.array([2, 2]),
    "kept": np.array([True, False, True, True]),
    "centre": np.array([1, 4, 6, 6]),
    "bits": np.array(3, np.int32),
    "unsigned": np.array(3, np.uint32),
    "three": np.array(3, np.uint8),
    "roi": np.array([0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9], np.float32),
}
node = helper.make_node
WINDOW = {"kernel_shape": [2, 2], "strides": [2, 2]}
TO_INT32 = node("Cast", ["image"], ["whole"], to=TensorProto.INT32)


def resize(**attributes: Any) -> Any:
    roi = "roi" if attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize" else ""
    return node("Resize", ["image", roi, "", "larger"], ["out"], **attributes)


def to_float(name: str) -> Any:
    return node("Cast", [name], ["out"], to=TensorProto.FLOAT)


REFUSED: dict[str, list[Any]] = {
    "antialias": [resize(mode="linear", antialias=1)],
    "half_pixel_symmetric": [resize(mode="linear", coordinate_transformation_mode="half_pixel_symmetric")],
    "tf_crop_and_resize": [resize(mode="linear", coordinate_transformation_mode="tf_crop_and_resize")],
    "stretches": [resize(mode="linear", keep_aspect_ratio_policy="not_larger")],
    "resizes no int32": [TO_INT32, node("Resize", ["whole", "", "", "larger"], ["n"], mode="nearest"), to_float("n")],
    "without dilation": [node("MaxPool", ["image"], ["out"], kernel_shape=[2, 2], dilations=[2, 2])],
    "pools without dilation": [node("AveragePool", ["image"], ["out"], kernel_shape=[2, 2], dilations=[2, 2])],
    "no indices": [
        node("MaxPool", ["image"], ["small", "at"], **WINDOW),
        node("Cast", ["at"], ["numbers"], to=TensorProto.FLOAT),
        node("Add", ["small", "numbers"], ["out"]),
    ],
    "no MaxUnpool": [
        node("MaxPool", ["image"], ["small", "at"], kernel_shape=[2, 2]),
        node("MaxUnpool", ["small", "at"], ["out"], kernel_shape=[2, 2]),
    ],
    "no transposed convolution": [
        node("ConvTranspose", ["image", "kernel"], ["out"], strides=[2, 2], dilations=[2, 2])
    ],
    "scatters without reduction": [node("ScatterND", ["image", "first", "rows"], ["out"], reduction="add")],
    "no matrices of int32": [TO_INT32, node("MatMul", ["whole", "square"], ["product"]), to_float("product")],
    "no uint8 inside": [
        node("Cast", ["image"], ["narrow"], to=TensorProto.UINT8),
        node("Identity", ["narrow"], ["same"]),
        to_float("same"),
    ],
    "no layer for Compress": [node("Compress", ["image", "kept"], ["out"], axis=1)],
    "no layer for CenterCropPad": [node("CenterCropPad", ["image", "centre"], ["out"])],
    "no layer for Unique": [node("Unique", ["image"], ["out"])],
    "no layer for Bernoulli": [node("Bernoulli", ["image"], ["out"])],
    "no layer for BitwiseAnd": [TO_INT32, node("BitwiseAnd", ["whole", "bits"], ["masked"]), to_float("masked")],
    "no layer for BitShift": [
        node("Cast", ["image"], ["whole"], to=TensorProto.UINT32),
        node("BitShift", ["whole", "unsigned"], ["shifted"], direction="LEFT"),
        to_float("shifted"),
    ],
}
TAKEN: dict[str, list[Any]] = {
    **{
        f"{mode} with {coordinates}": [resize(mode=mode, coordinate_transformation_mode=coordinates)]
        for mode in ("nearest", "linear", "cubic")
        for coordinates in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
    },
    "cubic without the outside": [resize(mode="cubic", exclude_outside=1)],
    "cubic with another coefficient": [resize(mode="cubic", cubic_coeff_a=-0.5)],
    "transposed convolution with stride": [node("ConvTranspose", ["image", "kernel"], ["out"], strides=[2, 2])],
    "transposed convolution with dilation": [node("ConvTranspose", ["image", "kernel"], ["out"], dilations=[2, 2])],
    "pooling with a ceiling": [node("MaxPool", ["image"], ["out"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
    "scattering": [node("ScatterND", ["image", "first", "rows"], ["out"])],
    "quantised": [
        node("QuantizeLinear", ["image", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["out"]),
    ],
}


def graph(lab: Any, nodes: list[Any]) -> ir.Model:
    copies = [type(one).FromString(one.SerializeToString()) for one in nodes]
    taken = {name for one in copies for name in one.input}
    more = {"scale": np.float32(0.1), "zero": np.int8(0)}
    weights = {name: value for name, value in {**WEIGHTS, **more}.items() if name in taken}
    model: ir.Model = lab.graph_of(copies, {"image": (np.float32, SHAPE)}, {"out": np.float32}, weights)
    return model


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_refused_is_known_with_its_reason(lab: Any, reason: str) -> None:
    model = graph(lab, REFUSED[reason])
    found = unsupported(model)
    assert any(reason in one.reason for one in found), found
    assert all(one.node and "--backend openvino" in one.hint for one in found)
    assert lab.refusal(model) != ""


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_is_not_called_refused(lab: Any, name: str) -> None:
    model = graph(lab, TAKEN[name])
    assert unsupported(model) == []
    assert lab.refusal(model) == ""


@pytest.mark.parametrize(
    ("nodes", "is_refused"),
    [
        ([node("Sub", ["image", "three"], ["less"]), to_float("less")], True),
        ([node("Transpose", ["image"], ["t"]), to_float("t")], True),
        ([to_float("image")], False),
    ],
)
def test_a_uint8_input_is_for_casts_only(lab: Any, nodes: list[Any], is_refused: bool) -> None:
    copies = [type(one).FromString(one.SerializeToString()) for one in nodes]
    weights = {"three": WEIGHTS["three"]} if is_refused and copies[0].op_type == "Sub" else {}
    model = lab.graph_of(copies, {"image": (np.uint8, SHAPE)}, {"out": np.float32}, weights)
    assert bool(unsupported(model)) == is_refused == bool(lab.refusal(model))


def test_overlapping_blocks_are_refused(lab: Any) -> None:
    fold = node("Col2Im", ["columns", "plane", "block"], ["out"])
    sizes = {name: WEIGHTS[name] for name in ("plane", "block")}
    model = lab.graph_of([fold], {"columns": (np.float32, (1, 8, 16))}, {"out": np.float32}, sizes)
    assert "side by side" in unsupported(model)[0].reason
    assert lab.refusal(model) != ""


def test_the_message_names_the_place_in_the_module_tree(lab: Any) -> None:
    class Shrinking(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return functional.max_pool2d(image, 2, stride=1, dilation=2)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.ModuleDict({"down": Shrinking()})

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.stem["down"](image)

    model = lab.exported(Net(), np.zeros(SHAPE, np.float32))
    assert [one.node for one in unsupported(model)] == ["MaxPool 'node_max_pool2d' in stem.down (Shrinking)"]


def test_attention_that_stays_is_called_refused(lab: Any) -> None:
    attention = node("Attention", ["image", "image", "image"], ["out"], softcap=2.0)
    model = lab.graph_of([attention], {"image": (np.float32, SHAPE)}, {"out": np.float32}, opset=23)
    assert "Attention" in unsupported(model)[0].reason
