"""Own a device that is none: TensorRT, CUDA's packages, driver and nvcc are stood in for. In a process or in a test.

Its nvcc compiles our kernels as C++ by g++, which its driver loads as if they were cubins: so a session runs its real
kernels there, by the real way of compiling and keeping them.

``device.run("build-engine", ...)`` is the command as on a device; ``with device.inside():`` gives this process one.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kernel_lab import COMPILE, KERNELS, NATIVE

__all__ = ["RELEASES", "Device", "make_device"]

STANDIN = Path(__file__).parent / "standin"
#: where the kernels lie that g++ has compiled, by the hash of their sources; the same for all tests and runs
SHIMS = Path(__file__).parents[2] / "build" / "standin-kernels"
#: answers as nvcc does, with the driver's release, for any device
NVCC = """#!/bin/sh
release=${{STANDIN_NVCC:-$((${{STANDIN_DRIVER:-13000}} / 1000)).$((${{STANDIN_DRIVER:-13000}} % 1000 / 10))}}
case "$1" in
--version) echo "Cuda compilation tools, release $release, V$release.20";;
--list-gpu-code) for one in {architectures}; do echo sm_$one; done;;
*) while [ "$#" -gt 3 ]; do shift; done
   made={folder}/$(basename "$1").so
   if [ ! -f "$made" ]; then mkdir -p {folder} && g++ {flags} -x c++ "$1" -o "$made.$$" && mv "$made.$$" "$made"; fi
   cp "$made" "$3";;
esac
"""
RELEASES = ("10.3.0", "10.13.3.9", "11.4.0.106")
NEWEST = RELEASES[-1]
MODULES = ("tensorrt", "tensorrt_lean", "pycuda", "cuda", "trt_standin", "standin_device")
PLACES = ("PYTHONPATH", "LD_LIBRARY_PATH", "PATH", "XDG_CACHE_HOME")
SECONDS = 120


@dataclass(frozen=True)
class Device:
    """A machine with one GPU.

    Settings are upper-case words without their ``STANDIN_``: ``device="Orin", cc="8.7", driver=13000, total=8 << 30,
    free=4 << 30, dla=2, sleep=5`` (seconds of a build), ``count=0`` (no device), ``cuinit=100`` (a broken driver),
    ``integrated=0`` (memory of its own), ``nvcc="13.0"`` (its release; the driver's without it).
    ``fails`` names what goes wrong, with commas between: ``build`` (None and log lines), ``memory``, ``strong`` (strong
    typing fails, weak typing succeeds), ``killed`` (SIGKILL while building), ``segfault``, ``context``, ``execute``.
    """

    library: Path
    folder: Path

    def settings(
        self, *, version: str = NEWEST, fails: str = "", has_driver: bool = True, **settings: object
    ) -> dict[str, str]:
        """The variables that describe the machine."""
        found = {f"STANDIN_{name.upper()}": str(value) for name, value in settings.items()}
        libcuda = self.library if has_driver else self.library.with_name("no-driver.so")
        found["XDG_CACHE_HOME"] = str(self.folder / "cache")  # the timing cache's own place
        return found | {"STANDIN_TENSORRT": version, "STANDIN_FAILS": fails, "STANDIN_LIBCUDA": str(libcuda)}

    def environment(
        self,
        *,
        version: str = NEWEST,
        fails: str = "",
        has_driver: bool = True,
        has_nvcc: bool = True,
        **settings: object,
    ) -> dict[str, str]:
        """The whole environment of a process on that machine; without its nvcc there is that of PATH, or none."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STANDIN_")}
        paths = [str(STANDIN), *filter(None, [clean.get("PYTHONPATH")])]
        libraries = [str(self.library.parent)] if has_driver else []
        libraries += filter(None, [clean.get("LD_LIBRARY_PATH")])
        described = self.settings(version=version, fails=fails, has_driver=has_driver, **settings)
        programs = [str(self.library.parent / "bin")] if has_nvcc else []
        programs.append(clean.get("PATH", os.defpath))
        joined = {"PYTHONPATH": os.pathsep.join(paths), "LD_LIBRARY_PATH": os.pathsep.join(libraries)}
        joined["PATH"] = os.pathsep.join(programs)
        return clean | described | joined | {"COLUMNS": "150"}

    def run(
        self,
        *words: object,
        cwd: Path | None = None,
        version: str = NEWEST,
        fails: str = "",
        has_driver: bool = True,
        **settings: object,
    ) -> subprocess.CompletedProcess[str]:
        """The ``edgeseg`` command on that machine."""
        return subprocess.run(
            [sys.executable, "-m", "edgeseg", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd or self.folder,
            env=self.environment(version=version, fails=fails, has_driver=has_driver, **settings),
            timeout=SECONDS,
        )

    @contextlib.contextmanager
    def inside(
        self,
        *,
        version: str = NEWEST,
        fails: str = "",
        has_driver: bool = True,
        has_nvcc: bool = True,
        **settings: object,
    ) -> Iterator[None]:
        """Make this process one on that machine for a block; nothing of the packages stays behind it."""
        from edgeseg.runtime.cuda.foreign import driver_calls
        from edgeseg.trt_api import driver_state

        with pytest.MonkeyPatch.context() as patch:
            described = self.environment(
                version=version, fails=fails, has_driver=has_driver, has_nvcc=has_nvcc, **settings
            )
            # the paths are for children: a plan is built in one, a kernel compiled by another
            for name in [one for one in described if one.startswith("STANDIN_")] + list(PLACES):
                patch.setenv(name, described[name])
            patch.syspath_prepend(str(STANDIN))
            for name in _standing_in():  # what is there now, the real one or a machine's around this, comes back
                patch.delitem(sys.modules, name)
            for function in (driver_state, driver_calls.__wrapped__):
                patch.setattr(function, "__defaults__", (os.environ["STANDIN_LIBCUDA"],))
            try:
                _forget()
                yield
            finally:
                _forget()


def _forget() -> None:
    """Drop the stand-ins from this process, and what edgeseg keeps of them."""
    from edgeseg.errors import EngineError
    from edgeseg.runtime.cuda import primary_context
    from edgeseg.runtime.cuda.foreign import driver_calls
    from edgeseg.trt_api import load_api

    if primary_context.cache_info().currsize:
        with contextlib.suppress(EngineError):  # work that a test let fail
            primary_context().release()
    for one in (load_api, primary_context, driver_calls):
        one.cache_clear()
    for name in _standing_in():
        del sys.modules[name]


def _standing_in() -> list[str]:
    return [name for name in sys.modules if name.split(".")[0] in MODULES]


def make_library(folder: Path) -> Path:
    """Compile the driver and put nvcc beside it, or skip.

    Without a soname, so that no later ``libcuda.so.1`` is taken for it.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in of CUDA's driver")
    library = folder / "libcuda.so.1"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", str(STANDIN / "libcuda.c"), "-o", str(library)]
    subprocess.run(command, check=True)
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text(nvcc_text())
    nvcc.chmod(0o755)
    return library


@functools.cache
def nvcc_text() -> str:
    """The device's nvcc."""
    from edgeseg.runtime.kernels.nvcc import ARCHITECTURES

    flags = [*COMPILE, "-Wno-unknown-pragmas", f"-I{KERNELS}", f"-I{NATIVE}"]
    read = [path for folder in (KERNELS, NATIVE) for path in sorted(folder.glob("*")) if path.suffix in (".cu", ".h")]
    key = hashlib.sha256("".join([*flags, *(path.read_text() for path in read)]).encode()).hexdigest()[:16]
    return NVCC.format(architectures=" ".join(ARCHITECTURES), folder=SHIMS / key, flags=" ".join(flags))


@pytest.fixture(scope="session")
def device_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in of CUDA's driver, no other library in its folder."""
    return make_library(tmp_path_factory.mktemp("libcuda"))


@pytest.fixture
def device(device_library: Path, tmp_path: Path) -> Device:
    """A machine with a GPU, see ``Device``; its folder is ``tmp_path``."""
    return Device(device_library, tmp_path)


def make_device(folder: Path) -> Device:
    """A machine whose driver is made in ``folder``, for fixtures of a wider scope."""
    return Device(make_library(folder), folder)
