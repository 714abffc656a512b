"""What the pre-processing promises about other libraries: torch, OpenCV, Pillow, and the YUV standards."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from edgeseg.imaging.formats import COLOUR_MATRICES, ColourMatrix, PixelFormat, picture_view
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.spec import InputSpec

#: on pixel / 255: float32 has 6e-8 there, four products and sums a value. What is promised; 3e-7 is what is seen.
LINEAR_TOLERANCE = 1e-5
SIZES_HW = [(512, 1024), (64, 96), (255, 377), (700, 900), (300, 300)]
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def plain_spec(size_hw: tuple[int, int], **kwargs: Any) -> InputSpec:
    """Tensor values are pixel / 255."""
    return InputSpec(**{"name": "image", "size_hw": size_hw, "mean": (0.0,) * 3, "std": (1.0,) * 3, **kwargs})


def pictures_rgb() -> list[np.ndarray]:
    data = pytest.importorskip("skimage.data")
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (*size_hw, 3), np.uint8) for size_hw in ((1080, 1920), (333, 517), (2160, 3840))]
    return [np.ascontiguousarray(getattr(data, name)()) for name in PHOTOGRAPHS] + noise


def grey_levels(picture_rgb: np.ndarray, size_hw: tuple[int, int], **kwargs: Any) -> np.ndarray:
    tensor = Preprocessor(plain_spec(size_hw, **kwargs)).tensor(picture_rgb, pixel_format="RGB")
    return tensor[0].transpose(1, 2, 0) * 255.0


@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_linear_is_torchs_interpolate(size_hw: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    for picture_rgb in pictures_rgb():
        tensor = Preprocessor(plain_spec(size_hw)).tensor(picture_rgb, pixel_format="RGB")
        values = torch.from_numpy(picture_rgb).permute(2, 0, 1)[None].float() / 255
        expected = torch.nn.functional.interpolate(values, size=size_hw, mode="bilinear", align_corners=False)
        assert np.abs(tensor - expected.numpy()).max() <= LINEAR_TOLERANCE


@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_linear_is_within_one_grey_level_of_cv2_resize(size_hw: tuple[int, int]) -> None:
    for picture_rgb in pictures_rgb():
        expected = cv2.resize(picture_rgb, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
        assert np.abs(grey_levels(picture_rgb, size_hw) - expected).max() <= 1.0


@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_antialias_is_within_one_grey_level_of_pillow(size_hw: tuple[int, int]) -> None:
    """Pillow rounds after the columns and after the rows, half a level each; ours is rounded here, once."""
    image = pytest.importorskip("PIL.Image")
    for picture_rgb in pictures_rgb():
        expected = np.asarray(image.fromarray(picture_rgb).resize(size_hw[::-1], image.Resampling.BILINEAR), np.int64)
        found = np.rint(grey_levels(picture_rgb, size_hw, interpolation="antialias")).astype(np.int64)
        assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_antialias_is_within_a_tenth_of_a_grey_level_of_torch(size_hw: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    for picture_rgb in pictures_rgb():
        values = torch.from_numpy(picture_rgb).permute(2, 0, 1)[None].float()
        expected = torch.nn.functional.interpolate(
            values, size=size_hw, mode="bilinear", align_corners=False, antialias=True
        )
        found = grey_levels(picture_rgb, size_hw, interpolation="antialias")
        assert np.abs(found - expected[0].permute(1, 2, 0).numpy()).max() <= 0.1  # its weights are float32, ours not


@pytest.mark.parametrize("rule", ["letterbox", "crop"])
def test_proportions_are_kept(rule: str) -> None:
    circle = cv2.circle(np.zeros((300, 700, 3), np.uint8), (350, 150), 100, (255, 255, 255), -1)
    inside = grey_levels(circle, (256, 256), resize=rule)[:, :, 0] > 127
    height, width = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert abs(int(height) - int(width)) <= 2


def test_letterbox_is_a_resize_and_a_border_of_cv2() -> None:
    picture_rgb = pictures_rgb()[1]  # chelsea, 300 x 451
    small = cv2.resize(picture_rgb, (256, 170), interpolation=cv2.INTER_LINEAR)
    expected = cv2.copyMakeBorder(small, 43, 43, 0, 0, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    found = grey_levels(picture_rgb, (256, 256), resize="letterbox", pad_value=114)
    assert np.abs(found - expected).max() <= 1.0
    np.testing.assert_allclose(found[:43], 114.0, rtol=1e-6)


def exact_rgb(y: np.ndarray, u: np.ndarray, v: np.ndarray, matrix: ColourMatrix, *, is_full: bool) -> np.ndarray:
    """By inverting the standard's own matrix from RGB to YUV, not by the formulas that the kernels use."""
    red, blue = {"BT.601": (0.299, 0.114), "BT.709": (0.2126, 0.0722)}[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    to_u = (np.array([0, 0, 1.0]) - luma) / (2 * (1 - blue))
    to_v = (np.array([1.0, 0, 0]) - luma) / (2 * (1 - red))
    scaled = [(y - (0 if is_full else 16)) / (255 if is_full else 219)]
    scaled += [(chroma - 128) / (255 if is_full else 224) for chroma in (u, v)]
    rgb = np.stack(scaled, axis=-1) @ np.linalg.inv(np.stack([luma, to_u, to_v])).T
    return np.clip(rgb * 255, 0, 255)


@pytest.mark.parametrize("pixel_format", ["NV12", "I420", "YUYV", "UYVY"])
@pytest.mark.parametrize("matrix", COLOUR_MATRICES)
@pytest.mark.parametrize("is_full", [False, True])
def test_yuv_is_the_exact_conversion(pixel_format: PixelFormat, matrix: ColourMatrix, is_full: bool) -> None:
    width, height, rng = 128, 96, np.random.default_rng(0)
    y = rng.integers(0, 256, (height, width), np.uint8)
    u, v = rng.integers(0, 256, (2, height // 2, width // 2), np.uint8)
    if pixel_format in ("YUYV", "UYVY"):
        u, v = np.repeat(u, 2, axis=0), np.repeat(v, 2, axis=0)
        chroma = np.stack([u, v], axis=2).reshape(height, width)
        picture: Any = np.stack([y, chroma] if pixel_format == "YUYV" else [chroma, y], axis=2)
    else:
        picture = (y, u, v) if pixel_format == "I420" else (y, np.stack([u, v], axis=2))
    full_u, full_v = (np.repeat(np.repeat(c, height // c.shape[0], 0), 2, 1).astype(float) for c in (u, v))
    expected = exact_rgb(y.astype(float), full_u, full_v, matrix, is_full=is_full)
    tensor = Preprocessor(plain_spec((height, width))).tensor(
        picture, pixel_format=pixel_format, colour_matrix=matrix, is_full_range=is_full
    )
    assert np.abs(tensor[0].transpose(1, 2, 0) * 255 - expected).max() <= 1e-3  # one grey level is promised


@pytest.mark.parametrize(
    ("pixel_format", "code"),
    [
        ("NV12", cv2.COLOR_YUV2RGB_NV12),
        ("I420", cv2.COLOR_YUV2RGB_I420),
        ("YUYV", cv2.COLOR_YUV2RGB_YUYV),
        ("UYVY", cv2.COLOR_YUV2RGB_UYVY),
    ],
)
def test_yuv_is_within_one_grey_level_of_cv2(pixel_format: PixelFormat, code: int) -> None:
    """Where the luma is legal: below 16 OpenCV clamps it before the matrix, which no standard says."""
    is_planar = pixel_format in ("NV12", "I420")
    picture = np.random.default_rng(0).integers(16, 236, (96 * 3 // 2, 128) if is_planar else (96, 128, 2), np.uint8)
    tensor = Preprocessor(plain_spec((96, 128))).tensor(picture, pixel_format=pixel_format)
    assert np.abs(tensor[0].transpose(1, 2, 0) * 255 - cv2.cvtColor(picture, code)).max() <= 1.0


def test_grey_is_within_one_grey_level_of_cv2_and_pillow() -> None:
    image = pytest.importorskip("PIL.Image")
    picture_rgb = pictures_rgb()[0]
    spec = plain_spec(picture_rgb.shape[:2], colour="GRAY", mean=(0.0,), std=(1.0,))
    found = Preprocessor(spec).tensor(picture_rgb, pixel_format="RGB")[0, 0] * 255
    assert np.abs(found - cv2.cvtColor(picture_rgb, cv2.COLOR_RGB2GRAY)).max() <= 1.0
    assert np.abs(found - np.asarray(image.fromarray(picture_rgb).convert("L"))).max() <= 1.0


def test_a_picture_in_raw_memory_with_a_pitch_is_what_cv2_makes_of_it() -> None:
    rng = np.random.default_rng(0)
    raw = rng.integers(16, 236, 7 + 160 * 96 * 3 // 2, np.uint8)
    picture = picture_view(raw, "NV12", size_wh=(128, 96), pitch=160, offset=7)
    dense = np.concatenate([np.ascontiguousarray(plane) for plane in picture])
    tensor = Preprocessor(plain_spec((96, 128))).tensor(picture, pixel_format="NV12")
    expected = cv2.cvtColor(dense, cv2.COLOR_YUV2RGB_NV12)
    assert np.abs(tensor[0].transpose(1, 2, 0) * 255 - expected).max() <= 1.0
