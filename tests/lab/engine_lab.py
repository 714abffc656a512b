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


def net(
    size: tuple[int | str, int | str] = SIZE_HW,
    *,
    batch: int | str = 1,
    seed: int = 0,
    is_half: bool = False,
    found: str = "",
) -> onnx.ModelProto:
    """One 3x3 convolution from the image to the logits.

    Args:
        size: names where a profile says how much; so ``batch``.
        seed: of the weights.
        is_half: whether the logits leave in float16.
        found: ``beside`` the logits where they are above 0, or in the ``logits``: an output of any length.
    """
    kernel = np.random.default_rng(seed).normal(size=(CLASSES, 3, 3, 3)).astype(np.float32)
    scores = "scores" if is_half else "logits"
    nodes = [helper.make_node("Conv", ["image", "kernel"], [scores], name="head", pads=[1, 1, 1, 1])]
    if is_half:
        nodes.append(helper.make_node("Cast", ["scores"], ["logits"], name="narrow", to=TensorProto.FLOAT16))
    weights, outputs = [numpy_helper.from_array(kernel, "kernel")], []
    if found:
        nodes.append(helper.make_node("NonZero", ["logits"], ["where"], name="find"))
        outputs = [helper.make_tensor_value_info("where", TensorProto.INT64, (4, "found"))]
    if found == "logits":
        weights.append(numpy_helper.from_array(np.array((1, CLASSES, SIZE_HW[0], -1)), "shape"))
        nodes[0].output[0] = nodes[1].input[0] = "scores"
        nodes.append(helper.make_node("Cast", ["where"], ["places"], name="widen", to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Reshape", ["places", "shape"], ["logits"], name="lay"))
        outputs = []
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (batch, 3, *size))
    kind = TensorProto.FLOAT16 if is_half else TensorProto.FLOAT
    logits = helper.make_tensor_value_info("logits", kind, (batch, CLASSES, *size))
    graph = helper.make_graph(nodes, "net", [image], [logits, *outputs], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


def sides_of(profiles: tuple[ProfileSpec, ...]) -> list[int | str]:
    """Batch, height and width: names of those that are not one number in all profiles."""
    shapes = [shape for one in profiles for shape in (one.minimum, one.maximum)] or [(1, *SIZE_HW)]
    sides = zip(("batch", "height", "width"), zip(*shapes, strict=True), strict=True)
    return [name if len(set(found)) > 1 else found[0] for name, found in sides]


@pytest.fixture(scope="session")
def builder_device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    """The machine that builds; tests open elsewhere as well."""
    return make_device(tmp_path_factory.mktemp("builder"))


@pytest.fixture(scope="session")
def build(builder_device: Device, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """``build(profiles=..., is_half=..., found=..., **options)`` -> an engine file, made once of each."""
    folder = tmp_path_factory.mktemp("plans")
    known: dict[str, Path] = {}

    def build(
        *, profiles: tuple[ProfileSpec, ...] = (), is_half: bool = False, found: str = "", **options: Any
    ) -> Path:
        words = repr((profiles, is_half, found, options))
        if words not in known:
            path = folder / f"{len(known)}.engine"
            onnx_path, (batch, *size) = folder / "net.onnx", sides_of(profiles)
            graph = net((size[0], size[1]), batch=batch, is_half=is_half, found=found)
            onnx_path.write_bytes(graph.SerializeToString())
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
