"""A Jetson's NVMM buffer: read as NVIDIA's header has it, mapped and unmapped in order, refused with the reason."""

from __future__ import annotations

import ctypes
import gc
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nvmm_lab import DECLARATIONS, IMAGE, NvmmLab, compiled, nvmm_library
from stream_lab import LabDriver, context_of

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda import CudaContext
from edgeseg.runtime.cuda.egl import egl_calls
from edgeseg.runtime.device_frames import device_planes, pointers_of
from edgeseg.runtime.nvmm import MappedAddress, NvmmFrame, PlaneParams, Surface, SurfaceList, nvbufsurface

__all__ = ["nvmm_library"]  # a fixture

REGISTER, FRAME, UNREGISTER = f"register {IMAGE:x} 0", "frame 7fc0de000010 0 0", "unregister 7fc0de000010"
WHOLE = ["map 0", REGISTER, FRAME, UNREGISTER, "unmap 0"]
#: of the header's structures on a 64-bit machine, as published for Jetson Linux 36
SIZES = {PlaneParams: 232, MappedAddress: 72, SurfaceList: 384, Surface: 64}
OFFSETS = """
#define AT(form, field) printf("%zu %zu ", offsetof(form, field), sizeof(((form *)0)->field))
#define P NvBufSurfacePlaneParams
#define M NvBufSurfaceMappedAddr
#define S NvBufSurfaceParams
#define B NvBufSurface
int main(void) {
    AT(P, num_planes); AT(P, width); AT(P, height); AT(P, pitch); AT(P, offset); AT(P, psize); AT(P, bytesPerPix);
    AT(P, reserved); printf("%zu\\n", sizeof(P));
    AT(M, addr); AT(M, eglImage); AT(M, reserved); printf("%zu\\n", sizeof(M));
    AT(S, width); AT(S, height); AT(S, pitch); AT(S, colorFormat); AT(S, layout); AT(S, bufferDesc); AT(S, dataSize);
    AT(S, dataPtr); AT(S, planeParams); AT(S, mappedAddr); AT(S, paramex); AT(S, reserved); printf("%zu\\n", sizeof(S));
    AT(B, gpuId); AT(B, batchSize); AT(B, numFilled); AT(B, isContiguous); AT(B, memType); AT(B, surfaceList);
    AT(B, reserved); printf("%zu\\n", sizeof(B));
}
"""


@pytest.fixture
def lab(nvmm_library: Path) -> NvmmLab:
    return NvmmLab(nvmm_library)


@pytest.fixture
def context() -> Iterator[CudaContext]:
    context = context_of(LabDriver())
    with context.current():
        yield context
    context.release()
    assert context.counters().live.total == 0


def opened(lab: NvmmLab, context: CudaContext, *buffer: Any, **options: Any) -> NvmmFrame:
    return NvmmFrame(context, *buffer, surfaces=nvbufsurface(str(lab.path)), calls=egl_calls(str(lab.path)), **options)


def fields_of(form: type[ctypes.Structure]) -> list[int]:
    """Of each field where it begins and how long it is."""
    fields = [getattr(form, one[0]) for one in form._fields_]
    return [number for one in fields for number in (one.offset, one.size)]


def test_the_structures_are_laid_out_as_a_compiler_has_them(tmp_path: Path) -> None:
    program = compiled(DECLARATIONS + OFFSETS, tmp_path / "offsets")
    lines = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    forms = list(SIZES)
    ours = [[*fields_of(form), ctypes.sizeof(form)] for form in forms]
    assert [list(map(int, line.split())) for line in lines] == ours
    assert [one[-1] for one in ours] == list(SIZES.values())


@pytest.mark.parametrize("form", ["address", "bytes", "memoryview", "fd"])
def test_a_buffer_is_a_picture_until_it_is_closed(lab: NvmmLab, context: CudaContext, form: str) -> None:
    address = ctypes.addressof(lab.surface)
    mapped = ctypes.string_at(address, 64)  # as GStreamer maps it: the structure, which leads to the buffers
    given: dict[str, Any] = {"address": address, "bytes": mapped, "memoryview": memoryview(mapped)}
    with opened(lab, context, given[form]) if form != "fd" else opened(lab, context, fd=41) as frame:
        planes = device_planes(context, frame.planes, "NV12")
        assert pointers_of(planes) == ((0x7F0000001000, 256), (0x7F0000009000, 512))
        assert frame.colours == {"pixel_format": "NV12", "colour_matrix": "BT.709", "is_full_range": False}
    frame.close()
    assert lab.calls == (["fd 41"] if form == "fd" else []) + WHOLE
    assert not lab.buffers[0].mapped.egl_image
    with pytest.raises(EngineError, match="was freed"):
        pointers_of(planes)


@pytest.mark.parametrize(
    ("colour_format", "matrix", "is_full_range"),
    [(6, "BT.601", False), (7, "BT.601", True), (33, "BT.709", False), (34, "BT.709", True)],
)
def test_a_frame_says_its_matrix_and_range(
    lab: NvmmLab, context: CudaContext, colour_format: int, matrix: str, is_full_range: bool
) -> None:
    lab.buffers[0].colour_format = colour_format
    with opened(lab, context, fd=41) as frame:
        assert (frame.colours["colour_matrix"], frame.colours["is_full_range"]) == (matrix, is_full_range)


def test_a_later_buffer_of_a_batch_is_its_own(lab: NvmmLab, context: CudaContext) -> None:
    opened(lab, context, fd=41, index=1).close()
    assert lab.calls[1:] == ["map 1", f"register {IMAGE + 1:x} 0", FRAME, UNREGISTER, "unmap 1"]


def test_an_image_that_another_element_mapped_is_used_and_left(lab: NvmmLab, context: CudaContext) -> None:
    lab.buffers[0].mapped.egl_image = IMAGE
    opened(lab, context, fd=41).close()
    assert lab.calls == ["fd 41", REGISTER, FRAME, UNREGISTER] and lab.buffers[0].mapped.egl_image == IMAGE


def test_a_frame_that_is_dropped_is_given_back_without_a_collection_of_cycles(
    lab: NvmmLab, context: CudaContext
) -> None:
    gc.disable()
    try:
        opened(lab, context, ctypes.addressof(lab.surface))
        context.sweep()
        assert lab.calls == WHOLE
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("changes", "options", "error", "words"),
    [
        ({"layout": 1}, {}, EngineError, r"64 x 48 lies block-linear: put 'nvvidconv bl-output=false !"),
        ({"colour_format": 8}, {}, ShapeError, "colour format 8 in 2 planes, expected NV12"),  # NV21
        ({"colour_format": 36}, {}, ShapeError, "of BT.601 or BT.709"),  # NV12 of BT.2020
        ({"memory_type": 2}, {}, EngineError, "memory type 2, expected a Jetson's"),
        ({}, {"index": 2}, ShapeError, "no buffer 2 in a batch of 2"),
        ({}, {"index": -1}, ShapeError, "no buffer -1"),
        ({}, {"fd": 9}, EngineError, "fd 9 is no NVMM buffer"),
        ({}, {"fd": None}, ShapeError, "give a buffer or an fd"),
        ({}, {"fd": None, "buffer": b"short"}, ShapeError, "has 5 bytes, an NvBufSurface 64"),
    ],
)
def test_what_is_no_readable_buffer_is_refused_before_it_is_mapped(
    lab: NvmmLab, context: CudaContext, changes: dict[str, Any], options: dict[str, Any], error: Any, words: str
) -> None:
    for name, value in changes.items():
        setattr(lab.surface if name == "memory_type" else lab.buffers[0], name, value)
    with pytest.raises(error, match=words):
        opened(lab, context, **({"fd": 41} | options))
    assert not [call for call in lab.calls if not call.startswith("fd")]


@pytest.mark.parametrize(
    ("what", "words", "said"),
    [
        ("map", "gives no EGLImage", ["map 0"]),
        ("register", "CUDA does not take the EGLImage", ["map 0", REGISTER, "unmap 0"]),
        ("frame", "does not tell the planes", WHOLE),
    ],
)
def test_what_fails_half_way_is_taken_back(
    lab: NvmmLab, context: CudaContext, what: str, words: str, said: list[str]
) -> None:
    lab.fail(what)
    with pytest.raises(EngineError, match=words):
        opened(lab, context, ctypes.addressof(lab.surface))
    assert lab.calls == said


def test_without_a_jetson_that_is_said(context: CudaContext) -> None:
    with pytest.raises(EngineError, match=r"cannot be reached \(.*absent.so.*run on a Jetson"):
        nvbufsurface("absent.so")
    with pytest.raises(EngineError, match="run on a Jetson"):
        NvmmFrame(context, fd=41)
