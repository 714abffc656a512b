"""Each node quantised alone, against the float32 net."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import msgspec
import numpy as np
import pytest
from precision_lab import CLASSES, SHAPES, SIZE_HW, net, noise_ratio_db, quantisation_of

from edgeseg.builder.diagnosing import diagnose
from edgeseg.builder.master import Master
from edgeseg.errors import BuildError, DataError, ModelError
from edgeseg.graph.qdq import quantised
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.spec import ClassSpec, HeadSpec, InputSpec, LabelSpec, ModelSpec

#: dB: float32's additions in another order
ROUNDING_DB = 0.01
CHAIN = """
    [first] a = Conv<pads=[1, 1, 1, 1]>(image, w_first)
    [first_relu] ra = Relu(a)
    [second] b = Conv<pads=[1, 1, 1, 1]>(ra, w_second)
    [second_relu] rb = Relu(b)
    [third] logits = Conv(rb, w_third)
"""
CHAIN_SHAPES = {"w_first": (8, 3, 3, 3), "w_second": (8, 8, 3, 3), "w_third": (CLASSES, 8, 1, 1)}


def spec_of(*, head: HeadSpec | None = None, **image: Any) -> ModelSpec:
    head = head or HeadSpec(output="logits", channels=CLASSES, size_hw=SIZE_HW, decision="argmax")
    classes = tuple(ClassSpec(name=f"class {index}", colour=(index, 0, 0)) for index in range(max(head.channels, 2)))
    return ModelSpec(
        onnx_sha256="0" * 64,
        input=InputSpec(name="image", size_hw=SIZE_HW, mean=(0.5,) * 3, std=(0.25,) * 3, **image),
        head=head,
        labels=LabelSpec(classes=classes),
    )


def frames(count: int = 3, size_hw: tuple[int, int] = SIZE_HW) -> list[np.ndarray]:
    return list(np.random.default_rng(5).integers(0, 256, (count, *size_hw, 3), dtype=np.uint8))


def master_of(model: Any, kind: str = "int8") -> Master:
    return Master(model=model, quantisation=quantisation_of(model, kind))


def numbers_of(model: Any, name: str) -> np.ndarray:
    return np.array(model.graph.initializers[name].const_value.numpy())


def put(model: Any, name: str, numbers: np.ndarray) -> None:
    import onnx_ir as ir

    model.graph.initializers[name].const_value = ir.tensor(numbers, name=name)


def uneven() -> Any:
    """A chain whose second layer's input has one channel 1000 times larger than the others; its sums are the same."""
    model = net(CHAIN, CHAIN_SHAPES)
    first, second = numbers_of(model, "w_first"), numbers_of(model, "w_second")
    first[0] *= 1000
    second[:, 0] /= 1000
    put(model, "w_first", first)
    put(model, "w_second", second)
    return model


def onto_ids(model: Any) -> None:
    """Let the net end in ids, int32."""
    import onnx_ir as ir

    logits = model.graph.outputs[0]
    logits.name = "scores"
    best = ir.node("ArgMax", [logits], {"axis": 1}, name="best")
    cast = ir.node("Cast", [best.outputs[0]], {"to": ir.DataType.INT32}, name="ids")
    best.outputs[0].name, cast.outputs[0].name = "int64_ids", "logits"
    cast.outputs[0].type, cast.outputs[0].shape = ir.TensorType(ir.DataType.INT32), ir.Shape((1, 1, *SIZE_HW))
    model.graph.extend([best, cast])
    model.graph.outputs[0] = cast.outputs[0]


def by_hand(master: Master, name: str) -> tuple[float, float]:
    """Signal-to-noise ratio at the logits and disagreement of one layer, by graphs of its own."""
    import onnx_ir as ir
    import onnxruntime

    assert master.quantisation is not None
    coarse = quantised(master.model, master.quantisation, kept=set(master.quantisation.nodes) - {name})
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    runs = []
    for model in (master.model, coarse):
        session = onnxruntime.InferenceSession(
            ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        tensors = [Preprocessor(spec_of().input).tensor(frame) for frame in frames()]
        runs.append(np.concatenate([session.run(None, {"image": one})[0] for one in tensors]))
    exact, other = runs
    return noise_ratio_db(exact, other), float((exact.argmax(1) != other.argmax(1)).mean())


def test_a_layer_with_one_channel_far_larger_than_the_others_ranks_first() -> None:
    even, hard = (diagnose(master_of(model), spec_of(), frames()) for model in (net(CHAIN, CHAIN_SHAPES), uneven()))
    worst, *others = hard.nodes
    assert (worst.name, even.nodes[0].name) == ("second", "third")
    assert worst.disagreement > 10 * max(one.disagreement for one in (*others, *even.nodes))
    assert worst.output_snr_db < 10 < min(one.output_snr_db for one in (*others, *even.nodes))


def test_fp8_holds_a_range_that_int8_does_not() -> None:
    """Its codes have an exponent: they lose about as much of small numbers as of large ones."""
    found = diagnose(master_of(uneven(), "fp8"), spec_of(), frames())
    assert min(one.output_snr_db for one in found.nodes) > 20


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_figures_of_a_layer_are_those_of_the_net_quantised_there_alone(kind: str) -> None:
    master = master_of(net(), kind)
    found = {one.name: one for one in diagnose(master, spec_of(), frames()).nodes}
    for name in ("stem", "block", "up", "head"):
        snr_db, disagreement = by_hand(master, name)
        assert found[name].logits_snr_db == pytest.approx(snr_db, abs=ROUNDING_DB)
        assert found[name].disagreement == pytest.approx(disagreement, abs=1e-9)
    assert found["head"].output_snr_db == pytest.approx(found["head"].logits_snr_db, abs=ROUNDING_DB)


def test_nodes_are_ranked_by_disagreement_then_by_noise_and_the_order_is_stable() -> None:
    master = master_of(net())
    one, again = (diagnose(master, spec_of(), frames()) for _ in range(2))
    assert one == again
    keys = [(-node.disagreement, node.logits_snr_db, node.output_snr_db) for node in one.nodes]
    assert keys == sorted(keys)  # type: ignore[type-var]
    assert [node.name for node in one.in_order] == ["stem", "block", "add", "pool", "up", "head"]


def test_what_is_said_of_a_node_is_that_nodes() -> None:
    found = {one.name: one for one in diagnose(master_of(net()), spec_of(), frames()).nodes}
    assert (found["up"].words, found["up"].op_type, found["up"].is_layer) == (
        "ConvTranspose 'up'",
        "ConvTranspose",
        True,
    )
    assert (found["add"].is_layer, found["add"].macs) == (False, 0)
    assert found["head"].macs == CLASSES * SIZE_HW[0] * SIZE_HW[1] * 16
    whole = diagnose(master_of(net()), spec_of(), frames()).whole
    assert found["stem"].share == found["stem"].disagreement / whole.disagreement
    assert whole.logits_snr_db < min(one.logits_snr_db for one in found.values())  # type: ignore[operator,type-var]


def test_a_node_that_changes_nothing_has_an_infinite_ratio_and_comes_last() -> None:
    found = diagnose(master_of(net(factors={"w_block": 0.0})), spec_of(), frames()).nodes
    assert (found[-1].name, found[-1].output_snr_db, found[-1].logits_snr_db) == ("block", inf, inf)
    assert found[-1].disagreement == 0
    assert b'"output_snr_db":null' in msgspec.json.encode(found[-1])


def test_a_net_of_finished_ids_is_ranked_by_its_masks() -> None:
    model = net()
    onto_ids(model)
    head = HeadSpec(output="logits", channels=1, size_hw=SIZE_HW, decision="ids")
    found = diagnose(master_of(model), spec_of(head=head), frames())
    expected = diagnose(master_of(net()), spec_of(), frames())
    assert {one.name: one.disagreement for one in found.nodes} == {one.name: one.disagreement for one in expected.nodes}
    assert {one.logits_snr_db for one in (*found.nodes, found.whole)} == {None}


def test_a_net_of_one_class_is_ranked_by_its_threshold() -> None:
    shapes = SHAPES | {"w_head": (1, 16, 1, 1), "b_head": (1,)}
    head = HeadSpec(output="logits", channels=1, size_hw=SIZE_HW, decision="threshold")
    found = diagnose(master_of(net(shapes=shapes)), spec_of(head=head), frames())
    assert 0 < found.whole.disagreement < 0.2
    assert found.whole.logits_snr_db is not None


def test_what_pads_a_letterbox_does_not_count() -> None:
    found = diagnose(master_of(net()), spec_of(resize="letterbox"), frames(2, size_hw=(24, 24)))
    assert found.pixels == 2 * 16 * 16


def test_every_frame_is_read_once_and_told_of() -> None:
    told: list[float] = []
    found = diagnose(master_of(net()), spec_of(), iter(frames()), on_frame=told.append)
    assert (found.frames, found.pixels) == (3, 3 * SIZE_HW[0] * SIZE_HW[1])
    assert told == sorted(told)
    assert [one for one in told if one == int(one)] == [1, 2, 3]


def test_a_net_without_quantisation_is_refused() -> None:
    with pytest.raises(BuildError, match="calibrate"):
        diagnose(Master(model=net()), spec_of(), frames())


def test_no_frame_is_refused() -> None:
    with pytest.raises(DataError, match="no frame"):
        diagnose(master_of(net()), spec_of(), [])


def test_a_layer_that_makes_nan_is_named() -> None:
    model = net()
    master = master_of(model)
    weights = numbers_of(model, "w_block")
    weights[0, 0, 0, 0] = np.nan
    put(model, "w_block", weights)
    with pytest.raises(ModelError, match=r"Conv 'block'.* gives NaN on frame 1"):
        diagnose(master, spec_of(), frames())


def test_a_layer_whose_scale_is_nan_is_named() -> None:
    master = master_of(net())
    assert master.quantisation is not None
    scales = dict(master.quantisation.scales) | {"w_up": np.float32(np.nan).reshape(())}
    broken = replace(master, quantisation=replace(master.quantisation, scales=scales))
    with pytest.raises(ModelError, match="ConvTranspose 'up' makes the net give NaN"):
        diagnose(broken, spec_of(), frames())
