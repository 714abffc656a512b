"""What the TensorRT engine refuses before and while it loads a plan; tests/gpu has what it computes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.builder.backends.base import Built
from edgeseg.builder.backends.tensorrt import TensorRTBackend
from edgeseg.errors import EngineError, MissingPackageError
from edgeseg.files import sha256_of, sha256_of_file
from edgeseg.runtime.engines.tensorrt import TensorRTEngine
from edgeseg.runtime.engines.trt_context import make_context, reason_against_capture
from edgeseg.runtime.engines.trt_plan import deserialise, make_runtime
from edgeseg.spec import ClassSpec, EngineSpec, HeadSpec, InputSpec, IOTensor, LabelSpec, ModelSpec, PrecisionSpec
from edgeseg.trt_api import driver_state, load_api

pytest.importorskip("tensorrt_rtx", exc_type=ImportError)

DRIVER = driver_state()
CLASSES, SIZE_HW = 4, (32, 64)

without_driver = pytest.mark.skipif(DRIVER.is_working, reason="is about machines without a CUDA driver")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One 3x3 convolution from the image to the logits, float32."""
    kernel = np.random.default_rng(0).normal(size=(CLASSES, 3, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["image", "kernel"], ["logits"], pads=[1, 1, 1, 1])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, *SIZE_HW))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, CLASSES, *SIZE_HW))
    graph = helper.make_graph([node], "net", [image], [logits], [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def built(net: Path) -> Built:
    return TensorRTBackend("tensorrt-rtx").build(net, precision="fp32", progress=lambda fraction, step: None)


@pytest.fixture(scope="module")
def spec(net: Path, built: Built) -> EngineSpec:
    model = ModelSpec(
        onnx_sha256=sha256_of_file(net),
        input=InputSpec(name="image", size_hw=SIZE_HW, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        head=HeadSpec(output="logits", channels=CLASSES, size_hw=SIZE_HW, decision="argmax"),
        labels=LabelSpec(classes=tuple(ClassSpec(name=str(index), colour=(index, 0, 0)) for index in range(CLASSES))),
    )
    return EngineSpec(
        model=model,
        backend="tensorrt-rtx",
        backend_version=load_api("tensorrt-rtx").version,
        device=built.device,
        compute_capability=built.compute_capability,
        precision=PrecisionSpec(kind="fp32", high_precision="fp32"),
        options=built.options,
        io=(
            IOTensor(name="image", mode="input", shape=model.input.shape),
            IOTensor(name="logits", mode="output", shape=model.head.shape),
        ),
        plan_sha256=sha256_of(built.plan),
        plan_bytes=len(built.plan),
    )


def changed(spec: EngineSpec, **fields: Any) -> EngineSpec:
    return msgspec.structs.replace(spec, **fields)


def test_an_engine_of_another_version_is_refused_with_both_versions(spec: EngineSpec, built: Built) -> None:
    message = r"built by tensorrt-rtx 1\.4\.0, installed is .*edgeseg build-engine NET.onnx --backend tensorrt-rtx"
    with pytest.raises(EngineError, match=message):
        TensorRTEngine(changed(spec, backend_version="1.4.0"), built.plan)


@without_driver
def test_without_a_driver_the_engine_is_refused_before_tensorrt_sees_it(spec: EngineSpec, built: Built) -> None:
    with pytest.raises(EngineError, match=r"needs an NVIDIA GPU, and the CUDA driver cannot be loaded .*openvino"):
        TensorRTEngine(spec, built.plan)


def test_an_engine_of_another_back_end_is_refused(spec: EngineSpec, built: Built) -> None:
    with pytest.raises(EngineError, match="openvino engine was given to TensorRT"):
        TensorRTEngine(changed(spec, backend="openvino"), built.plan)


def test_an_engine_without_slots_is_refused(spec: EngineSpec, built: Built) -> None:
    with pytest.raises(EngineError, match="0 slots: give at least 1"):
        TensorRTEngine(spec, built.plan, slots=0)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_a_missing_tensorrt_names_the_extra_that_brings_it(spec: EngineSpec, built: Built) -> None:
    with pytest.raises(MissingPackageError, match=r"pip install 'edgeseg\[tensorrt\]'"):
        TensorRTEngine(changed(spec, backend="tensorrt"), built.plan)


def test_bytes_that_are_no_plan_are_refused_by_what_rtx_says_of_them(spec: EngineSpec) -> None:
    api = load_api("tensorrt-rtx")
    with pytest.raises(EngineError, match=r"calls the engine invalid here .*MALFORMED_ENGINE"):
        deserialise(api, make_runtime(api, spec), b"0" * 1000, spec)


@without_driver
def test_what_tensorrt_cannot_load_is_refused_with_its_last_words(spec: EngineSpec, built: Built) -> None:
    api = load_api("tensorrt-rtx")
    api.log.clear()
    with pytest.raises(EngineError, match="CUDA driver version is insufficient"):
        deserialise(api, make_runtime(api, spec), built.plan, spec)


class EngineOfRtx:
    """Has TensorRT-RTX's way to a context; takes a strategy, or keeps its own as bindings do that return False."""

    streamable_weights_size = 0

    def __init__(self, *, is_willing: bool = True) -> None:
        disabled = load_api("tensorrt-rtx").module.CudaGraphStrategy.DISABLED
        kind = SimpleNamespace if is_willing else type("Refusing", (), {"__setattr__": lambda *_: None})
        self.config = kind()
        self.config.__dict__["cuda_graph_strategy"] = disabled
        self.given: list[Any] = []

    def create_runtime_config(self) -> Any:
        return self.config

    def create_execution_context(self, *words: Any) -> str:
        self.given.append(words)
        return "context"


def test_rtx_captures_by_itself_where_that_is_asked_for() -> None:
    api, engine = load_api("tensorrt-rtx"), EngineOfRtx()
    assert make_context(api, engine, has_own_graphs=True) == "context"
    assert engine.given == [(engine.config,)]
    assert engine.config.cuda_graph_strategy == api.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    assert reason_against_capture(api, engine, has_own_graphs=True) == "TensorRT-RTX captures by itself"


def test_rtx_is_left_alone_where_its_graphs_are_not_asked_for() -> None:
    api, engine = load_api("tensorrt-rtx"), EngineOfRtx()
    make_context(api, engine, has_own_graphs=False)
    assert engine.given == [()]
    assert reason_against_capture(api, engine, has_own_graphs=False) == ""


def test_a_strategy_that_rtx_does_not_take_is_an_error() -> None:
    with pytest.raises(EngineError, match=r"tensorrt-rtx .* refuses CUDA graphs .*: turn them off"):
        make_context(load_api("tensorrt-rtx"), EngineOfRtx(is_willing=False), has_own_graphs=True)
