"""Own addresses of sources as text: scheme, place and query. Open nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, unquote

from edgeseg.errors import AddressError
from edgeseg.imaging.formats import PIXEL_FORMATS
from edgeseg.runtime.sources.base import SourceOptions

__all__ = ["Address", "is_camera_path", "is_live_address", "parse_address", "with_query", "without_password"]

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
LIVE_SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "v4l2", "csi", "gst", "opencv", "shm")
FILE_ELEMENTS = ("filesrc", "multifilesrc", "splitmuxsrc")
USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
PROPERTY = re.compile(r"(?<=user-pw=)\S+")  # of GStreamer's rtspsrc, souphttpsrc
DEVICES = "/dev/"
NO_CAMERAS = ("shm/", "fd/", "std")  # all else may be one: udev gives names like v4l/by-id/... and front
SIZE = re.compile(r"(\d+)x(\d+)")


@dataclass(frozen=True, kw_only=True)
class Address:
    """What a user calls a source, taken apart.

    Attributes:
        text: what the user typed.
        scheme: in small letters; empty for a plain path, an index and ``-``.
        place: what follows it, up to a ``?`` where the scheme has a query of ours.
    """

    text: str
    scheme: str
    place: str


def is_live_address(text: str) -> bool:
    """Whether a source goes on without a reader, by its name alone: it need not be there.

    Example:
        >>> is_live_address("rtsp://camera/1"), is_live_address("clip.mp4"), is_live_address("0")
        (True, False, True)
        >>> is_live_address("gst://v4l2src ! videoconvert"), is_live_address("gst://filesrc location=a.mp4 ! decodebin")
        (True, False)
    """
    address = parse_address(text)
    if address.scheme == "gst":
        return not _begins_with_a_file(address.place)
    if address.scheme == "test":
        return with_query(address, SourceOptions(), extra=("frames",))[1].fps is not None
    return address.scheme in LIVE_SCHEMES or text.isdecimal() or is_camera_path(text)


def is_camera_path(text: str) -> bool:
    """Whether a path is a camera's by its name alone: it need not be there, and udev gives it names of its own.

    Example:
        >>> is_camera_path("/dev/v4l/by-id/usb-cam-index0"), is_camera_path("/dev/shm/clip.mp4")
        (True, False)
    """
    return text.startswith(DEVICES) and not text.removeprefix(DEVICES).startswith(NO_CAMERAS)


def _begins_with_a_file(pipeline: str) -> bool:
    """By its first element; videotestsrc counts as a file where it is not told otherwise, as GStreamer has it."""
    element, *properties = pipeline.partition("!")[0].split() or [""]
    return element in FILE_ELEMENTS or (element == "videotestsrc" and "is-live=true" not in properties)


def parse_address(text: str) -> Address:
    """Take an address apart.

    Example:
        >>> parse_address("CSI://0").scheme, parse_address("a/b.mp4").scheme
        ('csi', '')
    """
    found = SCHEME.fullmatch(text)
    return (
        Address(text=text, scheme=found[1].lower(), place=found[2])
        if found
        else Address(text=text, scheme="", place=text)
    )


def with_query(
    address: Address, options: SourceOptions, *, extra: tuple[str, ...] = ()
) -> tuple[Address, SourceOptions, dict[str, str]]:
    """The address without its query, and the options with what the query says in their place.

    Args:
        address: ``place?size=640x480&fps=30&format=NV12``.
        options: what is asked otherwise.
        extra: further words that this source knows.
    Returns:
        Address, options, and the values of the extra words.
    Raises:
        AddressError: a word that is not known, or a value that is none.
    """
    place, _, query = address.place.partition("?")
    words = dict(parse_qsl(query, keep_blank_values=True))
    known = ("size", "fps", "format", *extra)
    if unknown := [word for word in words if word not in known]:
        raise AddressError(f"{address.text} says '{unknown[0]}'", f"it may say {', '.join(known)}")
    others = {word: value for word, value in words.items() if word in extra}
    return replace(address, place=unquote(place)), _merged(address, options, words), others


def _merged(address: Address, options: SourceOptions, words: dict[str, str]) -> SourceOptions:
    if "size" in words:
        size = SIZE.fullmatch(words["size"])
        if size is None or "0" in size.groups():
            raise AddressError(f"{address.text}: size is '{words['size']}'", "write it as 640x480, width first")
        options = replace(options, size_wh=(int(size[1]), int(size[2])))
    if "fps" in words:
        options = replace(options, fps=positive(address, "fps", words["fps"]))
    if "format" in words:
        named = {one: one for one in PIXEL_FORMATS}.get(words["format"].upper())  # type: ignore[call-overload]
        if named is None:
            raise AddressError(
                f"{address.text}: format is '{words['format']}'", f"give one of {', '.join(PIXEL_FORMATS)}"
            )
        options = replace(options, pixel_format=named)
    return options


def positive(address: Address, word: str, text: str) -> float:
    """A number above 0 out of a query.

    Raises:
        AddressError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise AddressError(f"{address.text}: {word} is '{text}'", "give a number above 0")
    return value


def without_password(text: str) -> str:
    """A text without the user and password of the addresses and pipelines in it.

    Example:
        >>> without_password("rtsp://me:secret@10.0.0.7/live")
        'rtsp://***@10.0.0.7/live'
    """
    return PROPERTY.sub("***", USER_INFO.sub("***@", text))
