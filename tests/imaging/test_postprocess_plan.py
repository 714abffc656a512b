from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeseg.imaging import _native

SETUP: dict[str, Any] = {
    "channels": 3,
    "logits_hw": (4, 6),
    "size_hw": (8, 12),
    "grid_hw": (8, 12),
    "region_xywh": (0.0, 0.0, 12.0, 8.0),
    "window_xywh": (0, 0, 12, 8),
    "threads": 2,
}
LOGITS = np.zeros((1, 3, 4, 6), np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 256}, "256 classes: 1 to 255"),
        ({"channels": 0}, "0 classes"),
        ({"logits_hw": (0, 6)}, "logits height is 0"),
        ({"size_hw": (8, 0)}, "mask width is 0"),
        ({"size_hw": (65537, 12)}, "mask height is 65537"),
        ({"window_xywh": (1, 0, 12, 8)}, "window along x begins at 1"),
        ({"window_xywh": (0, -1, 12, 8)}, "window along y begins at -1"),
        ({"window_xywh": (0, 0, 12, 0)}, "window along y"),
        ({"window_xywh": (2**31 - 1, 0, 12, 8)}, "window along x"),
        ({"region_xywh": (float("nan"), 0.0, 6.0, 4.0)}, "region along x"),
        ({"region_xywh": (0.0, 0.0, 6.0, float("inf"))}, "region along y"),
        ({"region_xywh": (0.0, 0.0, 0.0, 4.0)}, "region along x"),
        ({"grid_hw": (0, 12)}, "grid height is 0"),
        ({"grid_hw": (8, 2**31 - 1)}, "grid width is 2147483647"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"threshold": float("inf")}, "threshold is inf"),
        ({"scores": "odds"}, "expected one of logits probabilities"),
        ({"dtype": "int8", "scale": 0.0}, "scale is 0"),
        ({"dtype": "int8", "scale": float("nan")}, "scale is nan"),
        ({"dtype": "float64"}, "expected one of float32 float16 int8"),
        ({"layout": "CHW"}, "expected one of NCHW NHWC"),
        ({"coordinates": "cubic"}, "expected one of half_pixel align_corners asymmetric"),
        ({"rounding": "up"}, "expected one of none floor ceil round_prefer_floor round_prefer_ceil"),
        ({"outside": 256}, "outside is 256"),
        ({"ignored_class": 3}, "ignored class 3"),
        ({"channels": 1, "ignored_class": 0}, "ignored class 0"),
        ({"threads": 0}, "0 threads"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_its_numbers(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.MaskPlan(**(SETUP | change))


def read_only() -> np.ndarray:
    array = np.zeros((8, 12), np.uint8)
    array.setflags(write=False)
    return array


@pytest.mark.parametrize(
    ("logits", "mask", "message"),
    [
        (LOGITS.astype(np.float64), np.zeros((8, 12), np.uint8), "expected float32 NCHW"),
        (LOGITS[:, :2], np.zeros((8, 12), np.uint8), "logits is 'f' .1, 2, 4, 6."),
        (np.zeros((2, 3, 4, 6), np.float32), np.zeros((8, 12), np.uint8), "batch of 1"),
        (LOGITS, np.zeros((8, 12), np.int8), "expected uint8"),
        (LOGITS, np.zeros((12, 8), np.uint8), "mask is 'B' .12, 8."),
        (LOGITS, np.zeros((8, 24), np.uint8)[:, ::2], "side by side"),
        (LOGITS, np.broadcast_to(np.zeros(12, np.uint8), (8, 12)), "side by side"),
        (LOGITS, read_only(), "read-only"),
        (LOGITS, LOGITS.view(np.uint8).reshape(-1)[:96].reshape(8, 12), "overlap"),
    ],
)
def test_a_buffer_that_does_not_fit_is_refused(logits: np.ndarray, mask: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.MaskPlan(**SETUP).run(logits, mask)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"confidence": np.zeros((8, 12), np.uint8)}, "makes none"),
        ({"areas": np.zeros(255, np.int64)}, "int64 .256."),
        ({"areas": np.zeros(256, np.int32)}, "int64 .256."),
    ],
)
def test_an_extra_output_that_does_not_fit_is_refused(more: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.MaskPlan(**SETUP).run(LOGITS, np.zeros((8, 12), np.uint8), **more)


def test_a_plan_with_confidence_wants_its_buffer_apart_from_the_mask() -> None:
    plan, mask = _native.MaskPlan(**SETUP, has_confidence=True), np.zeros((8, 12), np.uint8)
    with pytest.raises(ValueError, match="confidence is missing"):
        plan.run(LOGITS, mask)
    with pytest.raises(ValueError, match="confidence and mask overlap"):
        plan.run(LOGITS, mask, confidence=mask)


def test_areas_stand_apart_from_the_mask() -> None:
    memory = np.zeros(256, np.int64)
    with pytest.raises(ValueError, match="areas and mask overlap"):
        _native.MaskPlan(**SETUP).run(LOGITS, memory.view(np.uint8)[:96].reshape(8, 12), areas=memory)


def test_any_object_with_a_c_buffer_will_do() -> None:
    mask = bytearray(96)
    _native.MaskPlan(**SETUP).run(memoryview(LOGITS), memoryview(mask).cast("B", (8, 12)))
    with pytest.raises(TypeError):
        _native.MaskPlan(**SETUP).run([[1.0]], memoryview(mask).cast("B", (8, 12)))
