"""Own frames: video files, image folders, cameras and streams through OpenCV. Decide no policy, drop nothing."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from edgeseg.errors import SourceError
from edgeseg.files import read_file
from edgeseg.imaging.images import list_images, read_image
from edgeseg.runtime.frames import Frame

__all__ = ["FrameSource", "ImageFolder", "VideoSource", "open_source"]

DEFAULT_FPS = 30.0
STREAM_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://")
#: containers whose boxes tell exactly whether the file was cut short
BOX_SUFFIXES = (".mp4", ".mov", ".m4v")


class FrameSource(ABC):
    """Frames in order. ``is_live`` sources go on without a reader; the others wait for it."""

    name: str
    is_live: bool
    fps: float
    #: how many frames there are, where that is known beforehand
    length: int | None

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames; raises SourceError where the source ends before its end."""

    @abstractmethod
    def close(self) -> None:
        """Release the device or file; safe to call twice."""

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ImageFolder(FrameSource):
    """The pictures of a folder in the order of their names."""

    is_live = False
    fps = DEFAULT_FPS

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._paths = list_images(folder, error=SourceError)
        self.length = len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        for sequence, path in enumerate(self._paths):
            pixels = read_image(path, error=SourceError)
            yield Frame(picture=pixels, sequence=sequence, arrived_s=time.perf_counter(), name=path.stem)

    def close(self) -> None:
        """Nothing is held open."""


class VideoSource(FrameSource):
    """A video file, a camera index or a stream's address, decoded by OpenCV.

    Args:
        name: what the user typed.
        target: what OpenCV opens.
        is_live: a camera or a stream.
    Raises:
        SourceError: it cannot be opened.
    """

    def __init__(self, name: str, target: str | int, *, is_live: bool) -> None:
        self.name, self.is_live = name, is_live
        self._capture = _open_capture(name, target)
        import cv2

        self.fps = _positive(self._capture.get(cv2.CAP_PROP_FPS)) or DEFAULT_FPS
        frames = _positive(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = None if is_live or frames is None else int(frames)

    def __iter__(self) -> Iterator[Frame]:
        sequence = 0
        while True:
            arrived, pixels = self._capture.read()
            if not arrived:
                break
            yield Frame(picture=pixels, sequence=sequence, arrived_s=time.perf_counter(), name=f"{sequence:06d}")
            sequence += 1
        self._check_end(sequence)

    def close(self) -> None:
        self._capture.release()

    def _check_end(self, frames: int) -> None:
        if self.is_live:
            raise SourceError(f"{self.name} stopped after {frames} frames", "check the camera or the stream")
        if frames == 0:
            raise SourceError(f"{self.name} holds no frame that can be decoded", "give a video that a player plays")
        if _is_cut_short(Path(self.name)):
            expected = f" of {self.length}" if self.length else ""
            raise SourceError(
                f"{self.name} is cut short: {frames}{expected} frames could be decoded", "copy or record it again"
            )


def open_source(name: str) -> FrameSource:
    """Open what a user calls a source.

    Args:
        name: a video file, a folder of images, a camera index such as ``0``, or an rtsp or http address.
    Raises:
        SourceError: there is no such thing, or it holds no frames.
    """
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


def _open_capture(name: str, target: str | int) -> Any:
    import cv2

    capture = cv2.VideoCapture(target)
    if not capture.isOpened():
        kind = f"camera {target}" if isinstance(target, int) else name
        raise SourceError(f"{kind} cannot be opened as a video", "check that it exists and that a player can play it")
    return capture


def _positive(value: float) -> float | None:
    return value if value > 0 else None


def _is_cut_short(path: Path) -> bool:
    """Whether the last box of an ISO file (ISO 14496-12, section 4.2) ends behind the end of the file."""
    if path.suffix.lower() not in BOX_SUFFIXES:
        return False
    end, position = path.stat().st_size, 0
    with path.open("rb") as file:
        while position + 8 <= end:
            file.seek(position)
            header = file.read(16)
            size = int.from_bytes(header[:4], "big")
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            if size == 0:  # the box reaches to the end of the file by definition
                return False
            position += max(size, 8)
    return position != end
