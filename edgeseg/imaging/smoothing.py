"""Own the steadying of scores over time, so that masks of a still scene do not flicker. Take no class, see no mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.spec import HeadSpec, InputSpec

__all__ = ["ScoreSmoother", "Smoothing", "levels_of"]

GREY_LEVELS = 255.0


@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """How much the past counts.

    Attributes:
        strength: weight of the past where nothing moves, 0 (none) to below 1. The past fades by it with each frame:
            0.8 remembers about five.
        motion: mean difference between a cell's pixels in two frames, in grey levels, from which the past is forgotten
            there; in between it counts the less, the more moves.
    """

    strength: float = 0.7
    motion: float = 12.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength < 1.0:
            raise ShapeError(f"the strength of smoothing is {self.strength}", "give 0 to below 1, 0.7 for example")
        if not self.motion > 0.0:
            raise ShapeError(f"the motion that ends smoothing is {self.motion} grey levels", "give a value above 0")


def levels_of(image: InputSpec) -> NDArray[np.float32]:
    """Grey levels that one step of each channel of the input is worth, float32 (channels,)."""
    if image.dtype == "uint8":
        return np.ones(image.channels, np.float32)
    levels: NDArray[np.float32] = np.asarray(image.std, np.float32) * np.float32(GREY_LEVELS)
    return levels


class ScoreSmoother:
    """Exponential mean of a net's scores, cell by cell, where the picture stands still; one for each camera.

    A cell is one position of the scores. Its motion is the mean absolute difference of the input's pixels under it
    between this frame and the last; where that grows to ``motion``, the cell takes the new scores alone, so that what
    moves leaves no trail. ``w = strength * max(0, 1 - difference / motion)``, ``mean = w * mean + (1 - w) * scores``.

    Args:
        image: the net's input: its layout and scale.
        head: the shape and layout of the scores, and what int8 ones are worth.
        smoothing: how much.
    Raises:
        ShapeError: finished ids, which have no scores.
    """

    def __init__(self, image: InputSpec, head: HeadSpec, smoothing: Smoothing) -> None:
        if head.decision == "ids":
            raise ShapeError("finished ids have no scores to be smoothed", "cut the net's tail for that")
        self._image, self._head, self._options = image, head, smoothing
        self._levels = levels_of(image)
        self._rooms: dict[str, NDArray[np.float32]] = {}
        self._is_empty = True

    def smoothed(self, tensor: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float32]:
        """The scores of the newest frame, steadied by those before.

        Args:
            tensor: the net's input of this frame, in the model's layout, any strides.
            scores: its output, likewise.
        Returns:
            float32 of the scores' shape, owned by this object until the next call.
        """
        cells = self._cell_colours(tensor)
        new, mean = self._room("new", scores.shape), self._room("mean", scores.shape)
        np.multiply(scores, np.float32(self._head.scale), out=new, dtype=np.float32)
        if self._is_empty:
            np.copyto(mean, new)
        else:
            weight = self._weights(cells)
            new -= mean
            np.subtract(np.float32(1.0), weight, out=weight)
            for plane in new[0] if self._head.layout == "NCHW" else new[0].transpose(2, 0, 1):
                plane *= weight  # one by one, as NumPy takes buffers where it stretches an operand
            mean += new
        np.copyto(self._room("last cells", cells.shape), cells)
        self._is_empty = False
        return mean

    def forget(self) -> None:
        """Begin anew, as after a cut or a reconnect."""
        self._is_empty = True

    def _weights(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of the past, for every cell, float32 (h, w); the caller's to write to until the next call."""
        moved, weight = self._room("moved", cells.shape), self._room("weight", cells.shape[:2])
        np.abs(np.subtract(cells, self._rooms["last cells"], out=moved), out=moved)
        np.add.reduce(moved, axis=2, out=weight)
        weight /= np.float32(self._image.channels)
        weight /= np.float32(self._options.motion)
        np.clip(np.subtract(np.float32(1.0), weight, out=weight), 0.0, 1.0, out=weight)
        weight *= np.float32(self._options.strength)
        return weight

    def _cell_colours(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        """Mean colour of the pixels under each cell in grey levels, float32 (h, w, channels), until the next call."""
        import cv2

        pixels = tensor[0].transpose(1, 2, 0) if self._image.layout == "NCHW" else tensor[0]
        height, width = self._head.size_hw
        plane, cell = self._room("plane", pixels.shape[:2]), self._room("cell", (height, width))
        cells = self._room("cells", (height, width, self._image.channels))
        for one in range(self._image.channels):
            np.copyto(plane, pixels[..., one])
            cv2.resize(plane, (width, height), dst=cell, interpolation=cv2.INTER_AREA)
            np.multiply(cell, self._levels[one], out=cells[..., one])
        return cells

    def _room(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Memory that stays from frame to frame, as a model's shapes do."""
        if name not in self._rooms:
            self._rooms[name] = np.empty(shape, np.float32)
        return self._rooms[name]
