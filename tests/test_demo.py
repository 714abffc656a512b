"""The demo as a user runs it, and what it promises: accuracy kept, every frame masked, masks equal to PyTorch's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from edgeseg.data import shipped_data
from edgeseg.imaging.images import read_label
from edgeseg.runtime.sources import open_source

FRAMES_IN_CLIP = 330
#: goals of the demo: mean IoU of the shipped net, and what INT8 may lose of it
MIN_MIOU, MAX_INT8_DROP = 0.85, 0.005
#: of the demo net, and the share of them that INT8 has to reach
CONVOLUTIONS, MIN_INT8_SHARE = 16, 0.9
#: the runtime resizes the uint8 picture in whole grey levels, PyTorch here in fractions; borders may move by a pixel
MIN_EQUAL = 0.99


class Demo(NamedTuple):
    """What ``edgeseg demo`` said and made."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def demo(call_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """One run of the whole demo."""
    for package in ("torch", "modelopt", "openvino", "av", "matplotlib"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("demo")
    done = call_in(["demo", "--out", "demo"], folder)
    assert done.returncode == 0, done.stderr
    return Demo(folder / "demo", done.stdout)


def test_every_command_is_echoed_as_a_user_would_type_it(demo: Demo) -> None:
    echoed = [line.split()[2] for line in demo.said.splitlines() if line.startswith("$ edgeseg ")]
    assert echoed[:3] == ["export", "build-engine", "build-engine"]
    assert echoed[-3:] == ["evaluate", "run", "benchmark"]
    assert "parity with PyTorch" in demo.said


def test_fp32_reaches_its_accuracy_and_int8_keeps_it(demo: Demo) -> None:
    results = json.loads((demo.folder / "accuracy.json").read_text())["engines"]
    miou = {one["precision"]: one["accuracy"]["miou"] for one in results if one["backend"] == "openvino"}
    assert miou["fp32"] >= MIN_MIOU
    assert miou["fp32"] - miou["int8"] <= MAX_INT8_DROP


def test_nine_tenths_of_the_convolutions_are_in_int8(demo: Demo) -> None:
    precision = json.loads((demo.folder / "cpu-int8.engine.json").read_text())["precision"]
    assert precision["quantised_layers"] >= MIN_INT8_SHARE * precision["layers"]
    assert precision["layers"] == CONVOLUTIONS


def test_every_frame_of_the_clip_gets_its_mask_and_its_overlay(demo: Demo) -> None:
    names = sorted(path.name for path in (demo.folder / "masks").iterdir())
    assert names == [f"{index:06d}.png" for index in range(FRAMES_IN_CLIP)]
    with open_source(str(demo.folder / "overlay.mp4")) as overlay:
        shapes = [frame.bgr.shape for frame in overlay]
    assert shapes == [(720, 1280, 3)] * FRAMES_IN_CLIP
    assert f"{FRAMES_IN_CLIP} masks, 0 frames dropped" in demo.said


def test_plans_for_rtx_are_built_and_said_to_need_a_card(demo: Demo) -> None:
    pytest.importorskip("tensorrt_rtx")
    for precision in ("fp32", "int8"):
        assert (demo.folder / f"rtx-{precision}.engine").stat().st_size > 100_000
    assert "running them needs an RTX GPU" in demo.said


def test_the_accuracy_page_shows_every_engine_and_its_worst_frames(demo: Demo) -> None:
    page = (demo.folder / "accuracy.html").read_text()
    for precision in ("fp32", "int8"):
        assert f"cpu-{precision}.engine" in page
    assert page.count("<img") >= 2 * 4 * 3
    assert "equal to net.onnx" in page


def test_the_reports_hold_every_engine(demo: Demo) -> None:
    report = json.loads((demo.folder / "report.json").read_text())
    page = (demo.folder / "report.html").read_text()
    for precision in ("fp32", "int8"):
        assert f"cpu-{precision}.engine" in json.dumps(report)
        assert f"cpu-{precision}.engine" in page
    assert "<svg" in page


def test_nothing_unfinished_is_left(demo: Demo) -> None:
    assert [path for path in demo.folder.rglob("*") if ".part" in path.name] == []


def test_masks_of_run_equal_pytorchs_interpolate_and_argmax(call_in: Any, demo: Demo, tmp_path: Path) -> None:
    """Twenty labelled frames, FP32 engine, against the module itself without any code of the runtime."""
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((shipped_data() / "validation" / "images").iterdir())[:20]:
        (images / path.name).write_bytes(path.read_bytes())
    done = call_in(["run", demo.folder / "cpu-fp32.engine", images, "masks"], tmp_path)
    assert done.returncode == 0, done.stderr
    equal = []
    for path in sorted(images.iterdir()):
        mask = read_label(tmp_path / "masks" / f"{path.stem}.png")
        equal.append(float(np.mean(mask == pytorch_mask(path))))
    assert len(equal) == 20
    assert min(equal) >= MIN_EQUAL


def pytorch_mask(path: Path) -> np.ndarray:
    """The mask that the demo net gives in PyTorch, pre- and post-processing by torch alone."""
    import torch
    from safetensors.torch import load_file
    from torch.nn.functional import interpolate

    from edgeseg.export.nets import demo_unet

    net = demo_unet.demo_unet().eval()
    net.load_state_dict(load_file(Path(demo_unet.__file__).with_suffix(".safetensors")))
    rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    image = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    image = interpolate(image, size=(256, 512), mode="bilinear", align_corners=False)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        logits = net((image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
        enlarged = interpolate(logits, size=rgb.shape[:2], mode="bilinear", align_corners=False)
    return enlarged.argmax(1)[0].numpy().astype(np.uint8)
