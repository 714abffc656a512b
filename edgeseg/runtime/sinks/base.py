"""Own what every sink is. Write nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod

from edgeseg.imaging.postprocess import Mask
from edgeseg.runtime.frames import Frame

__all__ = ["MaskSink"]


class MaskSink(ABC):
    """Takes frames with their masks, in order.

    Attributes:
        name: what the user calls it.
        source: the one of several sources whose frames it is given; None for all.
    """

    name: str
    source: int | None = None

    @abstractmethod
    def write(self, frame: Frame, mask: Mask) -> None:
        """Take one frame and its uint8 (H, W) mask; keeps neither after it returns.

        Raises:
            OutputError: the place cannot be written.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish: what was written becomes a whole file. Safe to call twice."""

    @abstractmethod
    def abandon(self) -> None:
        """Give up: a file that would be half written is removed. Safe to call twice, and after ``close``."""
