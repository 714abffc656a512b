"""Own what every way from frames to masks offers the session, and the forms of what goes in and out. Move no pixel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.imaging.formats import FrameForm, Picture
from edgeseg.imaging.overlay import Overlay
from edgeseg.imaging.postprocess import Areas, Confidence, Mask
from edgeseg.imaging.preprocess import Frame
from edgeseg.runtime.cuda import DeviceTensor

__all__ = ["Borrowed", "BorrowedArray", "Pipeline", "Segmented", "Wanted"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a session makes of a frame beside its mask.

    Attributes:
        confidence: the winner's probability of every pixel.
        areas: the pixels of every label.
        overlay: draws the mask into the frame, which is then BGR or RGB, host or device memory.
        on_device: results stay in device memory: nothing is copied to the host, ``Session.borrow`` gives them.
    """

    confidence: bool = False
    areas: bool = False
    overlay: Overlay | None = None
    on_device: bool = False


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """All that a session made of one frame; arrays of the caller's, None where it was not asked for.

    Attributes:
        mask: uint8 (H, W) class ids.
        confidence: uint8 (H, W), 255ths.
        areas: int64 (256,), pixels of every label.
        picture: uint8 (H, W, 3), the frame with class colours.
    """

    mask: Mask
    confidence: Confidence | None = None
    areas: Areas | None = None
    picture: Frame | None = None


class BorrowedArray:
    """A result where the session keeps it: nothing is copied, and the next frame of its slot overwrites it.

    Args:
        device: the array on the device.
        host: makes a view of it in the slot's page-locked memory; None where results stay on the device.
        sequence: of the frame, from 0.
        now: tells which frame's results the slot has; None after the end.
    """

    def __init__(
        self,
        device: DeviceTensor,
        host: Callable[[], NDArray[Any]] | None,
        *,
        sequence: int,
        now: Callable[[], int | None],
    ) -> None:
        self._device, self._host = device, host
        self.sequence, self._now = sequence, now

    @property
    def device(self) -> DeviceTensor:
        """For CuPy, torch and kernels, by ``__cuda_array_interface__`` or DLPack; written, not to be written to.

        Raises:
            EngineError: the slot has another frame's results by now, or the session is closed.
        """
        self._check()
        return self._device

    @property
    def host(self) -> NDArray[Any]:
        """For NumPy and OpenCV.

        Raises:
            EngineError: the slot has another frame's results by now, they stay on the device, or the session is closed.
        """
        self._check()
        if self._host is None:
            raise EngineError("this result stays on the device", "read .device, or leave on_device out of Wanted")
        return self._host()

    def _check(self) -> None:
        now = self._now()
        if now != self.sequence:
            by = "the session is closed" if now is None else f"frame {now} has overwritten it"
            raise EngineError(
                f"the borrowed result of frame {self.sequence} is gone: {by}",
                "read it before its slot is taken again, raise depth, or take result(), which copies",
            )


@dataclass(frozen=True, kw_only=True)
class Borrowed:
    """As ``Segmented``, with every array where it lies."""

    mask: BorrowedArray
    confidence: BorrowedArray | None = None
    areas: BorrowedArray | None = None
    picture: BorrowedArray | None = None


class Pipeline(ABC):
    """Frames to masks through ``slots`` places, each holding one frame, or one batch of frames, in flight.

    ``start(slot, ...)`` does not wait for the engine, ``finish(slot)`` does. Not thread safe: one thread drives it.
    """

    slots: int
    #: height and width of the net's input
    input_hw: tuple[int, int]

    @abstractmethod
    def start(self, slot: int, frames: Sequence[Picture], form: FrameForm, cameras: Sequence[int]) -> None:
        """Take frames, one for each image of the batch; host memory may be reused as soon as this returns.

        Frames in device memory are read until ``finish``, and kept until then. ``cameras`` says whose past
        smooths each frame, none twice.

        Raises:
            ShapeError: not frames of that form.
            EngineError: the engine takes no such batch, or the device failed; the slot is free again.
        """

    @abstractmethod
    def finish(self, slot: int, outs: Sequence[Any]) -> list[Segmented]:
        """Wait for a started slot, and give its results as copies.

        Args:
            slot: which.
            outs: for each frame a uint8 (H, W) array to write the mask into, or None for a new one.
        """

    @abstractmethod
    def resize_input(self, size_hw: tuple[int, int]) -> None:
        """Take another size of the net's input for the frames that are started from now on."""

    @property
    @abstractmethod
    def graph_state(self) -> str:
        """Whether CUDA graphs are in use, and why not where they are not."""

    @abstractmethod
    def close(self) -> None:
        """Drop what is in flight and release everything but the engine; safe to call twice."""
