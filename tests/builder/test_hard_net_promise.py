"""The promise on the net that was made to break it: trained, and driven apart in three of its layers."""

from __future__ import annotations

from pathlib import Path

import pytest

for package in ("torch", "modelopt.onnx.quantization", "openvino", "onnxruntime"):
    pytest.importorskip(package)

from hard_net import culprits, hard_net  # noqa: E402  (scripts/)

from edgeseg.builder.build import BuildOptions, build_engine  # noqa: E402
from edgeseg.builder.measuring import CalibrationOptions  # noqa: E402
from edgeseg.builder.promise import Promise  # noqa: E402
from edgeseg.data import CalibrationSet, shipped_data  # noqa: E402
from edgeseg.export.onnx_export import ExportOptions, export_model  # noqa: E402
from edgeseg.graph.reading import read_graph  # noqa: E402
from edgeseg.imaging.palettes import labels_for  # noqa: E402

#: points of mIoU: what plain INT8 loses at least, and what is promised
LOST, PROMISED = 10.0, 0.5
LEAST_SHARE = 0.75
MOST_TRIALS = 25


def test_the_search_keeps_the_culprits_alone_and_the_promise(tmp_path: Path) -> None:
    onnx, data = tmp_path / "hard.onnx", shipped_data()
    labels = data / "labels.json"
    options = ExportOptions(size_hw=(256, 512))
    export_model(
        hard_net(),
        onnx,
        options,
        labels=lambda count: labels_for(count, labels, expected=None),
        sample_bgr=next(iter(CalibrationSet(data))),
    )
    chosen = BuildOptions(
        backend="openvino",
        precision="int8",
        calibration=CalibrationOptions(source=data),
        promise=Promise(max_miou_drop=PROMISED, data=data, budget=MOST_TRIALS),
    )
    precision = build_engine(onnx, tmp_path / "hard.engine", chosen).precision
    search = precision.search
    assert search is not None
    plain = next(trial for trial in search.trials if trial.kind == "int8" and not trial.kept)
    assert (search.reference_miou - plain.miou) * 100 >= LOST
    assert (search.reference_miou - search.miou) * 100 <= PROMISED
    assert precision.quantised_layers >= LEAST_SHARE * precision.layers
    assert len(search.trials) <= MOST_TRIALS
    nodes = {node.name: node for node in read_graph(onnx).model.graph}
    weights = {nodes[name].inputs[1].name for name in precision.kept}  # type: ignore[union-attr]
    assert weights == set(culprits())
