"""Own the frames of a benchmark: a few of one size, held in memory. Measure nothing, play no stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from edgeseg.data import shipped_data
from edgeseg.errors import SourceError
from edgeseg.imaging.images import IMAGE_SUFFIXES, read_image
from edgeseg.imaging.preprocess import Frame
from edgeseg.runtime.sources import open_source

__all__ = ["FrameSet", "load_frames", "shipped_frame"]

#: enough that the work is not one picture's, few enough for a small board's memory (50 MB at 1080p)
MOST_FRAMES = 8


@dataclass(frozen=True, kw_only=True)
class FrameSet:
    """Frames of one size and where they came from; uint8 (H, W, 3) BGR, host memory, not to be written.

    ``address`` is what ``open_source`` takes to give them again; None of a picture, which is in memory already.
    """

    name: str
    frames: tuple[Frame, ...]
    address: str | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of every frame in pixels."""
        height, width = self.frames[0].shape[:2]
        return (width, height)


def shipped_frame() -> Path:
    """The first picture of the labelled set that ships with edgeseg: real content without a camera."""
    return shipped_data() / "validation" / "images" / "0000.jpg"


def load_frames(source: str | None = None) -> FrameSet:
    """The first frames of a source; the shipped picture without one.

    Args:
        source: a picture, or whatever ``open_source`` takes: a video, a folder of pictures, a camera.
    Returns:
        1 to 8 frames of one size.
    Raises:
        SourceError: it cannot be opened, holds no frame, or frames of several sizes.
    """
    named = list(islice(_read(source or str(shipped_frame())), MOST_FRAMES))
    first_name, first = named[0]
    for name, frame in named:
        if frame.shape != first.shape:
            raise SourceError(
                f"frame '{name}' is {_size(frame)} where '{first_name}' is {_size(first)}", "give frames of one size"
            )
    return FrameSet(
        name=source or "the shipped picture",
        frames=tuple(frame for _, frame in named),
        address=None if source is None or _is_picture(source) else source,
    )


def _is_picture(source: str) -> bool:
    path = Path(source)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()


def _read(source: str) -> Iterator[tuple[str, Frame]]:
    if _is_picture(source):
        path = Path(source)
        yield path.name, read_image(path, error=SourceError)
        return
    with open_source(source) as frames:
        for frame in frames:
            yield frame.name, frame.bgr


def _size(frame: Frame) -> str:
    return f"{frame.shape[1]}x{frame.shape[0]}"
