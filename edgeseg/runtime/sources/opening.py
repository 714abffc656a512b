"""Own what a user calls a source: names to the one that reads them. Read no frame."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from edgeseg.errors import SourceError
from edgeseg.runtime.sources.addresses import Address, parse_address
from edgeseg.runtime.sources.base import FrameSource, SourceOptions
from edgeseg.runtime.sources.folder import ImageFolder
from edgeseg.runtime.sources.opencv import OpenCvCamera
from edgeseg.runtime.sources.video import VideoFile, VideoStream

__all__ = ["open_source"]

WHAT_THERE_IS = (
    "give a video file, a folder of images, a camera index, or an address that begins with file://, rtsp://, "
    "rtsps://, http://, https:// or udp://"
)
DEFAULTS = SourceOptions()


def open_source(name: str, options: SourceOptions = DEFAULTS) -> FrameSource:
    """Open what a user calls a source.

    Args:
        name: a path, a camera index, or an address; docs/run.md lists them.
        options: what is asked of it; a source refuses what it cannot give.
    Raises:
        SourceError: there is no such thing, or it holds no frames.
        MissingPackageError: the package that reads it is not installed.
    """
    address = parse_address(name)
    if name.isdecimal():
        return OpenCvCamera(name, int(name))
    if address.scheme in ("rtsp", "rtsps", "http", "https", "udp"):
        return VideoStream(name, options)
    if address.scheme in ("file", ""):
        return _open_path(address, options)
    raise SourceError(f"{name} begins with {address.scheme}://, which is unknown", WHAT_THERE_IS)


def _open_path(address: Address, options: SourceOptions) -> FrameSource:
    path = Path(unquote(address.place) if address.scheme else address.place)
    if path.is_dir():
        return ImageFolder(path)
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror})", WHAT_THERE_IS) from error
    if is_empty:
        raise SourceError(f"{path} is empty (0 bytes)", WHAT_THERE_IS)
    return VideoFile(address.text, path, options)
