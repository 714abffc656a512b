"""Own the CUDA kernels as C++ for tests: a library made by g++, its launches, and outputs with guards. No GPU."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

__all__ = ["KERNELS", "NATIVE", "Guarded", "Shim", "build_shim", "run_sanitized", "shim"]

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "edgeseg" / "runtime" / "kernels"
NATIVE = ROOT / "edgeseg" / "imaging" / "native"
#: as edgeseg's own C++ rounds, see setup.py
COMPILE = ("-std=c++17", "-O2", "-ffp-contract=off", "-DEDGESEG_SHIM", "-fPIC", "-shared")
#: g++ does not know CUDA's #pragma unroll
WARN = ("-Wall", "-Wextra", "-Wno-unknown-pragmas")
SANITIZE = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
#: tells the fixture of a sanitized run which library to load
LIBRARY = "EDGESEG_SHIM_LIBRARY"
GUARD_BYTES, POISON = 256, 0xA5


def build_shim(folder: Path, *, sources: list[Path] | None = None, is_sanitized: bool = False) -> Path:
    """Compile ``sources``, without them all kernels of the package, into one shared library in ``folder``."""
    library = folder / "libedgeseg_shim.so"
    paths = [str(path) for path in sources or sorted(KERNELS.glob("*.cu"))]
    flags = [*COMPILE, *WARN, *(SANITIZE if is_sanitized else ()), f"-I{KERNELS}", f"-I{NATIVE}"]
    done = subprocess.run(
        ["g++", *flags, "-o", str(library), "-x", "c++", *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return library


class Shim:
    """The kernels of a library made by ``build_shim``; device pointers are host addresses."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))

    def size_of(self, name: str) -> int:
        """Bytes of the kernel's params as C++ lays them out."""
        size: int = self._library[f"edgeseg_sizeof_{name}"]()
        return size

    def launch(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], params: NDArray[Any], *, backwards: bool = False
    ) -> None:
        """Run every thread of ``edgeseg_<name>``, the last one first when ``backwards``.

        Args:
            grid, block: x, or x and y, or x, y and z.
            params: one record of the structured dtype that mirrors the kernel's params.
        """
        assert params.size == 1 and params.nbytes == self.size_of(name), (params.nbytes, self.size_of(name))
        triple = ctypes.c_uint * 3
        sizes = [triple(*size, *(1,) * (3 - len(size))) for size in (grid, block)]
        assert all(one >= 1 for size in sizes for one in size), (grid, block)
        self._library[f"edgeseg_run_{name}"](*sizes, ctypes.c_int(backwards), ctypes.c_void_p(params.ctypes.data))


class Guarded:
    """An array, poisoned, between guard bytes.

    Args:
        offset: bytes that it starts behind an address that 256 divides.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, *, offset: int = 0) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        room = np.full(size + 2 * GUARD_BYTES + 256 + offset, POISON, np.uint8)
        start = GUARD_BYTES + -(room.ctypes.data + GUARD_BYTES) % 256 + offset
        self._before, self._after = room[:start], room[start + size :]
        self.array: NDArray[Any] = room[start : start + size].view(dtype).reshape(shape)

    def check(self) -> None:
        """Fail where a byte beside the array was written."""
        assert (self._before == POISON).all(), "bytes in front of the array were written"
        assert (self._after == POISON).all(), "bytes behind the array were written"


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    """The kernels, compiled once a session."""
    given = os.environ.get(LIBRARY)
    return Shim(Path(given) if given else build_shim(tmp_path_factory.mktemp("shim")))


def run_sanitized(test_file: Path, folder: Path, *, sources: list[Path], choice: str) -> None:
    """Run the tests of ``test_file`` that ``choice`` (pytest's -k) picks, watched for bad addresses and overflows."""
    library = build_shim(folder, sources=sources, is_sanitized=True)
    runtime = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = os.environ | {
        LIBRARY: str(library),
        "LD_PRELOAD": runtime.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps memory to its end
    }
    program = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", choice, str(test_file)]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
