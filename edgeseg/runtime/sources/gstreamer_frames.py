"""Own what GStreamer tells of a frame, as picture, form and number. Ask nobody for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeseg.imaging.formats import ColourMatrix, FrameForm, Memory, Picture, PixelFormat, picture_view, plane_sizes

__all__ = ["TAKEN", "Numbers", "form_of", "picture_of"]

#: GStreamer's formats that pre-processing takes as they are; the x of BGRx is not read
TAKEN: dict[str, PixelFormat] = {
    "NV12": "NV12", "I420": "I420", "YUY2": "YUYV", "UYVY": "UYVY", "GRAY8": "GRAY8", "BGR": "BGR", "RGB": "RGB",
    "BGRA": "BGRA", "BGRx": "BGRA", "RGBA": "RGBA", "RGBx": "RGBA",
}  # fmt: skip
AS_SHOWN = ("BGR", "RGB", "BGRA", "RGBA")  # without a range or a matrix
MATRICES: dict[str, ColourMatrix] = {"bt601": "BT.601", "bt709": "BT.709"}


def form_of(said: Mapping[str, Any]) -> FrameForm | None:
    """How a frame is read; None where its format or its colours are none that pre-processing takes.

    Caps without colorimetry mean BT.601 below 720 rows and BT.709 from there on, GStreamer's own rule. It takes BT.2020
    from 2160 rows on, for broadcasts; no camera that says nothing gives that.
    """
    pixel_format = TAKEN.get(said["format"]) if said["strides"] else None
    if pixel_format is None:
        return None
    if pixel_format in AS_SHOWN:
        return FrameForm(pixel_format=pixel_format)
    matrix = MATRICES.get(said["matrix"])
    if matrix is None and (not said["tells_colours"] or pixel_format == "GRAY8"):
        matrix = "BT.709"
    if matrix is None:
        return None
    return FrameForm(pixel_format=pixel_format, colour_matrix=matrix, is_full_range=said["is_full_range"])


def picture_of(memory: Memory, said: Mapping[str, Any], pixel_format: PixelFormat) -> Picture:
    """The picture in a frame's memory, its planes where GStreamer put them; nothing is copied.

    Raises:
        ShapeError: an odd side of a format that halves its colours, or too few bytes.
    """
    width, height = said["size_wh"]
    sizes = plane_sizes(pixel_format, (width, height))
    if len(sizes) == 1 or width % 2 or height % 2:
        pitch, offset = said["strides"][0], said["offsets"][0]
        return picture_view(memory, pixel_format, size_wh=(width, height), pitch=pitch, offset=offset)
    places = zip(sizes, said["strides"], said["offsets"])  # noqa: B905  # GStreamer always tells of four planes
    return tuple(
        picture_view(memory, "GRAY8", size_wh=(row, rows), pitch=pitch, offset=at)  # type: ignore[misc]  # one array
        for (rows, row), pitch, at in places
    )


class Numbers:
    """A frame's number in its source, those lost on the way included where its buffer's offset tells them.

    Cameras and test sources count frames there, parsers of files count bytes: a step counts where the frames' times
    allow it.
    """

    def __init__(self) -> None:
        self._number, self._offset, self._running_ns = -1, -1, 0

    def next(self, offset: int | None, running_ns: int | None, fps: float) -> int:
        """The number of the next frame, from 0.

        Args:
            offset: its buffer's.
            running_ns: its time in the stream.
            fps: frames a second by its caps; 0 where they do not tell.
        """
        self._number += self._step(offset, running_ns, fps)
        self._offset = -1 if offset is None else offset
        self._running_ns = running_ns or 0
        return self._number

    def _step(self, offset: int | None, running_ns: int | None, fps: float) -> int:
        if offset is None or running_ns is None or self._offset < 0:
            return 1
        step, periods = offset - self._offset, (running_ns - self._running_ns) * 1e-9 * fps
        return step if 1 <= step <= 2 * periods + 1 else 1
