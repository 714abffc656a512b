"""Own whole files: hashes, checked reading, and writing that leaves the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from edgeseg.errors import InputError, OutputError

__all__ = [
    "atomic_path",
    "flush_to_disk",
    "locked",
    "output_errors",
    "read_file",
    "sha256_of",
    "sha256_of_file",
    "write_atomically",
    "write_together",
]

BLOCK_BYTES = 1 << 20


def sha256_of(data: bytes) -> str:
    """Hex SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces; OSError where it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def read_file(path: Path, *, error: type[InputError] = InputError, make_it: str = "check the path") -> bytes:
    """Read a whole file that must exist and hold something.

    Args:
        path: the file.
        error: the class to raise.
        make_it: how the user gets such a file; ends the message.
    Returns:
        The bytes, at least one.
    """
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise error(f"{path} cannot be read ({cause.strerror})", make_it) from cause
    if not data:
        raise error(f"{path} is empty (0 bytes)", make_it)
    return data


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write ``path`` into an OutputError that names it."""
    try:
        yield
    except OSError as cause:
        reason = cause.strerror or str(cause)
        raise OutputError(f"{path} cannot be written ({reason})", "free space or choose another place") from cause


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it when the block ends well, remove it when it does not.

    The temporary keeps the suffix, since some libraries choose a format by it.

    Raises:
        OutputError: the folder cannot be written, or the device is full.
    """
    with _temporary_beside(path) as temporary, output_errors(path):
        yield temporary
        _finish(temporary)
        temporary.replace(path)


@contextlib.contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=f".part{path.suffix}", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _finish(temporary: Path) -> None:
    """On disk, and with the rights of any new file."""
    flush_to_disk(temporary)
    temporary.chmod(0o666 & ~_umask())


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write ``data`` as the whole content of ``path`` (text as UTF-8).

    Raises:
        OutputError: the folder cannot be written, or the device is full.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def write_together(files: Sequence[tuple[Path, bytes]]) -> None:
    """Write files that belong together: all are on disk under temporary names before the first takes its own.

    Two callers with the same first file do so one after another, so what lies there in the end is one caller's.

    Args:
        files: all in one folder; the last to appear, which the others are read for, comes first.
    Raises:
        OutputError: the folder cannot be written, or the device is full; what was there before is left.
    """
    with contextlib.ExitStack() as stack:
        ready: list[tuple[Path, Path]] = []
        for path, data in files:
            temporary = stack.enter_context(_temporary_beside(path))
            with output_errors(path):
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "a folder is there")
                temporary.write_bytes(data)
                _finish(temporary)
            ready.append((temporary, path))
        with locked(files[0][0]):
            for temporary, path in reversed(ready):
                with output_errors(path):
                    temporary.replace(path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out while the block runs; nothing is left beside ``path``.

    Raises:
        OutputError: the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.lock")
    with output_errors(beside):
        file = _held(beside)
    try:
        yield
    finally:
        beside.unlink(missing_ok=True)
        file.close()


def _held(path: Path) -> IO[bytes]:
    """The lock's file, held; its last holder may have removed it while this one waited."""
    import fcntl

    while True:
        file = path.open("wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def flush_to_disk(path: Path) -> None:
    """Return when the file's content has left the operating system's cache."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
