"""What a graph becomes before a precision and a back end: the sidecar's and the user's word against the graph's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.errors import ModelError
from edgeseg.graph.preparing import PrepareOptions, described_input, prepare
from edgeseg.graph.reading import GraphFile, read_graph
from edgeseg.spec import FrameOptions, HeadSpec, InputSpec, ProfileSpec, UpsampleSpec

FRAME = FrameOptions()
GREY = FrameOptions(colour="GRAY", mean=(0.5,), std=(0.5,))


def net(
    folder: Path, *, shape: list[Any], dtype: int = TensorProto.FLOAT, tail: tuple[str, ...] = (), classes: int = 4
) -> GraphFile:
    """A 1x1 convolution over NCHW or NHWC, and simple nodes behind it."""
    channels = shape[1] if shape[1] in (1, 3) else shape[3]
    kernel = np.random.default_rng(0).normal(size=(classes, channels, 1, 1)).astype(np.float32)
    nodes, last = [], "image"
    if dtype == TensorProto.UINT8:
        nodes.append(helper.make_node("Cast", [last], ["float"], to=TensorProto.FLOAT))
        last = "float"
    if shape[1] != channels:
        nodes.append(helper.make_node("Transpose", [last], ["planes"], perm=[0, 3, 1, 2]))
        last = "planes"
    nodes.append(helper.make_node("Conv", [last, "kernel"], ["scores"], name="classify"))
    last = "scores"
    for op in tail:
        nodes.append(helper.make_node(op, [last], [f"{op}_out"], **({} if op == "Sigmoid" else {"axis": 1})))
        last = f"{op}_out"
    kind = TensorProto.INT64 if tail[-1:] == ("ArgMax",) else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", dtype, shape)],
        [helper.make_tensor_value_info(last, kind, ["n", "c", "h", "w"])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), path)
    return read_graph(path)


@pytest.mark.parametrize(
    ("shape", "frame", "layout"),
    [([1, 3, 8, 12], FRAME, "NCHW"), ([1, 8, 12, 3], FRAME, "NHWC"), ([1, 1, 8, 12], GREY, "NCHW")],
)
def test_the_layout_of_an_input_without_a_sidecar_is_where_its_channels_are(
    tmp_path: Path, shape: list[int], frame: FrameOptions, layout: str
) -> None:
    image = described_input(net(tmp_path, shape=shape), frame, size_hw=None)
    assert (image.layout, image.size_hw, image.shape) == (layout, (8, 12), tuple(shape))


def test_a_uint8_input_takes_plain_pixels(tmp_path: Path) -> None:
    image = described_input(net(tmp_path, shape=[1, 3, 8, 12], dtype=TensorProto.UINT8), FRAME, size_hw=None)
    assert (image.dtype, image.mean, image.std) == ("uint8", (0.0,) * 3, (1 / 255,) * 3)


@pytest.mark.parametrize(
    ("shape", "frame", "dtype", "told"),
    [
        ([1, 3, 8, 12], GREY, TensorProto.FLOAT, "GRAY has 1 channel(s): choose --colour"),
        ([1, 3, "h", "w"], FRAME, TensorProto.FLOAT, "leaves its size open, (1, 3, 'h', 'w'): give --input-size"),
    ],
)
def test_an_input_that_the_options_do_not_fit_is_refused(
    tmp_path: Path, shape: list[Any], frame: FrameOptions, dtype: int, told: str
) -> None:
    with pytest.raises(ModelError) as caught:
        described_input(net(tmp_path, shape=shape, dtype=dtype), frame, size_hw=None)
    assert told in str(caught.value)


def image_of(**more: Any) -> InputSpec:
    return FRAME.input_spec(name="image", size_hw=(8, 12), **more)


def test_a_free_size_is_fixed_at_what_is_asked_for(tmp_path: Path) -> None:
    prepared = prepare(net(tmp_path, shape=["n", 3, "h", "w"]), image_of(), PrepareOptions(size_hw=(16, 20)))
    assert prepared.image.shape == (1, 3, 16, 20)
    assert prepared.head.shape == (1, 4, 16, 20)


@pytest.mark.parametrize("size_hw", [(7, 12), (8, 10), (64, 12)])
def test_a_size_outside_the_profile_is_refused_with_what_it_takes(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    profile = ProfileSpec(minimum=(1, 8, 12), optimum=(1, 8, 12), maximum=(2, 32, 48), step_hw=(4, 4))
    with pytest.raises(ModelError, match="heights 8-32 in steps of 4, widths 12-48 in steps of 4"):
        prepare(net(tmp_path, shape=["n", 3, "h", "w"]), image_of(profile=profile), PrepareOptions(size_hw=size_hw))


def test_another_size_than_a_fixed_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"asked to be 16x20, .* takes image \(1, 3, 8, 12\): export it for that size"):
        prepare(net(tmp_path, shape=[1, 3, 8, 12]), image_of(), PrepareOptions(size_hw=(16, 20)))


def test_the_tail_is_cut_and_said_or_kept_on_request(tmp_path: Path) -> None:
    graph = net(tmp_path, shape=[1, 3, 8, 12], tail=("Softmax", "ArgMax"))
    cut = prepare(graph, image_of(), PrepareOptions())
    assert (cut.head.decision, cut.head.cut, cut.classes) == ("argmax", ("Softmax", "ArgMax"), 4)
    assert cut.notes == ("done by the runtime instead of the engine: Softmax, ArgMax",)
    kept = prepare(graph, image_of(), PrepareOptions(keep_tail=True))
    assert (kept.head.decision, kept.head.dtype, kept.head.shape, kept.classes) == ("ids", "int32", (1, 1, 8, 12), 4)
    assert [node.op_type for node in kept.model.graph][-3:] == ["Softmax", "ArgMax", "Cast"]


def test_the_sidecar_decides_what_the_graph_cannot_show(tmp_path: Path) -> None:
    """How the net's own size is enlarged is in no graph that ends at its scores."""
    graph = net(tmp_path, shape=[1, 3, 8, 12])
    shown = prepare(graph, image_of(), PrepareOptions()).head
    told = msgspec.structs.replace(shown, upsample=UpsampleSpec(coordinates="align_corners"))
    assert prepare(graph, image_of(), PrepareOptions(), head=told).head == told


def test_a_threshold_of_the_sidecar_counts_where_the_graph_has_none(tmp_path: Path) -> None:
    graph = net(tmp_path, shape=[1, 3, 8, 12], classes=1)
    told = HeadSpec(output="scores", channels=1, size_hw=(8, 12), decision="threshold", threshold=1.5)
    assert prepare(graph, image_of(), PrepareOptions(), head=told).head.threshold == 1.5


def test_a_probability_of_the_sidecar_becomes_its_logit_where_the_sigmoid_is_cut(tmp_path: Path) -> None:
    graph = net(tmp_path, shape=[1, 3, 8, 12], classes=1, tail=("Sigmoid",))
    whole = prepare(graph, image_of(), PrepareOptions(keep_tail=True)).head
    assert (whole.scores, whole.threshold) == ("probabilities", 0.5)
    told = msgspec.structs.replace(whole, threshold=0.9)
    cut = prepare(graph, image_of(), PrepareOptions(), head=told).head
    assert (cut.scores, cut.threshold) == ("logits", pytest.approx(np.log(9.0)))


def test_pixels_are_folded_in_only_if_asked(tmp_path: Path) -> None:
    graph = net(tmp_path, shape=[1, 3, 8, 12])
    assert prepare(graph, image_of(), PrepareOptions()).image.dtype == "float32"
    folded = prepare(graph, image_of(), PrepareOptions(fold_normalisation=True))
    assert (folded.image.dtype, folded.model.graph.inputs[0].dtype.name) == ("uint8", "UINT8")
