"""Real parsers asked about real graphs: OpenVINO's and TensorRT-RTX's, which need no GPU for it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, checker, helper, numpy_helper, save

from edgeseg.builder.backends import open_backend
from edgeseg.builder.survey import Answer, BackendSurvey, all_refusals, survey
from edgeseg.errors import BuildError
from edgeseg.graph.preparing import PrepareOptions, described_input, prepare
from edgeseg.graph.reading import read_graph
from edgeseg.spec import FrameOptions
from edgeseg.trt_api import driver_state

pytest.importorskip("openvino", exc_type=ImportError)
pytest.importorskip("tensorrt_rtx", exc_type=ImportError)

SCORES = (TensorProto.FLOAT, (1, 5, 16, 24))
KERNEL = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)
SCALES = np.array([1, 1, 2, 2], np.float32)
LOGITS = helper.make_node("Conv", ["image", "kernel"], ["logits"], name="head", pads=[1, 1, 1, 1])


def node(op: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> Any:
    """A node; names of values are separated by blanks, ``-`` is an input left out."""
    words = ["" if one == "-" else one for one in inputs.split()]
    return helper.make_node(op, words, outputs.split(), name=name or f"make_{outputs.split()[0]}", **attributes)


def write(
    folder: Path,
    nodes: list[Any],
    outputs: Mapping[str, tuple[int, tuple[Any, ...]]],
    weights: Mapping[str, Any] | None = None,
) -> Path:
    """An ONNX file whose image is 16x24; an output is its type and shape."""
    values = [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 16, 24))]
    for name, kind in outputs.items():
        values.append(helper.make_tensor_value_info(name, *kind))
    constants = {"kernel": KERNEL, "scales": SCALES} | dict(weights or {})
    graph = helper.make_graph(
        nodes, "net", values[:1], values[1:], [numpy_helper.from_array(one, name) for name, one in constants.items()]
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("somebody", 1)]
    path = folder / "net.onnx"
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    checker.check_model(model)
    save(model, path)
    return path


def cropping(inputs: str, outputs: str) -> Any:
    """A Resize by a rule that neither back end has."""
    rule = "tf_crop_and_resize"
    return node("Resize", f"{inputs} box scales", outputs, coordinate_transformation_mode=rule, mode="nearest")


BOX = {"box": np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32)}


@pytest.fixture
def two_crops(tmp_path: Path) -> Path:
    nodes = [LOGITS, cropping("logits", "one"), node("Relu", "one", "two"), cropping("two", "mask")]
    return write(tmp_path, nodes, {"mask": (TensorProto.FLOAT, (1, 5, 64, 96))}, BOX)


def named(backend: str, path: Path) -> tuple[list[str], bool]:
    """The names of all refused nodes, and whether that is all."""
    asked = all_refusals(open_backend(backend), read_graph(path).model, path)  # type: ignore[arg-type]
    return [one.node for one in asked.found], asked.is_complete


@pytest.mark.parametrize("backend", ["openvino", "tensorrt-rtx"])
def test_a_plain_net_is_taken_whole(tmp_path: Path, backend: str) -> None:
    assert named(backend, write(tmp_path, [LOGITS], {"logits": SCORES})) == ([], True)


@pytest.mark.parametrize(
    ("backend", "reason"), [("openvino", "no rule to convert"), ("tensorrt-rtx", "there is no layer")]
)
def test_a_parser_names_what_it_has_nothing_for(tmp_path: Path, backend: Any, reason: str) -> None:
    nodes = [LOGITS, node("Det", "square", "one"), node("Slice", "logits start end axis", "square")]
    weights = {"start": np.array([0]), "end": np.array([16]), "axis": np.array([3])}
    path = write(tmp_path, [nodes[0], nodes[2], nodes[1]], {"one": (TensorProto.FLOAT, (1, 5))}, weights)
    (found,) = open_backend(backend).refused(path)
    assert (found.node, found.op) == ("make_one", "Det")
    assert reason in found.reason


@pytest.mark.parametrize("backend", ["openvino", "tensorrt-rtx"])
def test_a_parser_gives_its_reason(two_crops: Path, backend: Any) -> None:
    found = open_backend(backend).refused(two_crops)
    assert {one.op for one in found} == {"Resize"}
    assert all("align_corners" in one.reason and "half_pixel" in one.reason for one in found)


def test_openvino_names_one_node_of_a_kind_and_the_survey_finds_the_others(two_crops: Path) -> None:
    assert len(open_backend("openvino").refused(two_crops)) == 1
    names, is_complete = named("openvino", two_crops)
    assert sorted(names) == ["make_mask", "make_one"] and is_complete


def test_openvino_names_what_it_reads_but_cannot_compute(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        [LOGITS, node("Cast", "logits", "text", to=TensorProto.STRING)],
        {"text": (TensorProto.STRING, SCORES[1])},
    )
    assert named("openvino", path) == (["make_text"], True)


def test_tensorrt_stops_at_a_node_that_it_fails_to_convert_and_the_survey_goes_on(tmp_path: Path) -> None:
    nodes = [LOGITS, node("NonZero", "logits", "one"), node("NonZero", "image", "two")]
    path = write(tmp_path, nodes, {"one": (TensorProto.INT64, (4, "n")), "two": (TensorProto.INT64, (4, "m"))})
    assert len(open_backend("tensorrt-rtx").refused(path)) == 1
    names, is_complete = named("tensorrt-rtx", path)
    assert sorted(names) == ["make_one", "make_two"] and is_complete


@pytest.mark.parametrize("backend", ["openvino", "tensorrt-rtx"])
def test_behind_a_result_of_unknown_shape_nobody_can_be_asked(tmp_path: Path, backend: str) -> None:
    nodes = [LOGITS, node("Own", "logits", "one", domain="somebody"), node("Relu", "one", "mask")]
    assert named(backend, write(tmp_path, nodes, {"mask": SCORES})) == (["make_one"], False)


@pytest.mark.parametrize("backend", ["openvino", "tensorrt-rtx"])
def test_a_refused_node_at_the_end_leaves_no_question_open(tmp_path: Path, backend: str) -> None:
    nodes = [LOGITS, node("Own", "logits", "mask", domain="somebody")]
    assert named(backend, write(tmp_path, nodes, {"mask": SCORES})) == (["make_mask"], True)


def test_the_graph_that_is_asked_about_stays_as_it_is(two_crops: Path) -> None:
    model = read_graph(two_crops).model
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    all_refusals(open_backend("openvino"), model, two_crops)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_a_graph_with_its_weights_beside_it_is_asked_about(
    two_crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "beside.onnx"
    ir.save(ir.load(two_crops), beside, external_data="weights.bin")
    monkeypatch.chdir("/")
    names, is_complete = named("tensorrt-rtx", beside)
    assert len(names) == 2 and is_complete


@pytest.mark.skipif(driver_state().is_working, reason="is about machines without a CUDA driver")
def test_tensorrt_proper_is_not_asked_without_a_driver(two_crops: Path) -> None:
    backend = open_backend("tensorrt-rtx")
    backend.name = "tensorrt"
    with pytest.raises(BuildError, match="builds on a GPU only"):
        backend.refused(two_crops)


def surveyed(path: Path, **options: Any) -> dict[str, BackendSurvey]:
    graph = read_graph(path)
    image = described_input(graph, FrameOptions(), size_hw=None)
    prepared = prepare(graph, image, PrepareOptions(**options))
    return {one.backend: one for one in survey(graph.model, prepared)}


def answer(found: BackendSurvey, name: str) -> Answer:
    return next(one for one in found.answers if one.refusal.node == name)


def test_a_node_of_the_tail_is_said_to_be_cut(tmp_path: Path) -> None:
    nodes = [
        LOGITS,
        node("ArgMax", "logits", "ids", axis=1, keepdims=0),
        node("Cast", "ids", "small", to=TensorProto.UINT8),
        node("Unsqueeze", "small axis", "mask"),
    ]
    path = write(tmp_path, nodes, {"mask": (TensorProto.UINT8, (1, 1, 16, 24))}, {"axis": np.array([1])})
    rtx = surveyed(path)["tensorrt-rtx"]
    assert answer(rtx, "make_small").fate == "cut"
    assert "UINT8" in answer(rtx, "make_small").refusal.reason
    assert rtx.left == ()


def test_a_node_of_another_output_is_said_to_be_cut(tmp_path: Path) -> None:
    nodes = [LOGITS, cropping("logits", "other")]
    path = write(tmp_path, nodes, {"logits": SCORES, "other": (TensorProto.FLOAT, (1, 5, 32, 48))}, BOX)
    found = surveyed(path, output="logits")
    assert answer(found["openvino"], "make_other").fate == answer(found["tensorrt-rtx"], "make_other").fate == "cut"


def test_a_node_that_nothing_can_be_done_about_stays_refused(two_crops: Path) -> None:
    for found in (surveyed(two_crops)[name] for name in ("openvino", "tensorrt-rtx")):
        assert {one.fate for one in found.answers} == {"refused"}
        assert {one.node for one in found.left} == {"make_one", "make_mask"}
        assert found.version and not found.unasked


def test_a_refused_node_that_stays_comes_with_what_to_do(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        [LOGITS, node("MaxPool", "logits", "mask", kernel_shape=[2, 2], dilations=[2, 2])],
        {"mask": (TensorProto.FLOAT, (1, 5, 14, 22))},
    )
    found = surveyed(path)
    assert found["openvino"].answers == ()
    (one,) = found["tensorrt-rtx"].answers
    assert one.fate == "refused" and "dilations" in one.refusal.reason
    assert one.detail == "use dilation=1, or take --backend openvino"
    assert found["tensorrt-rtx"].known == ()


def test_a_refused_node_that_is_rewritten_comes_with_the_rule(tmp_path: Path) -> None:
    """SegNet's pair: the unpooling is replaced, and the pooling, whose indices nothing takes now, is no trouble."""
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    path = write(
        tmp_path,
        [
            LOGITS,
            node("MaxPool", "logits", "most places", "pool", **window),
            node("Neg", "most", "coded"),
            node("MaxUnpool", "coded places", "mask", "unpool", **window),
        ],
        {"mask": SCORES},
    )
    rtx = surveyed(path)["tensorrt-rtx"]
    assert answer(rtx, "unpool").fate == "rewritten"
    assert answer(rtx, "unpool").detail.startswith("rewritten (unpooling): ")
    assert answer(rtx, "pool").fate == "taken"
    assert rtx.left == () and rtx.known == ()


def test_what_tensorrts_builder_is_known_to_refuse_is_told_too(tmp_path: Path) -> None:
    """Its parser takes a transposed convolution with stride and dilation."""
    path = write(
        tmp_path,
        [LOGITS, node("ConvTranspose", "logits back", "mask", strides=[2, 2], dilations=[2, 2])],
        {"mask": (TensorProto.FLOAT, (1, 2, 35, 51))},
        {"back": np.ones((5, 2, 3, 3), np.float32)},
    )
    found = surveyed(path)
    assert found["openvino"].known == ()
    for rtx in (found["tensorrt"], found["tensorrt-rtx"]):
        assert rtx.answers == ()
        assert [one.node for one in rtx.known] == ["ConvTranspose 'make_mask'"]


def test_a_node_that_is_computed_beforehand_is_said_to_be_folded(tmp_path: Path) -> None:
    nodes = [node("Det", "square", "factor"), LOGITS, node("Mul", "logits factor", "mask")]
    weights = {"square": np.eye(3, dtype=np.float32)[None] * 2}
    path = write(tmp_path, nodes, {"mask": SCORES}, weights)
    assert answer(surveyed(path)["tensorrt-rtx"], "make_factor").fate == "folded"


def test_what_becomes_of_nodes_is_open_where_the_graph_cannot_be_prepared(two_crops: Path) -> None:
    openvino, _, rtx = survey(read_graph(two_crops).model, None)
    for found in (openvino, rtx):
        assert {one.fate for one in found.answers} == {"unknown"}
        assert [one.node for one in found.answers if one.refusal.node == "make_one"] == ["Resize 'make_one'"]
        assert found.left == ()


def test_a_back_end_that_is_not_installed_says_what_to_install(
    two_crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    openvino = survey(read_graph(two_crops).model, None)[0]
    assert openvino.backend == "openvino" and openvino.version == "" and openvino.answers == ()
    assert "pip install 'edgeseg[cpu]'" in openvino.unasked
