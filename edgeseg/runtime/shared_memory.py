"""Own the layout of masks in POSIX shared memory, and its two ends. Know no sink; frames have another layout.

One writer, any number of readers, which never make it wait. The file ``/dev/shm/NAME`` is a ring of slots; all numbers
are 64 bits, unsigned, in the machine's order. deploy/read_masks.c reads it in C.

    ring   magic "EDGEMSK1", slots, slot_bytes, published, is_ended, writer (random), 10 reserved; then the slots
    slot   guard, sequence, captured_ns, arrived_ns, width, height, pitch, data_bytes, source,
           format (16 bytes of ASCII, filled with zeros), 5 reserved; then the data

``published`` counts pictures; the newest is in slot ``(published - 1) % slots``. The guard of picture n is ``2n - 1``
while it is written and ``2n`` when it is whole: what was copied between two looks at ``2n`` is whole. Times are of
CLOCK_MONOTONIC, which is time.perf_counter on Linux; 0 says that the camera did not tell. A picture that needs more
room, or another writer, replaces the file: a reader without news looks whether the name means another one, where
``published`` is 0 until the next picture is in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import OutputError, SourceError
from edgeseg.files import output_errors

__all__ = ["SharedPicture", "SharedReader", "SharedWriter", "shared_path"]

MAGIC = int.from_bytes(b"EDGEMSK1", "little")
HEADER_BYTES = 128
SLOTS = 3  # a reader has two pictures' time to copy one
SLOT_BYTES_AT, PUBLISHED_AT, ENDED_AT, WRITER_AT = 2, 3, 4, 5
GUARD_AT, FORMAT_AT, RESERVED_AT = 0, 9, 11
PAGE_BYTES = 4096
SHARED = Path("/dev/shm")  # noqa: S108  # where shm_open looks on Linux
TRIES = 100

Words = NDArray[np.uint64]
_order = threading.Lock()


def shared_path(name: str, *, error: type[OutputError] | type[SourceError]) -> Path:
    """Where the shared memory of that name is.

    Raises:
        error: the name has characters that such a name cannot have.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}", name):
        raise error(f"shared memory cannot be called {name!r}", "use letters, digits, - and _, as in shm://masks")
    return SHARED / name


@dataclass(frozen=True, kw_only=True)
class SharedPicture:
    """One picture out of shared memory.

    Attributes:
        data: uint8, the planes one after another, owned by the caller.
        size_wh: width and height in pixels.
        pitch: bytes from one row of the first plane to the next.
        form: ``MASK`` for class ids, else a pixel format such as ``NV12``.
        sequence: the frame's number in its source.
        source: which of several sources.
        captured_s: on the clock of time.perf_counter, of all processes of the machine; None where not known.
        arrived_s: on the same clock.
        published: number of pictures so far; a gap says how many the reader has missed.
    """

    data: NDArray[np.uint8]
    size_wh: tuple[int, int]
    pitch: int
    form: str
    sequence: int
    source: int
    captured_s: float | None
    arrived_s: float
    published: int

    @property
    def mask(self) -> NDArray[np.uint8]:
        """uint8 (H, W) of a format with a byte a pixel; a view of ``data``."""
        width, height = self.size_wh
        return self.data.reshape(height, self.pitch)[:, :width]


class SharedWriter:
    """Publishes pictures under a name; closing removes it.

    Args:
        name: as ``shared_path`` takes it.
    Raises:
        OutputError: another process writes there, or there is no room.
    """

    def __init__(self, name: str) -> None:
        self._path = shared_path(name, error=OutputError)
        self._published, self._identity = 0, int.from_bytes(os.urandom(8), "little")
        with output_errors(self._path):
            self._refuse_second()
            self._ring: _Ring | None = _Ring.create(self._path, slot_bytes=HEADER_BYTES, writer=self._identity)

    def publish(
        self,
        planes: Sequence[NDArray[np.uint8]],
        *,
        size_wh: tuple[int, int],
        form: str,
        sequence: int,
        arrived_s: float,
        captured_s: float | None = None,
        source: int = 0,
    ) -> None:
        """Copy a picture in; readers see it whole or not at all.

        Args:
            planes: uint8, rows first, any pitch; in shared memory they lie one after another without gaps.
            size_wh: width and height in pixels.
            form: as in ``SharedPicture``.
            sequence, arrived_s, captured_s, source: the frame's.
        Raises:
            OutputError: a larger picture finds no room.
        """
        data_bytes = sum(plane.size for plane in planes)
        ring = self._ring_for(data_bytes)
        self._published += 1
        captured_ns = 0 if captured_s is None else round(captured_s * 1e9)
        pitch = planes[0].size // planes[0].shape[0]
        words = (sequence, captured_ns, round(arrived_s * 1e9), *size_wh, pitch, data_bytes, source)
        ring.write(self._published, words, form, planes)

    def close(self) -> None:
        """Tell the readers, and take the name away. Safe to call twice."""
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.words[ENDED_AT] = 1
            if ring.is_at(self._path):
                self._path.unlink(missing_ok=True)
            ring.close()

    def _ring_for(self, data_bytes: int) -> _Ring:
        if self._ring is None:
            raise OutputError(f"{self._path} is closed", "open another writer")
        if self._ring.slot_bytes < HEADER_BYTES + data_bytes:
            before, rounded = self._ring, -(-(HEADER_BYTES + data_bytes) // PAGE_BYTES) * PAGE_BYTES
            with output_errors(self._path):
                self._ring = _Ring.create(self._path, slot_bytes=rounded, writer=self._identity)
            before.close()
        return self._ring

    def _refuse_second(self) -> None:
        """A writer that was killed holds no lock any more: its file is replaced."""
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(self._path, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(f"{self._path} is written by another process", "choose another name") from error
            finally:
                os.close(handle)


class SharedReader:
    """Reads the newest picture of a name.

    Args:
        name: as ``shared_path`` takes it.
    Raises:
        SourceError: there is no such shared memory, or it is not of this kind.
    """

    def __init__(self, name: str) -> None:
        self._path = shared_path(name, error=SourceError)
        self._seen = 0
        self._ring = self._open()

    @property
    def is_ended(self) -> bool:
        """The writer has closed, and no other has taken its place."""
        return bool(self._ring.words[ENDED_AT]) and not self._reopen()

    def newest(self) -> SharedPicture | None:
        """A copy of the newest picture; None where there is none since the last call.

        Raises:
            SourceError: the writer laps this reader again and again.
        """
        for _ in range(TRIES):
            published = int(self._ring.words[PUBLISHED_AT])
            if published in (0, self._seen):
                if not self._reopen():
                    return None
                continue
            picture = self._ring.read(published)
            if picture is not None:
                self._seen = published
                return picture
        raise SourceError(f"{self._path} changes faster than it can be read", "read it at a higher priority")

    def close(self) -> None:
        """Let go of the memory. Safe to call twice."""
        self._ring.close()

    def _open(self) -> _Ring:
        try:
            return _Ring.attach(self._path)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read ({error.strerror})", "start its writer first") from error

    def _reopen(self) -> bool:
        """Whether the name means another file now, which is open then."""
        if self._ring.is_at(self._path) or not self._path.exists():
            return False
        before, self._ring = self._ring, self._open()
        is_another_writer = before.words[WRITER_AT] != self._ring.words[WRITER_AT]
        self._seen = 0 if is_another_writer else self._seen
        before.close()
        return True


class _Ring:
    """The mapped file."""

    def __init__(self, handle: int, *, is_writable: bool) -> None:
        self._handle: int | None = handle
        access = mmap.ACCESS_WRITE if is_writable else mmap.ACCESS_READ
        memory = mmap.mmap(handle, 0, access=access)
        self.bytes = np.frombuffer(memory, np.uint8)  # the mapping lives as long as a view of it
        self.words = self.bytes[:HEADER_BYTES].view(np.uint64)

    @classmethod
    def create(cls, path: Path, *, slot_bytes: int, writer: int) -> _Ring:
        """A new ring that takes the name when it is whole; its lock says that the writer lives."""
        temporary = path.with_name(f".{path.name}-{os.getpid()}")
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(handle, 0, HEADER_BYTES + SLOTS * slot_bytes)  # else a full memory kills at a write
            ring = cls(handle, is_writable=True)
            ring.words[: WRITER_AT + 1] = (MAGIC, SLOTS, slot_bytes, 0, 0, writer)
            temporary.replace(path)
        except BaseException:
            os.close(handle)
            temporary.unlink(missing_ok=True)
            raise
        return ring

    @classmethod
    def attach(cls, path: Path) -> _Ring:
        """The ring that has the name now, read-only."""
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(handle).st_size >= HEADER_BYTES:
                ring = cls(handle, is_writable=False)
                if ring.words[0] == MAGIC and len(ring.bytes) == HEADER_BYTES + SLOTS * ring.slot_bytes:
                    return ring
            raise SourceError(f"{path} holds no pictures of edgeseg", "name what a shm:// sink writes")
        except BaseException:
            os.close(handle)
            raise

    @property
    def slot_bytes(self) -> int:
        return int(self.words[SLOT_BYTES_AT])

    def is_at(self, path: Path) -> bool:
        """Whether the name means this file."""
        if self._handle is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._handle), path.stat())
        except FileNotFoundError:
            return False

    def write(self, number: int, words: Sequence[int], form: str, planes: Sequence[NDArray[np.uint8]]) -> None:
        head, data = self._slot(number)
        head[GUARD_AT] = 2 * number - 1
        _fence()
        head[1:FORMAT_AT] = words
        head[FORMAT_AT:RESERVED_AT] = np.frombuffer(form.encode().ljust(16, b"\0"), np.uint64)
        at = 0
        for plane in planes:
            data[at : at + plane.size].reshape(plane.shape)[...] = plane
            at += plane.size
        _fence()
        head[GUARD_AT] = 2 * number
        self.words[PUBLISHED_AT] = number

    def read(self, number: int) -> SharedPicture | None:
        """That picture, or None where the writer has taken its slot meanwhile."""
        _fence()
        head, data = self._slot(number)
        if head[GUARD_AT] != 2 * number:
            return None
        _fence()
        words = head.copy()
        pixels = data[: int(words[7])].copy()
        _fence()
        if head[GUARD_AT] != 2 * number:
            return None
        return _picture(words, pixels, number)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _slot(self, number: int) -> tuple[Words, NDArray[np.uint8]]:
        begin = HEADER_BYTES + (number - 1) % SLOTS * self.slot_bytes
        slot = self.bytes[begin : begin + self.slot_bytes]
        return slot[:HEADER_BYTES].view(np.uint64), slot[HEADER_BYTES:]


def _picture(words: Words, pixels: NDArray[np.uint8], number: int) -> SharedPicture:
    sequence, captured_ns, arrived_ns, width, height, pitch, _, source = (int(one) for one in words[1:FORMAT_AT])
    return SharedPicture(
        data=pixels,
        size_wh=(width, height),
        pitch=pitch,
        form=words[FORMAT_AT:RESERVED_AT].tobytes().rstrip(b"\0").decode("ascii", "replace"),
        sequence=sequence,
        source=source,
        captured_s=captured_ns / 1e9 if captured_ns else None,
        arrived_s=arrived_ns / 1e9,
        published=number,
    )


def _fence() -> None:
    """Keep reads and writes of memory on their side, on ARM too.

    Python has no barrier; releasing a lock is one for what stands before, acquiring it again one for what follows.
    """
    for _ in range(2):
        with _order:
            pass
