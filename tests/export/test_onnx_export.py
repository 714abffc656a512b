from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeseg.errors import ModelError
from edgeseg.export.onnx_export import ExportOptions, export_model
from edgeseg.files import sha256_of_file
from edgeseg.imaging.palettes import labels_for
from edgeseg.sidecars import read_model_spec
from edgeseg.spec import FrameOptions

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
nn, F = torch.nn, torch.nn.functional


class Several(nn.Module):  # type: ignore[misc, name-defined]
    """Gives its logits beside an auxiliary output, in the form that ``form`` makes of them."""

    def __init__(self, form: Any) -> None:
        super().__init__()
        self.conv, self.aux, self.form = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 7, 1), form

    def forward(self, image: Any) -> Any:
        return self.form(self.conv(image), self.aux(image))


class Ending(nn.Module):  # type: ignore[misc, name-defined]
    """Five channels, and what ``end`` makes of them."""

    def __init__(self, end: Any) -> None:
        super().__init__()
        self.conv, self.end = nn.Conv2d(3, 5, 1), end

    def forward(self, image: Any) -> Any:
        return self.end(self.conv(image))


Pair = namedtuple("Pair", "out aux")


@pytest.mark.parametrize(
    ("form", "output", "channels"),
    [
        (lambda out, aux: {"out": out, "aux": aux}, "out", 4),
        (lambda out, aux: {"out": out, "aux": aux}, "aux", 7),
        (lambda out, aux: (out, aux), "0", 4),
        (lambda out, aux: [out, aux], "1", 7),
        (Pair, "aux", 7),
        (lambda out, aux: SimpleNamespace(logits=out, loss=None), None, 4),
        (lambda out, aux: {"logits": out}, None, 4),
    ],
)
def test_the_output_is_chosen_by_name_or_index(export: Any, form: Any, output: str | None, channels: int) -> None:
    result = export(Several(form).eval(), output=output)
    assert result.spec.head.channels == channels
    assert len(result.spec.labels.classes) == channels
    assert result.parity.mask_agreement > 0.999


@pytest.mark.parametrize(("output", "told"), [(None, "several outputs"), ("lgits", "no output 'lgits'")])
def test_an_output_that_is_not_clear_is_refused_with_the_choice(refused: Any, output: str | None, told: str) -> None:
    net = Several(lambda out, aux: {"out": out, "aux": aux}).eval()
    assert refused(net, output=output) == f"the net has {told}: choose one with --output: out, aux"


def test_a_net_without_a_tensor_as_output_is_refused(refused: Any) -> None:
    assert refused(Ending(lambda _: "a mask").eval()) == (
        "the net has several outputs: choose one with --output: there is no tensor"
    )


@pytest.mark.parametrize(
    ("end", "decision", "scores", "shape", "classes"),
    [
        (lambda y: y, "argmax", "logits", (1, 5, 16, 32), 5),
        (lambda y: F.interpolate(y, scale_factor=2.0, mode="bilinear"), "argmax", "logits", (1, 5, 32, 64), 5),
        (lambda y: y.softmax(1), "argmax", "probabilities", (1, 5, 16, 32), 5),
        (lambda y: y.permute(0, 2, 3, 1), "argmax", "logits", (1, 16, 32, 5), 5),
        (lambda y: y[:, :1], "threshold", "logits", (1, 1, 16, 32), 2),
        (lambda y: y[:, :1].sigmoid(), "threshold", "probabilities", (1, 1, 16, 32), 2),
        (lambda y: y[:, 0].sigmoid(), "threshold", "probabilities", (1, 1, 16, 32), 2),
        (lambda y: y.argmax(1), "ids", "logits", (1, 1, 16, 32), 5),
        (lambda y: y.argmax(1, keepdim=True), "ids", "logits", (1, 1, 16, 32), 5),
        (lambda y: y.argmax(1).to(torch.uint8), "ids", "logits", (1, 1, 16, 32), 5),
        (lambda y: y[:, :1].sigmoid() > 0.5, "ids", "logits", (1, 1, 16, 32), 2),
        (lambda y: y[:, 0] > y[:, 1], "ids", "logits", (1, 1, 16, 32), 2),
    ],
)
def test_the_head_says_what_the_graphs_own_output_is(
    export: Any, end: Any, decision: str, scores: str, shape: tuple[int, ...], classes: int
) -> None:
    result = export(Ending(end).eval())
    head = result.spec.head
    assert (head.decision, head.scores, head.shape) == (decision, scores, shape)
    assert head.cut == ()
    assert head.output == ("ids" if decision == "ids" else "logits")
    assert len(result.spec.labels.classes) == classes
    assert (result.parity.relative_error is None) == (decision == "ids")
    assert result.parity.mask_agreement > 0.999


def test_finished_ids_of_how_many_classes_is_not_seen_need_to_be_told(refused: Any) -> None:
    assert refused(Ending(lambda y: y.argmax(1) * 7 + 3).eval()) == (
        "the net gives finished class ids, of how many classes is not seen: give --classes"
    )


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda y: torch.complex(y, y), "the output is complex64 (1, 5, 16, 32): scores are float32"),
        (lambda y: y.double(), "the output is float64 (1, 5, 16, 32): scores are float32"),
        (lambda y: y.mean((2, 3)).argmax(1), "the output is (1,) for (1, 3, 16, 32): scores are (batch, classes"),
        (lambda y: y.flatten(1), "the output is (1, 2560) for (1, 3, 16, 32): scores are (batch, classes"),
        (lambda y: y.argmax(1)[0], "the output is (16, 32) for (1, 3, 16, 32): scores are (batch, classes"),
        (lambda y: torch.cat([y] * 60, 1), "output 'logits' has 300 classes: 1 to 255 fit a uint8 mask"),
    ],
)
def test_an_output_that_is_no_mask_is_refused(refused: Any, end: Any, told: str) -> None:
    assert refused(Ending(end).eval()).startswith(told)


def test_a_net_of_other_channels_is_refused_with_its_own_reason(refused: Any) -> None:
    told = refused(nn.Sequential(nn.Identity(), nn.Conv2d(4, 2, 1)).eval())
    assert told.startswith("the net does not run on float32 (1, 3, 16, 32) (RuntimeError: Given groups=1")
    assert told.endswith("in 1 (Conv2d)): check --input-size, --colour and --arg")


def test_the_sidecar_reads_back_as_it_was_made(export: Any, tmp_path: Path) -> None:
    result = export(nn.Conv2d(3, 5, 3, 2, 1).eval())
    path = tmp_path / "net.onnx"
    assert read_model_spec(path, sha256=sha256_of_file(path)) == result.spec
    assert result.spec.head.size_hw == (8, 16)
    assert result.spec.weights_sha256 is None
    assert result.onnx_bytes == path.stat().st_size


def test_the_comparison_names_the_photograph_and_noise(export: Any) -> None:
    entries = export(nn.Conv2d(3, 5, 1).eval()).parity.entries
    assert [one.name for one in entries] == ["the photograph", "noise"]
    assert all(one.relative_error < 1e-5 for one in entries)


def test_a_net_that_gives_nan_is_refused_with_the_module(refused: Any) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 5, 1))).eval()
    net[1][0].running_var.fill_(float("nan"))
    assert refused(net) == (
        "the net gives NaN on the photograph, first in 1.0 (BatchNorm2d): check the checkpoint, --mean and --std"
    )


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    options = ExportOptions(size_hw=(16, 32), frame=FrameOptions(std=(0.0, 1.0, 1.0)))
    with pytest.raises(ModelError, match=r"the input cannot be: std .* must be above 0: change the options"):
        export_model(
            nn.Conv2d(3, 5, 1),
            tmp_path / "net.onnx",
            options,
            labels=labels_for,
            sample_bgr=np.zeros((9, 9, 3), np.uint8),
        )


def test_no_path_of_this_machine_is_in_the_file_but_the_modules_names(export: Any, tmp_path: Path) -> None:
    export(Several(lambda out, aux: torch.cat([out, aux.relu()], 1)).eval())
    data = (tmp_path / "net.onnx").read_bytes()
    assert Path(__file__).name.encode() not in data
    assert b"site-packages" not in data
    model = onnx.load_model_from_string(data)
    notes = [{one.key: one.value for one in node.metadata_props} for node in model.graph.node]
    assert {key for note in notes for key in note} <= {
        "pkg.torch.onnx.name_scopes",
        "pkg.torch.onnx.class_hierarchy",
    }
    assert notes[0]["pkg.torch.onnx.name_scopes"] == "['', 'conv', 'conv2d']"
    assert notes[0]["pkg.torch.onnx.class_hierarchy"] == "['Several', 'Conv2d', 'aten.conv2d.default']"
    assert not model.graph.metadata_props
    assert not model.graph.doc_string


def test_weights_are_named_as_in_the_checkpoint(export: Any, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 1)).eval()
    export(net)
    names = {one.name for one in onnx.load(tmp_path / "net.onnx").graph.initializer}
    assert set(net.state_dict()) <= names


def test_nothing_is_printed(export: Any, capfd: pytest.CaptureFixture[str]) -> None:
    export(nn.Conv2d(3, 5, 1).eval(), opset=17)
    assert capfd.readouterr() == ("", "")
