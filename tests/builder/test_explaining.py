"""What a user reads where a back end refuses a graph: the node, its place in the net, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.errors import BuildError

torch = pytest.importorskip("torch")
pytest.importorskip("tensorrt_rtx", exc_type=ImportError)


def exported(module: Any, path: Path, *, opset: int = 19) -> Path:
    program = torch.onnx.export(
        module.eval(), (torch.rand(1, 3, 32, 32),), dynamo=True, opset_version=opset, verbose=False
    )
    program.save(path)
    return path


class Pooled(torch.nn.Module):
    """A dilated pooling two levels down."""

    def __init__(self) -> None:
        super().__init__()
        pool = torch.nn.MaxPool2d(3, stride=1, padding=1, dilation=2)
        self.body = torch.nn.ModuleDict({"stem": torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), pool)})

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body["stem"](image)


def test_a_refused_node_is_named_with_its_place_in_the_net_and_the_way_out(tmp_path: Path) -> None:
    onnx = exported(Pooled(), tmp_path / "net.onnx")
    with pytest.raises(BuildError) as caught:
        build_engine(onnx, tmp_path / "net.engine", BuildOptions(backend="tensorrt-rtx", precision="fp32"))
    text = str(caught.value)
    assert text.startswith("tensorrt-rtx ")
    assert "MaxPool 'node_max_pool2d' in body.stem.1 (MaxPool2d), given 1x4x30x30: " in text
    assert text.endswith("use dilation=1, or take --backend openvino")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx"]


def test_the_cpu_takes_what_tensorrt_refuses(tmp_path: Path) -> None:
    onnx = exported(Pooled(), tmp_path / "net.onnx")
    build_engine(onnx, tmp_path / "net.engine", BuildOptions(backend="openvino", precision="fp32"))
    assert (tmp_path / "net.engine").exists()
