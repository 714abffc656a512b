"""What `edgeseg inspect` says of ONNX files of every origin, and that it builds nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper, save

from edgeseg.cli.inspect import inspect
from edgeseg.errors import ModelError, SpecError

SIZE = (1, 3, 32, 48)


def told(*words: object) -> str:
    """What the command prints."""
    done = CliRunner().invoke(inspect, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.output)


def as_json(*words: object) -> Any:
    return json.loads(told(*words, "--json"))


def write_net(
    path: Path, *, shape: tuple[int | str, ...] = SIZE, tail: list[Any] | None = None, out: Any = None
) -> Path:
    """One convolution to 5 scores, then the nodes of ``tail``; ``out`` is name, type and shape of the output."""
    weights = {
        "kernel": np.ones((5, int(shape[1]), 3, 3), np.float32),
        "scales": np.array([1, 1, 4, 4], np.float32),
        "axis": np.array([1]),
    }
    nodes = [helper.make_node("Conv", ["image", "kernel"], ["logits"], name="head", pads=[1] * 4), *(tail or [])]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(*(out or ("logits", TensorProto.FLOAT, (1, 5, *shape[2:]))))],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), path)
    return path


@pytest.fixture
def small_mask(tmp_path: Path) -> Path:
    """A net that ends in a mask of bytes with an axis more, which TensorRT cannot make."""
    tail = [
        helper.make_node("Resize", ["logits", "", "scales"], ["large"], name="enlarge", mode="linear"),
        helper.make_node("ArgMax", ["large"], ["ids"], name="decide", axis=1, keepdims=0),
        helper.make_node("Cast", ["ids"], ["bytes"], name="shrink", to=TensorProto.UINT8),
        helper.make_node("Unsqueeze", ["bytes", "axis"], ["mask"], name="widen"),
    ]
    return write_net(tmp_path / "net.onnx", tail=tail, out=("mask", TensorProto.UINT8, (1, 1, 128, 192)))


def test_a_net_without_a_sidecar_is_shown_with_what_build_engine_would_need(tmp_path: Path) -> None:
    text = told(write_net(tmp_path / "net.onnx"))
    assert "no sidecar\n  build-engine takes --mean, --std" in text
    assert "image float32 1x3x32x48" in text
    assert "1 with weights, 1 nodes" in text
    assert "MACs         207 k at 1x3x32x48" in text
    assert "nothing is cut off, nothing is rewritten" in text


def test_a_net_with_its_sidecar_is_shown_with_what_the_sidecar_says(chain: Any) -> None:
    text = told(chain.onnx)
    assert "sidecar fits" in text
    assert "input.size_hw  (32, 64)" in text
    assert "stem" in told(chain.onnx, "--layers")


def test_a_sidecar_of_another_file_is_refused(chain_copy: Path) -> None:
    write_net(chain_copy / "net.onnx")
    with pytest.raises(SpecError, match="sha256"):
        told(chain_copy / "net.onnx")


def test_json_holds_the_exact_figures(tmp_path: Path) -> None:
    found = as_json(write_net(tmp_path / "net.onnx"))
    assert found["macs"] == 5 * 27 * 32 * 48
    assert found["parameters"] == 5 * 27 and found["parameter_bytes"] == 4 * 5 * 27
    assert found["peak_bytes"] == found["activation_bytes"] == 4 * 32 * 48 * (3 + 5)
    assert found["counted_at"] == list(SIZE)
    assert found["operators"] == [{"op": "Conv", "nodes": 1, "parameters": 135, "macs": 5 * 27 * 32 * 48}]
    assert found["sidecar"] is None and found["problem"] == "" and found["node_list"] == []
    assert [one["backend"] for one in found["backends"]] == ["openvino", "tensorrt", "tensorrt-rtx"]


def test_the_tail_that_the_runtime_takes_over_is_named(small_mask: Path) -> None:
    text = told(small_mask)
    assert "-> logits float32 1x5x32x48, argmax of logits" in text
    assert "Resize linear half_pixel 32x48 -> 128x192, ArgMax, Cast" in text
    assert as_json(small_mask)["head"]["uncut_hw"] == [128, 192]


def test_a_refused_node_is_shown_with_the_parsers_reason_and_what_becomes_of_it(small_mask: Path) -> None:
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    lines = told(small_mask).splitlines()
    (place,) = [index for index, line in enumerate(lines) if line.startswith("  Cast 'shrink': ")]
    assert lines[place - 1].startswith("tensorrt-rtx") and "refuses 2 of 5 nodes" in lines[place - 1]
    assert "UINT8" in lines[place]
    assert lines[place + 1] == "    cut off: what the engine gives does not need it"


def test_rewrites_and_hints_are_shown_for_nodes_without_names_too(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    tail = [
        helper.make_node("MaxPool", ["logits"], ["most", "places"], **window),
        helper.make_node("Neg", ["most"], ["coded"]),
        helper.make_node("MaxUnpool", ["coded", "places"], ["back"], **window),
        helper.make_node("MaxPool", ["back"], ["scores"], kernel_shape=[3, 3], pads=[2] * 4, dilations=[2, 2]),
    ]
    path = write_net(tmp_path / "net.onnx", tail=tail, out=("scores", TensorProto.FLOAT, (1, 5, 32, 48)))
    lines = told(path).splitlines()
    asked = lines[next(index for index, line in enumerate(lines) if line.startswith("tensorrt-rtx")) :]
    assert "refuses 3 of 5 nodes" in asked[0]
    outcomes = {before.split("'")[0].strip() + after for before, after in zip(asked[1::2], asked[2::2], strict=True)}
    assert any("MaxUnpool" in one and "rewritten (unpooling): " in one for one in outcomes)
    assert any("MaxPool" in one and "taken as build-engine prepares it" in one for one in outcomes)
    assert any("MaxPool" in one and "stays refused: use dilation=1" in one for one in outcomes)


def test_every_node_is_listed_with_its_shape_on_demand(small_mask: Path) -> None:
    lines = told(small_mask, "--layers").splitlines()
    (conv,) = [line.split() for line in lines if line.startswith("head ")]
    assert conv == ["head", "Conv", "1x5x32x48", "135", "207", "k"]
    assert any(line.split()[:3] == ["widen", "Unsqueeze", "1x1x128x192"] for line in lines if line)
    assert as_json(small_mask, "--layers")["node_list"][0]["name"] == "head"


def test_a_net_of_open_size_is_counted_at_the_size_that_is_asked_for(tmp_path: Path) -> None:
    path = write_net(tmp_path / "net.onnx", shape=(1, 3, "height", "width"))
    text = told(path)
    assert "image float32 1x3xheightxwidth" in text
    assert "the net leaves its size open: give --input-size" in text
    assert "build-engine refuses it" in text and "give --input-size HEIGHTxWIDTH" in text
    assert as_json(path)["macs"] is None
    assert "MACs         207 k at 1x3x32x48" in told(path, "--input-size", "32x48")


def test_a_net_of_open_size_is_counted_at_its_sidecars_optimum(tmp_path: Path) -> None:
    from edgeseg.files import sha256_of
    from edgeseg.imaging.palettes import labels_for
    from edgeseg.sidecars import write_with_sidecar
    from edgeseg.spec import FrameOptions, HeadSpec, ModelSpec, ProfileSpec

    path = write_net(tmp_path / "net.onnx", shape=(1, 3, "height", "width"))
    profile = ProfileSpec(minimum=(1, 32, 32), optimum=(1, 32, 48), maximum=(1, 64, 64))
    spec = ModelSpec(
        onnx_sha256=sha256_of(path.read_bytes()),
        input=FrameOptions().input_spec(name="image", size_hw=(32, 48), profile=profile),
        head=HeadSpec(output="logits", channels=5, size_hw=(32, 48), decision="argmax"),
        labels=labels_for(5, None, expected=None),
    )
    write_with_sidecar(path, path.read_bytes(), spec)
    assert as_json(path)["counted_at"] == list(SIZE)
    assert as_json(path, "--input-size", "64x64")["counted_at"] == [1, 3, 64, 64]


def test_a_grey_net_needs_no_word_to_be_shown(tmp_path: Path) -> None:
    found = as_json(write_net(tmp_path / "net.onnx", shape=(1, 1, 32, 48)))
    assert found["problem"] == "" and found["input"]["colour"] == "GRAY"


def test_a_net_that_build_engine_refuses_is_shown_with_the_reason(tmp_path: Path) -> None:
    found = as_json(write_net(tmp_path / "net.onnx", shape=(1, 7, 32, 48)))
    assert "7" in found["problem"] and found["head"] is None
    assert found["macs"] == 5 * 63 * 32 * 48


def test_an_output_that_is_not_there_is_said(small_mask: Path) -> None:
    assert "no output 'nowhere'" in told(small_mask, "--output", "nowhere")


def test_a_file_that_is_no_onnx_ends_in_one_line(edgeseg: Any, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x89PNG\r\n\x1a\n" * 20)
    done = edgeseg("inspect", "net.onnx")
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("edgeseg inspect: net.onnx is no ONNX file")
    with pytest.raises(ModelError):
        told(tmp_path / "net.onnx")


def test_inspecting_leaves_no_file(small_mask: Path) -> None:
    told(small_mask)
    assert [path.name for path in small_mask.parent.iterdir()] == ["net.onnx"]
