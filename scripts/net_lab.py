"""Own what built-in nets are tried with: photographs, weights that look at them, engines, masks. Judge nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
import torch
from torch import Tensor

from edgeseg import Session
from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.export.catalogue import BuiltIn
from edgeseg.export.loading import load_net
from edgeseg.export.nets.settling import settle
from edgeseg.export.onnx_export import ExportOptions, ExportResult, export_model
from edgeseg.imaging.images import read_image
from edgeseg.imaging.palettes import labels_for
from edgeseg.imaging.postprocess import Mask
from edgeseg.imaging.preprocess import Frame, Preprocessor
from edgeseg.spec import BackendName, EngineSpec, PrecisionKind

__all__ = ["build", "engine_path", "export", "masks_of", "photographs", "settled", "write_frames"]

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
SEED = 3
SETTLING = 2  # photographs whose statistics the weights take; more would not fit into memory at full size


def photographs(size_hw: tuple[int, int]) -> list[Frame]:
    """scikit-image's free photographs, BGR, at the net's size: no camera frame has to be fitted."""
    folder = Path(skimage.data.__file__).parent
    frames = [read_image(folder / name) for name in PHOTOGRAPHS]
    return [cv2.resize(frame, size_hw[::-1], interpolation=cv2.INTER_AREA) for frame in frames]


def settled(
    built_in: BuiltIn, arguments: dict[str, object], frames: Sequence[Frame], size_hw: tuple[int, int]
) -> tuple[Any, list[Mask]]:
    """The net under random weights, the same in every run, that look at the frames; and its masks of them."""
    torch.manual_seed(SEED)
    net: Any = load_net(built_in.name, arguments).net
    image = built_in.frame.input_spec(name="image", size_hw=size_hw)
    given = [torch.from_numpy(Preprocessor(image).tensor(frame)) for frame in frames]
    settle(net, torch.cat(given[:SETTLING]), classes=_scores(net, given[0]))
    with torch.inference_mode():
        return net, [_mask_of(net(one)) for one in given]


def _scores(net: Any, image: Tensor) -> int:
    """How many channels the net's scores have: one tells two classes apart."""
    with torch.inference_mode():
        return int(net.scores(image).shape[1])


def _mask_of(output: Tensor) -> Mask:
    """Of what a net gives: finished ids, one probability, or a score a class."""
    if output.dtype == torch.int64:
        return output[0].numpy().astype(np.uint8)
    chosen = output[:, 0] > 0.5 if output.shape[1] == 1 else output.argmax(1)
    return chosen[0].numpy().astype(np.uint8)


def export(net: Any, built_in: BuiltIn, size_hw: tuple[int, int], sample_bgr: Frame, onnx: Path) -> ExportResult:
    """Write ``onnx`` and its sidecar."""
    options = ExportOptions(size_hw=size_hw, frame=built_in.frame)
    return export_model(net, onnx, options, labels=labels_for, sample_bgr=sample_bgr)


def build(
    onnx: Path,
    backend: BackendName,
    precision: PrecisionKind,
    *,
    images: Path | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> EngineSpec:
    """Write the engine beside the graph, see ``engine_path``."""
    calibration = CalibrationOptions(source=images) if images else None
    options = BuildOptions(backend=backend, precision=precision, calibration=calibration)
    return build_engine(onnx, engine_path(onnx, backend, precision), options, note=note)


def engine_path(onnx: Path, backend: str, precision: str) -> Path:
    """Where ``build`` writes."""
    return onnx.with_name(f"{backend}-{precision}.engine")


def write_frames(frames: Sequence[Frame], folder: Path) -> Path:
    """The frames as files without loss, in a new folder."""
    folder.mkdir()
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{index}.png"), frame)
    return folder


def masks_of(engine: Path, frames: Sequence[Frame]) -> list[Mask]:
    """Through the runtime, as a camera's frames go."""
    with Session(engine) as session:
        return [session.segment(frame) for frame in frames]
