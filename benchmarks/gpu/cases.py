"""Own what the kernels are timed on: inputs, launches, results, and the bytes that each must move. Time nothing.

``moved_bytes`` is that of ``edgeseg.imaging.moved_bytes``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.buffers import Uploader, sets_for
from benchmarks.gpu.inputs import as_type, blobs, noise, picture, size_of, smooth
from edgeseg.imaging import _native
from edgeseg.imaging.moved_bytes import mask_bytes, overlay_bytes, read_bytes
from edgeseg.imaging.overlay import Overlay
from edgeseg.imaging.palettes import labels_for
from edgeseg.imaging.postprocess import MaskFormat, MaskMaker
from edgeseg.runtime.cuda import BoundLaunch, DeviceTensor, Stream
from edgeseg.runtime.kernels.loading import KernelSet
from edgeseg.runtime.kernels.postprocess import Launch, MaskPointers, PostprocessLaunches, overlay_launch
from edgeseg.runtime.kernels.preprocess import PreprocessKernel
from edgeseg.spec import HeadSpec

__all__ = ["MEAN", "STD", "Case", "Sizes", "Workshop", "kernel_cases"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 19
PITCH = 256  # of rows that kernels write, as the runtime has them

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of a case's picture, net and scores; the scores may have two sizes."""

    camera_hw: tuple[int, int] = (1080, 1920)
    net_hw: tuple[int, int] = (512, 1024)
    scores_hw: tuple[tuple[int, int], ...] = ((64, 128), (128, 256))


@dataclass
class Case:
    """One thing the kernels do, on several sets of buffers.

    Attributes:
        name: says what goes in and comes out.
        kind: ``pre`` or ``tail`` (with torch and CuPy beside it), or ``extra``.
        moved_bytes: of one run, see above.
        inputs: the set's inputs on the device, in the order that peers take them.
        output: the set's result.
        launches: of each set.
        expected: the result by the C++ on the CPU.
        cleared: of each set, memory that is set to 0 before the launches.
    """

    name: str
    kind: str
    moved_bytes: int
    inputs: list[tuple[DeviceTensor, ...]]
    output: list[DeviceTensor]
    launches: list[tuple[BoundLaunch, ...]]
    expected: Callable[[], Array]
    about: dict[str, Any] = field(default_factory=dict)
    cleared: list[DeviceTensor] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)

    @property
    def sets(self) -> int:
        """Of buffers."""
        return len(self.launches)

    def run(self, index: int, stream: Stream) -> None:
        """Enqueue one run on a set."""
        if self.cleared:
            stream.fill(self.cleared[index])
        for one in self.launches[index]:
            stream.launch(one)


@dataclass
class Workshop:
    """Makes cases on a device. Every method needs the context current."""

    uploader: Uploader
    kernels: KernelSet
    cache: int
    sizes: Sizes

    def pre(self, pixel_format: str, dtype: str) -> Case:
        """A camera's picture to the tensor."""
        source_hw, net_hw = self.sizes.camera_hw, self.sizes.net_hw
        plan = _native.Preprocess(
            pixel_format=pixel_format, source_wh=source_hw[::-1], matrix="BT.601", is_full_range=False,
            source_xywh=(0, 0, *source_hw[::-1]), size_wh=net_hw[::-1], target_xywh=(0, 0, *net_hw[::-1]), pad=0.0,
            interpolation="linear", colour="RGB", dtype=dtype, layout="NCHW", mean=MEAN, std=STD, quantum=1.0,
            threads=1,
        )  # fmt: skip
        kernel = PreprocessKernel(plan.tables())
        planes = picture(pixel_format, source_hw)
        shape = (1, 3, *net_hw)
        rows = [plane.shape[1] for plane in planes]
        moved = read_bytes(rows, plan.tables()) + int(np.prod(shape)) * np.dtype(dtype).itemsize
        tables = self.uploader.put(kernel.table_bytes)
        case = Case(
            name=f"{size_of(source_hw)} {pixel_format} -> 1x3x{size_of(net_hw)} {dtype}",
            kind="pre",
            moved_bytes=moved,
            inputs=[],
            output=[],
            launches=[],
            expected=lambda: made_by(plan, planes, np.empty(shape, dtype)),
            about={"pixel_format": pixel_format},
            kept=[tables],
        )
        for _ in range(sets_for(moved, self.cache)):
            given = tuple(self.uploader.put(plane) for plane in planes)
            tensor = self.uploader.room(shape, dtype)
            where = [(plane.ptr, plane.pitches[0]) for plane in given]
            params = kernel.params(where, tables_ptr=tables.ptr, tensor_ptr=tensor.ptr)
            bound = self.kernels.bound(kernel.name, params, grid=kernel.grid, block=kernel.block)
            self._add(case, given, tensor, (bound,))
        return case

    def mask(
        self,
        scores_hw: tuple[int, int],
        dtype: Any,
        make: Callable[[int, tuple[int, int]], Array],
        *,
        has_confidence: bool = False,
        has_areas: bool = False,
    ) -> Case:
        """Scores to a mask at the camera's size."""
        mask_hw = self.sizes.camera_hw
        head = HeadSpec(output="scores", channels=CLASSES, size_hw=scores_hw, decision="argmax")
        form = MaskFormat(dtype=dtype, scale=0.125 if dtype == "int8" else 1.0)
        scores = as_type(make(CLASSES, scores_hw), form)
        launches = PostprocessLaunches(head, size_hw=mask_hw, mask_format=form, has_confidence=has_confidence)
        moved = mask_bytes(
            head, size_hw=mask_hw, itemsize=scores.itemsize, has_confidence=has_confidence, has_areas=has_areas
        )
        tables = self.uploader.put(launches.tables)
        extras = " + confidence" * has_confidence + " + areas" * has_areas
        case = Case(
            name=f"{CLASSES}x{size_of(scores_hw)} {dtype}, {make.__name__} -> {size_of(mask_hw)} mask{extras}",
            kind="extra" if extras or dtype == "int8" else "tail",
            moved_bytes=moved,
            inputs=[],
            output=[],
            launches=[],
            expected=lambda: MaskMaker(head, mask_format=form).mask(scores, size_hw=mask_hw),
            about={"scores": make.__name__},
            kept=[tables],
        )
        pitch = -(-mask_hw[1] // PITCH) * PITCH
        for _ in range(sets_for(moved, self.cache)):
            given, mask = self.uploader.put(scores), self.uploader.room((mask_hw[0], pitch), "uint8")
            scratch = self.uploader.room((launches.scratch_bytes,), "uint8")
            confidence = self.uploader.room((mask_hw[0], pitch), "uint8") if has_confidence else None
            areas = self.uploader.room((256,), "uint64") if has_areas else None
            at = MaskPointers(
                scores=given.ptr, tables=tables.ptr, scratch=scratch.ptr, mask=mask.ptr, mask_pitch=pitch,
                confidence=0 if confidence is None else confidence.ptr, confidence_pitch=pitch,
                areas=None if areas is None else areas.ptr,
            )  # fmt: skip
            case.kept += [scratch, confidence]
            case.cleared += [] if areas is None else [areas]
            self._add(case, (given,), mask, self._bound(launches.made(at)))
        return case

    def overlay(self) -> Case:
        """A mask over a frame, both of the camera's size."""
        size_hw = self.sizes.camera_hw
        overlay = Overlay(labels_for(CLASSES), threads=1)
        frame, mask = picture("BGR", size_hw)[0], blobs(size_hw)
        colours = self.uploader.put(overlay.plan.tables())
        moved = overlay_bytes(size_hw)
        case = Case(
            name=f"overlay at {size_of(size_hw)}",
            kind="extra",
            moved_bytes=moved,
            inputs=[],
            output=[],
            launches=[],
            expected=lambda: overlay.blend(frame.reshape(*size_hw, 3), mask).reshape(frame.shape),
            kept=[colours],
        )
        for _ in range(sets_for(moved, self.cache)):
            given = self.uploader.put(frame), self.uploader.put(mask)
            drawn = self.uploader.room(frame.shape, "uint8")
            one = overlay_launch(
                frame=(given[0].ptr, frame.shape[1]),
                mask=(given[1].ptr, mask.shape[1]),
                picture=(drawn.ptr, frame.shape[1]),
                colours=colours.ptr,
                size_hw=size_hw,
            )
            self._add(case, given, drawn, self._bound((one,)))
        return case

    def _bound(self, launches: tuple[Launch, ...]) -> tuple[BoundLaunch, ...]:
        return tuple(self.kernels.bound(one.kernel, one.params, grid=one.grid, block=one.block) for one in launches)

    @staticmethod
    def _add(
        case: Case, given: tuple[DeviceTensor, ...], output: DeviceTensor, launches: tuple[BoundLaunch, ...]
    ) -> None:
        case.inputs.append(given)
        case.output.append(output)
        case.launches.append(launches)


def kernel_cases(shop: Workshop) -> list[Callable[[], Case]]:
    """All cases, each made when it is its turn: the memory of the one before is free by then."""
    floats, makes = ("float32", "float16"), (smooth, noise)
    cases: list[Callable[[], Case]] = [
        lambda pixel_format=pixel_format, dtype=dtype: shop.pre(pixel_format, dtype)  # type: ignore[misc]
        for pixel_format in ("BGR", "NV12", "YUYV")
        for dtype in floats
    ]
    cases += [
        lambda size=size, dtype=dtype, make=make: shop.mask(size, dtype, make)  # type: ignore[misc]
        for size in shop.sizes.scores_hw
        for dtype in (*floats, "int8")
        for make in makes
    ]
    small = shop.sizes.scores_hw[0]
    cases += [
        lambda: shop.mask(small, "float16", smooth, has_confidence=True),
        lambda: shop.mask(small, "float16", smooth, has_areas=True),
        shop.overlay,
    ]
    return cases


def made_by(plan: _native.Preprocess, planes: tuple[NDArray[np.uint8], ...], tensor: Array) -> Array:
    """The tensor by the C++."""
    plan.run(planes, tensor)
    return tensor
