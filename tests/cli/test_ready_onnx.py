"""An ONNX file of any origin, straight to an engine: what is cut, what is kept, and what the masks are then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg import Session
from edgeseg.sidecars import read_engine_spec

FAILURE, USAGE = 1, 2
SIZE_HW, SMALL_HW, CLASSES = (48, 64), (12, 16), 5
NORMALISED = ("--mean", "0,0,0", "--std", "1,1,1")


def write_net(path: Path, *, layout: str = "NCHW", dtype: int = TensorProto.FLOAT, more_outputs: bool = False) -> Path:
    """Two convolutions, then Resize, Softmax and ArgMax."""
    rng = np.random.default_rng(3)
    weights = {
        "first": rng.normal(size=(8, 3, 4, 4)).astype(np.float32) * (1 if dtype == TensorProto.FLOAT else 0.004),
        "second": rng.normal(size=(CLASSES, 8, 1, 1)).astype(np.float32),
        "size": np.array([1, CLASSES, *SIZE_HW]),
    }
    nodes = [helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT)]
    last = "pixels"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [last], ["planes"], perm=[0, 3, 1, 2]))
        last = "planes"
    nodes += [
        helper.make_node("Conv", [last, "first"], ["a"], strides=[4, 4], name="stem"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["scores"], name="classify"),
        helper.make_node("Resize", ["scores", "", "", "size"], ["large"], mode="linear"),
        helper.make_node("Softmax", ["large"], ["shares"], axis=1),
        helper.make_node("ArgMax", ["shares"], ["ids"], axis=1, keepdims=0),
    ]
    shape = (1, 3, *SIZE_HW) if layout == "NCHW" else (1, *SIZE_HW, 3)
    outputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, (1, *SIZE_HW))]
    if more_outputs:
        outputs.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, (1, 8, *SMALL_HW)))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", dtype, shape)],
        outputs,
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), path)
    return path


def picture() -> np.ndarray:
    small = np.random.default_rng(5).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(small, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC)


def uncut_mask(path: Path, frame_bgr: np.ndarray, *, scale: float = 255.0) -> np.ndarray:
    """What ONNX Runtime makes of the whole graph."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    tensor = frame_bgr[None, ..., ::-1] / scale
    tensor = tensor if image.shape[3] == 3 else tensor.transpose(0, 3, 1, 2)
    kind = np.float32 if image.type == "tensor(float)" else np.uint8
    return np.asarray(session.run(["ids"], {image.name: tensor.astype(kind)})[0][0])


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("flags", [(), ("--keep-tail",), ("--fold-normalisation",)], ids=["cut", "kept", "folded"])
def test_the_engine_gives_the_mask_of_the_whole_graph(
    edgeseg: Any, tmp_path: Path, layout: str, flags: tuple[str, ...]
) -> None:
    path = write_net(tmp_path / "net.onnx", layout=layout)
    done = edgeseg("build-engine", path, "--backend", "openvino", *NORMALISED, *flags)
    assert done.returncode == 0, done.stderr
    head = read_engine_spec(tmp_path / "net.engine")[0].model.head
    assert head.decision == ("ids" if "--keep-tail" in flags else "argmax")
    assert head.size_hw == (SIZE_HW if "--keep-tail" in flags else SMALL_HW)
    frame_bgr = picture()
    with Session(tmp_path / "net.engine") as session:
        mask = session.segment(frame_bgr)
    assert (mask == uncut_mask(path, frame_bgr)).mean() >= 0.999  # the rest are rounding where two classes meet


def test_a_net_of_uint8_pixels_needs_no_normalisation(edgeseg: Any, tmp_path: Path) -> None:
    path = write_net(tmp_path / "net.onnx", layout="NHWC", dtype=TensorProto.UINT8)
    done = edgeseg("build-engine", path, "--backend", "openvino")
    assert done.returncode == 0, done.stderr
    frame_bgr = picture()
    with Session(tmp_path / "net.engine") as session:
        assert session.engine.host_input(0).dtype == np.uint8
        mask = session.segment(frame_bgr)
    assert (mask == uncut_mask(path, frame_bgr, scale=1.0)).mean() >= 0.999


@pytest.mark.parametrize("flags", [(), ("--keep-tail",), ("--fold-normalisation",)], ids=["cut", "kept", "folded"])
def test_tensorrt_rtx_builds_every_form(edgeseg: Any, tmp_path: Path, flags: tuple[str, ...]) -> None:
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    path = write_net(tmp_path / "net.onnx", layout="NHWC")
    done = edgeseg("build-engine", path, "--backend", "tensorrt-rtx", *flags)
    assert done.returncode == 0, done.stderr


def test_what_was_assumed_and_what_was_cut_is_said(edgeseg: Any, tmp_path: Path) -> None:
    done = edgeseg("build-engine", write_net(tmp_path / "net.onnx"), "--backend", "openvino")
    assert "has no sidecar: frames are taken as RGB, mean 0.485,0.456,0.406" in done.stdout
    assert "instead of the engine: Resize linear half_pixel 12x16 -> 48x64, Softmax, ArgMax" in done.stdout


def test_one_of_several_outputs_is_chosen_by_name(edgeseg: Any, tmp_path: Path) -> None:
    path = write_net(tmp_path / "net.onnx", more_outputs=True)
    done = edgeseg("build-engine", path, "--backend", "openvino")
    assert done.returncode == FAILURE
    assert "the graph has 2 outputs: choose one with --output NAME: " in done.stderr
    assert "no output 'idz'" in edgeseg("build-engine", path, "--output", "idz").stderr
    assert edgeseg("build-engine", path, "--backend", "openvino", "--output", "ids").returncode == 0


def test_options_that_a_sidecar_answers_are_refused_beside_one(edgeseg: Any, chain: Any) -> None:
    done = edgeseg("build-engine", chain.onnx, "-o", "x.engine", *NORMALISED)
    assert done.returncode == USAGE
    assert "net.json says already" in done.stderr


def test_more_classes_than_labels_are_refused(edgeseg: Any, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text('{"classes": [{"name": "road", "colour": [1, 2, 3]}]}')
    done = edgeseg("build-engine", write_net(tmp_path / "net.onnx"), "--labels", labels)
    assert done.returncode == FAILURE
    assert "labels.json names 1 classes, the net gives 5" in done.stderr
    assert not (tmp_path / "net.engine").exists()


def test_a_sidecar_of_finished_ids_may_not_name_more_classes_than_the_net_gives(edgeseg: Any, tmp_path: Path) -> None:
    forward = "    def forward(self, x):\n        return super().forward(x).argmax(1)\n"
    (tmp_path / "ids.py").write_text(f"from torch import nn\nclass Ids(nn.Conv2d):\n{forward}")
    arguments = ("--arg", "in_channels=3", "--arg", "out_channels=4", "--arg", "kernel_size=1")
    assert edgeseg("export", "ids.py:Ids", "-o", "ids.onnx", "--input-size", "8x8", *arguments).returncode == 0
    sidecar = json.loads((tmp_path / "ids.json").read_text())
    sidecar["labels"]["classes"].append({"name": "one more", "colour": [1, 2, 3]})
    (tmp_path / "ids.json").write_text(json.dumps(sidecar))
    done = edgeseg("build-engine", "ids.onnx", "--backend", "openvino")
    assert done.returncode == FAILURE
    assert "ids.json names 5 classes, the net gives 4: name every class of the net" in done.stderr


def test_weights_that_are_missing_beside_the_graph_are_named(edgeseg: Any, tmp_path: Path) -> None:
    model = onnx.load(write_net(tmp_path / "net.onnx"))
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    assert edgeseg("build-engine", "net.onnx", "--backend", "openvino").returncode == 0
    (tmp_path / "net.bin").unlink()
    done = edgeseg("build-engine", "net.onnx", "--backend", "openvino")
    assert done.returncode == FAILURE
    assert "keeps its weights in net.bin, which is missing: copy the two files together" in done.stderr
