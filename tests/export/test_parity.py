from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.errors import ParityError
from edgeseg.export.parity import Case, Parity, ParityEntry, check_parity, difference
from edgeseg.spec import HeadSpec

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

IMAGE = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
SCORES = HeadSpec(output="y", channels=3, size_hw=(8, 8), decision="argmax")
IDS = HeadSpec(output="y", channels=1, size_hw=(8, 8), decision="ids")


def save(path: Path, nodes: str, out: str = "float[N,3,8,8]") -> Path:
    text = f'<ir_version: 8, opset_import: ["" : 18]> g (float[N,3,8,8] x) => ({out} y) {{ {nodes} }}'
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def check(path: Path, expected: Any, head: HeadSpec = SCORES) -> Parity:
    return check_parity(path, [Case("noise", IMAGE, expected, head)], blame=lambda case: f"blamed on {case.name}")


def test_equal_scores_agree_in_every_image_of_a_batch(tmp_path: Path) -> None:
    parity = check(save(tmp_path / "net.onnx", "y = Neg(x)"), -IMAGE)
    assert parity.entries == (ParityEntry(name="noise", relative_error=0.0, mask_agreement=1.0),)


def test_the_worst_image_of_a_batch_counts(tmp_path: Path) -> None:
    expected = -IMAGE
    expected[1] = expected[1, ::-1]
    with pytest.raises(ParityError, match=r"ONNX differs from PyTorch on noise: .*: blamed on noise"):
        check(save(tmp_path / "net.onnx", "y = Neg(x)"), expected)


@pytest.mark.parametrize("wrong", [IMAGE + np.float32(1e-2), np.full_like(IMAGE, np.nan), IMAGE * np.float32(0.9)])
def test_scores_that_differ_are_refused_though_the_masks_agree(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(
        ParityError, match=r"scores by up to (nan|\d\.\de.\d\d) of the largest, \d+\.\d{3}% of the mask"
    ):
        check(save(tmp_path / "net.onnx", "y = Identity(x)"), wrong)


def test_scores_that_rounding_moves_as_far_in_pytorch_are_taken_and_said(tmp_path: Path) -> None:
    exact = IMAGE.astype(np.float64)
    moved, other = IMAGE.copy(), IMAGE.copy()
    moved[:, :, 0], other[:, :, 1] = moved[:, :, 0] * 1.01, other[:, :, 1] * 1.01
    path = save(tmp_path / "net.onnx", "y = Identity(x)")
    case = Case("noise", moved, other, SCORES)
    (entry,) = check_parity(path, [case], blame=lambda case: "blamed", exact=lambda case: exact).entries
    assert entry.is_sensitive
    assert entry.relative_error is not None
    assert entry.relative_error > 1e-3


@pytest.mark.parametrize("exact", [None, "as PyTorch"])
def test_scores_that_rounding_does_not_explain_are_refused(tmp_path: Path, exact: str | None) -> None:
    expected = IMAGE.copy()
    expected[:, :, 0] *= 1.01
    path = save(tmp_path / "net.onnx", "y = Identity(x)")
    case = Case("noise", IMAGE, expected, SCORES)
    with pytest.raises(ParityError, match="ONNX differs from PyTorch on noise: scores"):
        check_parity(path, [case], blame=lambda case: "", exact=lambda case: None if exact is None else expected)


def test_layouts_are_compared_as_masks_too(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", "y = Transpose<perm = [0, 2, 3, 1]>(x)", "float[N,8,8,3]")
    head = HeadSpec(output="y", channels=3, size_hw=(8, 8), decision="argmax", layout="NHWC")
    assert check(path, IMAGE.transpose(0, 2, 3, 1), head).mask_agreement == 1.0


def test_finished_ids_are_compared_by_agreement_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", "y = ArgMax<axis = 1, keepdims = 0>(x)", "int64[N,8,8]")
    ids = IMAGE.argmax(1)
    assert check(path, ids, IDS).relative_error is None
    ids[0, 0, 0] += 1
    with pytest.raises(ParityError, match=r"ONNX differs from PyTorch on noise: 99\.219% of the mask agree"):
        check(path, ids, IDS)


def test_another_shape_is_refused_with_both(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", "y = Identity(x)")
    with pytest.raises(ParityError, match=r"on noise ONNX gives \(2, 3, 8, 8\), PyTorch \(2, 3, 4, 4\)"):
        check(path, IMAGE[:, :, ::2, ::2])


def test_a_graph_that_does_not_run_names_its_node(tmp_path: Path) -> None:
    nodes = "s = Constant<value_ints = [7, 7]>() [node] y = Reshape(x, s)".replace(" [node]", "")
    path = save(tmp_path / "net.onnx", nodes, "float[a,b]")
    model = onnx.load(path)
    model.graph.node[1].name = "node_reshape"
    onnx.save(model, path)
    with pytest.raises(ParityError, match=r"not run on noise where PyTorch does \(ONNX Runtime fails at node 'node_"):
        check(path, IMAGE)


def test_a_graph_that_onnx_runtime_does_not_load_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", "y = Identity(x)")
    model = onnx.load(path)
    model.graph.node[0].op_type = "Sharpen"
    onnx.save(model, path)
    with pytest.raises(ParityError, match=r"ONNX Runtime cannot load the exported graph \(.*: choose another --opset"):
        check(path, IMAGE)


def test_the_worst_entry_stands_for_all() -> None:
    parity = Parity(
        entries=(
            ParityEntry(name="a", relative_error=1e-6, mask_agreement=0.9995),
            ParityEntry(name="b", relative_error=2e-6, mask_agreement=1.0),
        )
    )
    assert (parity.relative_error, parity.mask_agreement) == (2e-6, 0.9995)


def test_a_difference_is_relative_to_the_largest_value() -> None:
    expected = np.array([0.0, 100.0])
    assert difference(expected + 1, expected).largest == pytest.approx(0.01)
    assert difference(expected, expected).is_rounding
    assert not difference(np.array([np.nan, 100.0]), expected).is_rounding
