"""Own a Jetson that is none: libnvbufsurface and the driver's EGL functions in C, which note their calls."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["IMAGE", "NvmmLab", "nvmm_library"]

IMAGE = 0x7E6100000000
#: our own transcription of the public fields of nvbufsurface.h (2019-2023) and of cudaEGL.h
DECLARATIONS = """
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef struct {
    uint32_t num_planes, width[4], height[4], pitch[4], offset[4], psize[4], bytesPerPix[4];
    void *reserved[16];
} NvBufSurfacePlaneParams;
typedef struct { void *addr[4]; void *eglImage; void *reserved[4]; } NvBufSurfaceMappedAddr;
typedef struct {
    uint32_t width, height, pitch;
    int colorFormat, layout;
    uint64_t bufferDesc;
    uint32_t dataSize;
    void *dataPtr;
    NvBufSurfacePlaneParams planeParams;
    NvBufSurfaceMappedAddr mappedAddr;
    void *paramex;
    void *reserved[3];
} NvBufSurfaceParams;
typedef struct {
    uint32_t gpuId, batchSize, numFilled;
    bool isContiguous;
    int memType;
    NvBufSurfaceParams *surfaceList;
    void *reserved[4];
} NvBufSurface;
typedef struct {
    union { void *pArray[3]; void *pPitch[3]; } frame;
    unsigned width, height, depth, pitch, planeCount, numChannels;
    int frameType, eglColorFormat, cuFormat;
} CUeglFrame;
"""
LIBRARY = r"""
static char said[2000];
#define NOTE(...) snprintf(said + strlen(said), sizeof said - strlen(said), __VA_ARGS__)
#define IMAGE 0x7e6100000000ull

/* what a test sets */
NvBufSurfaceParams buffers[2];
NvBufSurface surface;
CUeglFrame egl_frame;
int map_fails, register_fails, frame_fails;

const char *calls(void) { return said; }

void reset(void) {
    said[0] = 0;
    map_fails = register_fails = frame_fails = 0;
    memset(buffers, 0, sizeof buffers);
    for (int i = 0; i < 2; ++i) {
        NvBufSurfaceParams *one = &buffers[i];
        one->width = 64; one->height = 48; one->pitch = 256; one->colorFormat = 33; one->bufferDesc = 41 + i;
        one->planeParams.num_planes = 2;
        for (int plane = 0; plane < 2; ++plane) {
            one->planeParams.width[plane] = 64 >> plane; one->planeParams.height[plane] = 48 >> plane;
            one->planeParams.pitch[plane] = 256 << plane;
        }
    }
    surface = (NvBufSurface){.batchSize = 2, .numFilled = 1, .isContiguous = true, .memType = 4,
        .surfaceList = buffers};
    egl_frame = (CUeglFrame){.frame = {.pPitch = {(void *)0x7f0000001000, (void *)0x7f0000009000, NULL}},
        .width = 64, .height = 48, .depth = 1, .pitch = 256, .planeCount = 2, .numChannels = 1,
        .frameType = 1, .eglColorFormat = 0x57, .cuFormat = 1};
}

int NvBufSurfaceFromFd(int fd, void **found) {
    NOTE("fd %d;", fd);
    *found = fd == 41 ? &surface : NULL;
    return fd == 41 ? 0 : -1;
}
int NvBufSurfaceMapEglImage(NvBufSurface *given, int index) {
    NOTE("map %d;", index);
    if (map_fails || given->memType != 4) return -1;
    given->surfaceList[index].mappedAddr.eglImage = (void *)(IMAGE + index);
    return 0;
}
int NvBufSurfaceUnMapEglImage(NvBufSurface *given, int index) {
    NOTE("unmap %d;", index);
    given->surfaceList[index].mappedAddr.eglImage = NULL;
    return 0;
}
int cuGraphicsEGLRegisterImage(void **resource, void *image, unsigned flags) {
    NOTE("register %llx %u;", (unsigned long long)image, flags);
    if (register_fails || !image) return 400;
    *resource = (void *)0x7fc0de000010ull;
    return 0;
}
int cuGraphicsResourceGetMappedEglFrame(CUeglFrame *frame, void *resource, unsigned index, unsigned level) {
    NOTE("frame %llx %u %u;", (unsigned long long)resource, index, level);
    *frame = egl_frame;
    return frame_fails ? 211 : 0;
}
int cuGraphicsUnregisterResource(void *resource) {
    NOTE("unregister %llx;", (unsigned long long)resource);
    return 0;
}
"""


class NvmmLab:
    """The stand-in's library; ``surface``, ``buffers`` and ``egl_frame`` are its structures, a test's to change."""

    def __init__(self, library: Path) -> None:
        from edgeseg.runtime.cuda.egl import EglFrame
        from edgeseg.runtime.nvmm import Surface, SurfaceList

        self.path, self.library = library, ctypes.CDLL(str(library))
        self.library.calls.restype = ctypes.c_char_p
        self.library.reset()
        self.surface = Surface.in_dll(self.library, "surface")
        self.buffers = (SurfaceList * 2).in_dll(self.library, "buffers")
        self.egl_frame = EglFrame.in_dll(self.library, "egl_frame")

    def fail(self, what: str) -> None:
        """Let ``map``, ``register`` or ``frame`` fail."""
        ctypes.c_int.in_dll(self.library, f"{what}_fails").value = 1

    @property
    def calls(self) -> list[str]:
        """What was called, with its arguments."""
        return str(self.library.calls().decode()).split(";")[:-1]


def compiled(source: str, path: Path, *flags: str) -> Path:
    """C for this machine, or skip."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    path.with_suffix(".c").write_text(source)
    subprocess.run([compiler, "-Wall", "-Werror", *flags, str(path.with_suffix(".c")), "-o", str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def nvmm_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in, compiled."""
    return compiled(DECLARATIONS + LIBRARY, tmp_path_factory.mktemp("nvmm") / "nvmm.so", "-shared", "-fPIC")
