"""What PyAV decodes is read where it lies, and as the colours that it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.imaging.colours import as_bgr
from edgeseg.imaging.decoded import FramePictures
from edgeseg.imaging.formats import FrameForm, planes_of

av = pytest.importorskip("av")

SIZE_WH = (64, 48)
#: grey levels between our arithmetic and FFmpeg's: both round, FFmpeg in small integers
ROUNDING = 3


def smooth(size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
    """A picture whose colours change slowly, so that halved chroma is worth what whole chroma is; BGR."""
    y, x = np.mgrid[0 : size_wh[1], 0 : size_wh[0]]
    return np.dstack([x * 3 + 20, y * 4 + 20, 230 - x - y]).astype(np.uint8)


def frame_in(pixel_format: str, picture: np.ndarray | None = None) -> Any:
    frame = av.VideoFrame.from_ndarray(smooth() if picture is None else picture, format="bgr24")
    return frame.reformat(format=pixel_format)


@pytest.mark.parametrize(
    ("given", "taken", "is_full_range"),
    [
        ("yuv420p", "I420", False), ("yuvj420p", "I420", True), ("nv12", "NV12", False), ("yuyv422", "YUYV", False),
        ("uyvy422", "UYVY", False), ("bgr24", "BGR", False), ("rgb24", "RGB", False), ("bgra", "BGRA", False),
        ("rgb0", "RGBA", False), ("yuv444p", "BGR", False), ("yuvj422p", "BGR", False), ("yuv420p10le", "BGR", False),
        ("gbrp", "BGR", False),
    ],
)  # fmt: skip
def test_every_format_shows_the_picture_and_is_taken_as_it_lies_where_it_can_be(
    given: str, taken: str, is_full_range: bool
) -> None:
    picture, form = FramePictures().picture_of(frame_in(given))
    assert (form.pixel_format, form.is_full_range, form.colour_matrix) == (taken, is_full_range, "BT.601")
    difference = np.abs(as_bgr(picture, form).astype(int) - smooth())
    assert difference.mean() < ROUNDING
    assert difference.max() <= 4 * ROUNDING  # colour edges at the border of a pair of pixels


def test_planes_are_views_of_the_decoders_memory_and_outlive_the_decoder() -> None:
    frame = frame_in("yuv420p")
    addresses = [plane.buffer_ptr for plane in frame.planes]
    picture, form = FramePictures().picture_of(frame)
    planes = planes_of(picture, form.pixel_format)
    assert [plane.__array_interface__["data"][0] for plane in planes] == addresses
    assert not any(plane.flags.writeable for plane in planes)
    before = [plane.copy() for plane in planes]
    del frame
    others = [frame_in("yuv420p", np.zeros((48, 64, 3), np.uint8)) for _ in range(20)]
    for plane, kept in zip(planes, before, strict=True):
        np.testing.assert_array_equal(plane, kept)
    assert len(others) == 20


def test_sizes_without_halves_come_as_bgr() -> None:
    picture, form = FramePictures().picture_of(frame_in("yuv420p", smooth((63, 47))))
    assert (form, planes_of(picture, "BGR")[0].shape) == (FrameForm(), (47, 63, 3))


@pytest.mark.parametrize(
    ("code", "matrix"), [(1, "BT.709"), (2, "BT.601"), (5, "BT.601"), (6, "BT.601")]
)  # AVCOL_SPC_BT709, _UNSPECIFIED, _BT470BG, _SMPTE170M
def test_the_colour_matrix_is_the_one_that_the_frame_tells(code: int, matrix: str) -> None:
    frame = frame_in("yuv420p")
    frame.colorspace = code
    assert FramePictures().picture_of(frame)[1].colour_matrix == matrix


def test_colours_of_bt_2020_are_left_to_ffmpeg() -> None:
    frame = frame_in("yuv420p")
    frame.colorspace = 9  # AVCOL_SPC_BT2020_NCL
    assert FramePictures().picture_of(frame)[1] == FrameForm()


def test_rows_from_the_bottom_up_are_turned(tmp_path: Path) -> None:
    """Uncompressed AVI has them so."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE_WH, "bgr24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(smooth(), format="bgr24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        (frame,) = container.decode(video=0)
        picture, form = FramePictures().picture_of(frame)
        np.testing.assert_array_equal(as_bgr(picture, form), smooth())
