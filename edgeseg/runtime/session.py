"""Own one frame's way to its mask: pre-processing, engine, post-processing. Read no source, write no sink."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edgeseg.errors import EngineError
from edgeseg.imaging.formats import Picture, PixelFormat, TensorFormat, planes_of, size_wh_of
from edgeseg.imaging.geometry import Placement
from edgeseg.imaging.postprocess import Mask, MaskMaker
from edgeseg.imaging.preprocess import Preprocessor, Tensor
from edgeseg.latency import LatencyLog
from edgeseg.runtime.engines import Engine, load_engine
from edgeseg.spec import EngineSpec

__all__ = ["Session"]

DEFAULT_DEPTH = 2  # one frame in the engine while the next is prepared


@dataclass(frozen=True)
class _InFlight:
    slot: int
    size_hw: tuple[int, int]
    started_s: float


class Session:
    """An engine with everything around it, from camera frames to class masks.

    ``segment`` takes one frame through all stages. ``submit`` and ``result`` keep up to ``depth`` frames in flight, so
    that the engine works on one frame while the next is prepared and the last becomes a mask; results come in the
    order of submission. One thread drives a session.

    ``latency`` holds the stages ``pre``, ``engine``, ``post`` and ``total`` (from entering ``submit`` to the mask) in
    milliseconds; ``engine`` is what the engine itself measured, see ``Engine.scope``.

    Args:
        engine: the engine file, its sidecar beside it; or an opened engine, which the session then owns and closes.
        depth: frames in flight, 1 or more; 2 without it. An opened engine has as many as it has slots.
        threads: CPU threads of pre- and post-processing, and of a CPU back end; all cores without it. An opened
            engine keeps its own.
    Raises:
        SpecError, EngineError, MissingPackageError: as ``load_engine``.
        EngineError: ``depth`` is not what an opened engine has; it stays the caller's.
    """

    def __init__(
        self, engine: str | os.PathLike[str] | Engine, *, depth: int | None = None, threads: int | None = None
    ) -> None:
        self.engine = _opened(engine, depth, threads)
        depth = self.engine.slots
        self.latency = LatencyLog()
        model = self.spec.model
        self._is_hwc = any((io.name, io.format) == (model.input.name, "hwc") for io in self.spec.io)
        stored = TensorFormat(dtype=model.input.dtype, layout="NHWC" if self._is_hwc else model.input.layout)
        self._preprocessor = Preprocessor(model.input, threads=threads, tensor_format=stored)
        self._mask_maker = MaskMaker(model.head, input_hw=model.input.size_hw, threads=threads)
        self._free = deque(range(depth))
        self._pending: deque[_InFlight] = deque()

    @property
    def spec(self) -> EngineSpec:
        """The engine's sidecar."""
        return self.engine.spec

    @property
    def depth(self) -> int:
        """How many frames fit in flight."""
        return self.engine.slots

    @property
    def pending(self) -> int:
        """How many results are owed."""
        return len(self._pending)

    def segment(self, frame: Picture, *, pixel_format: PixelFormat = "BGR", out: Mask | None = None) -> Mask:
        """Class of every pixel of a frame.

        Args:
            frame: uint8 (H, W, 3) BGR, or what ``formats.planes_of`` tells of another format; host memory, any size.
            pixel_format: of the frame.
            out: uint8 (H, W) to write into.
        Returns:
            uint8 (H, W) class ids at the frame's size: ``out``, or a new array owned by the caller. 255 is what the
            net has not seen, where the model crops its frames.
        Raises:
            ShapeError: not such a frame.
            EngineError: results of ``submit`` are still owed, or the engine failed.
        """
        if self._pending:
            raise EngineError(f"{self.pending} submitted frames wait for result()", "take them before segment()")
        self.submit(frame, pixel_format=pixel_format)
        return self.result(out=out)

    def submit(self, frame: Picture, *, pixel_format: PixelFormat = "BGR") -> None:
        """Prepare a frame and start the engine on it; the frame may be reused as soon as this returns.

        Raises:
            ShapeError: not a frame of that format.
            EngineError: ``depth`` frames are in flight already.
        """
        if not self._free:
            raise EngineError(f"{self.pending} frames are in flight, depth is {self.depth}", "take a result() first")
        started_s = time.perf_counter()
        slot = self._free[0]
        with self.latency.timed("pre"):
            self._preprocessor.into(self._host_input(slot), frame, pixel_format=pixel_format)
        self.engine.start(slot)
        self._free.popleft()
        width, height = size_wh_of(planes_of(frame, pixel_format))
        self._pending.append(_InFlight(slot, (height, width), started_s))

    def _host_input(self, slot: int) -> Tensor:
        """C-contiguous, as the engine stores it."""
        tensor = self.engine.host_input(slot)
        return tensor.transpose(0, 2, 3, 1) if self._is_hwc else tensor

    def result(self, *, out: Mask | None = None) -> Mask:
        """The mask of the oldest submitted frame, as ``segment`` gives it.

        Raises:
            EngineError: nothing was submitted, or the engine failed.
        """
        if not self._pending:
            raise EngineError("no frame is in flight", "submit() one first")
        flight = self._pending.popleft()
        self._free.append(flight.slot)
        self.latency.add("engine", self.engine.wait(flight.slot))
        with self.latency.timed("post"):
            mask = self._mask_maker.mask(
                self.engine.host_output(flight.slot),
                size_hw=flight.size_hw,
                out=out,
                placement=self._placement(flight.size_hw),
            )
        self.latency.add("total", (time.perf_counter() - flight.started_s) * 1e3)
        return mask

    def _placement(self, size_hw: tuple[int, int]) -> Placement | None:
        """Where the frame went in the net's input, to be undone; nothing where all of it fills all of that."""
        if self.spec.model.input.resize == "stretch":
            return None
        return self._preprocessor.placement((size_hw[1], size_hw[0]))

    def close(self) -> None:
        """Release the engine and its buffers; frames in flight are dropped. Safe to call twice."""
        self._pending.clear()
        self.engine.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _opened(engine: str | os.PathLike[str] | Engine, depth: int | None, threads: int | None) -> Engine:
    if depth is not None and depth < 1:
        raise EngineError(f"depth is {depth}", "give 1 or more frames in flight")
    if not isinstance(engine, Engine):
        return load_engine(Path(engine), slots=DEFAULT_DEPTH if depth is None else depth, threads=threads)
    if depth not in (None, engine.slots):
        raise EngineError(f"depth is {depth} where the opened engine has {engine.slots} slots", "leave depth out")
    return engine
