"""Own what PyAV decodes: whole frames or lost ones, planes as they lie, colours as they are told. Open nothing."""

from __future__ import annotations

from typing import Any

from edgeseg.imaging.formats import ColourMatrix, FrameForm, Picture, PixelFormat, picture_view
from edgeseg.packages import require

__all__ = ["FramePictures", "decoded_frames"]

#: FFmpeg's formats that pre-processing takes as they are; yuvj: the same in full range; the 0 of bgr0 is not read
TAKEN: dict[str, PixelFormat] = {
    "yuv420p": "I420", "yuvj420p": "I420", "nv12": "NV12", "yuyv422": "YUYV", "uyvy422": "UYVY", "gray": "GRAY8",
    "bgr24": "BGR", "rgb24": "RGB", "bgra": "BGRA", "bgr0": "BGRA", "rgba": "RGBA", "rgb0": "RGBA",
}  # fmt: skip
AS_SHOWN = ("BGR", "RGB", "BGRA", "RGBA")  # without a range or a matrix
HALVED = ("I420", "NV12")
#: AVColorSpace (libavutil/pixfmt.h); 2 is "unspecified", which OpenCV and swscale read as BT.601
MATRICES: dict[int, ColourMatrix] = {1: "BT.709", 2: "BT.601", 5: "BT.601", 6: "BT.601"}
FULL_RANGE = 2  # AVCOL_RANGE_JPEG


def decoded_frames(packet: Any) -> list[Any | None]:
    """The frames that a packet completes, in order; None for each that is lost: not decoded, or with damage in it.

    Args:
        packet: an ``av.Packet`` of a demuxed stream.
    """
    try:
        decoded = packet.decode()
    except require("av").error.InvalidDataError:
        return [None]
    return [None if frame.is_corrupt else frame for frame in decoded]


class FramePictures:
    """PyAV's frames as pictures. Formats and colours that pre-processing does not know become BGR."""

    def __init__(self) -> None:
        self._reformatter = require("av").video.reformatter.VideoReformatter()  # keeps its scaler from frame to frame

    def picture_of(self, frame: Any) -> tuple[Picture, FrameForm]:
        """The picture of a frame in host memory, and how to read it.

        Args:
            frame: an ``av.VideoFrame``.
        Returns:
            Views of the decoder's own planes, which stay valid as long as they are held, where the format is one of
            ``TAKEN``; else views of a converted frame.
        """
        pixel_format = _taken(frame)
        if pixel_format is None:
            frame = self._reformatter.reformat(frame, format="bgr24")
            pixel_format = "BGR"
        if pixel_format in AS_SHOWN:
            return _planes(frame, pixel_format), FrameForm(pixel_format=pixel_format)
        return _planes(frame, pixel_format), FrameForm(
            pixel_format=pixel_format,
            colour_matrix=MATRICES.get(int(frame.colorspace), "BT.601"),
            is_full_range=_is_full_range(frame),
        )


def _taken(frame: Any) -> PixelFormat | None:
    """The format of a frame that can be read as it lies."""
    pixel_format = TAKEN.get(frame.format.name)
    if pixel_format is None or min(plane.line_size for plane in frame.planes) <= 0:  # rows from the bottom up
        return None
    is_odd = frame.width % 2 or frame.height % 2
    if pixel_format in AS_SHOWN:
        return pixel_format
    if int(frame.colorspace) not in MATRICES or (is_odd and (pixel_format in HALVED or frame.width % 2)):
        return None
    return pixel_format


def _is_full_range(frame: Any) -> bool:
    return frame.format.name.startswith("yuvj") or int(frame.color_range) == FULL_RANGE


def _planes(frame: Any, pixel_format: PixelFormat) -> Picture:
    size, planes = (frame.width, frame.height), frame.planes
    if pixel_format not in HALVED:
        return picture_view(planes[0], pixel_format, size_wh=size, pitch=planes[0].line_size)
    chroma = (size[0] // 2, size[1] // 2) if pixel_format == "I420" else (size[0], size[1] // 2)
    sizes = (size, *(chroma for _ in planes[1:]))
    return tuple(
        picture_view(plane, "GRAY8", size_wh=one, pitch=plane.line_size)  # type: ignore[misc]  # GRAY8: one array
        for plane, one in zip(planes, sizes, strict=True)
    )
