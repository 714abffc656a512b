"""Own the way of frames through a CUDA device: which work a batch is, and what becomes of its results."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeseg.errors import EngineError, ShapeError
from edgeseg.imaging.formats import FrameForm, Picture, array_of
from edgeseg.imaging.smoothing import Smoothing
from edgeseg.latency import LatencyLog
from edgeseg.runtime.cuda import Counters, DeviceTensor, adopt
from edgeseg.runtime.cuda.ranges import stage
from edgeseg.runtime.device_frames import is_on_device
from edgeseg.runtime.engines.device import DeviceEngine
from edgeseg.runtime.kernels.loading import KernelSet
from edgeseg.runtime.kernels.smoothing import SmoothLaunches, mean_of
from edgeseg.runtime.layouts import layout_of
from edgeseg.runtime.pipelines.base import Borrowed, BorrowedArray, Pipeline, Segmented, Wanted
from edgeseg.runtime.pipelines.graphs import GraphUse
from edgeseg.runtime.pipelines.past import Past
from edgeseg.runtime.pipelines.pictures import GivenPicture, PictureCase, given_picture
from edgeseg.runtime.pipelines.slot import Slot
from edgeseg.runtime.pipelines.slot_memory import Place
from edgeseg.runtime.pipelines.slot_work import STAGES, ResultPlaces, SlotWork, WorkPlan
from edgeseg.runtime.pipelines.tables import PictureTables, on_device
from edgeseg.runtime.recycling import Recycler
from edgeseg.runtime.sizes import model_at

__all__ = ["DevicePipeline"]

KEPT_TABLES = 16  # cases of pictures; a few kilobytes each


class DevicePipeline(Pipeline):
    """Copy in, pre-processing, engine, post-processing, copy out, on a stream for each slot, so that slots overlap.

    The first batch of a case settles its launches and runs plainly, the second is captured as a CUDA graph, which the
    later ones launch. A case is the batch's formats and sizes, the net's input size, and the addresses of frames that
    lie on the device. Adds ``copy-in``, ``pre``, ``engine``, ``post``, ``copy-out`` and ``submit`` to the log.

    Args:
        engine: whose slots this uses; the caller's.
        graphs: use CUDA graphs.
        wanted: what is made beside masks.
        latency: takes the stages.
        is_debug: refuse to overwrite a borrowed result of which an array is alive.
        smoothing: steadies the scores over time; graphs are off then, for frames depend on one another.
    Raises:
        EngineError: no memory; or no kernels: there is neither a cubin nor an nvcc, or the driver does not load them.
    """

    def __init__(
        self,
        engine: DeviceEngine,
        *,
        graphs: bool,
        wanted: Wanted,
        latency: LatencyLog,
        is_debug: bool,
        smoothing: Smoothing | None = None,
    ) -> None:
        self.slots, self._engine, self._wanted, self._latency = engine.slots, engine, wanted, latency
        self.input_hw = engine.spec.model.input.size_hw
        self._cuda, self._is_debug = engine.cuda.part(), is_debug
        reason = engine.no_capture if smoothing is None else "with smoothing each frame waits for the one before"
        self._graphs = GraphUse(is_wanted=graphs, no_capture=reason)
        self._smoothing = smoothing
        self._pasts: dict[object, Past] = {}
        self._newest: dict[int, Past] = {}  # of each camera's frame that was started last
        self._tables: OrderedDict[object, PictureTables] = OrderedDict()
        self._slots: list[Slot] = []
        self._recycler = Recycler()
        self._started = 0
        self._colours: DeviceTensor | None = None
        with self._cuda.current():
            self._kernels = KernelSet(self._cuda)
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            with self._cuda.current():
                for _ in range(engine.slots):
                    self._slots.append(Slot(self._cuda, self._graphs, is_mapped=self._cuda.is_integrated))
                if wanted.overlay is not None:
                    self._colours = on_device(self._cuda, self._slots[0].stream, wanted.overlay.plan.tables())
            undo.pop_all()

    def start(self, slot: int, frames: Sequence[Picture], form: FrameForm, cameras: Sequence[int]) -> None:
        started_s = time.perf_counter()
        chosen = self._slots[slot]
        if self._is_debug:
            chosen.check_lent()
        with self._cuda.current(), stage("submit"):
            handle = chosen.stream.handle
            pictures = [given_picture(self._cuda, frame, form, reader_handle=handle) for frame in frames]
            scores_hw = self._engine.set_shape(slot, batch=len(frames), size_hw=self.input_hw)
            chosen.take_shape((len(frames), self.input_hw))
            pasts = (
                [] if self._smoothing is None else [self._past_of(one, scores_hw, self._smoothing) for one in cameras]
            )
            key = (self.input_hw, *map(id, pasts), *(one.key for one in pictures))
            work = chosen.work(key, lambda: self._made(slot, pictures, scores_hw, pasts))
            chosen.run(work, pictures, self._started)
            self._started += 1
        self._latency.add("submit", (time.perf_counter() - started_s) * 1e3)

    def finish(self, slot: int, outs: Sequence[Any]) -> list[Segmented]:
        chosen = self._slots[slot]
        with self._cuda.current(), stage("result"):
            self._wait(chosen)
            places = chosen.running.plan.results
            return [self._segmented(chosen, one, out) for one, out in zip(places, outs, strict=True)]

    def borrow(self, slot: int) -> list[Borrowed]:
        """Wait for a started slot, and give its results where they lie."""
        chosen = self._slots[slot]
        with self._cuda.current(), stage("result"):
            self._wait(chosen)
        return [self._lent(chosen, one) for one in chosen.running.plan.results]

    def resize_input(self, size_hw: tuple[int, int]) -> None:
        """Refused here where no profile takes it with its best batch; other batches are checked when they come."""
        spec = self._engine.spec
        sizes = [spec.model.input.size_hw] if not spec.profiles else []
        if size_hw not in sizes and not any(one.takes(one.optimum[0], size_hw) for one in spec.profiles):
            raise EngineError(f"no profile of the engine takes an input of {size_hw} (height, width)", self._taken())
        self.input_hw = size_hw

    @property
    def graph_state(self) -> str:
        return self._graphs.state

    @property
    def counters(self) -> Counters:
        """What was asked of CUDA since the last reset, and what is alive."""
        return self._cuda.counters()

    def reset_counters(self) -> None:
        """Count anew from 0."""
        self._cuda.reset_counters()

    def close(self) -> None:
        for slot in self._slots:
            slot.close()
        self._slots.clear()
        for tables in self._tables.values():
            tables.close()
        for past in self._pasts.values():
            past.close()
        self._pasts.clear()
        self._newest.clear()
        self._tables.clear()
        if self._colours is not None:
            self._colours.close()
        self._kernels.close()

    def _past_of(self, camera: int, scores_hw: tuple[int, int], smoothing: Smoothing) -> Past:
        """Of a camera at the size that is in use; it begins anew where its frame before was of another."""
        key = (camera, self.input_hw)
        if key not in self._pasts:
            image, head = model_at(self._engine.spec.model, input_hw=self.input_hw, scores_hw=scores_hw)
            layouts = [layout_of(self._engine.spec, name) for name in (image.name, head.output)]
            launches = SmoothLaunches(
                image=image, head=head, smoothing=smoothing, tensor_layout=layouts[0], layout=layouts[1]
            )
            self._pasts[key] = Past(self._cuda, launches)
        past = self._pasts[key]
        if past is not self._newest.get(camera):
            past.is_empty, self._newest[camera] = True, past
        return past

    def _made(
        self, slot: int, pictures: Sequence[GivenPicture], scores_hw: tuple[int, int], pasts: Sequence[Past]
    ) -> SlotWork:
        """The calls of a case, bound to the slot's memory, which is made larger where that is needed."""
        chosen, plan = self._slots[slot], WorkPlan(pictures, self._wanted)
        tables = [self._tables_of(chosen, one.case, scores_hw) for one in pictures]
        scratch = max(one.behind.scratch_bytes for one in tables)
        if chosen.memory.reserve(frames=plan.frame_bytes, results=plan.result_bytes, scratch=scratch):
            chosen.forget_works()
        return SlotWork(
            self._engine,
            slot,
            plan=plan,
            memory=chosen.memory,
            pictures=pictures,
            tables=tables,
            kernels=self._kernels,
            colours=self._colours,
            wanted=self._wanted,
            pasts=pasts,
        )

    def _tables_of(self, slot: Slot, case: PictureCase, scores_hw: tuple[int, int]) -> PictureTables:
        key = (case, self.input_hw, scores_hw)
        if key not in self._tables:
            spec = self._engine.spec
            image, head = model_at(spec.model, input_hw=self.input_hw, scores_hw=scores_hw)
            layout = layout_of(spec, head.output)
            if self._smoothing is not None:
                head, layout = mean_of(head), "linear"
            self._tables[key] = PictureTables(
                self._cuda, slot.stream, spec, image=image, head=head, layout=layout, case=case,
                has_confidence=self._wanted.confidence,
            )  # fmt: skip
            while len(self._tables) > KEPT_TABLES:
                self._tables.popitem(last=False)  # freed with the last work that uses them
        self._tables.move_to_end(key)
        return self._tables[key]

    def _wait(self, slot: Slot) -> None:
        for name, milliseconds in zip(STAGES, slot.wait(), strict=True):
            self._latency.add(name, milliseconds)

    def _segmented(self, slot: Slot, places: ResultPlaces, out: Any) -> Segmented:
        if self._wanted.on_device:
            return Segmented(mask=self._device_mask(slot, places.mask, out))

        def copied(place: Place | None) -> Any:
            return None if place is None else self._copied(slot, place)

        return Segmented(
            mask=self._mask(slot, places.mask, out),
            confidence=copied(places.confidence),
            areas=copied(places.areas),
            picture=copied(places.picture),
        )

    def _copied(self, slot: Slot, place: Place) -> Any:
        if place.dtype != np.uint8:  # areas: too few bytes to save
            return slot.host(place).copy()
        taken = self._recycler.take(place.shape)
        np.copyto(taken, slot.host(place))
        return taken

    def _lent(self, slot: Slot, places: ResultPlaces) -> Borrowed:
        def lent(place: Place) -> BorrowedArray:
            return slot.lend(place, is_on_host=not self._wanted.on_device)

        others = {name: getattr(places, name) for name in ("confidence", "areas", "picture")}
        return Borrowed(
            mask=lent(places.mask), **{name: None if one is None else lent(one) for name, one in others.items()}
        )

    def _mask(self, slot: Slot, place: Place, out: Any) -> Any:
        if out is None:
            return self._copied(slot, place)
        if is_on_device(out):
            return self._device_mask(slot, place, out)
        array = array_of(out)
        if array.shape != place.shape or array.dtype != np.uint8 or not array.flags.writeable:
            raise ShapeError(f"out is {array.dtype} {array.shape}", f"give a writable uint8 {place.shape}")
        np.copyto(array, slot.host(place))
        return out

    def _device_mask(self, slot: Slot, place: Place, out: Any) -> Any:
        """Into the caller's device memory; nothing of it is in flight when this returns."""
        if out is None or not is_on_device(out):
            raise EngineError("masks stay on the device here", "take borrow(), or give out= in device memory")
        stream = slot.stream
        target = adopt(self._cuda, out, shape=place.shape, dtype=np.uint8, is_written=True, reader_handle=stream.handle)
        if target.stream_handle is not None:
            stream.wait_for_foreign(target.stream_handle)
        stream.copy_across(target, slot.device(place))
        stream.synchronize()
        return out

    def _taken(self) -> str:
        spec = self._engine.spec
        if not spec.profiles:
            return f"it takes {spec.model.input.size_hw}; build one with --min-shapes, --opt-shapes and --max-shapes"
        return "; ".join(f"profile of {one.minimum} to {one.maximum} (batch, height, width)" for one in spec.profiles)
