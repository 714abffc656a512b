"""Own whether calibration frames are like what the net will see: enough, various, in colour, large. Change none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.imaging.preprocess import Frame, check_frame
from edgeseg.spec import InputSpec

__all__ = ["Likeness"]

#: as many as ship with edgeseg; below this a rare range is seen once or not at all
FEWEST_FRAMES = 32
THUMBNAIL = (16, 16)
#: two different scenes can resemble each other in a thumbnail (0.03 of the shipped ones), four no longer do (0.27)
FEWEST_COMPARED = 4
#: ``Likeness.variety``, measured on the shipped frames and scikit-image's photographs: a still camera with noise, with
#: a bus that passes or in changing light 0.0002, shaken by 8 pixels 0.02 at most, a covered lens 0.03; one second of a
#: moving car 0.04 to 0.06; any eight street scenes 0.41 and more, all of them 0.59; photographs 0.83.
LEAST_VARIETY = 0.05
NOISE_LEVELS = 3.0  # a thumbnail with less contrast is a covered lens; scaled up, its noise would look like scenes


class Likeness:
    """Watch frames as they pass; ask for ``warnings`` at the end. Memory does not grow with their number.

    How much frames differ is ``variety``: thumbnails of 16x16 are brought to mean 0 and variance 1, so that light does
    not count, and the variance over the frames is taken in the median cell, so that what passes through a still scene
    does not count either. Nearly the same as 1 less the mean correlation of two thumbnails.

    Args:
        image: the net's input.

    Example:
        >>> import numpy as np
        >>> from edgeseg.spec import InputSpec
        >>> image = InputSpec(name="image", size_hw=(32, 32), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        >>> likeness = Likeness(image)
        >>> likeness.see(np.zeros((32, 32, 3), np.uint8))
        >>> len(likeness.warnings())
        2
    """

    def __init__(self, image: InputSpec) -> None:
        self._image = image
        self._count = self._small = 0
        self._is_grey = True
        self._smallest: tuple[int, int] | None = None
        self._mean: NDArray[np.float64] = np.zeros((*THUMBNAIL, 3))
        self._squares: NDArray[np.float64] = np.zeros((*THUMBNAIL, 3))

    def see(self, frame_bgr: Frame) -> None:
        """Take a frame, uint8 (H, W, 3) BGR, into account; it is not kept.

        Raises:
            ShapeError: it is no such frame.
        """
        check_frame(frame_bgr)
        self._count += 1
        self._is_grey = self._is_grey and _is_grey(frame_bgr)
        self._measure(frame_bgr.shape[0], frame_bgr.shape[1])
        self._compare(frame_bgr)

    @property
    def variety(self) -> float:
        """How much the frames seen so far differ, 0 (one picture) to about 1 (no two alike); see the class."""
        return float(np.median((self._squares / max(self._count, 1)).mean(axis=2)))

    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the frames seen so far; each says what, got, expected and what to do."""
        found = (self._few(), self._alike(), self._grey(), self._tiny())
        return tuple(one for one in found if one is not None)

    def _measure(self, height: int, width: int) -> None:
        if height * 2 < self._image.size_hw[0] and width * 2 < self._image.size_hw[1]:
            self._small += 1
        if self._smallest is None or height * width < self._smallest[0] * self._smallest[1]:
            self._smallest = (height, width)

    def _compare(self, frame_bgr: Frame) -> None:
        """Welford's update of mean and sum of squares (Technometrics 4, 1962): one pass without cancellation."""
        thumbnail = _thumbnail(frame_bgr)
        before = thumbnail - self._mean
        self._mean += before / self._count
        self._squares += before * (thumbnail - self._mean)

    def _few(self) -> str | None:
        if self._count >= FEWEST_FRAMES:
            return None
        return (
            f"{self._count} calibration image(s) where {FEWEST_FRAMES} or more are advised: ranges that they do not "
            "show are cut off; give more frames of what the net will see"
        )

    def _alike(self) -> str | None:
        if self._count < FEWEST_COMPARED or self.variety >= LEAST_VARIETY:
            return None
        return (
            f"the {self._count} calibration images are nearly one picture: their thumbnails vary by "
            f"{self.variety:.3f} where {LEAST_VARIETY} or more is expected (0 is one picture, 1 no two alike); give "
            "different scenes, or of a video frames further apart"
        )

    def _grey(self) -> str | None:
        if self._count == 0 or not self._is_grey or self._image.colour == "GRAY":
            return None
        return (
            f"all {self._count} calibration images are grey where the net takes {self._image.colour}: channels that "
            "differ are never seen; give colour frames of the camera that the net will serve"
        )

    def _tiny(self) -> str | None:
        if self._small * 2 <= self._count or self._smallest is None:
            return None
        (height, width), (net_height, net_width) = self._smallest, self._image.size_hw
        return (
            f"{self._small} of {self._count} calibration images have less than half of the input's height and width "
            f"(smallest {height}x{width}, input {net_height}x{net_width}): enlarged they calibrate on blur; give "
            "frames of the size that the net will see"
        )


def _is_grey(frame_bgr: Frame) -> bool:
    blue, green, red = frame_bgr[..., 0], frame_bgr[..., 1], frame_bgr[..., 2]
    return bool(np.array_equal(blue, green) and np.array_equal(green, red))


def _thumbnail(frame_bgr: Frame) -> NDArray[np.float64]:
    import cv2

    small = cv2.resize(frame_bgr, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float64)
    return np.asarray((small - small.mean()) / np.sqrt(small.var() + NOISE_LEVELS**2))
