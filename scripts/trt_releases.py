"""Own the real Python bindings of TensorRT's releases, importable without its libraries. Judge no use of them.

The wheels hold compiled modules that import once shared libraries with the right names are there. Nothing can be
created with them, but every class, enum member and signature is real. TensorRT-RTX is taken as it is installed.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edgeseg.trt_api import PackageName

__all__ = [
    "RELEASES",
    "ROOT",
    "WORK",
    "Release",
    "UnavailableError",
    "dump",
    "fetched",
    "is_whole",
    "locked",
    "run_inside",
]

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "tensorrt"
DOWNLOAD_S = 60
NVINFER = """
void createInferBuilder_INTERNAL(void) {} void createInferRefitter_INTERNAL(void) {}
void createInferRuntime_INTERNAL(void) {} void getBuilderPluginRegistry(void) {}
void getPluginRegistry(void) {} void initLibNvInferPlugins(void) {}
"""
PARSER = """
void createNvOnnxParser_INTERNAL(void) {} void createNvOnnxParserRefitter_INTERNAL(void) {}
void getNvOnnxParserVersion(void) {}
"""
FULL = {"nvinfer": NVINFER, "nvinfer_plugin": NVINFER, "nvonnxparser": PARSER}
LEAN = {"nvinfer_lean": NVINFER}


class UnavailableError(Exception):
    """The bindings of a release cannot be had on this machine; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release.

    Attributes:
        title: for readers.
        name: of the package that it serves, in our words.
        requirement: its wheel in pip's words; None for what is installed.
        module: that has its classes.
        libraries: which it loads: names and sources without content.
    """

    title: str
    name: PackageName
    requirement: str | None
    module: str
    libraries: Mapping[str, str]

    @property
    def builds(self) -> bool:
        """Whether it has a builder; the lean one runs plans and does nothing else."""
        return self.name != "tensorrt-lean"

    @property
    def version(self) -> str:
        """Of the wheel that is named, or of what is installed.

        Raises:
            UnavailableError: nothing is installed.
        """
        if self.requirement is not None:
            return self.requirement.partition("==")[2]
        try:
            return metadata.version(self.module.replace("_", "-"))
        except metadata.PackageNotFoundError as error:
            raise UnavailableError(f"{self.module} is not installed") from error

    @property
    def key(self) -> str:
        """Its folder in ``WORK``; a wheel is for one Python."""
        version = "installed" if self.requirement is None else self.version
        return f"{self.name}-{version}-cp{sys.version_info.major}{sys.version_info.minor}"


def _full(title: str, requirement: str) -> Release:
    return Release(title=title, name="tensorrt", requirement=requirement, module="tensorrt_bindings", libraries=FULL)


RELEASES = (
    _full("TensorRT 10.3.0", "tensorrt-cu12-bindings==10.3.0"),
    _full("TensorRT 10.13.3.9", "tensorrt-cu12-bindings==10.13.3.9.post1"),
    _full("TensorRT 11.4.0.106", "tensorrt-cu13-bindings==11.4.0.106"),
    Release(title="TensorRT-RTX", name="tensorrt-rtx", requirement=None, module="tensorrt_rtx", libraries={}),
    Release(
        title="TensorRT lean 11.4.0.106",
        name="tensorrt-lean",
        requirement="tensorrt-lean-cu13-bindings==11.4.0.106",
        module="tensorrt_lean_bindings",
        libraries=LEAN,
    ),
)


def dump(release: Release) -> dict[str, Any]:
    """Every class of a release with its members, their kinds and docstrings, where pybind writes the signatures.

    Raises:
        UnavailableError: there is no wheel, no compiler or no installed package.
    """
    return dict(json.loads(run_inside(release, Path(__file__).with_name("trt_dump.py"), [release.module])))


def run_inside(release: Release, script: Path, arguments: Sequence[str]) -> str:
    """What a script prints in a process of its own, where ``release.module`` is the release's.

    Raises:
        UnavailableError: there is no wheel, no compiler or no installed package.
        RuntimeError: the script failed; with what it said.
    """
    environment = dict(os.environ)
    if release.requirement is not None:
        folder = str(fetched(release))
        environment |= {"LD_LIBRARY_PATH": folder, "PYTHONPATH": os.pathsep.join((folder, str(ROOT)))}
    elif importlib.util.find_spec(release.module) is None:
        raise UnavailableError(f"{release.module} is not installed")
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{script.name} failed with {release.title}: {done.stderr.strip() or done.returncode}")
    return done.stdout


@contextlib.contextmanager
def locked(key: str) -> Iterator[Path]:
    """A folder of ``WORK`` that no other process of ours touches meanwhile."""
    folder = WORK / key
    folder.mkdir(parents=True, exist_ok=True)
    with (WORK / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def fetched(release: Release) -> Path:
    """The folder of the unpacked wheel and its empty libraries; fetched once, and again where a file is damaged.

    Raises:
        UnavailableError: there is no wheel, no compiler, or the release is taken as it is installed.
    """
    if release.requirement is None:
        raise UnavailableError(f"{release.title} is not fetched")
    with locked(release.key) as parent:
        folder = parent / "bindings"
        if not is_whole(folder, release):
            shutil.rmtree(folder, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=parent) as name:
                _fetch(release.requirement, release, Path(name))
                Path(name).rename(folder)
                Path(name).mkdir()  # for TemporaryDirectory to remove
        return folder


def is_whole(folder: Path, release: Release) -> bool:
    """Whether every file that the wheel's RECORD names is there with its hash."""
    records = list(folder.glob("*.dist-info/RECORD"))
    if len(records) != 1 or len(list(folder.glob("lib*.so.*"))) != len(release.libraries):
        return False
    rows = list(csv.reader(records[0].read_text(errors="replace").splitlines()))
    hashed = [(row[0], row[1]) for row in rows if len(row) == 3 and row[1]]
    return bool(hashed) and all(_has_hash(folder / name, expected) for name, expected in hashed)


def _has_hash(path: Path, expected: str) -> bool:
    algorithm, _, digest = expected.partition("=")
    if algorithm != "sha256" or not path.is_file():
        return False
    return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=") == digest


def _fetch(requirement: str, release: Release, folder: Path) -> None:
    wheel = _download(requirement, folder)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    wheel.unlink()
    _make_empty_libraries(folder, release)


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--retries", "1"]
    command += ["--timeout", "10", "--disable-pip-version-check", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{requirement} did not download in {DOWNLOAD_S} s") from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["pip says nothing"]
        raise UnavailableError(f"{requirement} cannot be downloaded: {last[0]}")
    return next(folder.glob("*.whl"))


def _make_empty_libraries(folder: Path, release: Release) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise UnavailableError("there is no C compiler for the empty libraries")
    for name, source in release.libraries.items():
        soname = f"lib{name}.so.{release.version.partition('.')[0]}"
        command = [compiler, "-shared", "-fPIC", "-x", "c", "-", f"-Wl,-soname,{soname}", "-o", str(folder / soname)]
        subprocess.run(command, input=source.encode(), check=True)
