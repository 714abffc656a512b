"""Own random calls of the post-processing plans: no wrong pixel, no wrong error, no access out of bounds.

    python tests/imaging/fuzz_postprocess.py --cases 50000 --seed 0

Built with EDGESEG_SANITIZE=1 the extension is watched by ASan and UBSan meanwhile. No test by itself (pytest does not
collect it): it needs as long as it is told to.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.imaging import _native
from edgeseg.imaging import postprocess_reference as reference
from edgeseg.spec import UpsampleSpec

Rng = np.random.Generator
Array = NDArray[Any]

DTYPES = ("float32", "float16", "int8")
ROUNDINGS = ("none", "floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
GUARD = 171  # stands around every output and must stand there afterwards
CHECKED = 0.25  # of the valid cases; the reference is slow


class WrongResultError(Exception):
    """A case did not do what it must."""


def strided(rng: Rng, shape: tuple[int, ...], dtype: str) -> Array:
    """An array with gaps, reversed axes and any order of its axes in memory, sometimes not aligned."""
    order = rng.permutation(len(shape))
    steps = [int(rng.choice([1, 1, 1, 2, 3, -1, -2])) for _ in shape]
    sizes = [max(abs(step) * shape[axis], 1) for step, axis in zip(steps, order, strict=True)]
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(int(np.prod(sizes)) * itemsize + 1, np.uint8)[int(rng.integers(2)) :]
    base = raw[: int(np.prod(sizes)) * itemsize].view(dtype).reshape(sizes)
    view = base[tuple(slice(None, None, step) for step in steps)]
    view = view[tuple(slice(0, shape[axis]) for axis in order)]
    return np.asarray(view.transpose(np.argsort(order)))


def guarded(rng: Rng, height: int, row_bytes: int) -> tuple[Array, Array]:
    """Rows with a pitch, upside down at times, and the whole memory that holds them."""
    before, after = int(rng.integers(40)), int(rng.integers(40))
    whole = np.full((height + 2, before + row_bytes + after), GUARD, np.uint8)
    rows = whole[1:-1, before : before + row_bytes]
    return (rows[::-1] if rng.random() < 0.2 else rows), whole


def is_intact(whole: Array, rows: Array) -> bool:
    """Whether nothing outside the rows was written."""
    copy = whole.copy()
    begin = (rows.__array_interface__["data"][0] - whole.__array_interface__["data"][0]) % whole.strides[0]
    copy[1:-1, begin : begin + rows.shape[1]] = GUARD
    return bool((copy == GUARD).all())


def fill_logits(rng: Rng, logits: Array) -> None:
    """Noise, ties, constants, steps, and numbers at the edges of the type."""
    kind = rng.integers(5)
    if logits.dtype == np.int8:
        logits[...] = rng.integers(-128, 128, logits.shape) if kind else rng.integers(-1, 2, logits.shape)
        return
    values = rng.normal(0, 3, logits.shape)
    if kind == 1:
        values = np.round(values)
    elif kind == 2:
        values[...] = values.flat[0]
    elif kind == 3:
        values = np.sign(values) * 50 + 1e-6 * values
    elif kind == 4:
        odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 6e4, 3e38, -3e38])
        values = np.where(rng.random(logits.shape) < 0.3, rng.choice(odd, logits.shape), values)
    with np.errstate(over="ignore"):
        logits[...] = values


def mask_setup(rng: Rng) -> dict[str, Any]:
    """Options of a mask plan that are valid."""
    channels = int(rng.choice([1, 2, 3, 19, 32, 33, 64, 255], p=[0.1, 0.2, 0.2, 0.3, 0.05, 0.05, 0.05, 0.05]))
    small, large = (1, 40) if channels < 64 else (1, 8), (1, 90)
    height, width = (int(n) for n in rng.integers(*small, 2))
    mask_height, mask_width = (int(n) for n in rng.integers(*large, 2))
    window_x, window_y, window_width, window_height = 0, 0, mask_width, mask_height
    grid_height, grid_width = (int(n) for n in rng.integers(*large, 2))
    region = (0.0, 0.0, float(grid_width), float(grid_height))
    if rng.random() < 0.4:
        window_x, window_y = int(rng.integers(mask_width)), int(rng.integers(mask_height))
        window_width = int(rng.integers(1, mask_width - window_x + 1))
        window_height = int(rng.integers(1, mask_height - window_y + 1))
    if rng.random() < 0.4:
        x, y = (float(v) for v in rng.uniform(-5, 30, 2))
        region = (x, y, float(rng.uniform(0.1, 60)), float(rng.uniform(0.1, 60)))
    return {
        "channels": channels,
        "logits_hw": (height, width),
        "layout": str(rng.choice(["NCHW", "NHWC"])),
        "dtype": str(rng.choice(DTYPES)),
        "scale": float(rng.uniform(1e-4, 2)),
        "size_hw": (mask_height, mask_width),
        "coordinates": str(rng.choice(["half_pixel", "align_corners", "asymmetric"])),
        "rounding": str(rng.choice(ROUNDINGS, p=[0.6, 0.1, 0.1, 0.1, 0.1])),
        "grid_hw": (grid_height, grid_width),
        "region_xywh": region,
        "window_xywh": (window_x, window_y, window_width, window_height),
        "outside": int(rng.integers(256)),
        "ignored_class": int(rng.integers(channels)) if channels > 1 and rng.random() < 0.3 else -1,
        "threshold": float(rng.choice([0.0, 0.5, -3.0, 2.0**127])),
        "scores": str(rng.choice(["logits", "probabilities"], p=[0.8, 0.2])),
        "has_confidence": bool(rng.random() < 0.3),
        "threads": int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1])),
    }


def spoil_setup(rng: Rng, setup: dict[str, Any]) -> dict[str, Any]:
    """One option made invalid."""
    huge, odd = 2**31 - 1, float(rng.choice([np.nan, np.inf, -np.inf, 3e38, 0.0, -1.0]))
    height, width = setup["size_hw"]
    bad: list[dict[str, Any]] = [
        {"channels": int(rng.choice([-1, 0, 256, huge])), "ignored_class": -1},
        {"logits_hw": (int(rng.choice([-1, 0, huge])), 3)},
        {"size_hw": (4, int(rng.choice([-1, 0, huge])))},
        {"region_xywh": (0.0, 0.0, odd, 4.0)},
        {"window_xywh": (1, 0, width, height)},
        {"window_xywh": (0, huge, width, height)},
        {"window_xywh": (0, 0, width, int(rng.choice([-huge, 0, huge])))},
        {"dtype": "int8", "scale": odd if odd != 3e38 else 0.0},
        {"outside": int(rng.choice([-1, 256, huge]))},
        {"ignored_class": int(rng.choice([-2, setup["channels"], huge]))},
        {"threads": int(rng.choice([-1, 0, huge]))},
        {"coordinates": "cubic"},
        {"rounding": "cubic"},
        {"scores": "ids"},
        {"grid_hw": (int(rng.choice([-1, 0, huge])), 3)},
        {"threshold": float(rng.choice([np.nan, np.inf, -np.inf, 3e38]))},
    ]
    return setup | bad[int(rng.integers(len(bad)))]


def expect_refusal(call: Any, what: str) -> None:
    """A ValueError, and no other end."""
    try:
        call()
    except ValueError:
        return
    raise WrongResultError(f"not refused: {what}")


def shape_of(setup: dict[str, Any]) -> tuple[int, int, int]:
    channels, (height, width) = setup["channels"], setup["logits_hw"]
    return (channels, height, width) if setup["layout"] == "NCHW" else (height, width, channels)


def fuzz_mask(rng: Rng) -> None:
    """One mask plan: refused setup, refused buffer, or a run that is checked."""
    setup = mask_setup(rng)
    if rng.random() < 0.15:
        bad = spoil_setup(rng, setup)
        expect_refusal(lambda: _native.MaskPlan(**bad), f"setup {bad}")
        return
    plan = _native.MaskPlan(**setup)
    logits = strided(rng, shape_of(setup), setup["dtype"])
    fill_logits(rng, logits)
    height, width = setup["size_hw"]
    mask, mask_memory = guarded(rng, height, width)
    confidence, confidence_memory = guarded(rng, height, width)
    areas = np.empty(256, np.int64) if rng.random() < 0.5 else None
    extra: dict[str, Any] = {"confidence": confidence} if setup["has_confidence"] else {}
    if rng.random() < 0.15:
        spoil_run(rng, plan, logits, mask, extra)
        return
    for _ in range(int(rng.integers(1, 3))):  # a plan is used again
        plan.run(logits[None] if rng.random() < 0.5 else logits, mask, areas=areas, **extra)
    if not is_intact(mask_memory, mask) or not is_intact(confidence_memory, confidence):
        raise WrongResultError(f"written outside the rows: {setup}")
    if areas is not None and not np.array_equal(areas, np.bincount(mask.ravel(), minlength=256)):
        raise WrongResultError(f"areas: {setup}")
    if rng.random() < CHECKED:
        compare(setup, logits, mask, confidence)


def spoil_run(rng: Rng, plan: _native.MaskPlan, logits: Array, mask: Array, extra: dict[str, Any]) -> None:
    """One buffer made invalid."""
    frozen = mask.copy()
    frozen.setflags(write=False)
    height, width = mask.shape
    other = {"float32": "float64", "float16": "int16", "int8": "uint8"}[logits.dtype.name]
    bad: list[tuple[Array, Array, dict[str, Any]]] = [
        (np.zeros(logits.shape, other), mask, extra),
        (logits[:, :, :-1], mask, extra),
        (logits[None, None], mask, extra),
        (np.concatenate([logits[None], logits[None]]), mask, extra),
        (logits, frozen, extra),
        (logits, mask[:-1], extra),
        (logits, mask.view(np.int8), extra),
        (logits, np.zeros((height, 2 * width + 2), np.uint8)[:, : 2 * width + 2 : 2], extra),
        (logits, np.zeros((height, width, 1), np.uint8), extra),
        (logits, mask, extra | {"areas": np.zeros(256, np.float64)}),
        (logits, mask, {} if extra else {"confidence": np.zeros((height, width), np.uint8)}),
        (logits, mask, {"confidence": mask}),
    ]
    at = int(rng.integers(len(bad)))
    given, out, more = bad[at]
    expect_refusal(lambda: plan.run(given, out, **more), f"buffer case {at}, {logits.shape}, {mask.shape}")


def compare(setup: dict[str, Any], logits: Array, mask: Array, confidence: Array) -> None:
    """The run against the reference."""
    planes = logits if setup["layout"] == "NCHW" else logits.transpose(2, 0, 1)
    x, y, width, height = setup["window_xywh"]
    with np.errstate(over="ignore"):
        clean = reference.clean(planes, setup["scale"])
    beside = reference.beside_threshold(clean, setup["threshold"])
    rounding: Any = None if setup["rounding"] == "none" else setup["rounding"]
    upsample = UpsampleSpec(
        mode="nearest" if rounding else "bilinear", coordinates=setup["coordinates"], rounding=rounding
    )
    values = reference.enlarged(
        beside, size_hw=(height, width), upsample=upsample, grid_hw=setup["grid_hw"], region=setup["region_xywh"]
    )
    ignored = None if setup["ignored_class"] < 0 else setup["ignored_class"]
    expected = np.full(mask.shape, setup["outside"], np.uint8)
    expected[y : y + height, x : x + width] = reference.mask_of(values, ignored_class=ignored)
    if not np.array_equal(mask, expected):
        raise WrongResultError(f"{(mask != expected).sum()} pixels differ: {setup}")
    if setup["has_confidence"]:
        sure = np.zeros(mask.shape, np.int64)
        sure[y : y + height, x : x + width] = reference.confidence_of(
            values,
            ignored_class=ignored,
            is_one=setup["channels"] == 1,
            has_probabilities=setup["scores"] == "probabilities",
        )
        if np.abs(sure - confidence).max() > 1:
            raise WrongResultError(f"confidence: {setup}")


def fuzz_overlay(rng: Rng) -> None:
    """One overlay plan: refused, or a run that is checked."""
    colours = rng.integers(0, 256, (256, 3)).astype(np.uint8)
    is_clear = rng.random(256) < rng.choice([0.0, 0.3])
    weight, threads = int(rng.integers(-20, 280)), int(rng.choice([1, 2]))
    boundary = None if rng.random() < 0.5 else [int(v) for v in rng.integers(0, 256, 3)]

    def make() -> _native.OverlayPlan:
        return _native.OverlayPlan(
            colours=colours, is_clear=is_clear, weight=weight, boundary=boundary, threads=threads
        )

    if not 0 <= weight <= 256:
        expect_refusal(make, f"weight {weight}")
        return
    height, width = int(rng.integers(1, 30)), int(rng.integers(1, 120))
    frame_rows, _ = guarded(rng, height, 3 * width)
    frame = np.lib.stride_tricks.as_strided(frame_rows, (height, width, 3), (frame_rows.strides[0], 3, 1))
    frame[...] = rng.integers(0, 256, frame.shape)
    mask, _ = guarded(rng, height, width)
    mask[...] = rng.integers(0, 256, mask.shape) if rng.random() < 0.3 else np.arange(width) // 40
    rows, memory = guarded(rng, height, 3 * width)
    picture = np.lib.stride_tricks.as_strided(rows, (height, width, 3), (rows.strides[0], 3, 1))
    plan = make()
    if rng.random() < 0.15:
        bad = [(frame[:, :-1], mask, picture), (frame, mask[1:], picture), (frame, mask, mask), (frame, mask, rows)]
        given = bad[int(rng.integers(len(bad)))]
        expect_refusal(lambda: plan.run(*given), f"overlay buffers of {mask.shape}")
        return
    expected = reference.blend(frame, mask, colours, weight, is_clear)
    if boundary is not None:
        expected[reference.boundaries(mask)] = boundary
    plan.run(frame, mask, picture)
    if not np.array_equal(picture, expected) or not is_intact(memory, rows):
        raise WrongResultError(f"overlay of {mask.shape}, weight {weight}")
    plan.run(frame, mask, frame)
    if not np.array_equal(frame, expected):
        raise WrongResultError(f"overlay in place, {mask.shape}")


def main() -> int:
    """Run the cases; 1 at the first that goes wrong, with the number that repeats it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for case in range(options.cases):
        rng = np.random.default_rng([options.seed, case])
        try:
            (fuzz_overlay if rng.random() < 0.2 else fuzz_mask)(rng)
        except WrongResultError as error:
            sys.stderr.write(f"case {case} of seed {options.seed}: {error}\n")
            return 1
    sys.stdout.write(f"{options.cases} cases, seed {options.seed}: no fault\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
