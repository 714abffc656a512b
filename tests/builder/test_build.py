from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.precision import PrecisionRequest, apply_precision
from edgeseg.data import CalibrationSet
from edgeseg.errors import BuildError
from edgeseg.files import sha256_of, sha256_of_file
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.spec import read_engine_spec, read_model_spec


def test_the_engines_sidecar_reads_back_and_says_what_was_built(chain: Any) -> None:
    spec, plan = read_engine_spec(chain.int8)
    assert (spec.backend, spec.precision.kind, spec.precision.high_precision) == ("openvino", "int8", "fp32")
    assert (spec.plan_bytes, spec.plan_sha256) == (len(plan), sha256_of(plan))
    assert spec.model == read_model_spec(chain.onnx, sha256=sha256_of_file(chain.onnx))
    assert spec.precision.calibration_sha256 == CalibrationSet(chain.images).sha256
    assert [(one.name, one.mode, one.shape) for one in spec.io] == [
        ("image", "input", (1, 3, 32, 64)),
        ("logits", "output", (1, 3, 16, 32)),
    ]


def test_int8_puts_calibrated_scales_into_the_graph(chain: Any, tmp_path: Path) -> None:
    """The scale of the image input is what the brightest calibration pixel asks for: max |x| / 127."""
    model = read_model_spec(chain.onnx, sha256=sha256_of_file(chain.onnx))
    images = CalibrationSet(chain.images)
    request = PrecisionRequest(kind="int8", high_precision="fp32", images=images)
    seen: list[int] = []
    path, _ = apply_precision(chain.onnx, tmp_path / "net.onnx", model.input, request, on_image=seen.append)
    graph = onnx.load(path).graph
    scales = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantize = next(node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "image")
    maker = Preprocessor(model.input)
    largest = max(float(np.abs(maker.tensor(frame)).max()) for frame in images)
    assert float(scales[quantize.input[1]]) == pytest.approx(largest / 127, rel=1e-3)
    assert max(seen) == len(images)


@pytest.mark.parametrize("kind", ["fp16", "int8"])
def test_inputs_and_outputs_stay_float32_in_every_precision(chain: Any, tmp_path: Path, kind: Any) -> None:
    model = read_model_spec(chain.onnx, sha256=sha256_of_file(chain.onnx))
    images = CalibrationSet(chain.images) if kind == "int8" else None
    request = PrecisionRequest(kind=kind, high_precision="fp16", images=images)
    path, spec = apply_precision(chain.onnx, tmp_path / "net.onnx", model.input, request)
    prepared = onnx.load(path)
    values = [*prepared.graph.input, *prepared.graph.output]
    assert {one.type.tensor_type.elem_type for one in values} == {onnx.TensorProto.FLOAT}
    assert any(node.op_type == "Cast" for node in prepared.graph.node)
    assert (spec.kind, spec.high_precision) == (kind, "fp16")


def test_int8_takes_a_net_with_matrix_products(chain: Any, tmp_path: Path) -> None:
    """ModelOpt looks at their sizes in a trial run; adaptive pooling and attention have them."""
    model = read_model_spec(chain.onnx, sha256=sha256_of_file(chain.onnx))
    net = onnx.load(chain.onnx)
    logits = net.graph.output[0].name
    net.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(32, dtype=np.float32), "matrix"))
    net.graph.node.append(onnx.helper.make_node("MatMul", [logits, "matrix"], ["product"]))
    net.graph.output[0].name = "product"
    onnx.save(net, tmp_path / "product.onnx")
    request = PrecisionRequest(kind="int8", high_precision="fp32", images=CalibrationSet(chain.images))
    path, _ = apply_precision(tmp_path / "product.onnx", tmp_path / "net.onnx", model.input, request)
    assert {"MatMul", "QuantizeLinear"} <= {node.op_type for node in onnx.load(path).graph.node}


def test_int8_leaves_ranks_and_what_follows_them_to_the_next_weights(chain: Any, tmp_path: Path) -> None:
    """Boxes' coordinates would be pixels off, and most scores ties."""
    model = read_model_spec(chain.onnx, sha256=sha256_of_file(chain.onnx))
    net, helper = onnx.load(chain.onnx), onnx.helper
    logits = net.graph.output[0].name
    arrays = {"count": np.array([32]), "factor": np.full((1, 3, 16, 32), 3, np.float32)}
    arrays["matrix"] = np.eye(32, dtype=np.float32)
    net.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in arrays.items())
    net.graph.node.extend(
        [
            helper.make_node("TopK", [logits, "count"], ["best", "places"], "rank"),
            helper.make_node("Mul", ["best", "factor"], ["scaled"], "scale"),
            helper.make_node("Add", ["scaled", logits], ["moved"], "move"),
            helper.make_node("MatMul", ["moved", "matrix"], ["scores"], "score"),
        ]
    )
    net.graph.output[0].name = "scores"
    onnx.save(net, tmp_path / "ranked.onnx")
    request = PrecisionRequest(kind="int8", high_precision="fp32", images=CalibrationSet(chain.images))
    path, _ = apply_precision(tmp_path / "ranked.onnx", tmp_path / "net.onnx", model.input, request)
    nodes = onnx.load(path).graph.node
    quantised = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    coarse = {node.name for node in nodes if not quantised.isdisjoint(node.input)}
    assert "score" in coarse
    assert coarse.isdisjoint({"rank", "scale", "move"})


def test_int8_and_images_go_together(chain: Any) -> None:
    with pytest.raises(BuildError, match="--calib-data"):
        PrecisionRequest(kind="int8", high_precision="fp32")
    with pytest.raises(BuildError, match="do nothing for fp32"):
        PrecisionRequest(kind="fp32", high_precision="fp32", images=CalibrationSet(chain.images))


def test_another_image_changes_the_calibration_hash(chain: Any, tmp_path: Path) -> None:
    for path in chain.images.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    first = CalibrationSet(tmp_path).sha256
    assert first == CalibrationSet(chain.images).sha256
    (tmp_path / "000.png").write_bytes((tmp_path / "001.png").read_bytes())
    assert CalibrationSet(tmp_path).sha256 != first


def test_progress_names_the_steps_and_ends_at_one(chain: Any, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    options = BuildOptions(backend="openvino", precision="int8", calibration_folder=chain.images)
    build_engine(chain.onnx, tmp_path / "net.engine", options, progress=lambda *step: told.append(step))
    assert [step for _, step in told if step == "calibrate"]
    assert told[-1] == (1.0, "build")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.engine", "net.engine.json"]


def test_a_tensorrt_rtx_plan_is_built_without_a_gpu(chain: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    options = BuildOptions(backend="tensorrt-rtx", precision="int8", calibration_folder=chain.images)
    spec = build_engine(chain.onnx, tmp_path / "net.engine", options)
    assert (spec.backend, spec.precision.high_precision) == ("tensorrt-rtx", "fp16")
    assert read_engine_spec(tmp_path / "net.engine")[0] == spec
