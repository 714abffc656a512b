"""Own what a user calls a source: names to the one that reads them. Read no frame."""

from __future__ import annotations

from pathlib import Path

from edgeseg.errors import SourceError
from edgeseg.files import read_file
from edgeseg.runtime.sources.base import FrameSource, SourceOptions
from edgeseg.runtime.sources.folder import ImageFolder
from edgeseg.runtime.sources.opencv import VideoSource

__all__ = ["open_source"]

STREAM_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://")
DEFAULTS = SourceOptions()


def open_source(name: str, options: SourceOptions = DEFAULTS) -> FrameSource:
    """Open what a user calls a source.

    Args:
        name: a video file, a folder of images, a camera index such as ``0``, or an rtsp or http address.
        options: what is asked of it.
    Raises:
        SourceError: there is no such thing, or it holds no frames.
    """
    if options != DEFAULTS:
        raise SourceError(f"{name} cannot be opened with {options}", "leave the options at their defaults")
    if name.isdigit():
        return VideoSource(name, int(name), is_live=True)
    if name.startswith(STREAM_SCHEMES):
        return VideoSource(name, name, is_live=True)
    path = Path(name)
    if path.is_dir():
        return ImageFolder(path)
    read_head = "give a video file, a folder of images, a camera index or an rtsp/http address"
    read_file(path, error=SourceError, make_it=read_head)
    return VideoSource(name, name, is_live=False)
