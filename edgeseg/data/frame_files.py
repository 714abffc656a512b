"""Own the two forms of calibration data: image files and a video. Know no labels, judge no picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from edgeseg.data.bad_files import BadFiles
from edgeseg.errors import DataError
from edgeseg.files import read_file
from edgeseg.imaging.colours import as_bgr
from edgeseg.imaging.decoded import FramePictures, decoded_frames
from edgeseg.imaging.images import IMAGE_SUFFIXES, list_images, read_image
from edgeseg.imaging.preprocess import Frame
from edgeseg.packages import require

__all__ = ["FrameFiles", "ImageFiles", "VideoFile", "open_frames"]

LIST_SUFFIXES = (".txt", ".lst")
KINDS = f"give a folder of images, a list of them ({' '.join(LIST_SUFFIXES)}) or a video file"


class FrameFiles(ABC):
    """Frames that are read when it is their turn; ``files`` are what they come from, in order."""

    kind: str
    files: tuple[Path, ...]

    @abstractmethod
    def __len__(self) -> int:
        """How many frames will be asked for."""

    @abstractmethod
    def read(self, bad: BadFiles) -> Iterator[Frame]:
        """The frames, uint8 (H, W, 3) BGR, each owned by the caller; what cannot be read goes to ``bad``."""


class ImageFiles(FrameFiles):
    """Image files in their order."""

    kind = "image"

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.files = paths

    def __len__(self) -> int:
        return len(self.files)

    def read(self, bad: BadFiles) -> Iterator[Frame]:
        for place, path in enumerate(self.files, start=1):
            frame = bad.tried(place, path, partial(read_image, path))
            if frame is not None:
                yield frame


class VideoFile(FrameFiles):
    """Every n-th frame of a video, decoded as the runtime decodes it: same planes, matrix and range.

    What cannot be decoded is left out and told at the end; its place in the count stays.

    Raises:
        DataError: it is no video that PyAV opens.
        MissingPackageError: PyAV is not installed.
    """

    kind = "frame"

    def __init__(self, path: Path, every: int) -> None:
        self._path, self._every, self.files = path, every, (path,)
        self._read: int | None = None
        self._pictures = FramePictures()
        with self._opened() as container:
            self._told = container.streams.video[0].frames

    def __len__(self) -> int:
        """What the last whole reading gave; before one what the container tells, or its packets where it tells none."""
        if self._read is not None:
            return self._read
        return -(-(self._told or self._packets) // self._every)

    def read(self, bad: BadFiles) -> Iterator[Frame]:
        index, lost, given = 0, 0, 0
        for decoded in self._decoded():
            if decoded is None:
                lost += 1
            elif index % self._every == 0:
                given += 1
                yield self._pixels(decoded)
            index += 1
        if 0 < index - lost < max(self._told, index):
            bad.skipped.append((self._path, self._loss(index, lost)))
        self._read = given

    def _decoded(self) -> Iterator[Any]:
        """Every frame in order, None for one that is lost; a file that breaks off ends there."""
        errors = require("av").FFmpegError
        with self._opened() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                except errors:
                    return
                if packet is None:
                    return
                yield from decoded_frames(packet)

    def _loss(self, index: int, lost: int) -> str:
        if index < self._told:
            return f"ended after {index - lost} of {self._told} frames"
        return f"{lost} of {index} frames cannot be decoded"

    def _pixels(self, decoded: Any) -> Frame:
        picture, form = self._pictures.picture_of(decoded)
        pixels = as_bgr(picture, form)
        return pixels.copy() if pixels.base is not None else pixels  # a view of the decoder's own

    @cached_property
    def _packets(self) -> int:
        with self._opened() as container:
            return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)

    def _opened(self) -> Any:
        """The container, its own context manager."""
        av = require("av")
        try:
            container = av.open(f"file:{self._path}", metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:  # ValueError: a name that is no text
            raise DataError(f"{self._path} cannot be opened as a video ({error})", KINDS) from error
        if not container.streams.video:
            container.close()
            raise DataError(f"{self._path} holds no video", KINDS)
        return container


def open_frames(source: Path, every: int) -> FrameFiles:
    """The frames that ``source`` names, every n-th of them; nothing is decoded yet.

    Raises:
        DataError: there is no such source, or it names no frame.
    """
    if source.is_dir():
        inner = source / "calibration"
        return ImageFiles(tuple(list_images(inner if inner.is_dir() else source))[::every])
    if not source.exists():
        raise DataError(f"{source} is not there", KINDS)
    if source.suffix.lower() in LIST_SUFFIXES:
        return ImageFiles(_listed(source)[::every])
    if source.suffix.lower() in IMAGE_SUFFIXES:  # a decoder would take it for a video of one frame
        raise DataError(f"{source} is one image", KINDS)
    if source.stat().st_size == 0:
        raise DataError(f"{source} is empty (0 bytes)", KINDS)
    return VideoFile(source, every)


def _listed(path: Path) -> tuple[Path, ...]:
    try:
        lines = [line.strip() for line in read_file(path, error=DataError, make_it=KINDS).decode().splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text list (byte {error.start} is not UTF-8)", KINDS) from error
    named = [line for line in lines if line and not line.startswith("#")]
    if not named:
        raise DataError(f"{path} names no image in {len(lines)} lines", "write one image path a line")
    return tuple(path.parent / line for line in named)
