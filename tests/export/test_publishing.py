from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeseg.errors import OutputError
from edgeseg.files import sha256_of_file
from edgeseg.graph.publishing import publish, staged


def test_large_weights_go_to_a_file_of_their_own(export: Any, tmp_path: Path) -> None:
    onnx, torch = pytest.importorskip("onnx"), pytest.importorskip("torch")
    from edgeseg.graph.reading import read_graph
    from edgeseg.sidecars import read_model_spec

    net = torch.nn.Conv2d(3, 5, 9).eval()
    result = export(net, inside_bytes=1000)
    path, weights = tmp_path / "net.onnx", tmp_path / "net.onnx.data"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["net.json", "net.onnx", "net.onnx.data"]
    assert result.spec.weights_sha256 == sha256_of_file(weights)
    assert result.onnx_bytes == path.stat().st_size + weights.stat().st_size
    assert result.parity.relative_error < 1e-5
    (weight,) = (one for one in onnx.load(path, load_external_data=False).graph.initializer if one.name == "weight")
    assert {one.key: one.value for one in weight.external_data}["location"] == "net.onnx.data"
    graph = read_graph(path)
    assert read_model_spec(path, sha256=graph.sha256, weights_sha256=graph.weights_sha256) == result.spec


def test_weights_up_to_the_limit_stay_inside(export: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    export(torch.nn.Conv2d(3, 5, 1).eval(), inside_bytes=80)  # 15 weights and 5 biases
    assert sorted(one.name for one in tmp_path.iterdir()) == ["net.json", "net.onnx"]


@pytest.mark.parametrize("taken", ["net.json", "net.onnx.data", "net.onnx"])
def test_all_files_appear_or_none(export: Any, tmp_path: Path, taken: str) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / taken).mkdir()
    with pytest.raises(OutputError, match=rf"{taken} cannot be written \(a folder is there\)"):
        export(torch.nn.Conv2d(3, 5, 9).eval(), inside_bytes=1000)
    assert [one.name for one in tmp_path.iterdir()] == [taken]


def test_a_failed_export_leaves_the_last_one(export: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from edgeseg.errors import ParityError

    class Other(torch.nn.Conv2d):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return super().forward(x) * (2 if torch.compiler.is_exporting() else 1)

    export(torch.nn.Conv2d(3, 5, 1).eval())
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    with pytest.raises(ParityError):
        export(Other(3, 5, 1).eval())
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), staged(tmp_path / "file" / "net.onnx"):
        pass


def test_a_missing_folder_is_made_and_the_staged_one_is_gone(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "net.onnx"
    with staged(target) as folder:
        (folder / "net.onnx").write_bytes(b"new")
        (folder / "left.over").write_bytes(b"")
        publish([folder / "net.onnx"], target.parent)
    assert target.read_bytes() == b"new"
    assert [one.name for one in target.parent.iterdir()] == ["net.onnx"]
