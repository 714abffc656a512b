"""Own how far a net's scores reach on typical images, and the head that says what they leave the engine in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.builder.probing import Probe
from edgeseg.builder.source import Source
from edgeseg.errors import ModelError, OptionsError
from edgeseg.graph.saving import save_graph
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.packages import require
from edgeseg.spec import HeadSpec, PrecisionKind

__all__ = ["ScoresDtype", "check_scores", "for_layers", "scored"]

ScoresDtype = Literal["float32", "float16", "int8"]
LARGEST_CODE = 127


def check_scores(head: HeadSpec, dtype: ScoresDtype, calibration: CalibrationOptions | None) -> None:
    """Refuse what ``scored`` would, before any image is read.

    Raises:
        OptionsError: the net gives no scores, or int8 has no images.
    """
    if dtype == "float32":
        return
    if head.decision == "ids":
        raise OptionsError(
            f"the engine gives finished class ids, not scores that could be {dtype}",
            "leave --logits-dtype out, or --keep-tail, which keeps the scores in the engine",
        )
    if dtype == "int8" and calibration is None:
        raise OptionsError(
            "int8 scores need images that show how far they reach", "give --calib-data FOLDER, or take float16"
        )


def scored(
    source: Source,
    dtype: ScoresDtype,
    calibration: CalibrationOptions | None,
    *,
    on_image: Callable[[int, int], None] = lambda count, total: None,
) -> HeadSpec:
    """The net's head with scores of a dtype; for int8 the images are run once more, through the float32 net.

    The scale of int8 is the largest magnitude of a score on any image, divided by 127: none of these is clipped, and a
    score is off by half a scale at most.

    Args:
        source: the net.
        dtype: what the scores leave the engine in.
        calibration: needed for int8.
        on_image: told how many images have been read, and of how many.
    Raises:
        OptionsError: as ``check_scores``.
        DataError: an image cannot be read.
        ModelError: ONNX Runtime cannot run the net, or its scores are all 0 or not finite.
    """
    head = source.spec.head
    check_scores(head, dtype, calibration)
    if dtype != "int8" or calibration is None:
        return msgspec.structs.replace(head, scores_dtype=dtype)
    scale = float(np.float32(_peak(source, calibration, on_image) / LARGEST_CODE))
    if not np.isfinite(scale) or scale <= 0.0:
        raise ModelError(f"the scores on the calibration images give a scale of {scale:g}", "take float16 scores")
    return msgspec.structs.replace(head, scores_dtype=dtype, scale=scale)


def for_layers(
    source: Source, kind: PrecisionKind, dtype: ScoresDtype, calibration: CalibrationOptions | None
) -> CalibrationOptions | None:
    """The images that layers are calibrated on: none where it is the scores alone that ask for images."""
    needs_none = source.quantisation is not None or kind in ("fp32", "bf16")
    return None if dtype == "int8" and needs_none else calibration


def _peak(source: Source, calibration: CalibrationOptions, on_image: Callable[[int, int], None]) -> float:
    images = calibration.images()
    preprocessor, peak = Preprocessor(source.spec.input), 0.0
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        path = Path(folder) / "net.onnx"
        save_graph(source.model, path)
        model = require("onnx_ir").load(path)
        probe = Probe(model, path.parent, fetched=(source.spec.head.output,))
        for count, frame in enumerate(images, start=1):
            (scores,), _ = probe.run(preprocessor.tensor(frame))
            peak = float(np.maximum(peak, np.abs(scores).max()))  # a NaN stays
            on_image(count, len(images))
    return peak
