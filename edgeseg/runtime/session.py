"""Own the order of frames in flight and their latency, whatever carries them. Read no source, write no sink."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from edgeseg.errors import EngineError
from edgeseg.imaging.formats import ColourMatrix, FrameForm, Picture, PixelFormat
from edgeseg.imaging.postprocess import Mask
from edgeseg.imaging.smoothing import Smoothing
from edgeseg.latency import LatencyLog
from edgeseg.runtime.cuda import Counters
from edgeseg.runtime.engines import Engine, load_engine
from edgeseg.runtime.pipelines import Borrowed, Segmented, Wanted, pipeline_of
from edgeseg.runtime.pipelines.device import DevicePipeline
from edgeseg.spec import EngineSpec

__all__ = ["Borrowed", "Segmented", "Session", "Smoothing", "Wanted"]

DEFAULT_DEPTH = 2  # one frame in the engine while the next is prepared
WARM_UPS = 2  # a slot on a device loads its kernels at the first frame and captures its graph at the second


@dataclass(frozen=True)
class _InFlight:
    slot: int
    frames: int
    started_s: float


class Session:
    """An engine with everything around it, from camera frames to class masks.

    ``segment`` takes one frame through all stages. ``submit`` and ``result`` keep up to ``depth`` frames in flight, so
    that the engine works on one frame while the next is prepared and the last becomes a mask; results come in the
    order of submission. One thread drives a session; several sessions may share a device, each in a thread of its own.

    On a CUDA device all pixels move there: frames go to it in page-locked memory (where its memory is the host's,
    nothing is copied), frames that lie on it already are taken where they are, and masks come back in one copy. The
    second frame of a form is captured as a CUDA graph, which is launched from then on.

    ``latency`` holds milliseconds: the stages ``pre``, ``engine``, ``post``, and ``total`` (from entering ``submit`` to
    the mask). On the CPU ``engine`` is what the engine itself measured, see ``Engine.scope``. On a device stages are
    between events, ``copy-in`` and ``copy-out`` among them, and ``submit`` is the host's time in ``submit()``.

    Args:
        engine: the engine file, its sidecar beside it; or an opened engine, which the session then owns and closes.
        depth: frames in flight, 1 or more; 2 without it. An opened engine has as many as it has slots.
        threads: CPU threads of pre- and post-processing, and of a CPU back end; all cores without it. An opened
            engine keeps its own.
        graphs: use CUDA graphs where the device and the engine allow; ``graph_state`` says what came of it.
        wanted: what is made of a frame beside its mask.
        smoothing: steadies masks over time, each camera's by its own past; none without it.
        is_debug: refuse to overwrite what is borrowed while an array of it is alive.
    Raises:
        SpecError, EngineError, MissingPackageError: as ``load_engine``.
        EngineError: ``depth`` is not what an opened engine has; it stays the caller's.
    """

    def __init__(
        self,
        engine: str | os.PathLike[str] | Engine,
        *,
        depth: int | None = None,
        threads: int | None = None,
        graphs: bool = True,
        wanted: Wanted | None = None,
        smoothing: Smoothing | None = None,
        is_debug: bool = False,
    ) -> None:
        self.engine = _opened(engine, depth, threads, graphs)
        self.latency = LatencyLog()
        try:
            self._pipeline = pipeline_of(
                self.engine,
                threads=threads,
                graphs=graphs,
                wanted=wanted or Wanted(),
                latency=self.latency,
                smoothing=smoothing,
                is_debug=is_debug,
            )
        except BaseException:
            if self.engine is not engine:
                self.engine.close()
            raise
        self._free = deque(range(self.engine.slots))
        self._pending: deque[_InFlight] = deque()
        self._is_closed = False

    @property
    def spec(self) -> EngineSpec:
        """The engine's sidecar."""
        return self.engine.spec

    @property
    def depth(self) -> int:
        """How many frames, or batches of frames, fit in flight."""
        return self.engine.slots

    @property
    def pending(self) -> int:
        """How many results are owed."""
        return len(self._pending)

    @property
    def is_on_device(self) -> bool:
        """Whether pixels and engine are on a CUDA device."""
        return isinstance(self._pipeline, DevicePipeline)

    @property
    def engine_scope(self) -> str:
        """What the stage ``engine`` covers, in trtexec's terms; on a device its copies are stages of their own."""
        return "engine" if self.is_on_device else self.engine.scope

    @property
    def input_hw(self) -> tuple[int, int]:
        """Height and width of the net's input."""
        return self._pipeline.input_hw

    @property
    def graph_state(self) -> str:
        """``on``, ``waiting`` for a form of frames to come twice, or ``off`` and why."""
        return self._pipeline.graph_state

    @property
    def counters(self) -> Counters:
        """Copies, launches, waits and bytes since the last reset, and what is alive; of this session alone.

        Raises:
            EngineError: the engine runs on the CPU.
        """
        return self._on_device().counters

    def reset_counters(self) -> None:
        """Count anew from 0; see ``counters``."""
        self._on_device().reset_counters()

    @property
    def batch_limit(self) -> int:
        """So many frames ``submit_batch`` takes at the input's present size, and every number below; 1 on a CPU."""
        limit = 1
        while self.is_on_device and any(one.takes(limit + 1, self.input_hw) for one in self.spec.profiles):
            limit += 1
        return limit

    def resize_input(self, size_hw: tuple[int, int]) -> None:
        """Let the engine take frames at another size from now on, one that its profiles allow; see ``input_hw``.

        Frames in flight keep theirs. Nothing is allocated: buffers are those of the largest profile.

        Raises:
            EngineError: no profile of the engine takes it.
        """
        self._pipeline.resize_input(size_hw)

    def segment(
        self,
        frame: Picture,
        *,
        pixel_format: PixelFormat = "BGR",
        colour_matrix: ColourMatrix = "BT.601",
        is_full_range: bool = False,
        out: Mask | None = None,
    ) -> Mask:
        """Class of every pixel of a frame.

        Args:
            frame: uint8 (H, W, 3) BGR, or what ``formats.planes_of`` tells of another format, any size; host memory,
                or memory of the engine's device: torch, CuPy, DLPack, ``DeviceTensor``.
            pixel_format: of the frame.
            colour_matrix: of a YUV frame.
            is_full_range: a YUV frame uses 0-255 (JPEG) instead of 16-235 (video).
            out: uint8 (H, W) to write into, memory of the host or of the engine's device.
        Returns:
            uint8 (H, W) class ids at the frame's size: ``out``, or a new array owned by the caller. 255 is what the
            net has not seen, where the model crops its frames.
        Raises:
            ShapeError: not such a frame.
            EngineError: results of ``submit`` are still owed, or the engine failed.
        """
        if self._pending:
            raise EngineError(f"{self.pending} submitted frames wait for result()", "take them before segment()")
        self.submit(frame, pixel_format=pixel_format, colour_matrix=colour_matrix, is_full_range=is_full_range)
        return self.result(out=out)

    def submit(
        self,
        frame: Picture,
        *,
        pixel_format: PixelFormat = "BGR",
        colour_matrix: ColourMatrix = "BT.601",
        is_full_range: bool = False,
        camera: int = 0,
    ) -> None:
        """Prepare a frame and start the engine on it, as ``segment`` takes it.

        A frame in host memory may be reused as soon as this returns; one on the device after its result.

        Args:
            frame, pixel_format, colour_matrix, is_full_range: as for ``segment``.
            camera: any number; whose past smooths the mask.
        Raises:
            ShapeError: not a frame of that format.
            EngineError: ``depth`` frames are in flight already, or the engine failed.
        """
        form = FrameForm(pixel_format=pixel_format, colour_matrix=colour_matrix, is_full_range=is_full_range)
        self._start([frame], form, [camera])

    def submit_batch(
        self,
        frames: Sequence[Picture],
        *,
        pixel_format: PixelFormat = "BGR",
        colour_matrix: ColourMatrix = "BT.601",
        is_full_range: bool = False,
        cameras: Sequence[int] | None = None,
    ) -> None:
        """As ``submit``, one frame of each of several cameras in one run of the engine; their sizes may differ.

        Args:
            frames, pixel_format, colour_matrix, is_full_range: as for ``segment``.
            cameras: whose they are, each another's; counted from 0 without it.
        Raises:
            ShapeError: not frames of that format.
            EngineError: no profile of the engine takes as many, ``cameras`` are not as many or one is twice among them,
                or as for ``submit``.
        """
        cameras = range(len(frames)) if cameras is None else cameras
        if len(set(cameras)) != len(frames) or len(cameras) != len(frames):
            raise EngineError(f"{len(frames)} frames of cameras {list(cameras)}", "give one frame of each camera")
        form = FrameForm(pixel_format=pixel_format, colour_matrix=colour_matrix, is_full_range=is_full_range)
        self._start(list(frames), form, cameras)

    def warm_up(
        self,
        frames: Sequence[Picture],
        *,
        pixel_format: PixelFormat = "BGR",
        colour_matrix: ColourMatrix = "BT.601",
        is_full_range: bool = False,
    ) -> None:
        """Take frames as ``submit_batch`` does and forget them: what is made at the first frames is there after it.

        ``latency`` and ``counters`` begin anew. Masks that are smoothed go on from these frames.

        Raises:
            ShapeError, EngineError: as for ``submit_batch``.
        """
        for _ in range(WARM_UPS * self.depth):  # slots take turns
            self.submit_batch(
                frames, pixel_format=pixel_format, colour_matrix=colour_matrix, is_full_range=is_full_range
            )
            self.result_batch()
        self.latency.clear()
        if self.is_on_device:
            self.reset_counters()

    def result(self, *, out: Mask | None = None) -> Mask:
        """The mask of the oldest submitted frame, as ``segment`` gives it.

        Raises:
            EngineError: nothing was submitted, a batch comes next, or the engine failed.
        """
        self._expect(1)
        return self._finish([out])[0].mask

    def result_all(self, *, out: Mask | None = None) -> Segmented:
        """The mask of the oldest submitted frame and all else that was ``wanted``."""
        self._expect(1)
        return self._finish([out])[0]

    def result_batch(self, *, outs: Sequence[Mask | None] | None = None) -> list[Segmented]:
        """What became of the oldest batch, in the order of its frames; a single frame is a batch of one.

        Args:
            outs: for each frame where to write its mask, or None.
        """
        frames = self._oldest().frames
        if outs is not None and len(outs) != frames:
            raise EngineError(f"{len(outs)} outs for a batch of {frames}", "give one for each frame")
        return self._finish([None] * frames if outs is None else list(outs))

    def borrow(self) -> list[Borrowed]:
        """What became of the oldest submitted frame or batch, where it lies: on the device and in page-locked memory.

        Nothing is copied. They are overwritten when their slot is taken again: by the next ``submit`` at depth 1, at
        latest by the ``depth``-th; reading them after that is an error.

        Raises:
            EngineError: nothing was submitted, the engine failed, or it runs on the CPU.
        """
        pipeline, flight = self._on_device(), self._take()
        results = pipeline.borrow(flight.slot)
        self._add_total(flight)
        return results

    def _start(self, frames: Sequence[Picture], form: FrameForm, cameras: Sequence[int]) -> None:
        self._check_open()
        if not self._free:
            raise EngineError(f"{self.pending} frames are in flight, depth is {self.depth}", "take a result() first")
        started_s = time.perf_counter()
        slot = self._free[0]
        self._pipeline.start(slot, frames, form, cameras)
        self._free.popleft()
        self._pending.append(_InFlight(slot, len(frames), started_s))

    def _finish(self, outs: Sequence[Any]) -> list[Segmented]:
        flight = self._take()
        results = self._pipeline.finish(flight.slot, outs)
        self._add_total(flight)
        return results

    def _take(self) -> _InFlight:
        flight = self._oldest()
        self._pending.popleft()
        self._free.append(flight.slot)
        return flight

    def _oldest(self) -> _InFlight:
        self._check_open()
        if not self._pending:
            raise EngineError("no frame is in flight", "submit() one first")
        return self._pending[0]

    def _expect(self, frames: int) -> None:
        found = self._oldest().frames
        if found != frames:
            raise EngineError(f"a batch of {found} frames comes next", "take it by result_batch()")

    def _add_total(self, flight: _InFlight) -> None:
        self.latency.add("total", (time.perf_counter() - flight.started_s) * 1e3)

    def _on_device(self) -> DevicePipeline:
        if not isinstance(self._pipeline, DevicePipeline):
            raise EngineError(f"an engine of {self.spec.backend} runs on the CPU, without CUDA", "take result() there")
        return self._pipeline

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineError("the session is closed", "open another one")

    def close(self) -> None:
        """Release the engine and its buffers; frames in flight are dropped. Safe to call twice."""
        self._is_closed = True
        self._pending.clear()
        try:
            self._pipeline.close()
        finally:
            self.engine.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _opened(engine: str | os.PathLike[str] | Engine, depth: int | None, threads: int | None, graphs: bool) -> Engine:
    if depth is not None and depth < 1:
        raise EngineError(f"depth is {depth}", "give 1 or more frames in flight")
    if not isinstance(engine, Engine):
        slots = DEFAULT_DEPTH if depth is None else depth
        return load_engine(Path(engine), slots=slots, threads=threads, graphs=graphs)
    if depth not in (None, engine.slots):
        raise EngineError(f"depth is {depth} where the opened engine has {engine.slots} slots", "leave depth out")
    return engine
