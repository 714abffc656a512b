from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from kernel_lab import KERNELS, POISON, Guarded, Shim, run_sanitized
from numpy.typing import NDArray

from edgeseg.engine_spec import TensorLayout
from edgeseg.errors import ShapeError
from edgeseg.imaging.geometry import Placement, Rect
from edgeseg.imaging.overlay import Overlay
from edgeseg.imaging.postprocess import MaskFormat, MaskMaker
from edgeseg.runtime.kernels.postprocess import PARAMS, Launch, MaskPointers, PostprocessLaunches, overlay_launch
from edgeseg.runtime.layouts import stored_shape
from edgeseg.spec import ClassSpec, HeadSpec, LabelSpec, UpsampleSpec

Array = NDArray[Any]

#: the C++ plan leaves classes out that add less than a tenth of a grey level, and both round to a whole one
ONE_LEVEL = 1

RULES = [
    UpsampleSpec(),
    UpsampleSpec(coordinates="align_corners"),
    UpsampleSpec(coordinates="asymmetric"),
    *(
        UpsampleSpec(mode="nearest", coordinates=coordinates, rounding=rounding)
        for coordinates in ("half_pixel", "align_corners", "asymmetric")
        for rounding in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    ),
]
LETTERBOX = Placement(Rect(0, 0, 83, 45), Rect(0, 29, 128, 70))
CROP = Placement(Rect(19, 0, 45, 45), Rect(0, 0, 128, 128))
#: a part of the picture that is narrower than a thread's pixels
NARROW = Placement(Rect(33, 20, 7, 9), Rect(10, 20, 30, 40))


def head(channels: int, size_hw: tuple[int, int], **more: Any) -> HeadSpec:
    decision: Literal["argmax", "threshold"] = "threshold" if channels == 1 else "argmax"
    return HeadSpec(output="logits", channels=channels, size_hw=size_hw, decision=decision, **more)


def ids_head(size_hw: tuple[int, int]) -> HeadSpec:
    return HeadSpec(output="mask", channels=1, size_hw=size_hw, decision="ids")


def noisy(channels: int, size_hw: tuple[int, int], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 3, (1, channels, *size_hw)).astype(np.float32)


def smooth(channels: int, size_hw: tuple[int, int]) -> Array:
    """Blobs with borders, as nets give them: most cells agree."""
    rng = np.random.default_rng(channels)
    y, x = np.linspace(0, 1, size_hw[0])[:, None], np.linspace(0, 1, size_hw[1])[None, :]
    centres = rng.uniform(0, 1, (channels, 2, 1, 1))
    planes = -20 * ((y - centres[:, 0]) ** 2 + (x - centres[:, 1]) ** 2) + rng.normal(0, 0.05, (channels, *size_hw))
    return planes[None].astype(np.float32)


def one_bit_apart(channels: int, size_hw: tuple[int, int]) -> Array:
    """Every class above the one before it by float32's last bit: corners agree, and rounding makes ties of that.

    Where they are flat as well, each class lies below all corners of the next.
    """
    first = noisy(1, size_hw)
    first[..., : size_hw[1] // 2] = 0.3
    rising = [first]
    for _ in range(channels - 1):
        rising.append(np.nextafter(rising[-1], np.float32(np.inf)))
    return np.concatenate(rising, axis=1)


class Plane:
    """Poisoned uint8 rows of a pitch, in guards."""

    def __init__(self, size_hw: tuple[int, int], pitch: int | None = None, offset: int = 0, channels: int = 1) -> None:
        self._width = size_hw[1] * channels
        self.pitch = self._width + 5 if pitch is None else pitch
        self._guarded = Guarded((size_hw[0] * self.pitch,), np.uint8, offset=offset)
        self.rows = self._guarded.array.reshape(size_hw[0], self.pitch)

    @property
    def ptr(self) -> int:
        return self.rows.ctypes.data

    def read(self) -> Array:
        """The pixels; beside them nothing was written."""
        self._guarded.check()
        assert (self.rows[:, self._width :] == POISON).all(), "bytes behind a row's end were written"
        return self.rows[:, : self._width]


def launch_all(shim: Shim, launches: tuple[Launch, ...], *, backwards: bool = False) -> None:
    for one in launches:
        shim.launch(one.kernel, one.grid, one.block, one.params, backwards=backwards)


def mask_of(
    shim: Shim,
    launches: PostprocessLaunches,
    scores: Array,
    mask: Plane,
    *,
    confidence: Plane | None = None,
    areas: Array | None = None,
    backwards: bool = False,
) -> Array:
    """The mask by the kernels; ``scores`` lie in memory as they do on the device."""
    tables = Guarded(launches.tables.shape, np.uint8)
    tables.array[:] = launches.tables
    scratch = Guarded((launches.scratch_bytes,), np.uint8)
    stored = Guarded(scores.shape, scores.dtype)
    stored.array[...] = scores
    at = MaskPointers(
        scores=stored.array.ctypes.data,
        tables=tables.array.ctypes.data,
        scratch=scratch.array.ctypes.data,
        mask=mask.ptr,
        mask_pitch=mask.pitch,
        confidence=0 if confidence is None else confidence.ptr,
        confidence_pitch=0 if confidence is None else confidence.pitch,
        areas=None if areas is None else areas.ctypes.data,
    )
    launch_all(shim, launches.made(at), backwards=backwards)
    scratch.check()
    return mask.read()


def check_mask(shim: Shim, one: HeadSpec, scores: Array, size_hw: tuple[int, int], **options: Any) -> None:
    """The kernels' mask has the bits of the C++ plan's."""
    maker = MaskMaker(one, input_hw=options.get("input_hw"), mask_format=options.get("mask_format"), threads=1)
    expected = maker.mask(scores, size_hw=size_hw, placement=options.get("placement"))
    launches = PostprocessLaunches(one, size_hw=size_hw, **options)
    np.testing.assert_array_equal(mask_of(shim, launches, scores, Plane(size_hw)), expected)


@pytest.mark.parametrize("kernel", sorted(PARAMS))
def test_the_params_are_as_large_in_python_as_in_cuda(shim: Shim, kernel: str) -> None:
    assert PARAMS[kernel].itemsize == shim.size_of(kernel)


@pytest.mark.parametrize("make", [smooth, noisy, one_bit_apart])
@pytest.mark.parametrize(
    ("channels", "logits_hw", "size_hw"),
    [
        (19, (64, 128), (540, 961)),  # enlarged, by no whole number
        (2, (16, 32), (64, 128)),  # a whole warp's pixels
        (255, (5, 7), (33, 47)),
        (21, (60, 80), (30, 41)),  # made smaller
        (3, (1, 1), (3, 17)),
        (4, (9, 11), (1, 1)),
    ],
)
def test_the_mask_has_the_cpus_bits(
    shim: Shim, make: Any, channels: int, logits_hw: tuple[int, int], size_hw: tuple[int, int]
) -> None:
    check_mask(shim, head(channels, logits_hw), make(channels, logits_hw), size_hw)


@pytest.mark.parametrize("upsample", RULES, ids=lambda one: f"{one.mode}-{one.coordinates}-{one.rounding}")
@pytest.mark.parametrize("size_hw", [(45, 83), (7, 9)])
def test_every_rule_of_enlarging_has_the_cpus_bits(
    shim: Shim, upsample: UpsampleSpec, size_hw: tuple[int, int]
) -> None:
    check_mask(shim, head(6, (16, 21), upsample=upsample), noisy(6, (16, 21)), size_hw)


@pytest.mark.parametrize("placement", [LETTERBOX, CROP, NARROW])
@pytest.mark.parametrize("upsample", [RULES[0], RULES[1], RULES[3]])
@pytest.mark.parametrize("outside", [255, 7])
def test_the_picture_is_found_again_and_the_rest_is_outside(
    shim: Shim, placement: Placement, upsample: UpsampleSpec, outside: int
) -> None:
    one = head(5, (16, 16), upsample=upsample)
    options = {"input_hw": (128, 128), "mask_format": MaskFormat(outside=outside)}
    check_mask(shim, one, noisy(5, (16, 16)), (45, 83), placement=placement, **options)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("channels", [1, 2, 19])
def test_every_type_of_scores_has_the_cpus_bits(shim: Shim, dtype: Any, channels: int) -> None:
    scores = (noisy(channels, (16, 24)) * 20).astype(dtype)
    form = MaskFormat(dtype=dtype, scale=0.0625 if dtype == "int8" else 1.0)
    check_mask(shim, head(channels, (16, 24)), scores, (90, 135), mask_format=form)


@pytest.mark.parametrize("layout", ["hwc", "hwc8", "hwc16"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_scores_with_channels_last_and_padded_are_read_where_they_lie(
    shim: Shim, layout: TensorLayout, dtype: Any
) -> None:
    one, form = head(19, (12, 20)), MaskFormat(dtype=dtype)
    scores = (noisy(19, (12, 20)) * 20).astype(dtype)
    # Padding that would win if it were read.
    stored = np.full(stored_shape(one.shape, layout), 127, dtype)
    stored[..., :19] = scores.transpose(0, 2, 3, 1)
    expected = MaskMaker(one, mask_format=form, threads=1).mask(scores, size_hw=(50, 70))
    launches = PostprocessLaunches(one, size_hw=(50, 70), layout=layout, mask_format=form)
    np.testing.assert_array_equal(mask_of(shim, launches, stored, Plane((50, 70))), expected)


def test_an_nhwc_net_has_the_cpus_bits(shim: Shim) -> None:
    one = head(7, (12, 20), layout="NHWC")
    check_mask(shim, one, np.ascontiguousarray(noisy(7, (12, 20)).transpose(0, 2, 3, 1)), (50, 70))


@pytest.mark.parametrize("ignored", [0, 1, 4])
def test_an_ignored_class_never_wins(shim: Shim, ignored: int) -> None:
    scores = noisy(5, (16, 16))
    scores[0, ignored] += 5
    check_mask(shim, head(5, (16, 16)), scores, (70, 90), mask_format=MaskFormat(ignored_class=ignored))


@pytest.mark.parametrize("upsample", [RULES[0], RULES[3]])
def test_nan_infinity_and_ties_are_decided_as_on_the_cpu(shim: Shim, upsample: UpsampleSpec) -> None:
    scores = np.random.default_rng(3).integers(0, 3, (1, 5, 16, 16)).astype(np.float32)
    strange = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -0.0], np.float32)
    rng = np.random.default_rng(4)
    places = rng.random(scores.shape) < 0.3
    scores[places] = rng.choice(strange, int(places.sum()))
    scores[0, :, 8:10] = np.nan
    check_mask(shim, head(5, (16, 16), upsample=upsample), scores, (61, 77))


@pytest.mark.parametrize("threshold", [0.0, 0.3, -2.0])
@pytest.mark.parametrize("make", [smooth, noisy])
def test_one_class_is_its_threshold(shim: Shim, threshold: float, make: Any) -> None:
    check_mask(shim, head(1, (16, 32), threshold=threshold), make(1, (16, 32)) + np.float32(0.3), (90, 161))


@pytest.mark.parametrize(("pitch", "offset"), [(112, 0), (100, 0), (103, 3), (112, 1)])
@pytest.mark.parametrize("backwards", [False, True])
def test_any_address_pitch_and_order_of_threads_gives_the_same_mask(
    shim: Shim, pitch: int, offset: int, backwards: bool
) -> None:
    one, scores = head(5, (9, 11)), noisy(5, (9, 11))
    expected = MaskMaker(one, threads=1).mask(scores, size_hw=(37, 100))
    launches, plane = PostprocessLaunches(one, size_hw=(37, 100)), Plane((37, 100), pitch, offset)
    areas = np.zeros(256, np.uint64)
    made = mask_of(shim, launches, scores, plane, areas=areas, backwards=backwards)
    np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(areas, np.bincount(expected.ravel(), minlength=256))


@pytest.mark.parametrize(
    ("channels", "more"),
    [
        (1, {}),
        (1, {"threshold": 0.4}),
        (1, {"threshold": 0.4, "scores": "probabilities"}),
        (6, {}),
        (19, {"upsample": RULES[3]}),
        (6, {"scores": "probabilities"}),
    ],
)
@pytest.mark.parametrize(("placement", "ignored"), [(None, None), (LETTERBOX, None), (None, 0)])
def test_the_confidence_is_the_cpus_within_one_level_and_the_mask_has_its_bits(
    shim: Shim, channels: int, more: dict[str, Any], placement: Placement | None, ignored: int | None
) -> None:
    ignored = None if channels == 1 else ignored  # one class cannot be left out
    form = MaskFormat(ignored_class=ignored)
    one, scores, size_hw = head(channels, (16, 16), **more), noisy(channels, (16, 16)), (45, 83)
    if "scores" in more:
        scores = 1 / (1 + np.exp(-scores))
    expected = np.empty(size_hw, np.uint8)
    maker = MaskMaker(one, input_hw=(128, 128), mask_format=form, threads=1)
    mask = maker.mask(scores, size_hw=size_hw, confidence=expected, placement=placement)
    launches = PostprocessLaunches(
        one, size_hw=size_hw, input_hw=(128, 128), placement=placement, mask_format=form, has_confidence=True
    )
    plane = Plane(size_hw)
    np.testing.assert_array_equal(mask_of(shim, launches, scores, Plane(size_hw), confidence=plane), mask)
    assert np.abs(plane.read().astype(int) - expected).max() <= ONE_LEVEL
    assert expected.min() < 200  # there is something to be unsure of


@pytest.mark.parametrize(
    ("ids_hw", "size_hw", "placement"),
    [
        ((16, 21), (45, 83), None),
        ((64, 64), (64, 64), None),
        ((33, 50), (9, 20), None),
        ((16, 21), (45, 83), LETTERBOX),
        ((64, 64), (45, 83), NARROW),
    ],
)
def test_finished_ids_are_enlarged_as_on_the_cpu(
    shim: Shim, ids_hw: tuple[int, int], size_hw: tuple[int, int], placement: Placement | None
) -> None:
    ids = np.random.default_rng(5).integers(-3, 260, (1, 1, *ids_hw)).astype(np.int32)
    ids[0, 0, 0, :2] = 2**31 - 1, -(2**31)
    options = {"input_hw": (128, 128), "placement": placement, "mask_format": MaskFormat(outside=254)}
    check_mask(shim, ids_head(ids_hw), ids, size_hw, **options)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ShapeError, match="no confidence"):
        PostprocessLaunches(ids_head((4, 4)), size_hw=(8, 8), has_confidence=True)
    with pytest.raises(ShapeError, match="hwc8"):
        PostprocessLaunches(ids_head((4, 4)), size_hw=(8, 8), layout="hwc8")
    with pytest.raises(ShapeError, match="NHWC"):
        PostprocessLaunches(head(3, (4, 4), layout="NHWC"), size_hw=(8, 8), layout="hwc16")
    with pytest.raises(ShapeError, match="input_hw"):
        PostprocessLaunches(head(3, (4, 4)), size_hw=(45, 83), placement=CROP)
    with pytest.raises(ShapeError, match="ignored class 7"):
        PostprocessLaunches(head(3, (4, 4)), size_hw=(8, 8), mask_format=MaskFormat(ignored_class=7))


@pytest.mark.parametrize("boundary", [None, (250, 1, 130)])
@pytest.mark.parametrize(("width", "pitch", "offset"), [(96, 288, 0), (101, 304, 0), (101, 308, 2), (7, 32, 0)])
@pytest.mark.parametrize("is_in_place", [False, True])
def test_the_overlay_has_the_cpus_bits(
    shim: Shim, boundary: Any, width: int, pitch: int, offset: int, is_in_place: bool
) -> None:
    rng, size_hw = np.random.default_rng(6), (21, width)
    names = tuple(ClassSpec(name=str(i), colour=(9 * i, 255 - i, 3 * i)) for i in range(20))
    overlay = Overlay(LabelSpec(classes=names), alpha=0.3, clear=(2, 255), boundary_rgb=boundary, threads=1)
    mask = rng.choice(np.array([0, 0, 0, 2, 19, 255], np.uint8), size_hw)
    mask[5:9] = 3
    pixels = rng.integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    frame, stored = Plane(size_hw, pitch, offset, channels=3), Plane(size_hw, (width + 15) // 16 * 16)
    frame.rows[:, : 3 * width], stored.rows[:, :width] = pixels.reshape(size_hw[0], -1), mask
    picture = frame if is_in_place else Plane(size_hw, pitch, offset, channels=3)
    colours = overlay.plan.tables()
    one = overlay_launch(
        frame=(frame.ptr, frame.pitch),
        mask=(stored.ptr, stored.pitch),
        picture=(picture.ptr, picture.pitch),
        colours=colours.ctypes.data,
        size_hw=size_hw,
        boundary=None if boundary is None else boundary[::-1],
    )
    launch_all(shim, (one,))
    np.testing.assert_array_equal(picture.read().reshape(*size_hw, 3), overlay.blend(pixels, mask))


def test_no_kernel_reads_or_writes_beside_its_arrays(tmp_path: Path) -> None:
    choice = "address or outside or confidence or finished or overlay or nan or lie or bits and (nhwc or int8 or floor)"
    sources = [KERNELS / "labels.cu", KERNELS / "postprocess.cu"]
    run_sanitized(Path(__file__), tmp_path, sources=sources, choice=choice)
