"""What is refused before anything expensive of a build is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("tensorrt_rtx", exc_type=ImportError)

from edgeseg.builder.backends.tensorrt import TensorRTOptions
from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.source import SourceOptions
from edgeseg.errors import OptionsError
from edgeseg.graph.preparing import PrepareOptions


@pytest.fixture
def channels_last(tmp_path: Path) -> Path:
    """Four classes of an image whose channels come last, in and out."""
    kernel = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["image"], ["first"], name="first", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "kernel"], ["scores"], name="conv"),
        helper.make_node("Transpose", ["scores"], ["logits"], name="last", perm=[0, 2, 3, 1]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 8, 12, 3))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 8, 12, 4))
    graph = helper.make_graph(nodes, "net", [image], [logits], [numpy_helper.from_array(kernel, "kernel")])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10), path)
    return path


@pytest.mark.parametrize("tensor", ["input", "output"])
def test_a_format_with_channels_last_is_refused_where_the_net_has_them_last_itself(
    tensor: str, channels_last: Path, tmp_path: Path
) -> None:
    options = BuildOptions(
        backend="tensorrt-rtx",
        source=SourceOptions(prepare=PrepareOptions(keep_tail=True)),  # which the second Transpose is a part of
        tensorrt=TensorRTOptions(**{f"{tensor}_format": "hwc"}),  # type: ignore[arg-type]
    )
    with pytest.raises(OptionsError, match=f"{tensor} has its channels last already.*leave --{tensor}-format out"):
        build_engine(channels_last, tmp_path / "net.engine", options)
