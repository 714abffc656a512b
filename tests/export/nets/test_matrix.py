"""Every built-in net at a small width, the whole way: exported, cut, quantised, built four times, run on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

for package in ("torch", "openvino", "modelopt", "tensorrt_rtx", "skimage"):
    pytest.importorskip(package)

from net_lab import build, engine_path, export, masks_of, photographs, settled, write_frames  # noqa: E402  (scripts/)

from edgeseg.builder.measuring import CalibrationOptions  # noqa: E402
from edgeseg.builder.quantizing import quantize_file  # noqa: E402
from edgeseg.builder.source import SourceOptions  # noqa: E402
from edgeseg.export.catalogue import BUILT_IN  # noqa: E402
from edgeseg.metrics import agreement  # noqa: E402

WIDTH = 0.125
#: what a net needs beside the small width
ARGUMENTS: dict[str, dict[str, object]] = {
    # half as many blocks take half the time; DeepLab V2 keeps ResNet-101
    "deeplab-v3": {"backbone": "resnet50"},
    "deeplab-v3-cascade": {"backbone": "resnet50"},
    "deeplab-v3-plus": {"backbone": "resnet50"},
    "refinenet": {"backbone": "resnet50"},
    "deeplab-v2-crf": {"backbone": "vgg16"},
    "unet-mini": {"width": 0.5},  # narrower, its weights are fewer bytes than what quantisation adds to the graph
    # of a thousand random boxes, rounding makes some pairs exchange their ranks, each of which repaints a part
    "mask-rcnn": {"level_proposals": 64, "proposals": 32, "candidates": 64, "detections": 16},
}
CLASSES = 5  # no inner layer of any net has so few channels
SIZE_HW = (96, 128)
GOAL = 0.999
#: quantisation costs random weights far more than trained ones, SegNet's moving maxima most; chance gives about 0.2
INT8_FLOOR = 0.35
SEEN_CLASSES = 3  # fewer in the masks, and their agreement would prove little
#: the nets that tell two classes apart by one score, as published
BINARY = {"unet", "fcn8s-slim", "fcn2s-slim"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_net_goes_the_whole_way_and_its_engine_s_mask_is_pytorch_s(name: str, tmp_path: Path) -> None:
    frames, onnx, notes = photographs(SIZE_HW), tmp_path / "net.onnx", list[str]()
    classes = 2 if name in BINARY else CLASSES
    arguments = {"width": WIDTH, "num_classes": classes, **ARGUMENTS.get(name, {})}
    net, expected = settled(BUILT_IN[name], arguments, frames, SIZE_HW)

    result = export(net, BUILT_IN[name], SIZE_HW, frames[0], onnx)
    fp32 = build(onnx, "openvino", "fp32", note=notes.append)
    master = tmp_path / "net.int8.onnx"
    calibration = CalibrationOptions(source=write_frames(frames, tmp_path / "images"))
    quantize_file(onnx, master, "int8", calibration, SourceOptions())
    int8, plan = (build(master, backend, "int8") for backend in ("openvino", "tensorrt-rtx"))
    half = build(onnx, "tensorrt-rtx", "fp16", images=calibration.source)

    masks = {one: masks_of(engine_path(onnx, "openvino", one), frames) for one in ("fp32", "int8")}
    agreements = {one: float(np.mean(list(map(agreement, masks[one], expected)))) for one in masks}
    assert result.parity.mask_agreement >= GOAL
    assert len(np.unique(expected)) >= min(SEEN_CLASSES, classes)
    assert agreements["fp32"] >= GOAL
    assert agreements["int8"] >= INT8_FLOOR
    assert not [note for note in notes if note.startswith("left in the engine")]
    assert int8.precision.calibration_images == len(frames)
    assert int8.plan_bytes < fp32.plan_bytes
    assert half.options["typing"] == plan.options["typing"] == "strong"
    assert plan.precision.quantised_layers == int8.precision.quantised_layers > int8.precision.layers // 2
