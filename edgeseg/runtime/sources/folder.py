"""Own the pictures of a folder as frames. Decode no picture itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from edgeseg.errors import SourceError
from edgeseg.imaging.images import list_images, read_image
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sources.base import DEFAULT_FPS, FrameSource

__all__ = ["ImageFolder"]


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
