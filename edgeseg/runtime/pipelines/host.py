"""Own the way of a frame on the CPU: the C++ kernels before and behind an engine with host buffers. Hold no device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeseg.errors import EngineError, ShapeError
from edgeseg.imaging.formats import FrameForm, Picture, TensorFormat, planes_of, size_wh_of
from edgeseg.imaging.geometry import Placement
from edgeseg.imaging.postprocess import MaskFormat, MaskMaker
from edgeseg.imaging.preprocess import Frame, Preprocessor, Tensor
from edgeseg.imaging.smoothing import ScoreSmoother, Smoothing
from edgeseg.latency import LatencyLog
from edgeseg.runtime.device_frames import is_on_device
from edgeseg.runtime.engines.base import Engine
from edgeseg.runtime.pipelines.base import Pipeline, Segmented, Wanted
from edgeseg.runtime.recycling import Recycler

__all__ = ["HostPipeline"]


class HostPipeline(Pipeline):
    """Pre-processing, engine and post-processing in the caller's thread; the engine may run beside it.

    Adds the stages ``pre``, ``engine`` and ``post`` to the log.

    Args:
        engine: with as many slots; the caller's.
        threads: CPU threads of pre- and post-processing; all cores without it.
        wanted: what is made beside masks.
        latency: takes the stages.
        smoothing: steadies the scores over time.
    """

    graph_state = "off: the engine runs on the CPU"

    def __init__(
        self,
        engine: Engine,
        *,
        threads: int | None,
        wanted: Wanted,
        latency: LatencyLog,
        smoothing: Smoothing | None = None,
    ) -> None:
        self.slots, self._engine, self._wanted, self._latency = engine.slots, engine, wanted, latency
        model = engine.spec.model
        self.input_hw = model.input.size_hw
        self._is_stretched = model.input.resize == "stretch"
        self._is_hwc = any((io.name, io.format) == (model.input.name, "hwc") for io in engine.spec.io)
        stored = TensorFormat(dtype=model.input.dtype, layout="NHWC" if self._is_hwc else model.input.layout)
        self._preprocessor = Preprocessor(model.input, threads=threads, tensor_format=stored)
        self._smoothing, self._model = smoothing, model
        self._smoothers: dict[int, ScoreSmoother] = {}
        if smoothing is not None:
            self._smoother_of(0, smoothing)  # refuses a head without scores at once
        self._cameras = [0] * engine.slots
        held = None if smoothing is None else MaskFormat()  # what is smoothed is float32
        self._mask_maker = MaskMaker(model.head, input_hw=model.input.size_hw, mask_format=held, threads=threads)
        self._recycler = Recycler()
        self._sizes_hw: list[tuple[int, int]] = [(0, 0)] * engine.slots
        self._pictures: list[Frame | None] = [None] * engine.slots  # what overlays are drawn into

    def start(self, slot: int, frames: Sequence[Picture], form: FrameForm, cameras: Sequence[int]) -> None:
        frame = self._only(frames)
        self._cameras[slot] = cameras[0]
        with self._latency.timed("pre"):
            self._preprocessor.into(self._host_input(slot), frame, **vars(form))
        if self._wanted.overlay is not None:
            self._pictures[slot] = self._copied(frame, form)
        self._engine.start(slot)
        width, height = size_wh_of(planes_of(frame, form.pixel_format))
        self._sizes_hw[slot] = (height, width)

    def finish(self, slot: int, outs: Sequence[Any]) -> list[Segmented]:
        self._latency.add("engine", self._engine.wait(slot))
        with self._latency.timed("post"):
            return [self._segmented(slot, outs[0])]

    def resize_input(self, size_hw: tuple[int, int]) -> None:
        if size_hw != self.input_hw:
            raise EngineError(f"the engine takes {self.input_hw} (height, width), not {size_hw}", "build one for that")

    def close(self) -> None:
        """Everything is the engine's."""

    def _only(self, frames: Sequence[Picture]) -> Picture:
        if len(frames) != 1:
            raise EngineError(f"{len(frames)} frames in a batch, a CPU engine takes 1", "submit them one by one")
        if is_on_device(frames[0]):
            raise ShapeError("the frame is in device memory and the engine runs on the CPU", "copy it to the host")
        return frames[0]

    def _host_input(self, slot: int) -> Tensor:
        """C-contiguous, as the engine stores it."""
        tensor = self._engine.host_input(slot)
        return tensor.transpose(0, 2, 3, 1) if self._is_hwc else tensor

    def _segmented(self, slot: int, out: Any) -> Segmented:
        size_hw, picture, wanted = self._sizes_hw[slot], self._pictures[slot], self._wanted
        confidence = self._recycler.take(size_hw) if wanted.confidence else None
        areas = np.empty(256, np.int64) if wanted.areas else None
        mask = self._mask_maker.mask(
            self._scores(slot),
            size_hw=size_hw,
            out=self._recycler.take(size_hw) if out is None else out,
            placement=self._placement(size_hw),
            confidence=confidence,
            areas=areas,
            overlay=wanted.overlay,
            frame=picture,
            picture=picture,
        )
        return Segmented(mask=mask, confidence=confidence, areas=areas, picture=picture)

    def _scores(self, slot: int) -> Tensor:
        scores = self._engine.host_output(slot)
        if self._smoothing is None:
            return scores
        smoother = self._smoother_of(self._cameras[slot], self._smoothing)
        return smoother.smoothed(self._engine.host_input(slot), scores)

    def _smoother_of(self, camera: int, smoothing: Smoothing) -> ScoreSmoother:
        if camera not in self._smoothers:
            self._smoothers[camera] = ScoreSmoother(self._model.input, self._model.head, smoothing)
        return self._smoothers[camera]

    def _placement(self, size_hw: tuple[int, int]) -> Placement | None:
        """Where the frame went in the net's input, to be undone; nothing where all of it fills all of that."""
        return None if self._is_stretched else self._preprocessor.placement((size_hw[1], size_hw[0]))

    def _copied(self, frame: Picture, form: FrameForm) -> Frame:
        """A copy to draw into, since the frame is the caller's again before the mask is there."""
        if form.pixel_format not in ("BGR", "RGB"):
            raise ShapeError(f"an overlay is to be drawn into a {form.pixel_format} frame", "give BGR or RGB frames")
        (plane,) = planes_of(frame, form.pixel_format)
        picture = self._recycler.take(plane.shape)
        np.copyto(picture, plane)
        return picture
