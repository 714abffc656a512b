"""Own cameras, files and streams as OpenCV plays them. Decide no policy, drop nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeseg.errors import SourceError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sources.base import DEFAULT_FPS, FrameSource

__all__ = ["VideoSource"]

#: containers whose boxes tell exactly whether the file was cut short
BOX_SUFFIXES = (".mp4", ".mov", ".m4v")


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
