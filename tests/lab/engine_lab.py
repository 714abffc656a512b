"""Own one small net, and plans of it that a stand-in device built, for tests of engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from device_lab import Device, make_device
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgeseg.builder.backends.tensorrt import TensorRTBackend
from edgeseg.builder.backends.tensorrt.options import TensorRTOptions
from edgeseg.builder.plans import engine_spec
from edgeseg.sidecars import write_with_sidecar
from edgeseg.spec import ClassSpec, HeadSpec, InputSpec, LabelSpec, ModelSpec, PrecisionSpec, ProfileSpec

__all__ = ["BUILT_IN", "MODEL", "SIZE_HW", "Build", "build", "builder_device", "expected_of", "net"]

CLASSES, SIZE_HW = 4, (32, 64)
BUILT_IN = "10.13.3.9"

MODEL = ModelSpec(
    onnx_sha256="0" * 64,
    input=InputSpec(name="image", size_hw=SIZE_HW, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    head=HeadSpec(output="logits", channels=CLASSES, size_hw=SIZE_HW, decision="argmax"),
    labels=LabelSpec(classes=tuple(ClassSpec(name=str(index), colour=(index, 0, 0)) for index in range(CLASSES))),
)
PRECISION = PrecisionSpec(kind="fp32", high_precision="fp32")
Build = Callable[..., Path]


def net(size: tuple[int | str, int | str] = SIZE_HW, *, seed: int = 0, is_half: bool = False) -> onnx.ModelProto:
    """One 3x3 convolution from the image to the logits; these leave in float16, if ``is_half``."""
    kernel = np.random.default_rng(seed).normal(size=(CLASSES, 3, 3, 3)).astype(np.float32)
    scores = "scores" if is_half else "logits"
    nodes = [helper.make_node("Conv", ["image", "kernel"], [scores], name="head", pads=[1, 1, 1, 1])]
    if is_half:
        nodes.append(helper.make_node("Cast", ["scores"], ["logits"], name="narrow", to=TensorProto.FLOAT16))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, *size))
    kind = TensorProto.FLOAT16 if is_half else TensorProto.FLOAT
    logits = helper.make_tensor_value_info("logits", kind, (1, CLASSES, *size))
    graph = helper.make_graph(nodes, "net", [image], [logits], [numpy_helper.from_array(kernel, "kernel")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


@pytest.fixture(scope="session")
def builder_device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    """The machine that builds; tests open elsewhere as well."""
    return make_device(tmp_path_factory.mktemp("builder"))


@pytest.fixture(scope="session")
def build(builder_device: Device, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """``build(profiles=..., is_half=..., **options)`` -> an engine file with its sidecar; made once of each."""
    folder = tmp_path_factory.mktemp("plans")
    known: dict[str, Path] = {}

    def build(*, profiles: tuple[ProfileSpec, ...] = (), is_half: bool = False, **options: Any) -> Path:
        words = repr((profiles, is_half, options))
        if words not in known:
            path = folder / f"{len(known)}.engine"
            onnx_path, size = folder / "net.onnx", ("height", "width") if profiles else SIZE_HW
            onnx_path.write_bytes(net(size, is_half=is_half).SerializeToString())
            with builder_device.inside(version=BUILT_IN), pytest.MonkeyPatch.context() as patch:
                for name in ("PYTHONPATH", "LD_LIBRARY_PATH"):  # the plan is built in a child of this process
                    patch.setenv(name, builder_device.environment()[name])
                backend = TensorRTBackend("tensorrt", TensorRTOptions(**options))
                built = backend.build(onnx_path, precision="fp32", profiles=profiles, progress=lambda done, step: None)
                head = msgspec.structs.replace(MODEL.head, scores_dtype="float16" if is_half else "float32")
                model = msgspec.structs.replace(MODEL, head=head)
                spec = engine_spec(model, backend, built, PRECISION, profiles=profiles)
            write_with_sidecar(path, built.plan, spec, weights=built.weights)
            known[words] = path
        return known[words]

    return build


def expected_of(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """The net's logits, by ONNX's own reference."""
    return np.asarray(ReferenceEvaluator(net()).run(None, {"image": frame})[0])
