from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeseg.errors import ModelError, ParityError
from edgeseg.export.onnx_export import ExportOptions, export_model
from edgeseg.export.parity import check_parity
from edgeseg.imaging.palettes import labels_for
from edgeseg.spec import FrameOptions, HeadSpec, read_model_spec

torch = pytest.importorskip("torch")
nn = torch.nn

FRAME_BGR = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
FRAME = FrameOptions(mean=(0.5,) * 3, std=(0.25,) * 3)
OPTIONS = ExportOptions(size_hw=(16, 32), frame=FRAME)


def export(module: Any, path: Path, options: ExportOptions = OPTIONS) -> Any:
    return export_model(module, path, options, labels=labels_for, sample_bgr=FRAME_BGR)


class Several(nn.Module):  # type: ignore[misc, name-defined]
    """Gives its logits beside an auxiliary output, in the form that ``form`` makes of them."""

    def __init__(self, form: Any) -> None:
        super().__init__()
        self.conv, self.aux, self.form = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 7, 1), form

    def forward(self, image: Any) -> Any:
        return self.form(self.conv(image), self.aux(image))


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
def test_the_output_is_chosen_by_name_or_index(tmp_path: Path, form: Any, output: str | None, channels: int) -> None:
    options = ExportOptions(size_hw=(16, 32), frame=FRAME, output=output)
    result = export(Several(form).eval(), tmp_path / "net.onnx", options)
    assert result.spec.head.channels == channels
    assert len(result.spec.labels.classes) == channels
    assert result.parity.mask_agreement > 0.999


@pytest.mark.parametrize(("output", "told"), [(None, "several outputs"), ("lgits", "no output 'lgits'")])
def test_an_output_that_is_not_clear_is_refused_with_the_choice(tmp_path: Path, output: str | None, told: str) -> None:
    options = ExportOptions(size_hw=(16, 32), frame=FRAME, output=output)
    with pytest.raises(ModelError, match=f"{told}.*--output: out, aux"):
        export(Several(lambda out, aux: {"out": out, "aux": aux}).eval(), tmp_path / "net.onnx", options)
    assert list(tmp_path.iterdir()) == []


def test_one_channel_becomes_a_threshold_of_two_classes(tmp_path: Path) -> None:
    spec = export(nn.Conv2d(3, 1, 1).eval(), tmp_path / "net.onnx").spec
    assert (spec.head.decision, len(spec.labels.classes)) == ("threshold", 2)


def test_the_sidecar_reads_back_as_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    result = export(nn.Conv2d(3, 5, 3, 2, 1).eval(), path)
    assert read_model_spec(path, path.read_bytes()) == result.spec
    assert result.spec.head.size_hw == (8, 16)


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (nn.Flatten(), "logits are"),
        (nn.Conv2d(4, 2, 1), "does not run on float32"),
        (nn.Conv2d(3, 300, 1), "1 to 255"),
    ],
)
def test_a_net_that_gives_no_logits_is_refused_and_nothing_is_written(tmp_path: Path, module: Any, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        export(module.eval(), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_net_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    class Branching(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, image: Any) -> Any:
            return image if image.sum() > 0 else -image

    with pytest.raises(ModelError, match="cannot trace"):
        export(Branching().eval(), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_differs_from_pytorch_is_refused() -> None:
    program = torch.onnx.export(nn.Conv2d(3, 2, 1).eval(), (torch.zeros(1, 3, 8, 8),), dynamo=True, verbose=False)
    onnx = program.model_proto.SerializeToString()
    tensor = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    head = HeadSpec(output="logits", channels=2, size_hw=(8, 8), decision="argmax")
    for wrong in (np.ones((1, 2, 8, 8), np.float32), np.full((1, 2, 8, 8), np.nan, np.float32)):
        with pytest.raises(ParityError, match="nothing was written"):
            check_parity(onnx, tensor, wrong, head)
