from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.files import sha256_of
from edgeseg.report.benchmark import run_benchmark
from edgeseg.report.frames import FrameSet
from edgeseg.report.record import Report, Settings
from edgeseg.runtime.engines.openvino import cpu_properties
from edgeseg.sidecars import write_with_sidecar
from edgeseg.spec import ClassSpec, EngineSpec, HeadSpec, InputSpec, IOTensor, LabelSpec, ModelSpec, PrecisionSpec

MakeEngine = Callable[[Path, int], Path]
SIZE_HW = (32, 64)
CLASSES = 4


def tiny_net(width: int) -> bytes:
    """Two convolutions, 3 -> width -> 4 channels, logits at half the input's size, random weights."""
    random = np.random.default_rng(width)
    weights = {
        "first": random.normal(size=(width, 3, 3, 3)).astype(np.float32),
        "second": random.normal(size=(CLASSES, width, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["hidden"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Conv", ["active", "second"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *SIZE_HW])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES, SIZE_HW[0] // 2, SIZE_HW[1] // 2])
    tensors = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "tiny", [image], [logits], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def compiled(onnx_bytes: bytes) -> bytes:
    core = openvino.Core()
    return bytes(
        core.compile_model(core.read_model(onnx_bytes), "CPU", cpu_properties("f32")).export_model().getvalue()
    )


def engine_spec(onnx_bytes: bytes, plan: bytes) -> EngineSpec:
    input_spec = InputSpec(name="image", size_hw=SIZE_HW, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    logits_hw = (SIZE_HW[0] // 2, SIZE_HW[1] // 2)
    head = HeadSpec(output="logits", channels=CLASSES, size_hw=logits_hw, decision="argmax")
    classes = tuple(ClassSpec(name=f"class {index}", colour=(index, 0, 0)) for index in range(CLASSES))
    return EngineSpec(
        model=ModelSpec(
            onnx_sha256=sha256_of(onnx_bytes), input=input_spec, head=head, labels=LabelSpec(classes=classes)
        ),
        backend="openvino",
        backend_version=openvino.get_version(),
        device="CPU",
        precision=PrecisionSpec(kind="fp32", high_precision="fp32"),
        io=(
            IOTensor(name="image", mode="input", shape=input_spec.shape),
            IOTensor(name="logits", mode="output", shape=head.shape),
        ),
        plan_sha256=sha256_of(plan),
        plan_bytes=len(plan),
    )


@pytest.fixture(scope="session")
def make_engine() -> MakeEngine:
    """Writes a real OpenVINO engine of a tiny net with its sidecar."""

    def make(path: Path, width: int) -> Path:
        onnx_bytes = tiny_net(width)
        plan = compiled(onnx_bytes)
        write_with_sidecar(path, plan, engine_spec(onnx_bytes, plan))
        return path

    return make


@pytest.fixture(scope="session")
def engines(make_engine: MakeEngine, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two engines of different nets; the first does more work."""
    folder = tmp_path_factory.mktemp("engines")
    return [make_engine(folder / "wide.engine", 64), make_engine(folder / "narrow.engine", 8)]


@pytest.fixture(scope="session")
def frames() -> FrameSet:
    """Two frames, 60 x 90 pixels (H x W)."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), dtype=np.uint8)
    return FrameSet(name="two random frames", frames=tuple(pixels))


@pytest.fixture(scope="session")
def report(engines: list[Path], frames: FrameSet) -> Report:
    """Two engines in both scopes, 3 rounds of 4 iterations or more."""
    settings = Settings(warm_up_ms=1, duration_s=0.03, iterations=12, rounds=3)
    return run_benchmark(engines, frames, settings)
