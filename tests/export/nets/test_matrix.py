"""Every built-in net at a small width, the whole way: exported, cut, built three times, run on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("openvino", "modelopt", "tensorrt_rtx"):
    pytest.importorskip(package)
skimage_data = pytest.importorskip("skimage.data")

from edgeseg import Session  # noqa: E402
from edgeseg.builder.build import BuildOptions, build_engine  # noqa: E402
from edgeseg.export.catalogue import BUILT_IN, BuiltIn  # noqa: E402
from edgeseg.export.loading import load_net  # noqa: E402
from edgeseg.export.nets.settling import settle  # noqa: E402
from edgeseg.export.onnx_export import ExportOptions, export_model  # noqa: E402
from edgeseg.imaging.palettes import labels_for  # noqa: E402
from edgeseg.imaging.preprocess import Preprocessor  # noqa: E402
from edgeseg.metrics import agreement  # noqa: E402
from edgeseg.spec import BackendName, EngineSpec, PrecisionKind  # noqa: E402

WIDTH = 0.125
CLASSES = 5  # no inner layer of any net has so few channels
SIZE_HW = (96, 128)
GOAL = 0.999
INT8_FLOOR = 0.5  # random weights lose far more than trained ones; an engine that is broken agrees by chance alone
SEED = 3
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
SEEN_CLASSES = 3  # fewer in the masks, and their agreement would prove little
#: the nets that tell two classes apart by one score, as published
BINARY = {"unet", "fcn8s-slim", "fcn2s-slim"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_net_goes_the_whole_way_and_its_engine_s_mask_is_pytorch_s(name: str, tmp_path: Path) -> None:
    frames, notes = photographs(), []
    net, expected = settled(BUILT_IN[name], frames)

    onnx = tmp_path / "net.onnx"
    result = export_model(
        net,
        onnx,
        ExportOptions(size_hw=SIZE_HW, frame=BUILT_IN[name].frame),
        labels=labels_for,
        sample_bgr=frames[0],
    )
    fp32 = build(onnx, "openvino", "fp32", notes=notes)
    int8 = build(onnx, "openvino", "int8", images=write(frames, tmp_path / "images"))
    plan = build(onnx, "tensorrt-rtx", "fp32")

    masks = {one: masks_of(tmp_path / f"openvino-{one}.engine", frames) for one in ("fp32", "int8")}
    agreements = {one: float(np.mean(list(map(agreement, masks[one], expected)))) for one in masks}
    assert result.parity.mask_agreement >= GOAL
    assert len(np.unique(expected)) >= min(SEEN_CLASSES, len(fp32.model.labels.classes))
    assert agreements["fp32"] >= GOAL
    assert agreements["int8"] >= INT8_FLOOR
    assert not [note for note in notes if note.startswith("left in the engine")]
    assert int8.precision.calibration_images == len(frames)
    assert int8.plan_bytes < fp32.plan_bytes
    assert plan.plan_bytes > 0


def photographs() -> list[Any]:
    """scikit-image's free photographs, BGR, at the net's size: no camera frame has to be fitted."""
    folder = Path(skimage_data.__file__).parent
    frames = [cv2.imread(str(folder / name), cv2.IMREAD_COLOR) for name in PHOTOGRAPHS]
    return [cv2.resize(frame, SIZE_HW[::-1], interpolation=cv2.INTER_AREA) for frame in frames]


def settled(built_in: BuiltIn, frames: list[Any]) -> tuple[Any, list[Any]]:
    """The net under random weights that look at the frames, the same in every run, and its masks of them."""
    classes = 2 if built_in.name in BINARY else CLASSES
    torch.manual_seed(SEED)
    net = load_net(built_in.name, {"width": WIDTH, "num_classes": classes}).net
    image = built_in.frame.input_spec(name="image", size_hw=SIZE_HW)
    given = torch.from_numpy(np.concatenate([Preprocessor(image).tensor(frame) for frame in frames]))
    settle(net, given, classes=1 if classes == 2 else classes)
    with torch.inference_mode():
        return net, [mask_of(net(tensor[None])) for tensor in given]


def mask_of(output: Any) -> Any:
    """uint8 (H, W) of what a net gives: finished ids, one probability, or a score a class."""
    if output.dtype == torch.int64:
        return output[0].numpy().astype(np.uint8)
    chosen = output[:, 0] > 0.5 if output.shape[1] == 1 else output.argmax(1)
    return chosen[0].numpy().astype(np.uint8)


def write(frames: list[Any], folder: Path) -> Path:
    """The frames as files without loss."""
    folder.mkdir()
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{index}.png"), frame)
    return folder


def build(
    onnx: Path,
    backend: BackendName,
    precision: PrecisionKind,
    *,
    images: Path | None = None,
    notes: list[str] | None = None,
) -> EngineSpec:
    """The engine ``backend-precision.engine`` beside the graph."""
    options = BuildOptions(backend=backend, precision=precision, calibration_folder=images)
    noted = [] if notes is None else notes
    return build_engine(onnx, onnx.with_name(f"{backend}-{precision}.engine"), options, note=noted.append)


def masks_of(engine: Path, frames: list[Any]) -> list[Any]:
    """Through the runtime, as a camera's frames go."""
    with Session(engine) as session:
        return [session.segment(frame) for frame in frames]
