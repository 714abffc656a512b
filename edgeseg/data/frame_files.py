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
from edgeseg.imaging.images import IMAGE_SUFFIXES, list_images, read_image
from edgeseg.imaging.preprocess import Frame

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
    """Every n-th frame of a video, decoded by OpenCV.

    Raises:
        DataError: it is no video that OpenCV opens.
    """

    kind = "frame"

    def __init__(self, path: Path, every: int) -> None:
        self._path, self._every, self.files = path, every, (path,)
        self._read: int | None = None
        capture = self._open()
        import cv2

        self._told = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()

    def __len__(self) -> int:
        """What the last whole reading gave; before one what the container tells, or counting where it tells none."""
        if self._read is not None:
            return self._read
        frames = self._told if self._told > 0 else self._counted
        return -(-frames // self._every)

    def read(self, bad: BadFiles) -> Iterator[Frame]:
        capture, index, given = self._open(), 0, 0
        try:
            while capture.grab():  # decodes, and leaves out the conversion to BGR
                if index % self._every == 0:
                    frame = bad.tried(given + 1, self._path, partial(self._retrieve, capture))
                    given += frame is not None
                    if frame is not None:
                        yield frame
                index += 1
        finally:
            capture.release()
        if 0 < index < self._told:
            bad.skipped.append((self._path, f"ended after {index} of {self._told} frames"))
        self._read = given

    @cached_property
    def _counted(self) -> int:
        capture, count = self._open(), 0
        while capture.grab():
            count += 1
        capture.release()
        return count

    def _open(self) -> Any:
        import cv2

        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise DataError(f"{self._path} cannot be opened as a video", KINDS)
        return capture

    def _retrieve(self, capture: Any) -> Frame:
        is_there, frame = capture.retrieve()
        if not is_there:
            raise DataError(f"a frame of {self._path} cannot be decoded", "copy or record it again")
        return frame  # type: ignore[no-any-return]


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
    if source.suffix.lower() in IMAGE_SUFFIXES:  # OpenCV would take it, and its neighbours, for a video
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
