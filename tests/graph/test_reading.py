"""Reading an ONNX file: what is wrong with it is said with names, before anything is built of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.errors import ModelError
from edgeseg.graph.reading import image_input, read_graph

IMAGE = ("image", TensorProto.FLOAT, [1, 3, 8, 8])


def save(
    path: Path,
    nodes: list[Any],
    *,
    weights: dict[str, np.ndarray] | None = None,
    inputs: tuple[Any, ...] = (IMAGE,),
    opset: int = 19,
    external: bool = False,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.save(model, path, save_as_external_data=external, location=f"{path.name}.data", size_threshold=0)
    return path


def conv(path: Path, *, channels: int = 3, external: bool = False) -> Path:
    weights = {"w": np.ones((4, channels, 3, 3), np.float32)}
    return save(
        path, [helper.make_node("Conv", ["image", "w"], ["y"], name="stem")], weights=weights, external=external
    )


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_graph(path)
    return str(caught.value)


def test_a_graph_is_read_with_the_shapes_of_all_its_values(tmp_path: Path) -> None:
    graph = read_graph(conv(tmp_path / "net.onnx"))
    assert list(graph.model.graph.outputs[0].shape or ()) == [1, 4, 6, 6]
    assert graph.weights_sha256 is None
    assert image_input(graph.path, graph.model).shape == (1, 3, 8, 8)


def test_weights_in_a_file_beside_it_are_hashed_and_counted_too(tmp_path: Path) -> None:
    path = conv(tmp_path / "net.onnx", external=True)
    graph = read_graph(path)
    assert graph.file_bytes == sum(one.stat().st_size for one in tmp_path.iterdir())
    before = graph.weights_sha256
    (tmp_path / "net.onnx.data").write_bytes(b"\1" * (tmp_path / "net.onnx.data").stat().st_size)
    assert read_graph(path).weights_sha256 not in (None, before)


def test_sizes_that_lie_beside_the_graph_too_are_read_for_its_shapes(tmp_path: Path) -> None:
    nodes = [helper.make_node("Resize", ["image", "", "", "sizes"], ["y"], mode="linear")]
    path = save(tmp_path / "net.onnx", nodes, weights={"sizes": np.array([1, 3, 16, 24])}, external=True)
    assert (tmp_path / "net.onnx.data").exists()
    assert list(read_graph(path).model.graph.outputs[0].shape or ()) == [1, 3, 16, 24]


def test_nodes_without_names_get_one(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["image"], ["a"]), helper.make_node("Abs", ["a"], ["y"])]
    names = [node.name for node in read_graph(save(tmp_path / "net.onnx", nodes)).model.graph]
    assert all(names) and len(set(names)) == 2


@pytest.mark.parametrize("content", [None, b"short"])
def test_missing_or_short_weights_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = conv(tmp_path / "net.onnx", external=True)
    (tmp_path / "net.onnx.data").unlink()
    if content:
        (tmp_path / "net.onnx.data").write_bytes(content)
    message = refused(path)
    assert f"{path} keeps its weights in {path}.data, which" in message
    assert ("has 5 bytes, at least 432 are needed" if content else "is missing") in message


def test_a_cycle_is_named_with_the_nodes_that_close_it(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["image", "b"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
        helper.make_node("Relu", ["a"], ["y"], name="third"),
    ]
    message = refused(save(tmp_path / "net.onnx", nodes))
    assert "has a cycle: Add 'first' needs its own result by way of Relu 'second'" in message


def test_a_diamond_is_no_cycle(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["image"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Abs", ["a"], ["c"]),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    assert len(list(read_graph(save(tmp_path / "net.onnx", nodes)).model.graph)) == 4


def test_weights_for_other_channels_are_a_shape_that_does_not_fit(tmp_path: Path) -> None:
    message = refused(conv(tmp_path / "net.onnx", channels=5))
    assert "Conv 'stem' gets 3 channels, its weights take 5" in message


def test_a_sum_of_sizes_that_do_not_fit_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["image", "k"], ["y"], axis=1, name="join")]
    message = refused(save(tmp_path / "net.onnx", nodes, weights={"k": np.ones((1, 3, 9, 8), np.float32)}))
    assert "has shapes that do not fit" in message


def test_a_long_row_minus_a_column_fits(tmp_path: Path) -> None:
    arrays = {"zero": np.array(0), "one": np.array([1]), "outer": np.array([0, 1]), "row": np.ones(300, np.float32)}
    nodes = [
        helper.make_node("Gather", ["image", "zero"], ["plane"], axis=0),
        helper.make_node("Gather", ["plane", "zero"], ["table"], axis=0),
        helper.make_node("Gather", ["table", "zero"], ["values"], axis=1),
        helper.make_node("Unsqueeze", ["values", "one"], ["column"]),
        helper.make_node("Sub", ["row", "column"], ["difference"]),
        helper.make_node("Unsqueeze", ["difference", "outer"], ["y"]),
    ]
    graph = read_graph(save(tmp_path / "net.onnx", nodes, weights=arrays))
    assert list(graph.model.graph.outputs[0].shape or ()) == [1, 1, 8, 300]


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ((IMAGE, ("depth", TensorProto.FLOAT, [1, 1, 8, 8])), "image (1, 3, 8, 8), depth (1, 1, 8, 8)"),
        ((("image", TensorProto.FLOAT, [1, 10]),), "image (1, 10)"),
        ((), "has the inputs none"),
    ],
)
def test_what_does_not_take_one_image_is_told_its_inputs(tmp_path: Path, inputs: tuple[Any, ...], told: str) -> None:
    nodes = [helper.make_node("Add", [inputs[0][0] if inputs else "k", inputs[-1][0] if inputs else "k"], ["y"])]
    message = refused(
        save(tmp_path / "net.onnx", nodes, inputs=inputs, weights={"k": np.ones((1, 3, 8, 8), np.float32)})
    )
    assert told in message
    assert "one 4-D image" in message


def test_an_unknown_operator_and_other_bytes_are_refused_in_one_line(tmp_path: Path) -> None:
    unknown = refused(save(tmp_path / "net.onnx", [helper.make_node("Sharpen", ["image"], ["y"])]))
    assert "no valid ONNX file (No Op registered for Sharpen" in unknown
    (tmp_path / "text.onnx").write_bytes(b"version https://git-lfs" * 9)
    for message in (unknown, refused(tmp_path / "text.onnx")):
        assert "\n" not in message


def test_a_free_dimension_is_told_by_its_name(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["image"], ["y"])]
    path = save(tmp_path / "net.onnx", nodes, inputs=(("image", TensorProto.FLOAT, ["batch", 3, "height", None]),))
    assert image_input(path, read_graph(path).model).shape == ("batch", 3, "height", "?")
