"""Own what the kernels of the post-processing promise, as tests for any launcher: the CPU's bits, and no others."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from kernel_lab import POISON
from kernel_launchers import Launcher, Room
from numpy.typing import NDArray

from edgeseg.engine_spec import TensorLayout
from edgeseg.imaging.geometry import Placement, Rect
from edgeseg.imaging.overlay import Overlay
from edgeseg.imaging.postprocess import MaskFormat, MaskMaker
from edgeseg.runtime.kernels.postprocess import Launch, MaskPointers, PostprocessLaunches, overlay_launch
from edgeseg.runtime.layouts import stored_shape
from edgeseg.spec import ClassSpec, HeadSpec, LabelSpec, UpsampleSpec

__all__ = ["CROP", "LETTERBOX", "RULES", "PostprocessRules", "check_mask", "head", "ids_head", "noisy", "smooth"]

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
    """Poisoned uint8 rows of a pitch, in guards; or such rows with pixels in them."""

    def __init__(
        self,
        launcher: Launcher,
        size_hw: tuple[int, int],
        pitch: int | None = None,
        offset: int = 0,
        pixels: Array | None = None,
    ) -> None:
        channels = 1 if pixels is None else pixels.size // (size_hw[0] * size_hw[1])
        self._width = size_hw[1] * channels
        self.pitch = self._width + 5 if pitch is None else pitch
        self._shape = (size_hw[0], self.pitch)
        start = np.full(self._shape, POISON, np.uint8)
        if pixels is not None:
            start[:, : self._width] = pixels.reshape(size_hw[0], -1)
        self._room = launcher.room(self._shape, np.uint8, offset=offset, start=start)
        self.ptr = self._room.ptr

    def read(self) -> Array:
        """The pixels; beside them nothing was written."""
        rows = self._room.read()
        assert (rows[:, self._width :] == POISON).all(), "bytes behind a row's end were written"
        return rows[:, : self._width]


def launch_all(launcher: Launcher, launches: tuple[Launch, ...], *, backwards: bool = False) -> None:
    for one in launches:
        launcher.launch(one.kernel, one.grid, one.block, one.params, backwards=backwards)


def mask_of(
    launcher: Launcher,
    launches: PostprocessLaunches,
    scores: Array,
    mask: Plane,
    *,
    confidence: Plane | None = None,
    areas: Room | None = None,
    backwards: bool = False,
) -> Array:
    """The mask by the kernels; ``scores`` lie in memory as they do on the device."""
    scratch = launcher.room((launches.scratch_bytes,), np.uint8)
    at = MaskPointers(
        scores=launcher.put(np.ascontiguousarray(scores)),
        tables=launcher.put(launches.tables),
        scratch=scratch.ptr,
        mask=mask.ptr,
        mask_pitch=mask.pitch,
        confidence=0 if confidence is None else confidence.ptr,
        confidence_pitch=0 if confidence is None else confidence.pitch,
        areas=None if areas is None else areas.ptr,
    )
    launch_all(launcher, launches.made(at), backwards=backwards)
    scratch.read()
    return mask.read()


def check_mask(launcher: Launcher, one: HeadSpec, scores: Array, size_hw: tuple[int, int], **options: Any) -> None:
    """The kernels' mask has the bits of the C++ plan's."""
    maker = MaskMaker(one, input_hw=options.get("input_hw"), mask_format=options.get("mask_format"), threads=1)
    expected = maker.mask(scores, size_hw=size_hw, placement=options.get("placement"))
    launches = PostprocessLaunches(one, size_hw=size_hw, **options)
    np.testing.assert_array_equal(mask_of(launcher, launches, scores, Plane(launcher, size_hw)), expected)


class PostprocessRules:
    """For a test class of a folder that has a fixture ``launcher``."""

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
        self, launcher: Launcher, make: Any, channels: int, logits_hw: tuple[int, int], size_hw: tuple[int, int]
    ) -> None:
        check_mask(launcher, head(channels, logits_hw), make(channels, logits_hw), size_hw)

    @pytest.mark.parametrize("upsample", RULES, ids=lambda one: f"{one.mode}-{one.coordinates}-{one.rounding}")
    @pytest.mark.parametrize("size_hw", [(45, 83), (7, 9)])
    def test_every_rule_of_enlarging_has_the_cpus_bits(
        self, launcher: Launcher, upsample: UpsampleSpec, size_hw: tuple[int, int]
    ) -> None:
        check_mask(launcher, head(6, (16, 21), upsample=upsample), noisy(6, (16, 21)), size_hw)

    @pytest.mark.parametrize("placement", [LETTERBOX, CROP, NARROW])
    @pytest.mark.parametrize("upsample", [RULES[0], RULES[1], RULES[3]])
    @pytest.mark.parametrize("outside", [255, 7])
    def test_the_picture_is_found_again_and_the_rest_is_outside(
        self, launcher: Launcher, placement: Placement, upsample: UpsampleSpec, outside: int
    ) -> None:
        one = head(5, (16, 16), upsample=upsample)
        options = {"input_hw": (128, 128), "mask_format": MaskFormat(outside=outside)}
        check_mask(launcher, one, noisy(5, (16, 16)), (45, 83), placement=placement, **options)

    @pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
    @pytest.mark.parametrize("channels", [1, 2, 19])
    def test_every_type_of_scores_has_the_cpus_bits(self, launcher: Launcher, dtype: Any, channels: int) -> None:
        scores = (noisy(channels, (16, 24)) * 20).astype(dtype)
        form = MaskFormat(dtype=dtype, scale=0.0625 if dtype == "int8" else 1.0)
        check_mask(launcher, head(channels, (16, 24)), scores, (90, 135), mask_format=form)

    @pytest.mark.parametrize("layout", ["hwc", "hwc8", "hwc16"])
    @pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
    def test_scores_with_channels_last_and_padded_are_read_where_they_lie(
        self, launcher: Launcher, layout: TensorLayout, dtype: Any
    ) -> None:
        one, form = head(19, (12, 20)), MaskFormat(dtype=dtype)
        scores = (noisy(19, (12, 20)) * 20).astype(dtype)
        # Padding that would win if it were read.
        stored = np.full(stored_shape(one.shape, layout), 127, dtype)
        stored[..., :19] = scores.transpose(0, 2, 3, 1)
        expected = MaskMaker(one, mask_format=form, threads=1).mask(scores, size_hw=(50, 70))
        launches = PostprocessLaunches(one, size_hw=(50, 70), layout=layout, mask_format=form)
        np.testing.assert_array_equal(mask_of(launcher, launches, stored, Plane(launcher, (50, 70))), expected)

    def test_an_nhwc_net_has_the_cpus_bits(self, launcher: Launcher) -> None:
        one = head(7, (12, 20), layout="NHWC")
        check_mask(launcher, one, np.ascontiguousarray(noisy(7, (12, 20)).transpose(0, 2, 3, 1)), (50, 70))

    @pytest.mark.parametrize("ignored", [0, 1, 4])
    def test_an_ignored_class_never_wins(self, launcher: Launcher, ignored: int) -> None:
        scores = noisy(5, (16, 16))
        scores[0, ignored] += 5
        check_mask(launcher, head(5, (16, 16)), scores, (70, 90), mask_format=MaskFormat(ignored_class=ignored))

    @pytest.mark.parametrize("upsample", [RULES[0], RULES[3]])
    def test_nan_infinity_and_ties_are_decided_as_on_the_cpu(self, launcher: Launcher, upsample: UpsampleSpec) -> None:
        scores = np.random.default_rng(3).integers(0, 3, (1, 5, 16, 16)).astype(np.float32)
        strange = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -0.0], np.float32)
        rng = np.random.default_rng(4)
        places = rng.random(scores.shape) < 0.3
        scores[places] = rng.choice(strange, int(places.sum()))
        scores[0, :, 8:10] = np.nan
        check_mask(launcher, head(5, (16, 16), upsample=upsample), scores, (61, 77))

    @pytest.mark.parametrize("threshold", [0.0, 0.3, -2.0])
    @pytest.mark.parametrize("make", [smooth, noisy])
    def test_one_class_is_its_threshold(self, launcher: Launcher, threshold: float, make: Any) -> None:
        check_mask(launcher, head(1, (16, 32), threshold=threshold), make(1, (16, 32)) + np.float32(0.3), (90, 161))

    @pytest.mark.parametrize(("pitch", "offset"), [(112, 0), (100, 0), (103, 3), (112, 1)])
    @pytest.mark.parametrize("backwards", [False, True])
    def test_any_address_pitch_and_order_of_threads_gives_the_same_mask(
        self, launcher: Launcher, pitch: int, offset: int, backwards: bool
    ) -> None:
        one, scores = head(5, (9, 11)), noisy(5, (9, 11))
        expected = MaskMaker(one, threads=1).mask(scores, size_hw=(37, 100))
        launches, plane = PostprocessLaunches(one, size_hw=(37, 100)), Plane(launcher, (37, 100), pitch, offset)
        areas = launcher.room((256,), np.uint64, start=np.zeros(256, np.uint64))
        made = mask_of(launcher, launches, scores, plane, areas=areas, backwards=backwards)
        np.testing.assert_array_equal(made, expected)
        np.testing.assert_array_equal(areas.read(), np.bincount(expected.ravel(), minlength=256))

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
        self, launcher: Launcher, channels: int, more: dict[str, Any], placement: Placement | None, ignored: int | None
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
        plane = Plane(launcher, size_hw)
        np.testing.assert_array_equal(
            mask_of(launcher, launches, scores, Plane(launcher, size_hw), confidence=plane), mask
        )
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
        self, launcher: Launcher, ids_hw: tuple[int, int], size_hw: tuple[int, int], placement: Placement | None
    ) -> None:
        ids = np.random.default_rng(5).integers(-3, 260, (1, 1, *ids_hw)).astype(np.int32)
        ids[0, 0, 0, :2] = 2**31 - 1, -(2**31)
        options = {"input_hw": (128, 128), "placement": placement, "mask_format": MaskFormat(outside=254)}
        check_mask(launcher, ids_head(ids_hw), ids, size_hw, **options)

    @pytest.mark.parametrize("boundary", [None, (250, 1, 130)])
    @pytest.mark.parametrize(("width", "pitch", "offset"), [(96, 288, 0), (101, 304, 0), (101, 308, 2), (7, 32, 0)])
    @pytest.mark.parametrize("is_in_place", [False, True])
    def test_the_overlay_has_the_cpus_bits(
        self, launcher: Launcher, boundary: Any, width: int, pitch: int, offset: int, is_in_place: bool
    ) -> None:
        rng, size_hw = np.random.default_rng(6), (21, width)
        names = tuple(ClassSpec(name=str(i), colour=(9 * i, 255 - i, 3 * i)) for i in range(20))
        overlay = Overlay(LabelSpec(classes=names), alpha=0.3, clear=(2, 255), boundary_rgb=boundary, threads=1)
        mask = rng.choice(np.array([0, 0, 0, 2, 19, 255], np.uint8), size_hw)
        mask[5:9] = 3
        pixels = rng.integers(0, 256, (*size_hw, 3)).astype(np.uint8)
        frame = Plane(launcher, size_hw, pitch, offset, pixels)
        stored = Plane(launcher, size_hw, (width + 15) // 16 * 16, pixels=mask)
        picture = frame if is_in_place else Plane(launcher, size_hw, pitch, offset, np.zeros_like(pixels))
        one = overlay_launch(
            frame=(frame.ptr, frame.pitch),
            mask=(stored.ptr, stored.pitch),
            picture=(picture.ptr, picture.pitch),
            colours=launcher.put(overlay.plan.tables()),
            size_hw=size_hw,
            boundary=None if boundary is None else boundary[::-1],
        )
        launch_all(launcher, (one,))
        np.testing.assert_array_equal(picture.read().reshape(*size_hw, 3), overlay.blend(pixels, mask))
