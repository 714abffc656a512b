from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ir = pytest.importorskip("onnx_ir")
nn, F = torch.nn, torch.nn.functional

from edgeseg.errors import ModelError  # noqa: E402
from edgeseg.export.opset import check_opset, lower_to_17  # noqa: E402

ROUNDING = 1e-4  # forty operators that are added up in another order


class Everything(nn.Module):  # type: ignore[misc, name-defined]
    """The operators that changed between 17 and 23 and that nets use."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 5, 1)
        self.group, self.layer = nn.GroupNorm(2, 8), nn.LayerNorm(8)

    def forward(self, x: Any) -> Any:
        x = F.gelu(self.group(self.stem(F.pad(x, (1, 1, 2, 2), mode="reflect"))))
        a, b, c = x.chunk(3, 1)
        x = torch.cat([b, c, a], 1)
        a, b = x.split([4, 4], 1)
        x = torch.cat([b, a], 1)
        x = x - x.mean((2, 3), keepdim=True) + x.amax(1, keepdim=True) - x.amin(1, keepdim=True)
        x = x + x.sum((2, 3), keepdim=True) / 100 + x.norm(dim=1, keepdim=True)
        x = self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = F.pad(x, (1, 2, 3, 4), value=0.5) + torch.logsumexp(F.pad(x, (1, 2, 3, 4)), 1, keepdim=True)
        x = x.clone()
        x[:, 0:2] = x[:, 0:2] * 2
        x = F.mish(x) + F.hardswish(x)
        smooth = F.interpolate(x, scale_factor=2.0, mode="bilinear")
        x = F.interpolate(
            smooth + F.interpolate(x, scale_factor=2.0), size=(40, 50), mode="bilinear", align_corners=True
        )
        x = F.adaptive_avg_pool2d(x, (16, 32))
        grid = F.affine_grid(torch.eye(2, 3)[None] * 0.9, [1, 8, 16, 32], align_corners=False)
        x = F.grid_sample(x, grid, align_corners=False)
        return self.head(F.scaled_dot_product_attention(x, x, x) + x)


class Ending(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, end: Any) -> None:
        super().__init__()
        self.conv, self.end = nn.Conv2d(3, 4, 1), end

    def forward(self, x: Any) -> Any:
        return self.end(self.conv(x))


@pytest.mark.parametrize("opset", range(17, 24))
def test_every_opset_is_the_one_that_was_asked_and_computes_the_same(export: Any, tmp_path: Path, opset: int) -> None:
    torch.manual_seed(0)
    result = export(Everything().eval(), opset=opset)
    assert result.parity.relative_error < ROUNDING
    assert result.parity.mask_agreement > 0.999
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", opset)]


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (
            lambda y: F.fold(F.unfold(y, 2, stride=2), (16, 32), 2, stride=2),
            "Col2Im 'node_col2im' in Ending (Col2Im is new or another there)",
        ),
        (
            lambda y: F.interpolate(y, scale_factor=0.5, mode="bilinear", antialias=True),
            "Resize 'node__upsample_bilinear2d_aa' in Ending (antialias 1)",
        ),
        (
            lambda y: torch.scatter_reduce(y, 1, torch.zeros_like(y).long(), y, "amax"),
            "ScatterElements 'node_scatter_reduce' in Ending (reduction max)",
        ),
    ],
)
def test_what_opset_17_has_no_word_for_is_refused_with_its_node(refused: Any, export: Any, end: Any, told: str) -> None:
    net = Ending(end).eval()
    assert refused(net, opset=17) == f"opset 17 has no {told}: export with --opset 18"
    assert export(net, opset=18).parity.relative_error < 1e-5


def graph(node: str, weights: dict[str, Any], out: str = "float[1,4,8,8]") -> Any:
    """A model of opset 18 of one node from x to y."""
    text = f'<ir_version: 8, opset_import: ["" : 18]> g (float[1,4,8,8] x) => ({out} y) {{ {node} }}'
    model = ir.from_onnx_text(text)
    for name, array in weights.items():
        (old,) = (value for value in model.graph[0].inputs if value is not None and value.name == name)
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        old.replace_all_uses_with(value)
        model.graph.register_initializer(value)
    return model


def outcome(model: Any) -> Any:
    import onnxruntime

    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).standard_normal((1, 4, 8, 8), np.float32)
    return session.run(None, {"x": image})[0]


INT64 = np.int64


@pytest.mark.parametrize(
    ("node", "weights", "out"),
    [
        ("y = Pad(x, p, , a)", {"p": INT64([1, 2, 3, 0]), "a": INT64([3, 2])}, "float[1,4,10,12]"),
        ("y = Pad(x, p, , a)", {"p": INT64([1, 2]), "a": INT64([-1])}, "float[1,4,8,11]"),
        ("y = Pad(x, p)", {"p": INT64([0, 0, 1, 2, 0, 0, 3, 4])}, "float[1,4,12,14]"),
        ("y = ReduceMean(x, a)", {"a": INT64([2, -1])}, "float[1,4,1,1]"),
        ("y = ReduceMax<keepdims = 0>(x, a)", {"a": INT64([1])}, "float[1,8,8]"),
        ("y = ReduceL2(x)", {}, "float[1,1,1,1]"),
        ("y, z = Split<num_outputs = 2, axis = 1>(x)", {}, "float[1,2,8,8]"),
        ("y, z = Split<axis = 1>(x, s)", {"s": INT64([3, 1])}, "float[1,3,8,8]"),
        ("y = Mish(x)", {}, "float[1,4,8,8]"),
        (
            'y = Resize<mode = "linear", antialias = 0, keep_aspect_ratio_policy = "stretch">(x, , s)',
            {"s": np.float32([1, 1, 2, 2])},
            "float[1,4,16,16]",
        ),
    ],
)
def test_a_node_of_opset_17_computes_what_it_did_in_18(node: str, weights: dict[str, Any], out: str) -> None:
    model = graph(node, weights, out)
    before = outcome(model)
    lower_to_17(model)
    check_opset(model, 17)
    np.testing.assert_array_equal(outcome(model), before)


@pytest.mark.parametrize(
    ("node", "weights", "told"),
    [
        ("y, z, w = Split<num_outputs = 3, axis = 1>(x)", {}, "parts that are not equal"),
        ("y = ReduceMean<noop_with_empty_axes = 1>(x)", {}, "noop_with_empty_axes 1"),
        ("y = Resize<axes = [2, 3]>(x, , s)", {"s": np.float32([2, 2])}, "axes "),
        ("y = ReduceMean(x, x)", {}, "axes that the graph computes"),
        ("y = Pad(x, x, , x)", {}, "axes or pads that the graph computes"),
    ],
)
def test_a_node_that_opset_17_cannot_say_is_refused(node: str, weights: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=f"opset 17 has no .*{told}.*: export with --opset 18"):
        lower_to_17(graph(node, weights))


def test_another_opset_than_asked_is_refused() -> None:
    with pytest.raises(ModelError, match="torch's exporter made opset 18 where 19 was asked: choose another --opset"):
        check_opset(graph("y = Relu(x)", {}), 19)


def test_operators_of_other_sets_are_refused_by_name() -> None:
    model = graph("y = Relu(x)", {})
    model.graph[0].domain = "com.example"
    with pytest.raises(ModelError, match=r"is of the operator set 'com\.example', which back ends do not know"):
        check_opset(model, 18)
