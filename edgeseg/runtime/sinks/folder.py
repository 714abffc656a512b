"""Own masks as PNG files, one a frame. Make no masks."""

from __future__ import annotations

from pathlib import Path

from edgeseg.files import output_errors
from edgeseg.imaging.images import write_png
from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sinks.base import MaskSink

__all__ = ["MaskFolder"]


class MaskFolder(MaskSink):
    """One 8-bit PNG of class ids a frame, named after the frame; each is written atomically."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, frame: Frame, mask: Mask) -> None:
        write_png(self._folder / f"{frame.name}.png", mask)

    def close(self) -> None:
        """Every file is whole already."""

    def abandon(self) -> None:
        """Every file is whole already."""
