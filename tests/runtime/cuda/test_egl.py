"""An EGLImage's planes: declared as CUDA's header has them, refused where they cannot be read, ended in order."""

from __future__ import annotations

import ctypes
import gc
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvmm_lab import DECLARATIONS, IMAGE, NvmmLab, compiled, nvmm_library
from stream_lab import LabDriver, context_of

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda import CudaContext
from edgeseg.runtime.cuda.egl import NV12, EglCalls, EglFrame, EglPlanes, egl_calls
from edgeseg.runtime.device_frames import device_planes, is_on_device, pointers_of

__all__ = ["nvmm_library"]  # a fixture

REGISTER, FRAME, UNREGISTER = f"register {IMAGE:x} 0", "frame 7fc0de000010 0 0", "unregister 7fc0de000010"
HEADERS = [Path("/usr/local/cuda/include"), *map(Path, sorted(map(str, Path("/usr/local").glob("cuda-*/include"))))]
OFFSETS = """
#define AT(field) printf("%zu %zu ", offsetof(CUeglFrame, field), sizeof(((CUeglFrame *)0)->field))
int main(void) {
    AT(frame.pPitch); AT(width); AT(height); AT(depth); AT(pitch); AT(planeCount); AT(numChannels); AT(frameType);
    AT(eglColorFormat); AT(cuFormat); printf("%zu ", sizeof(CUeglFrame));
NUMBERS
}
"""
NUMBERS = """
    printf("%d %d %d %d %d %d", CU_EGL_FRAME_TYPE_PITCH, CU_AD_FORMAT_UNSIGNED_INT8,
           CU_EGL_COLOR_FORMAT_YUV420_SEMIPLANAR, CU_EGL_COLOR_FORMAT_YUV420_SEMIPLANAR_ER,
           CU_EGL_COLOR_FORMAT_YUV420_SEMIPLANAR_2020, CU_EGL_COLOR_FORMAT_YUV420_SEMIPLANAR_709);
"""


@pytest.fixture
def lab(nvmm_library: Path) -> NvmmLab:
    return NvmmLab(nvmm_library)


@pytest.fixture
def calls(lab: NvmmLab) -> EglCalls:
    return egl_calls(str(lab.path))


@pytest.fixture
def context() -> Iterator[CudaContext]:
    context = context_of(LabDriver())
    with context.current():
        yield context
    context.release()
    assert context.counters().live.total == 0


def frame_offsets(path: Path, source: str, *flags: str) -> list[int]:
    program = compiled(source, path, *flags)
    return list(map(int, subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.split()))


def ours() -> list[int]:
    fields = [getattr(EglFrame, one[0]) for one in EglFrame._fields_]
    return [number for one in fields for number in (one.offset, one.size)] + [ctypes.sizeof(EglFrame)]


def test_the_frame_is_laid_out_as_the_stand_in_has_it(tmp_path: Path) -> None:
    assert frame_offsets(tmp_path / "own", DECLARATIONS + OFFSETS.replace("NUMBERS", "")) == ours()


def test_the_frame_and_the_numbers_are_those_of_cudas_header(tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    folders = [*([Path(nvcc).resolve().parents[1] / "include"] if nvcc else []), *HEADERS]
    folder = next((one for one in folders if (one / "cudaEGL.h").exists()), None)
    if folder is None or not Path("/usr/include/EGL/egl.h").exists():
        pytest.skip("no cudaEGL.h, or no egl.h that it includes")
    source = "#include <stddef.h>\n#include <stdio.h>\n#include <cudaEGL.h>\n" + OFFSETS.replace("NUMBERS", NUMBERS)
    found = frame_offsets(tmp_path / "cuda", source, f"-I{folder}")
    assert found == [*ours(), 1, 1, *NV12]


def test_the_planes_are_a_picture_on_the_device(lab: NvmmLab, calls: EglCalls, context: CudaContext) -> None:
    with EglPlanes(context, IMAGE, calls=calls) as image:
        assert lab.calls == [REGISTER, FRAME]
        assert [(one.ptr, one.shape, one.pitches) for one in image.planes] == [
            (0x7F0000001000, (48, 64), (256, 1)),
            (0x7F0000009000, (24, 64), (256, 1)),
        ]
        assert is_on_device(image.planes) and all(one.dtype == np.uint8 for one in image.planes)
        planes = device_planes(context, image.planes, "NV12")  # the driver is not asked whose memory that is
        assert pointers_of(planes) == ((0x7F0000001000, 256), (0x7F0000009000, 256))
    assert lab.calls == [REGISTER, FRAME, UNREGISTER]
    with pytest.raises(EngineError, match="was freed"):
        pointers_of(planes)
    with pytest.raises(EngineError, match="this EglPlanes is closed"):
        image.planes  # noqa: B018  reading it is the use


def test_the_chroma_may_have_a_pitch_of_its_own(calls: EglCalls, context: CudaContext) -> None:
    with EglPlanes(context, IMAGE, chroma_pitch=512, calls=calls) as image:
        assert [one.pitches[0] for one in image.planes] == [256, 512]


def test_an_image_is_registered_until_its_last_plane_is_gone_and_ended_once(
    lab: NvmmLab, calls: EglCalls, context: CudaContext
) -> None:
    image = EglPlanes(context, IMAGE, on_end=lambda: ended.append(lab.calls[-1]), calls=calls)
    ended: list[str] = []
    luma, _ = image.planes
    del image, _
    gc.collect()
    context.sweep()
    assert UNREGISTER not in lab.calls and context.counters().live.device == 1
    thread = threading.Thread(target=luma.owner.close)  # type: ignore[attr-defined]
    thread.start()
    thread.join()
    del luma
    context.sweep()
    assert lab.calls.count(UNREGISTER) == 1 and ended == [UNREGISTER]  # the image goes after CUDA's hold on it


def test_the_release_of_the_context_ends_what_is_open(lab: NvmmLab, calls: EglCalls) -> None:
    context = context_of(LabDriver())
    with context.current():
        image = EglPlanes(context, IMAGE, calls=calls)
    context.release()
    assert image.is_closed and lab.calls[-1] == UNREGISTER


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"frame_type": 0}, EngineError, r"64 x 48 lies block-linear.*: put 'nvvidconv bl-output=false !"),
        ({"colour_format": 0x15}, ShapeError, r"colour format 0x15, 2 planes .* expected NV12"),
        ({"plane_count": 3}, ShapeError, "3 planes"),
        ({"array_format": 2}, ShapeError, "array format 2"),
        ({"width": 63}, ShapeError, "63 x 48 .* even sides"),
        ({"height": 47}, ShapeError, "64 x 47"),
        ({"planes": (ctypes.c_void_p * 3)(0x1000, 0, 0)}, ShapeError, "expected NV12"),
    ],
)
def test_an_image_that_cannot_be_read_is_refused_and_ended(
    lab: NvmmLab, calls: EglCalls, context: CudaContext, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    ended: list[bool] = []
    for name, value in changes.items():
        setattr(lab.egl_frame, name, value)
    with pytest.raises(error, match=words) as caught:
        EglPlanes(context, IMAGE, on_end=lambda: ended.append(True), calls=calls)
    assert lab.calls[-1] == UNREGISTER and ended == [True] and caught  # also while the error is kept


@pytest.mark.parametrize(
    ("what", "words", "said"),
    [
        ("register", r"does not take the EGLImage 0x7e6100000000 \(CUDA error 400\)", [REGISTER]),
        ("frame", r"does not tell the planes of an EGLImage \(CUDA error 211\)", [REGISTER, FRAME, UNREGISTER]),
    ],
)
def test_what_the_driver_refuses_is_ended_as_far_as_it_came(
    lab: NvmmLab, calls: EglCalls, context: CudaContext, what: str, words: str, said: list[str]
) -> None:
    ended: list[bool] = []
    lab.fail(what)
    with pytest.raises(EngineError, match=words):
        EglPlanes(context, IMAGE, on_end=lambda: ended.append(True), calls=calls)
    assert lab.calls == said and ended == [True]


def test_without_a_driver_that_is_said() -> None:
    with pytest.raises(EngineError, match="driver cannot be loaded"):
        egl_calls("absent.so")
