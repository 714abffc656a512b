"""Own masks as video: frames blended with their class colours, or the colours alone. Make no masks."""

from __future__ import annotations

from pathlib import Path

from edgeseg.errors import OutputError, ShapeError
from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sinks.base import MaskSink
from edgeseg.runtime.sinks.options import PLAIN, SinkOptions
from edgeseg.runtime.sinks.painting import ClassPainter, Painter
from edgeseg.runtime.sinks.parts import PartNames
from edgeseg.runtime.sinks.video_file import VideoFile
from edgeseg.spec import LabelSpec

__all__ = ["ClassVideo", "OverlayVideo"]


class OverlayVideo(MaskSink):
    """H.264 video of frames blended with their class colours.

    Of a file's frames it has a fixed rate and appears under its name when it is whole. Of live frames
    (``options.is_live``) it grows under its name, keeps their times and is playable whenever the process is killed;
    a change of size begins another file (``name.part-0002.mp4``), and so does a failed write.

    Args:
        path: .mp4, .mkv or .mov.
        labels: class colours.
        fps: frames a second of the video.
        alpha: weight of the colours, 0 to 1.
        options: live or not, and when to begin another file.
    """

    def __init__(
        self, path: Path, labels: LabelSpec, *, fps: float, alpha: float = 0.5, options: SinkOptions = PLAIN
    ) -> None:
        self.name = str(path)
        self._painter = Painter(labels, alpha=alpha)
        self._fps, self._options = fps, options
        self._names = PartNames(path, options)
        self._began_s: float | None = None
        self._file: VideoFile | None = self._next_file()

    def write(self, frame: Frame, mask: Mask) -> None:
        picture = self._painter.paint(frame, mask)
        file = self._file_for((picture.shape[0], picture.shape[1]), frame)
        try:
            file.add(picture, self._seconds(file, frame))
        except OutputError:
            if self._options.is_live:  # what is whole stays; should the caller go on, another file begins
                self._file = None
                file.leave()
            raise
        if file.frames == 1:
            self._names.delete_old()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.finish()

    def abandon(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        if not self._options.is_live:
            file.leave()
            return
        try:
            file.finish()
        except OutputError:  # it has left what is whole, and there is nobody to tell
            return

    def _seconds(self, file: VideoFile, frame: Frame) -> float:
        """When in the file the frame is."""
        if not self._options.is_live:
            return file.frames / self._fps
        taken_s = frame.arrived_s if frame.captured_s is None else frame.captured_s
        if self._began_s is None:
            self._began_s = taken_s
        return taken_s - self._began_s

    def _file_for(self, size_hw: tuple[int, int], frame: Frame) -> VideoFile:
        """The file that takes the frame: the open one unless it is full or of another size."""
        file = self._file
        if file is None:
            self._file = file = self._next_file()
        if file.size_hw is None or not self._is_done(file, size_hw, frame):
            return file
        self._file = None
        file.finish()
        self._file = self._next_file()
        return self._file

    def _is_done(self, file: VideoFile, size_hw: tuple[int, int], frame: Frame) -> bool:
        if file.size_hw != size_hw and not self._options.is_live:
            raise ShapeError(
                f"frame {frame.sequence} is {size_hw} where {self.name} holds {file.size_hw}", "write masks to a folder"
            )
        is_full = self._options.ends_part(seconds=self._seconds(file, frame), written_bytes=file.written_bytes)
        return is_full or file.size_hw != size_hw

    def _next_file(self) -> VideoFile:
        self._began_s = None
        return VideoFile(self._names.take(), fps=self._fps, is_growing=self._options.is_live)


class ClassVideo(OverlayVideo):
    """The same of the class colours alone; pixels without a class are black. Frames are not converted."""

    def __init__(self, path: Path, labels: LabelSpec, *, fps: float, options: SinkOptions = PLAIN) -> None:
        super().__init__(path, labels, fps=fps, options=options)
        self._painter = ClassPainter(labels)
