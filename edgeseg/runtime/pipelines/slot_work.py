"""Own the work of one slot on frames of one case: its copies and launches, settled once, and its CUDA graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.runtime.cuda import BoundLaunch, DeviceTensor, Stream
from edgeseg.runtime.cuda.graphs import Graph
from edgeseg.runtime.cuda.marks import CapturedMarks, Marks
from edgeseg.runtime.cuda.ranges import stage
from edgeseg.runtime.engines.device import DeviceEngine
from edgeseg.runtime.kernels.loading import KernelSet
from edgeseg.runtime.kernels.postprocess import Launch, MaskPointers, overlay_launch
from edgeseg.runtime.pipelines.base import Wanted
from edgeseg.runtime.pipelines.past import Past, SmoothStep
from edgeseg.runtime.pipelines.pictures import GivenPicture
from edgeseg.runtime.pipelines.slot_memory import Arena, Place, SlotMemory
from edgeseg.runtime.pipelines.tables import PictureTables

__all__ = ["STAGES", "ResultPlaces", "SlotWork", "WorkPlan"]

#: what lies between the marks of a run, and what profilers show
STAGES = ("copy-in", "pre", "engine", "post", "copy-out")
AREAS = 256  # labels


@dataclass(frozen=True, kw_only=True)
class ResultPlaces:
    """Where one picture's results lie in the slot's block of them."""

    mask: Place
    confidence: Place | None
    areas: Place | None
    picture: Place | None


class WorkPlan:
    """Where frames and results of a batch lie in a slot's memory; the same in every slot.

    Args:
        pictures: of the batch.
        wanted: beside the masks.
    Raises:
        ShapeError: an overlay is wanted in pictures of neither BGR nor RGB.
    """

    def __init__(self, pictures: Sequence[GivenPicture], wanted: Wanted) -> None:
        frames, results = Arena(), Arena()
        # side by side, so that one call clears them all
        areas = [results.take((AREAS,), np.int64) if wanted.areas else None for _ in pictures]
        self.areas_bytes = results.size
        self.planes = [() if one.pointers else tuple(frames.take(shape) for shape in one.shapes) for one in pictures]
        self.results = []
        for one, counted in zip(pictures, areas, strict=True):
            size_hw, form = one.case.size_hw, one.case.form.pixel_format
            if wanted.overlay is not None and form not in ("BGR", "RGB"):
                raise ShapeError(f"an overlay is to be drawn into a {form} frame", "give BGR or RGB frames")
            place = ResultPlaces(
                areas=counted,
                mask=results.take(size_hw),
                confidence=results.take(size_hw) if wanted.confidence else None,
                picture=results.take((*size_hw, 3)) if wanted.overlay is not None else None,
            )
            self.results.append(place)
        self.frame_bytes, self.result_bytes = frames.size, results.size


class SlotWork:
    """All calls from a batch in page-locked memory to its results there, with their addresses bound.

    ``write`` puts the frames there; then ``enqueue``, or ``graph.launch`` once there is one.

    Args:
        engine, slot: whose tensors, at the shape that they have now.
        plan: of the batch.
        memory: the slot's, large enough for the plan.
        pictures: the batch.
        tables: of each picture.
        kernels: of the device.
        colours: ``OverlayPlan.tables()`` on the device, where an overlay is wanted.
        wanted: beside the masks.
        pasts: of each picture the frames before, where scores are smoothed; else none.
    """

    def __init__(
        self,
        engine: DeviceEngine,
        slot: int,
        *,
        plan: WorkPlan,
        memory: SlotMemory,
        pictures: Sequence[GivenPicture],
        tables: Sequence[PictureTables],
        kernels: KernelSet,
        colours: DeviceTensor | None,
        wanted: Wanted,
        pasts: Sequence[Past],
    ) -> None:
        assert memory.frames is not None and memory.results is not None and memory.scratch is not None
        self.plan, self._engine, self._slot, self._wanted = plan, engine, slot, wanted
        self.frames, self.results = memory.frames, memory.results
        self._scratch_ptr, self._kernels = memory.scratch.ptr, kernels
        self._colours = colours
        self._tables = tables  # in use as long as this is
        counted = Place(0, (max(plan.areas_bytes, 1),), np.dtype(np.uint8))
        self._areas = counted.on_device(self.results.ptr, self.results.owner)
        self._smooth = self._smooth_step(pasts) if pasts else None
        sources = [self._source(one, places) for one, places in zip(pictures, plan.planes, strict=True)]
        self._before = [self._before_of(index, source) for index, source in enumerate(sources)]
        self._behind = [
            launch
            for index, (one, source) in enumerate(zip(pictures, sources, strict=True))
            for launch in self._behind_of(index, one, source, len(pictures))
        ]
        self.graph: Graph | None = None
        self.graph_marks: CapturedMarks | None = None
        self.has_run = False

    def write(self, pictures: Sequence[GivenPicture]) -> None:
        """Copy the host's frames into page-locked memory; those that lie there already stay."""
        block = self.frames.host()
        for one, places in zip(pictures, self.plan.planes, strict=True):
            for plane, place in zip(one.planes, places, strict=False):  # frames on the device have no places
                _copied(place.view(block), plane)

    def enqueue(self, stream: Stream, marks: Marks | CapturedMarks) -> None:
        """Give it all to the stream, with a mark at each stage's end. Needs the context current."""
        steps = (self._copy_in, self._launch_before, self._run_engine, self._launch_behind, self._copy_out)
        for index, (name, step) in enumerate(zip(STAGES, steps, strict=True)):
            marks.reach(index, stream)
            with stage(name):
                step(stream)
        marks.reach(len(steps), stream)

    def _copy_in(self, stream: Stream) -> None:
        self.frames.to_device(stream, self.plan.frame_bytes)

    def _launch_before(self, stream: Stream) -> None:
        for launch in self._before:
            stream.launch(launch)

    def _run_engine(self, stream: Stream) -> None:
        self._engine.enqueue(self._slot, stream)

    def _launch_behind(self, stream: Stream) -> None:
        if self._smooth is not None:
            self._smooth.enqueue(stream)
        if self.plan.areas_bytes:
            stream.fill(self._areas)
        for launch in self._behind:
            stream.launch(launch)
        if self._smooth is not None:
            self._smooth.end_turns(stream)

    def _copy_out(self, stream: Stream) -> None:
        if not self._wanted.on_device:
            self.results.to_host(stream, self.plan.result_bytes)

    def drop_graph(self) -> None:
        """Forget the graph, whose addresses or shapes hold no longer; the next run is a plain one."""
        if self.graph is not None:
            self.graph.close()
        if self.graph_marks is not None:
            self.graph_marks.close()
        self.graph, self.graph_marks, self.has_run = None, None, False

    def _source(self, picture: GivenPicture, places: Sequence[Place]) -> tuple[tuple[int, int], ...]:
        """Address and pitch of each plane on the device."""
        if picture.pointers is not None:
            return picture.pointers
        return tuple((self.frames.ptr + place.offset, place.pitch) for place in places)

    def _before_of(self, index: int, source: Sequence[tuple[int, int]]) -> BoundLaunch:
        kernel, tables = self._tables[index].before, self._tables[index]
        tensor = int(self._engine.device_input(self._slot))
        params = kernel.params(source, tables_ptr=tables.before_ptr, tensor_ptr=tensor, batch_index=index)
        return self._kernels.bound(kernel.name, params, grid=kernel.grid, block=kernel.block)

    def _behind_of(
        self, index: int, picture: GivenPicture, source: Sequence[tuple[int, int]], batch: int
    ) -> list[BoundLaunch]:
        places = self.plan.results[index]
        at = MaskPointers(
            scores=self._scores_ptr(index, batch),
            tables=self._tables[index].behind_ptr,
            scratch=self._scratch_ptr,
            mask=self._ptr(places.mask),
            mask_pitch=places.mask.pitch,
            confidence=0 if places.confidence is None else self._ptr(places.confidence),
            confidence_pitch=0 if places.confidence is None else places.confidence.pitch,
            areas=None if places.areas is None else self._ptr(places.areas),
        )
        launches = list(self._tables[index].behind.made(at))
        if places.picture is not None:
            launches.append(self._overlay(places, picture.case.size_hw, source[0]))
        return [self._kernels.bound(one.kernel, one.params, grid=one.grid, block=one.block) for one in launches]

    def _scores_ptr(self, index: int, batch: int) -> int:
        if self._smooth is not None:
            return self._smooth.pasts[index].mean_ptr
        scores = self._engine.device_output(self._slot)
        return int(scores) + index * (scores.nbytes // batch)

    def _smooth_step(self, pasts: Sequence[Past]) -> SmoothStep:
        tensor, scores = self._engine.device_input(self._slot), self._engine.device_output(self._slot)
        return SmoothStep(pasts, self._kernels, tensor=tensor, scores=scores)

    def _overlay(self, places: ResultPlaces, size_hw: tuple[int, int], frame: tuple[int, int]) -> Launch:
        assert places.picture is not None and self._colours is not None and self._wanted.overlay is not None
        return overlay_launch(
            frame=frame,
            mask=(self._ptr(places.mask), places.mask.pitch),
            picture=(self._ptr(places.picture), places.picture.pitch),
            colours=int(self._colours),
            size_hw=size_hw,
            boundary=self._wanted.overlay.boundary,
        )

    def _ptr(self, place: Place) -> int:
        return self.results.ptr + place.offset


def _copied(to: NDArray[np.uint8], plane: NDArray[np.uint8]) -> None:
    if to.__array_interface__["data"][0] != plane.__array_interface__["data"][0]:
        np.copyto(to, plane)
