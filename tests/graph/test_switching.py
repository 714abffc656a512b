"""A graph whose nodes are quantised by switches."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from precision_lab import BODY, SHAPES, net, picture, quantisation_of

from edgeseg.graph.qdq import Quantisation, Site, has_qdq, quantised
from edgeseg.graph.switching import Switched, switched

LAYERS = ("stem", "block", "up", "head")
#: of the largest number: float32's additions in another order; quantising moves the net's numbers by a hundredth
ROUNDING = 1e-5


def session(model: ir.Model) -> Any:
    """Q/DQ computed as they stand: the levels above BASIC fuse them into integer kernels, and move them elsewhere."""
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: ir.Model, output: str = "logits") -> np.ndarray:
    """Any value of the graph."""
    probe = model.clone()
    values = {value.name: value for node in probe.graph for value in node.outputs}
    if not values[output].is_graph_output():
        probe.graph.outputs.append(values[output])
    return np.asarray(session(probe).run([output], {"image": picture()})[0])


def run_with(one: Switched, on: Collection[str], outputs: Collection[str] = ("logits",)) -> list[np.ndarray]:
    feed = {flag: np.array(name in on) for name, flag in one.flags.items()}
    found: list[np.ndarray] = session(one.model).run(list(outputs), {"image": picture(), **feed})
    return found


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_without_a_switch_on_the_net_is_the_float32_net_to_the_bit(kind: str) -> None:
    model = net()
    one = switched(model, quantisation_of(model, kind))
    np.testing.assert_array_equal(run_with(one, ())[0], run(model))
    assert [value.name for value in model.graph.inputs] == ["image"]


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_with_all_switches_on_the_net_is_the_quantised_one(kind: str) -> None:
    model = net()
    quantisation = quantisation_of(model, kind)
    one = switched(model, quantisation)
    expected = run(quantised(model, quantisation))
    assert_same(run_with(one, one.flags)[0], expected)
    assert np.abs(expected - run(model)).max() > 10 * ROUNDING * np.abs(expected).max()


@pytest.mark.parametrize("kind", ["int8", "fp8"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_alone_is_the_net_with_all_others_kept(name: str, kind: str) -> None:
    model = net()
    quantisation = quantisation_of(model, kind)
    expected = run(quantised(model, quantisation, kept=set(quantisation.nodes) - {name}))
    assert_same(run_with(switched(model, quantisation), (name,))[0], expected)


@pytest.mark.parametrize(("name", "line"), [("add", "Add(b, ra)"), ("pool", "MaxPool")])
def test_a_follower_alone_is_quantised_though_no_layer_behind_it_is(name: str, line: str) -> None:
    model = net()
    quantisation = quantisation_of(model)
    tensor = next(site.tensor for site in quantisation.sites if site.node == name)
    scale = float(quantisation.scales[tensor])
    pair = f"s = Constant<value_float={scale!r}>() z = Constant<value=int8 {{0}}>() q = QuantizeLinear({tensor}, s, z)"
    node = next(text for text in BODY.splitlines() if line in text)
    before, inputs = node.rsplit("(", 1)
    by_hand = f"{pair} d = DequantizeLinear(q, s, z) {before}({inputs.replace(tensor, 'd')}"
    expected = run(net(BODY.replace(node, by_hand)))
    assert_same(run_with(switched(model, quantisation), (name,))[0], expected)
    assert not np.array_equal(expected, run(model))


def test_any_set_of_switches_works_in_one_session() -> None:
    model = net()
    quantisation = quantisation_of(model)
    one = switched(model, quantisation)
    kept = {"block"}
    on = set(quantisation.nodes) - kept - {"add"}
    expected = run(quantised(model, quantisation, kept=kept | {"add"}))
    assert_same(run_with(one, on)[0], expected)


@pytest.mark.parametrize(("name", "output"), [("stem", "a"), ("add", "c"), ("up", "u"), ("head", "logits")])
def test_signal_and_noise_are_those_of_the_nodes_own_output(name: str, output: str) -> None:
    model = net()
    quantisation = quantisation_of(model)
    one = switched(model, quantisation)
    exact = run(model, output).astype(np.float64)
    signal, noise = run_with(one, (name,), one.noise[name])
    coarse = run_with(one, (name,))[0]
    np.testing.assert_allclose(signal, np.square(exact).sum(), rtol=ROUNDING)
    assert 0 < noise < signal / 100
    if name == "head":
        np.testing.assert_allclose(noise, np.square(exact - coarse).sum(), rtol=ROUNDING)


def test_a_switch_that_is_off_tells_of_no_noise() -> None:
    model = net()
    one = switched(model, quantisation_of(model))
    assert run_with(one, ("stem",), one.noise["head"]) == [0.0, 0.0]


def test_switches_come_in_the_order_of_the_graph_behind_the_nets_own_ends() -> None:
    model = net()
    quantisation = quantisation_of(model)
    one = switched(model, quantisation)
    assert tuple(one.flags) == tuple(one.noise) == quantisation.nodes
    assert [value.name for value in one.model.graph.inputs] == ["image", *one.flags.values()]
    assert next(iter(one.model.graph.outputs)).name == "logits"


def test_weights_are_constants_and_only_activations_are_quantised_in_the_run() -> None:
    model = net()
    one = switched(model, quantisation_of(model))
    assert not has_qdq(model)
    pairs = [node for node in one.model.graph.all_nodes() if node.op_type == "QuantizeLinear"]
    taken = {node.inputs[0].name for node in pairs}  # type: ignore[union-attr]
    assert taken == {"image", "ra", "rc", "p", "k"}
    assert taken.isdisjoint(SHAPES)


def test_an_old_opset_is_raised() -> None:
    model = net(opset=13)
    one = switched(model, quantisation_of(model))
    assert one.model.opset_imports[""] == 19
    assert model.opset_imports[""] == 13
    assert_same(run_with(one, ())[0], run(net()))


@pytest.mark.parametrize("site", [("nobody", 0), ("stem", 7)])
def test_a_site_that_is_not_there_is_refused(site: tuple[str, int]) -> None:
    strange = Site(node=site[0], input_index=site[1], tensor="image")
    with pytest.raises(ValueError, match="no input of the graph"):
        switched(net(), Quantisation(kind="int8", sites=(strange,), scales={"image": np.float32(1.0).reshape(())}))
