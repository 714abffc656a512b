"""Own what becomes of masks: videos, files, nothing. Make no masks."""

from __future__ import annotations

from edgeseg.runtime.sinks.base import MaskSink
from edgeseg.runtime.sinks.callback import MaskCallback
from edgeseg.runtime.sinks.display import Display
from edgeseg.runtime.sinks.folder import MaskFolder
from edgeseg.runtime.sinks.opening import open_sink
from edgeseg.runtime.sinks.options import SinkOptions
from edgeseg.runtime.sinks.records import MaskRecords
from edgeseg.runtime.sinks.rtsp import RtspStream
from edgeseg.runtime.sinks.several import Feed, check_sinks, open_sinks
from edgeseg.runtime.sinks.shared import SharedMasks
from edgeseg.runtime.sinks.video import ClassVideo, OverlayVideo

__all__ = [
    "ClassVideo",
    "Display",
    "Feed",
    "MaskCallback",
    "MaskFolder",
    "MaskRecords",
    "MaskSink",
    "OverlayVideo",
    "RtspStream",
    "SharedMasks",
    "SinkOptions",
    "check_sinks",
    "open_sink",
    "open_sinks",
]
