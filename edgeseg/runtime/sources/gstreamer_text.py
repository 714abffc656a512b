"""Own pipelines as text: the one of a CSI camera, and the appsink that every one ends in. Run none."""

from __future__ import annotations

import re
from fractions import Fraction

from edgeseg.errors import AddressError
from edgeseg.imaging.formats import PixelFormat
from edgeseg.runtime.sources.addresses import Address, with_query
from edgeseg.runtime.sources.base import SourceOptions
from edgeseg.runtime.sources.gstreamer_frames import TAKEN

__all__ = ["CSI_FORMATS", "csi_pipeline", "given_pipeline"]

APPSINK = re.compile(r"\bappsink\b")
#: of what nvvidconv writes (NVIDIA's Accelerated GStreamer guide, r36), GStreamer's names for our formats
CSI_FORMATS: dict[PixelFormat, str] = {
    "NV12": "NV12", "I420": "I420", "GRAY8": "GRAY8", "UYVY": "UYVY", "YUYV": "YUY2", "RGBA": "RGBA", "BGRA": "BGRx",
}  # fmt: skip
#: elements that may choose give what needs no conversion
OWN_SINK = f'appsink sync=false caps="video/x-raw,format={{{",".join(TAKEN)}}}"'
FLIPS = 8  # nvvidconv's flip-method: 0 none, 1 to 3 quarter turns to the left, 4 to 7 mirrored


def csi_pipeline(address: Address, options: SourceOptions) -> str:
    """The pipeline of ``csi://0?size=1280x720&fps=30&format=NV12&mode=2&flip=2``.

    The conversion on the Jetson's video hardware brings the frames to memory as NV12: no ``videoconvert``, which would
    turn every frame on the CPU.

    Raises:
        AddressError: a word that is not known, or a value that the camera's elements have not.
    """
    bare, asked, words = with_query(address, options, extra=("mode", "flip"))
    sensor = _number(address, "number", bare.place or "0", 64)
    flip = _number(address, "flip", words["flip"], FLIPS) if "flip" in words else None
    mode = _number(address, "mode", words["mode"], 64) if "mode" in words else None
    wanted = CSI_FORMATS.get(asked.pixel_format or "NV12")
    if wanted is None:
        raise AddressError(
            f"{address.text}: no {asked.pixel_format} comes from nvvidconv", f"give one of {', '.join(CSI_FORMATS)}"
        )
    size = "" if asked.size_wh is None else ",width={},height={}".format(*asked.size_wh)
    rate = "" if asked.fps is None else ",framerate={0.numerator}/{0.denominator}".format(_fraction(asked.fps))
    return (
        f"nvarguscamerasrc sensor-id={sensor}{'' if mode is None else f' sensor-mode={mode}'} ! "
        f"video/x-raw(memory:NVMM),format=NV12{size}{rate} ! "
        f"nvvidconv{'' if flip is None else f' flip-method={flip}'} ! "
        f"video/x-raw,format={wanted} ! appsink drop=true max-buffers=1 sync=false"
    )


def given_pipeline(text: str, options: SourceOptions) -> str:
    """A user's pipeline, with an appsink at its end where it has none.

    Raises:
        AddressError: it is empty, or its frames' form is asked for beside it.
    """
    wished = {"size": options.size_wh, "fps": options.fps, "format": options.pixel_format}
    if asked := [word for word, value in wished.items() if value is not None]:
        raise AddressError(
            f"the pipeline '{text}' tells its own form: {', '.join(asked)} cannot be asked of it",
            "write it in the pipeline: ! video/x-raw,format=NV12,width=1280,height=720,framerate=30/1",
        )
    bare = text.strip().rstrip("!").strip()
    if not bare:
        raise AddressError("the pipeline is empty", "write gst://v4l2src device=/dev/video0 ! videoconvert")
    return bare if APPSINK.search(bare) else f"{bare} ! {OWN_SINK}"


def _fraction(fps: float) -> Fraction:
    """Exact for 30 as for 30000/1001."""
    return Fraction(fps).limit_denominator(1001)


def _number(address: Address, word: str, text: str, end: int) -> int:
    if not text.isdecimal() or int(text) >= end:
        raise AddressError(f"{address.text}: {word} is '{text}'", f"give a whole number from 0 to {end - 1}")
    return int(text)
