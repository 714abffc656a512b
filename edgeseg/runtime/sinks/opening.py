"""Own which sink a user's words mean. Write nothing."""

from __future__ import annotations

from pathlib import Path

from edgeseg.errors import OutputError
from edgeseg.runtime.sinks.base import MaskSink
from edgeseg.runtime.sinks.callback import load_callback
from edgeseg.runtime.sinks.display import Display
from edgeseg.runtime.sinks.folder import MaskFolder
from edgeseg.runtime.sinks.options import PLAIN, SinkOptions
from edgeseg.runtime.sinks.records import RECORD_SUFFIX, MaskRecords
from edgeseg.runtime.sinks.rtsp import RTSP_SCHEME, RtspStream
from edgeseg.runtime.sinks.shared import SharedMasks
from edgeseg.runtime.sinks.video import ClassVideo, OverlayVideo
from edgeseg.runtime.sinks.video_file import VIDEO_SUFFIXES
from edgeseg.spec import LabelSpec

__all__ = ["CLASSES", "DISPLAYS", "FUNCTION", "open_sink"]

CLASSES = "mask:"
SHARED = "shm://"
FUNCTION = "py:"
DISPLAYS = ("display", "display://0")


def open_sink(
    name: str, labels: LabelSpec, *, fps: float, alpha: float = 0.5, options: SinkOptions = PLAIN
) -> MaskSink:
    """Open what a user calls a sink.

    Args:
        name: ``overlay.mp4`` (.mkv, .mov) is a video of frames with class colours, ``mask:classes.mp4`` one of the
            colours alone, ``masks.jsonl`` lines of JSON, ``shm://masks`` shared memory,
            ``py:module:function`` a function of yours, ``rtsp-out://:8554/live`` a stream, ``display`` a window, a name
            without suffix a folder of masks.
        labels: the classes and their colours.
        fps: frames a second of a video.
        alpha: weight of the colours, 0 to 1.
        options: live or not, and when a file ends.
    Raises:
        OutputError: it cannot be written, or the name means nothing.
        MissingPackageError: a video without the ``video`` extra.
    """
    if not name.strip():
        raise OutputError("a sink has an empty name", "name a file or a folder, or leave the word out")
    if name.startswith(CLASSES):
        return ClassVideo(_video_path(name), labels, fps=fps, options=options)
    if name.startswith(SHARED):
        return SharedMasks(name.removeprefix(SHARED))
    if name.startswith(FUNCTION):
        return load_callback(name)
    if name.startswith(RTSP_SCHEME):
        return RtspStream(name, labels, alpha=alpha)
    if name in DISPLAYS:
        return Display(labels, alpha=alpha)
    if "://" in name:
        raise OutputError(
            f"{name} is no sink", "known are shm://NAME, rtsp-out://:PORT/PATH, display, py:module:function and files"
        )
    path = Path(name)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return OverlayVideo(path, labels, fps=fps, alpha=alpha, options=options)
    if path.suffix.lower() == RECORD_SUFFIX:
        return MaskRecords(path, labels, options=options)
    if path.suffix and not path.is_dir():
        known = " ".join((*VIDEO_SUFFIXES, RECORD_SUFFIX))
        raise OutputError(f"{name} has the unknown ending {path.suffix}", f"end it with {known}, or name a folder")
    return MaskFolder(path)


def _video_path(name: str) -> Path:
    path = Path(name.removeprefix(CLASSES))
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise OutputError(f"{name} is no video", f"name one that ends with {' '.join(VIDEO_SUFFIXES)}")
    return path
