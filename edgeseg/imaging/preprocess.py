"""Own the way from a BGR frame to the input tensor. The one definition for calibration, evaluation and runtime."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.spec import InputSpec

__all__ = ["Frame", "Preprocessor", "check_frame"]

#: uint8 (H, W, 3), BGR, C-contiguous rows
Frame = NDArray[np.uint8]


def check_frame(frame_bgr: Frame) -> None:
    """Refuse what is not a uint8 (H, W, 3) image with at least one pixel.

    Raises:
        ShapeError: says what was given.
    """
    shape = np.shape(frame_bgr)
    dtype = getattr(frame_bgr, "dtype", type(frame_bgr).__name__)
    if len(shape) != 3 or shape[2] != 3 or min(shape) < 1 or dtype != np.uint8:
        raise ShapeError(f"frame has shape {shape} and type {dtype}", "give a uint8 (height, width, 3) BGR array")


class Preprocessor:
    """Resize, colour order, scale and shift, in buffers that are allocated once.

    Example:
        >>> import numpy as np
        >>> from edgeseg.spec import InputSpec
        >>> spec = InputSpec(name="image", size_hw=(2, 4), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        >>> tensor = np.empty(spec.shape, np.float32)
        >>> Preprocessor(spec).into(tensor, np.full((4, 8, 3), 255, np.uint8))
        >>> float(tensor.min()), tensor.shape
        (1.0, (1, 3, 2, 4))
    """

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        height, width = spec.size_hw
        self._resized = np.empty((height, width, 3), np.uint8)
        self._coloured = np.empty((height, width, spec.channels), np.uint8)
        mean, std = np.asarray(spec.mean, np.float64), np.asarray(spec.std, np.float64)
        self._scale = (1.0 / (255.0 * std)).astype(np.float32)
        self._shift = (-mean / std).astype(np.float32)

    def into(self, tensor: NDArray[np.float32], frame_bgr: Frame) -> None:
        """Write a frame into ``tensor``.

        Args:
            tensor: float32, the spec's NCHW shape, host memory of the caller.
            frame_bgr: uint8 (H, W, 3), any size from 1x1.
        Raises:
            ShapeError: the frame or the tensor is not of that form.
        """
        check_frame(frame_bgr)
        if tensor.shape != self._spec.shape or tensor.dtype != np.float32:
            raise ShapeError(f"tensor is {tensor.dtype} {tensor.shape}", f"give float32 {self._spec.shape}")
        pixels = self._colour(self._resize(frame_bgr))
        for channel in range(self._spec.channels):
            plane = tensor[0, channel]
            np.multiply(pixels[:, :, channel], self._scale[channel], out=plane, dtype=np.float32)
            np.add(plane, self._shift[channel], out=plane)

    def tensor(self, frame_bgr: Frame) -> NDArray[np.float32]:
        """A new float32 NCHW tensor of one frame, owned by the caller."""
        tensor = np.empty(self._spec.shape, np.float32)
        self.into(tensor, frame_bgr)
        return tensor

    def _resize(self, frame_bgr: Frame) -> Frame:
        import cv2

        height, width = self._spec.size_hw
        if frame_bgr.shape[:2] == (height, width):
            return frame_bgr
        cv2.resize(frame_bgr, (width, height), dst=self._resized, interpolation=cv2.INTER_LINEAR)
        return self._resized

    def _colour(self, pixels_bgr: Frame) -> Frame:
        import cv2

        if self._spec.colour == "BGR":
            return pixels_bgr
        if self._spec.colour == "RGB":
            return pixels_bgr[:, :, ::-1]
        cv2.cvtColor(pixels_bgr, cv2.COLOR_BGR2GRAY, dst=self._coloured)
        return self._coloured.reshape(*self._spec.size_hw, 1)
