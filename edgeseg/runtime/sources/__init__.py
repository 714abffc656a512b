"""Own the names of this room: where frames come from. Open with ``open_source``; decide no policy, drop nothing."""

from edgeseg.runtime.sources.base import FrameSource, SourceOptions
from edgeseg.runtime.sources.folder import ImageFolder
from edgeseg.runtime.sources.opening import open_source
from edgeseg.runtime.sources.video import VideoFile, VideoSource, VideoStream

__all__ = ["FrameSource", "ImageFolder", "SourceOptions", "VideoFile", "VideoSource", "VideoStream", "open_source"]
