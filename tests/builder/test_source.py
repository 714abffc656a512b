"""What a build starts from where another tool has quantised the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from precision_lab import hard_net, net, quantisation_of, write_frames

from edgeseg import Session
from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.builder.source import SourceOptions, open_source
from edgeseg.data import CalibrationSet
from edgeseg.errors import BuildError
from edgeseg.graph.qdq import has_qdq, quantised
from edgeseg.graph.saving import save_graph
from edgeseg.spec import BackendName

OPTIONS = SourceOptions()


def foreign(path: Path, *, zero_point: int = 0) -> Path:
    """A file with Q/DQ and no sidecar, whose end is a Resize and an ArgMax that edgeseg cuts off."""
    model = net()
    model = quantised(model, quantisation_of(model))
    if zero_point:
        for node in model.graph:
            if node.op_type == "QuantizeLinear" and node.inputs[0].name == "ra":  # type: ignore[union-attr]
                zero = node.inputs[2]
                zero.const_value = ir.tensor(np.array(zero_point, np.int8), name=zero.name)  # type: ignore[union-attr]
    scores = model.graph.outputs[0]
    scores.name = "scores"
    sizes = ir.tensor(np.array([1, 4, 64, 96]), name="sizes")
    value = ir.Value(name="sizes", const_value=sizes, shape=sizes.shape, type=ir.TensorType(sizes.dtype))
    model.graph.register_initializer(value)
    up = ir.node("Resize", [scores, None, None, value], {"mode": "linear"}, name="enlarge")
    best = ir.node("ArgMax", [up.outputs[0]], {"axis": 1, "keepdims": 0}, name="best")
    up.outputs[0].name, best.outputs[0].name = "enlarged", "ids"
    up.outputs[0].type = scores.type
    best.outputs[0].type, best.outputs[0].shape = ir.TensorType(ir.DataType.INT64), ir.Shape((1, 64, 96))
    model.graph.extend([up, best])
    model.graph.outputs[0] = best.outputs[0]
    save_graph(model, path)
    return path


def test_the_quantisation_of_another_tool_is_kept_on_the_graph_that_is_cut(tmp_path: Path) -> None:
    notes: list[str] = []
    source = open_source(foreign(tmp_path / "net.onnx"), OPTIONS, note=notes.append)
    assert not has_qdq(source.model)
    assert source.quantisation is not None
    assert source.quantisation.sites == quantisation_of(net()).sites
    assert source.spec.head.cut == ("Resize linear half_pixel 16x24 -> 64x96", "ArgMax")
    assert "the file's own quantisation is used: 10 of its 10 inputs" in notes


@pytest.mark.parametrize("backend", ["openvino", "tensorrt-rtx"])
def test_its_engine_is_int8_without_a_word_of_calibration(tmp_path: Path, backend: BackendName) -> None:
    pytest.importorskip(backend.replace("-", "_"))
    path = foreign(tmp_path / "net.onnx")
    spec = build_engine(path, tmp_path / "net.engine", BuildOptions(backend=backend))
    assert (spec.precision.kind, spec.precision.quantised_layers) == ("int8", 4)
    assert spec.precision.calibration_images == 0


def test_a_quantisation_that_breaks_a_rule_is_refused_for_tensorrt_and_left_alone_for_the_cpu(tmp_path: Path) -> None:
    path = foreign(tmp_path / "net.onnx", zero_point=3)
    with pytest.raises(BuildError, match=r"'ra_QuantizeLinear': its zero point is 3, it must be 0"):
        open_source(path, OPTIONS)
    notes: list[str] = []
    source = open_source(path, OPTIONS, keeps_foreign=True, note=notes.append)
    assert has_qdq(source.model)
    assert source.quantisation is None
    assert any(note.startswith("the file's own quantisation is left as it is: ") for note in notes)


def test_one_that_is_left_alone_builds_and_runs_on_the_cpu(tmp_path: Path) -> None:
    path = foreign(tmp_path / "net.onnx", zero_point=3)
    build_engine(path, tmp_path / "net.engine", BuildOptions(backend="openvino"))
    with Session(tmp_path / "net.engine") as session:
        mask = session.segment(np.full((64, 96, 3), 90, np.uint8))
    assert mask.shape == (64, 96)


def test_a_tensor_that_never_changes_is_told_and_the_engine_still_right(tmp_path: Path) -> None:
    """A dead ReLU: what it gives is 0 everywhere, and any scale will do."""
    model = hard_net()
    constants = model.graph.initializers
    dead = -np.abs(np.array(constants["w_loud"].const_value.numpy()))  # type: ignore[union-attr]
    constants["w_loud"].const_value = ir.tensor(dead, name="w_loud")
    onnx = tmp_path / "dead.onnx"
    save_graph(model, onnx)
    images, notes = write_frames(tmp_path / "images"), list[str]()
    options: dict[str, Any] = {"calibration": CalibrationOptions(source=images)}
    build_engine(onnx, tmp_path / "fp32.engine", BuildOptions(backend="openvino"))
    build_engine(
        onnx, tmp_path / "int8.engine", BuildOptions(backend="openvino", precision="int8", **options), note=notes.append
    )
    assert any(note == "'rb' has one value in all images: its range is a guess" for note in notes)
    scores = []
    for name in ("fp32", "int8"):
        with Session(tmp_path / f"{name}.engine", depth=1) as session:
            session.segment(next(iter(CalibrationSet(images))))
            scores.append(session.engine.host_output(0).copy())
    np.testing.assert_array_equal(scores[0], 0)
    np.testing.assert_array_equal(*scores)
