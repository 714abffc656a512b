"""Own the way from a kernel's source to a cubin for a device: the wheel's, a kept one, nvcc. Load none."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from edgeseg.errors import EngineError, OutputError
from edgeseg.files import atomic_path, locked, sha256_of
from edgeseg.runtime.kernels.cubins import identity_of, kernel_sources, prebuilt
from edgeseg.runtime.kernels.nvcc import Nvcc, architecture_of, find_nvcc, looked_for

__all__ = ["cache_folder", "check_driver", "compiled", "way_to_kernels"]

INSTALL = "install CUDA's compiler (nvcc), or a wheel of edgeseg that was built with it"
#: hex, at the end of a kept file: those who read a cubin read ELF and pass over what follows
HASH_CHARACTERS = 64


def compiled(source: Path, *, compute_capability: str, driver_version: str | None = None) -> bytes:
    """The cubin of ``source`` for a device; compiled once and kept, where the wheel brings none.

    A wheel's cubin counts only if it was made of this very source for this very architecture. What nvcc makes is kept
    in ``cache_folder()`` by the hash of the source, our headers, the architecture, nvcc's version and the options, so
    that no change of any of them finds an old one. Threads and processes that want the same compile it once.

    Args:
        source: a .cu file.
        compute_capability: the device's, as in ``8.7``.
        driver_version: the CUDA version that the driver is made for, as in ``12.6``; a cubin that it would not load
            is not taken. None leaves that to the driver.
    Returns:
        The whole cubin, an ELF file.
    Raises:
        EngineError: there is neither a cubin nor an nvcc; nvcc fails or does not know the architecture; its cubins
            need a newer driver; the cache cannot be written.
    """
    architecture = architecture_of(compute_capability)
    ready = _loadable(source, architecture, driver_version)
    if ready is not None:
        return ready
    nvcc = find_nvcc()
    if nvcc is None:
        raise _lack(source, architecture)
    if driver_version is not None:
        check_driver(driver_version, nvcc.release)
    return _kept_or_made(nvcc, source, architecture)


def check_driver(driver_version: str, toolkit_version: str) -> None:
    """Refuse cubins of a newer major CUDA than the driver is made for; within a major, every minor loads.

    Args:
        driver_version: the CUDA version that the driver is made for, as in ``12.6``.
        toolkit_version: that of the nvcc that made the cubins.
    Raises:
        EngineError: the driver is too old.
    """
    driver, toolkit = _major(driver_version), _major(toolkit_version)
    if driver < toolkit:
        raise EngineError(
            f"the driver is made for CUDA {driver_version} and does not load what CUDA {toolkit_version} compiles",
            f"update the driver to one for CUDA {toolkit}, or put an nvcc of CUDA {driver} first on PATH",
        )


def _major(version: str) -> int:
    return int(version.split(".")[0])


def way_to_kernels(compute_capability: str | None, driver_version: str | None) -> str:
    """How this machine comes to cubins, in a few words; nothing is compiled.

    Args:
        compute_capability: the device's; None where there is none, and nvcc alone counts.
        driver_version: as in ``compiled``.
    Raises:
        EngineError: it does not.
    """
    architecture = None if compute_capability is None else architecture_of(compute_capability)
    sources = kernel_sources()
    if architecture and sources and all(_loadable(source, architecture, driver_version) for source in sources):
        return f"the wheel's cubins for sm_{architecture}"
    nvcc = find_nvcc()
    if nvcc is None:
        raise _lack(sources[0], architecture) if architecture and sources else _lack_of_nvcc()
    if driver_version is not None:
        check_driver(driver_version, nvcc.release)
    if architecture is not None:
        nvcc.refuse_unknown(architecture)
    return f"nvcc {nvcc.release} ({nvcc.path}), once a device; kept in {cache_folder()}"


def cache_folder() -> Path:
    """Where compiled kernels are kept, by the XDG base directory specification; may be removed at any time.

    Raises:
        EngineError: the user has no home folder.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise EngineError(f"there is no folder to keep kernels in ({error})", "set XDG_CACHE_HOME") from error
    return base / "edgeseg" / "kernels"


def _loadable(source: Path, architecture: str, driver_version: str | None) -> bytes | None:
    """The wheel's cubin, unless the driver is too old for it: an nvcc of the driver's own CUDA may be there."""
    found = prebuilt(source, architecture)
    if found is None or (driver_version is not None and _major(driver_version) < _major(found.toolkit_version)):
        return None
    return found.cubin


def _lack(source: Path, architecture: str) -> EngineError:
    wheels = prebuilt(source, architecture)
    has = f"needs a driver for CUDA {wheels.toolkit_version}" if wheels else "is not in this installation"
    return EngineError(
        f"{source.name} cannot be made for sm_{architecture}: a cubin of it {has}, and there is no nvcc {looked_for()}",
        INSTALL,
    )


def _lack_of_nvcc() -> EngineError:
    return EngineError(f"there is no nvcc {looked_for()}", INSTALL)


def _kept_or_made(nvcc: Nvcc, source: Path, architecture: str) -> bytes:
    everything = [identity_of(source, architecture), *nvcc.settings()]
    key = sha256_of(json.dumps(everything).encode())
    path = cache_folder() / f"{source.stem}.sm_{architecture}.{key}.cubin"
    with _cache_errors():
        kept = _whole(path)
        if kept is not None:
            return kept
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            kept = _whole(path)  # another process may have made it meanwhile
            return kept if kept is not None else _make(nvcc, source, architecture, path)


def _make(nvcc: Nvcc, source: Path, architecture: str, path: Path) -> bytes:
    with atomic_path(path) as temporary:
        nvcc.compile(source, architecture, temporary)
        cubin = temporary.read_bytes()
        temporary.write_bytes(cubin + sha256_of(cubin).encode())
    return cubin


def _whole(path: Path) -> bytes | None:
    """What is kept at ``path``; None where there is nothing, or something that is not as it was written."""
    with contextlib.suppress(FileNotFoundError):
        data = path.read_bytes()
        cubin = data[:-HASH_CHARACTERS]
        if cubin and sha256_of(cubin).encode() == data[-HASH_CHARACTERS:]:
            return cubin
    return None


@contextlib.contextmanager
def _cache_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, OutputError) as error:
        raise EngineError(
            f"compiled kernels cannot be kept ({error})", "set XDG_CACHE_HOME to a folder that can be written"
        ) from error
