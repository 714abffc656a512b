"""Own a device that is none: the stand-ins of TensorRT, PyCUDA and CUDA's driver, for the command and for a test.

``device.run("build-engine", ...)`` is the command as on a device; ``with device.inside():`` gives this process one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["RELEASES", "Device", "make_device"]

STANDIN = Path(__file__).parent / "standin"
RELEASES = ("10.3.0", "10.13.3.9", "11.4.0.106")
NEWEST = RELEASES[-1]
MODULES = ("tensorrt", "tensorrt_lean", "pycuda", "trt_standin", "standin_device")
SECONDS = 120


@dataclass(frozen=True)
class Device:
    """A machine with one GPU.

    Settings are upper-case words without their ``STANDIN_``: ``device="Orin", cc="8.7", driver=13000, total=8 << 30,
    free=4 << 30, dla=2, sleep=5`` (seconds of a build), ``count=0`` (no device), ``cuinit=100`` (a broken driver),
    ``integrated=0`` (memory of its own).
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
        self, *, version: str = NEWEST, fails: str = "", has_driver: bool = True, **settings: object
    ) -> dict[str, str]:
        """The whole environment of a process on that machine."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STANDIN_")}
        paths = [str(STANDIN), *filter(None, [clean.get("PYTHONPATH")])]
        libraries = [str(self.library.parent)] if has_driver else []
        libraries += filter(None, [clean.get("LD_LIBRARY_PATH")])
        described = self.settings(version=version, fails=fails, has_driver=has_driver, **settings)
        joined = {"PYTHONPATH": os.pathsep.join(paths), "LD_LIBRARY_PATH": os.pathsep.join(libraries)}
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
        self, *, version: str = NEWEST, fails: str = "", has_driver: bool = True, **settings: object
    ) -> Iterator[None]:
        """Make this process one on that machine for a block; nothing of the packages stays behind it."""
        from edgeseg.trt_api import driver_state

        with pytest.MonkeyPatch.context() as patch:
            described = self.environment(version=version, fails=fails, has_driver=has_driver, **settings)
            for name in [*(one for one in described if one.startswith("STANDIN_")), "PYTHONPATH", "LD_LIBRARY_PATH"]:
                patch.setenv(name, described[name])  # the last two for children: a plan is built in one
            patch.syspath_prepend(str(STANDIN))
            patch.setattr(driver_state, "__defaults__", (os.environ["STANDIN_LIBCUDA"],))
            try:
                _forget()
                yield
            finally:
                _forget()


def _forget() -> None:
    """Drop the stand-ins from this process, and what edgeseg keeps of them."""
    from edgeseg.runtime.cuda import primary_context
    from edgeseg.trt_api import load_api

    load_api.cache_clear()
    primary_context.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] in MODULES]:
        del sys.modules[name]


def make_library(folder: Path) -> Path:
    """Compile the driver, or skip; without a soname, so that no later ``libcuda.so.1`` is taken for it."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in of CUDA's driver")
    library = folder / "libcuda.so.1"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", str(STANDIN / "libcuda.c"), "-o", str(library)]
    subprocess.run(command, check=True)
    return library


@pytest.fixture(scope="session")
def device_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in of CUDA's driver, alone in its folder."""
    return make_library(tmp_path_factory.mktemp("libcuda"))


@pytest.fixture
def device(device_library: Path, tmp_path: Path) -> Device:
    """A machine with a GPU, see ``Device``; its folder is ``tmp_path``."""
    return Device(device_library, tmp_path)


def make_device(folder: Path) -> Device:
    """A machine whose driver is made in ``folder``, for fixtures of a wider scope."""
    return Device(make_library(folder), folder)
