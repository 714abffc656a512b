"""Own one picture of a source on its way through the loop: pixels, how to read them, when it was. Read no source."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from edgeseg.imaging.colours import as_bgr
from edgeseg.imaging.formats import FrameForm, Picture, planes_of, size_wh_of
from edgeseg.imaging.preprocess import Frame as Pixels

__all__ = ["Frame"]

BGR = FrameForm()


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture of a source.

    Attributes:
        picture: as the source gives it, what ``planes_of`` takes; host memory, not written to by anybody.
        form: how to read it.
        sequence: its number in the source, from 0; what the source has lost counts too.
        arrived_s: when it was in memory, on the clock of ``time.perf_counter``.
        captured_s: when the camera took it, on the same clock; None where the source does not say.
        name: the image's own name without suffix, or the number in six digits.
        source: which of several sources of one loop.
    """

    picture: Picture
    form: FrameForm = BGR
    sequence: int
    arrived_s: float
    captured_s: float | None = None
    name: str
    source: int = 0

    @functools.cached_property
    def bgr(self) -> Pixels:
        """uint8 (H, W, 3) BGR; converted once, on the first use, where the picture is of another format."""
        return as_bgr(self.picture, self.form)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width."""
        width, height = size_wh_of(planes_of(self.picture, self.form.pixel_format))
        return height, width
