"""Own the way from logits to a uint8 mask at the camera's size. The reference: clear first, then fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.spec import HeadSpec

__all__ = ["Mask", "MaskMaker"]

#: uint8 (H, W) class ids
Mask = NDArray[np.uint8]


class MaskMaker:
    """Bilinear logits at a wanted size, then the best class; equal to interpolate + argmax of the framework.

    Classes are enlarged one after another and compared with the best so far, so that three planes are held
    instead of all of them. The planes are kept between calls for as long as the size stays the same.

    Example:
        >>> import numpy as np
        >>> from edgeseg.spec import HeadSpec
        >>> head = HeadSpec(output="logits", channels=2, size_hw=(1, 1), decision="argmax")
        >>> MaskMaker(head).mask(np.array([[[[1.0]], [[2.0]]]], np.float32), size_hw=(1, 3))
        array([[1, 1, 1]], dtype=uint8)
    """

    def __init__(self, head: HeadSpec) -> None:
        self._head = head
        self._size_hw = (0, 0)

    def mask(self, logits: NDArray[np.float32], *, size_hw: tuple[int, int], out: Mask | None = None) -> Mask:
        """Best class of every pixel, lowest class on a tie; with one channel, 1 where the logit is above 0.

        Args:
            logits: float32 NCHW, batch 1, the head's shape.
            size_hw: mask height and width in pixels, each >= 1.
            out: uint8 (H, W) to write into; a new one, owned by the caller, without it.
        Returns:
            ``out`` or the new mask.
        Raises:
            ShapeError: the logits are not of the head's shape, or a size is below 1.
        """
        if logits.shape != self._head.shape or logits.dtype != np.float32:
            raise ShapeError(f"logits are {logits.dtype} {logits.shape}", f"the head gives float32 {self._head.shape}")
        if min(size_hw) < 1:
            raise ShapeError(f"a mask of {size_hw} has no pixel", "give height and width of 1 or more")
        if out is not None and (out.shape != size_hw or out.dtype != np.uint8):
            raise ShapeError(f"out is {out.dtype} {out.shape}", f"give uint8 {size_hw}")
        mask = np.empty(size_hw, np.uint8) if out is None else out
        self._allocate(size_hw)
        if self._head.decision == "threshold":
            np.greater(self._enlarge(logits[0, 0], self._best), 0.0, out=mask.view(np.bool_))
        else:
            self._argmax(logits[0], mask)
        return mask

    def _argmax(self, planes: NDArray[np.float32], mask: Mask) -> None:
        mask.fill(0)
        self._enlarge(planes[0], self._best)
        for index, plane in enumerate(planes[1:], start=1):
            candidate = self._enlarge(plane, self._candidate)
            np.greater(candidate, self._best, out=self._wins)
            np.maximum(candidate, self._best, out=self._best)
            np.copyto(mask, np.uint8(index), where=self._wins)

    def _enlarge(self, plane: NDArray[np.float32], out: NDArray[np.float32]) -> NDArray[np.float32]:
        import cv2

        cv2.resize(plane, (out.shape[1], out.shape[0]), dst=out, interpolation=cv2.INTER_LINEAR)
        return out

    def _allocate(self, size_hw: tuple[int, int]) -> None:
        if size_hw != self._size_hw:
            self._best, self._candidate = np.empty(size_hw, np.float32), np.empty(size_hw, np.float32)
            self._wins = np.empty(size_hw, np.bool_)
            self._size_hw = size_hw
