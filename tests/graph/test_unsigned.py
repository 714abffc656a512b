"""Unsigned codes at a Concat stand for the same numbers, and the CPU back end computes them rightly."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("onnx", "onnx_ir", "onnxruntime"):
    pytest.importorskip(package)

from precision_lab import net, noise_ratio_db, picture, quantisation_of, run  # noqa: E402

from edgeseg.graph.qdq import Quantisation, Site, quantised, weight_scales  # noqa: E402
from edgeseg.graph.unsigned import unsigned_at_joins  # noqa: E402

#: dB between two sums of the same codes in another order; measured: 59 and more, with OpenVINO's fault 13 at most
LEAST_EQUAL = 45.0
SHAPES = {"w_a": (8, 3, 3, 3), "w_b": (8, 3, 3, 3), "w_head": (4, 16, 1, 1)}
BRANCHES = """
    [a] a = Conv<pads=[1, 1, 1, 1]>(image, w_a)
    [b] b = Conv<pads=[1, 1, 1, 1]>(image, w_b)
    [a_relu] ra = Relu(a)
    [b_relu] rb = Relu(b)
"""
JOINED = {
    "signed": f"{BRANCHES} [cat] k = Concat<axis=1>(a, b) [head] logits = Conv(k, w_head)",
    "of Relus": f"{BRANCHES} [cat] k = Concat<axis=1>(ra, rb) [head] logits = Conv(k, w_head)",
    "Relu behind": f"{BRANCHES} [cat] k = Concat<axis=1>(ra, rb) [again] r = Relu(k) [head] logits = Conv(r, w_head)",
    "pooled behind": f"{BRANCHES} [cat] k = Concat<axis=1>(ra, rb) "
    "[pool] p = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(k) [head] logits = Conv(p, w_head)",
}
APART = f"{BRANCHES} [add] k = Add(ra, rb) [head] logits = Conv(k, w_apart)"


def in_int8(body: str) -> Any:
    shapes = {name: shape for name, shape in (SHAPES | {"w_apart": (4, 8, 1, 1)}).items() if name in body}
    model = net(body, shapes)
    return quantised(model, quantisation_of(model))


def codes(model: Any) -> dict[str, str]:
    """The type of the codes that each QuantizeLinear gives, by what it takes."""
    pairs = [node for node in model.graph if node.op_type == "QuantizeLinear"]
    return {node.inputs[0].name: node.inputs[2].dtype.name for node in pairs}


def on_the_cpu(model: Any, path: Path) -> np.ndarray:
    """By OpenVINO, from a file as a build writes it."""
    openvino = pytest.importorskip("openvino")
    from edgeseg.graph.saving import save_graph
    from edgeseg.runtime.engines.openvino import cpu_properties

    save_graph(model, path)
    compiled = openvino.Core().compile_model(str(path), "CPU", cpu_properties("f32"))
    return np.asarray(compiled(picture())[0])


@pytest.mark.parametrize("joined", JOINED)
def test_codes_behind_a_join_are_unsigned_and_stand_for_the_same_numbers(joined: str) -> None:
    model = in_int8(JOINED[joined])
    done = unsigned_at_joins(model)
    behind = "r" if joined == "Relu behind" else "k"
    assert codes(done) == codes(model) | {behind: "UINT8"}
    assert np.array_equal(run(done), run(model))


def test_codes_in_front_of_a_join_are_unsigned_too() -> None:
    model = net(JOINED["of Relus"], SHAPES)
    sites = tuple(
        Site(node=node, input_index=index, tensor=tensor)
        for node, index, tensor in [("cat", 0, "ra"), ("cat", 1, "rb"), ("head", 1, "w_head")]
    )
    scales = {"ra": np.float32(0.05).reshape(()), "rb": np.float32(0.05).reshape(())}
    quantisation = Quantisation(kind="int8", sites=sites, scales=scales | weight_scales(model, sites, "int8"))
    model = quantised(model, quantisation)
    done = unsigned_at_joins(model)
    assert codes(done) == {"ra": "UINT8", "rb": "UINT8", "w_head": "INT8"}
    assert np.array_equal(run(done), run(model))


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_what_is_joined_nowhere_is_left_alone(kind: Any) -> None:
    model = net(APART, {"w_a": SHAPES["w_a"], "w_b": SHAPES["w_b"], "w_apart": (4, 8, 1, 1)})
    model = quantised(model, quantisation_of(model, kind))
    assert codes(unsigned_at_joins(model)) == codes(model)


@pytest.mark.parametrize("joined", JOINED)
def test_the_cpu_computes_behind_a_join_what_the_graph_says(joined: str, tmp_path: Path) -> None:
    from edgeseg.builder.backends import open_backend

    pytest.importorskip("openvino")
    model = in_int8(JOINED[joined])
    found = on_the_cpu(open_backend("openvino").adapted(model), tmp_path / "net.onnx")
    assert noise_ratio_db(run(model), found) > LEAST_EQUAL


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the fault is in kernels for x86")
def test_the_cpu_still_needs_it(tmp_path: Path) -> None:
    """Where this fails OpenVINO is mended, and edgeseg.graph.unsigned can go."""
    model = in_int8(JOINED["of Relus"])
    assert noise_ratio_db(run(model), on_the_cpu(model, tmp_path / "net.onnx")) < LEAST_EQUAL
