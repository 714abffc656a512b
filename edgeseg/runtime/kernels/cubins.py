"""Own the cubins that a wheel carries: what a cubin is made of, their list, finding one and building them. Load none.

setup.py imports this where nothing but the standard library and setuptools is installed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.errors import EngineError
from edgeseg.files import sha256_of, write_atomically
from edgeseg.runtime.kernels.nvcc import ARCHITECTURES, INCLUDE_FOLDERS, OPTIONS, Nvcc

__all__ = ["LIST_NAME", "Prebuilt", "build_cubins", "identity_of", "kernel_sources", "own_files", "prebuilt"]

KERNELS = Path(__file__).parent
#: empty in a checkout: wheels alone bring cubins
FOLDER = KERNELS / "cubins"
LIST_NAME = "cubins.json"
OWN_INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Prebuilt:
    """A cubin of the wheel's, and the CUDA release that made it."""

    cubin: bytes
    toolkit_version: str


def kernel_sources() -> tuple[Path, ...]:
    """Every .cu file of the package."""
    return tuple(sorted(KERNELS.glob("*.cu")))


def own_files(source: Path) -> tuple[Path, ...]:
    """``source`` and all headers of ours that it includes, directly or not; the toolkit's are not among them.

    Raises:
        EngineError: one of them cannot be read.
    """
    found: dict[Path, None] = {}
    waiting = [source.resolve()]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = None
            waiting += _included(path)
    return tuple(found)


def _included(path: Path) -> Iterator[Path]:
    for name in OWN_INCLUDE.findall(_read(path).decode(errors="replace")):
        places = [folder / name for folder in (path.parent, *INCLUDE_FOLDERS)]
        yield from [place.resolve() for place in places if place.is_file()][:1]


def identity_of(source: Path, architecture: str) -> str:
    """Hex SHA-256 of all that we give the compiler: the files by name and content, the architecture, the options.

    Folders do not count, so that a checkout and the wheel made of it agree.
    """
    files = sorted((path.name, sha256_of(_read(path))) for path in own_files(source))
    return sha256_of(json.dumps([source.name, files, architecture, OPTIONS]).encode())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"the kernel source {path} cannot be read ({error.strerror})", "reinstall edgeseg") from error


def prebuilt(source: Path, architecture: str) -> Prebuilt | None:
    """The wheel's cubin of ``source``, as it is now, for exactly this architecture; None where there is none.

    Raises:
        EngineError: the list names one that is not there or not what was recorded.
    """
    listed = _listed()
    name = _name(source, architecture)
    entry = listed.get("cubins", {}).get(name)
    if entry is None or entry["identity"] != identity_of(source, architecture):
        return None
    path = FOLDER / name
    cubin = path.read_bytes() if path.is_file() else b""
    if sha256_of(cubin) != entry["sha256"]:
        raise EngineError(
            f"{path} is not the file that was installed ({len(cubin)} bytes, another SHA-256 than {LIST_NAME} says)",
            "reinstall edgeseg",
        )
    return Prebuilt(cubin=cubin, toolkit_version=listed["toolkit"])


def _listed() -> dict[str, Any]:
    path = FOLDER / LIST_NAME
    if not path.is_file():
        return {}
    try:
        listed: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise EngineError(f"{path} is no JSON ({error})", "reinstall edgeseg") from error
    return listed


def build_cubins(nvcc: Nvcc, folder: Path, architectures: Iterable[str] = ARCHITECTURES) -> tuple[str, ...]:
    """Compile every kernel source for every architecture that ``nvcc`` knows, with the list that ``prebuilt`` reads.

    Args:
        nvcc: the compiler.
        folder: made where it is missing.
        architectures: as nvcc names them, without ``sm_``.
    Returns:
        The architectures left out, since this release does not know them.
    Raises:
        EngineError: a source does not compile.
        OutputError: the folder cannot be written.
    """
    wanted, known = tuple(architectures), nvcc.architectures()
    folder.mkdir(parents=True, exist_ok=True)
    work = [(source, one) for source in kernel_sources() for one in wanted if one in known]

    def build(source: Path, architecture: str) -> tuple[str, dict[str, str]]:
        path = folder / _name(source, architecture)
        nvcc.compile(source, architecture, path)
        return path.name, {"identity": identity_of(source, architecture), "sha256": sha256_of(path.read_bytes())}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        cubins = dict(pool.map(build, *zip(*work, strict=True))) if work else {}
    write_atomically(folder / LIST_NAME, json.dumps({"toolkit": nvcc.release, "cubins": cubins}, indent=1))
    return tuple(one for one in wanted if one not in known)


def _name(source: Path, architecture: str) -> str:
    return f"{source.stem}.sm_{architecture}.cubin"
