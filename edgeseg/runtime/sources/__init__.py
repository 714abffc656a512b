"""Own the names of this room: where frames come from. Open with ``open_source``; decide no policy, drop nothing."""

from edgeseg.runtime.sources.base import FrameSource, SourceOptions
from edgeseg.runtime.sources.folder import ImageFolder
from edgeseg.runtime.sources.opencv import VideoSource
from edgeseg.runtime.sources.opening import open_source

__all__ = ["FrameSource", "ImageFolder", "SourceOptions", "VideoSource", "open_source"]
