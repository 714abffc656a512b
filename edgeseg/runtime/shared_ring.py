"""Own how pictures lie in shared memory, frames and masks alike, and one mapped file of them. Wait for nothing.

One writer, any number of readers, which never make it wait. The file ``/dev/shm/NAME`` is a ring of slots. All numbers
are 64 bits, unsigned, in the machine's order. In C: deploy/read_masks.c reads it, deploy/write_frames.c writes it.

    ring   magic "EDGESHM2", slots (2 or more), slot_bytes (of a slot with its head), published, is_ended,
           writer (random, not 0), 10 reserved; then the slots
    slot   guard, sequence, captured_ns, arrived_ns, width, height, pitch, data_bytes, source,
           format (16 bytes of ASCII, filled with zeros), colour, 4 reserved; then the data

``format`` is MASK for class ids, a byte a pixel, or a pixel format of edgeseg.imaging.formats: BGR, RGB, BGRA, RGBA,
GRAY8, YUYV, UYVY, NV12, I420. Planes follow each other without gaps; ``pitch`` is that of the first one, NV12's chroma
has the same, I420's half of it. ``colour`` tells of a YUV picture: bit 0 full range, bit 1 BT.709 instead of BT.601.
``published`` counts pictures; the newest is in slot ``(published - 1) % slots``. The guard of picture n is ``2n - 1``
while it is written and ``2n`` when it is whole: what was copied between two looks at ``2n`` is whole. Times are of
CLOCK_MONOTONIC, which is time.perf_counter on Linux; 0 says that the camera did not tell.

The writer makes the file under another name, all of it allocated (a hole would kill it where memory is full), holds
``flock(LOCK_EX)`` on it for as long as it lives, and renames it: a reader sees a whole header, and can tell a slow
writer from a dead one. A picture that needs more room, or another writer, replaces the file: a reader without news
looks whether the name means another one, where ``published`` is 0 until the next picture is in it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import OutputError, SourceError
from edgeseg.runtime.recycling import Recycler

__all__ = ["HEAD_BYTES", "Ring", "SlotHead"]

MAGIC = b"EDGESHM2"
FORMER = {b"EDGEMSK1": "masks", b"EDGESEG1": "frames"}  # until both became one
HEAD_BYTES = 128  # of the ring and of a slot
SLOTS_AT, SLOT_BYTES_AT, PUBLISHED_AT, ENDED_AT, WRITER_AT = 1, 2, 3, 4, 5
GUARD_AT, DATA_BYTES_AT, FORMAT_AT, COLOUR_AT, RESERVED_AT = 0, 7, 9, 11, 12
FULL_RANGE, BT_709 = 1, 2

Words = NDArray[np.uint64]
_order = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class SlotHead:
    """What stands before a picture, in the order of the layout; times in nanoseconds, 0 where not known."""

    sequence: int
    captured_ns: int
    arrived_ns: int
    width: int
    height: int
    pitch: int
    data_bytes: int
    source: int
    form: str
    is_full_range: bool = False
    is_bt_709: bool = False

    @classmethod
    def of(cls, words: Words) -> SlotHead:
        """Out of a slot's first words."""
        numbers = [int(one) for one in words[1:FORMAT_AT]]
        names = ("sequence", "captured_ns", "arrived_ns", "width", "height", "pitch", "data_bytes", "source")
        form, colour = words[FORMAT_AT:COLOUR_AT].tobytes().rstrip(b"\0"), int(words[COLOUR_AT])
        return cls(
            **dict(zip(names, numbers, strict=True)),
            form=form.decode("ascii", "replace"),
            is_full_range=bool(colour & FULL_RANGE),
            is_bt_709=bool(colour & BT_709),
        )

    def into(self, words: Words) -> None:
        """As it lies in memory, the guard left alone."""
        sizes = (self.width, self.height, self.pitch, self.data_bytes, self.source)
        words[1:FORMAT_AT] = (self.sequence, self.captured_ns, self.arrived_ns, *sizes)
        words[FORMAT_AT:COLOUR_AT] = np.frombuffer(self.form.encode().ljust(16, b"\0"), np.uint64)
        words[COLOUR_AT] = FULL_RANGE * self.is_full_range | BT_709 * self.is_bt_709


class Ring:
    """One mapped file."""

    def __init__(self, handle: int, *, is_writable: bool) -> None:
        self._handle: int | None = handle
        access = mmap.ACCESS_WRITE if is_writable else mmap.ACCESS_READ
        memory = mmap.mmap(handle, 0, access=access)
        self._bytes = np.frombuffer(memory, np.uint8)  # the mapping lives as long as a view of it
        self._words = self._bytes[:HEAD_BYTES].view(np.uint64)

    @classmethod
    def create(cls, path: Path, *, slots: int, data_bytes: int, writer: int) -> Ring:
        """A new ring that takes the name when it is whole; its lock says that the writer lives.

        Raises:
            OutputError: shared memory has no room for it.
        """
        slot_bytes = HEAD_BYTES + -(-data_bytes // HEAD_BYTES) * HEAD_BYTES
        temporary = path.with_name(f".{path.name}-{os.getpid()}")
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _allocate(handle, path, HEAD_BYTES + slots * slot_bytes)
            ring = cls(handle, is_writable=True)
            magic = int.from_bytes(MAGIC, "little")
            ring._words[: WRITER_AT + 1] = (magic, slots, slot_bytes, 0, 0, writer)
            temporary.replace(path)
        except BaseException:
            os.close(handle)
            temporary.unlink(missing_ok=True)
            raise
        return ring

    @classmethod
    def attach(cls, path: Path) -> Ring:
        """The ring that has the name now, read-only.

        Raises:
            OSError: there is none, or it may not be read.
            SourceError: it is laid out in another way.
        """
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.pread(handle, HEAD_BYTES, 0)
            if len(found) < HEAD_BYTES or not found.startswith(MAGIC):
                raise _foreign(path, found[: len(MAGIC)])
            ring = cls(handle, is_writable=False)
            size_bytes = HEAD_BYTES + ring.slots * (HEAD_BYTES + ring.room_bytes)
            if ring.slots < 2 or ring.room_bytes < 0 or len(ring._bytes) < size_bytes:
                raise SourceError(
                    f"{path} has {len(ring._bytes)} bytes where its header tells {size_bytes} in {ring.slots} slots",
                    "mend its writer: the layout is told in edgeseg/runtime/shared_ring.py",
                )
        except BaseException:
            os.close(handle)
            raise
        return ring

    @property
    def slots(self) -> int:
        """How many."""
        return int(self._words[SLOTS_AT])

    @property
    def room_bytes(self) -> int:
        """For the data of a picture."""
        return int(self._words[SLOT_BYTES_AT]) - HEAD_BYTES

    @property
    def published(self) -> int:
        """Pictures so far."""
        return int(self._words[PUBLISHED_AT])

    @property
    def writer(self) -> int:
        """The writer's random number, the same in all rings of one writer."""
        return int(self._words[WRITER_AT])

    @property
    def is_ended(self) -> bool:
        """Whether the writer has said that nothing comes any more."""
        return bool(self._words[ENDED_AT])

    def end(self) -> None:
        """Say that nothing comes any more."""
        self._words[ENDED_AT] = 1

    def is_at(self, path: Path) -> bool:
        """Whether the name means this file."""
        if self._handle is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._handle), path.stat())
        except FileNotFoundError:
            return False

    def is_written(self) -> bool:
        """Whether the writer lives, of a ring that was attached and is open."""
        if self._handle is None:
            return False
        try:
            fcntl.flock(self._handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._handle, fcntl.LOCK_UN)
        return False

    def write(self, number: int, head: SlotHead, planes: Sequence[NDArray[np.uint8]]) -> None:
        """Copy a picture in, and publish it."""
        words, data = self._slot(number)
        words[GUARD_AT] = 2 * number - 1
        _fence()
        head.into(words)
        at = 0
        for plane in planes:
            data[at : at + plane.size].reshape(plane.shape)[...] = plane
            at += plane.size
        _fence()
        words[GUARD_AT] = 2 * number
        self._words[PUBLISHED_AT] = number

    def read(self, number: int, recycler: Recycler) -> tuple[SlotHead, NDArray[np.uint8]] | None:
        """A copy of that picture, or None where the writer has taken its slot meanwhile.

        Raises:
            SourceError: it tells more bytes than there is room for.
        """
        _fence()
        words, data = self._slot(number)
        whole = 2 * number
        if words[GUARD_AT] != whole:
            return None
        _fence()
        head = SlotHead.of(words.copy())
        pixels = recycler.take((min(head.data_bytes, data.size),))
        np.copyto(pixels, data[: pixels.size])
        _fence()
        if words[GUARD_AT] != whole:
            return None
        if head.data_bytes > data.size:
            raise SourceError(f"a picture in shared memory tells {head.data_bytes} bytes, its slot has {data.size}")
        return head, pixels

    def close(self) -> None:
        """Let go of the file, and so of the lock. Safe to call twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _slot(self, number: int) -> tuple[Words, NDArray[np.uint8]]:
        size_bytes = HEAD_BYTES + self.room_bytes
        begin = HEAD_BYTES + (number - 1) % self.slots * size_bytes
        slot = self._bytes[begin : begin + size_bytes]
        return slot[:HEAD_BYTES].view(np.uint64), slot[HEAD_BYTES:]


def _allocate(handle: int, path: Path, size_bytes: int) -> None:
    """All of it now: where memory is full, writing into a hole would kill the process."""
    try:
        os.posix_fallocate(handle, 0, size_bytes)
    except OSError as error:
        raise OutputError(
            f"{path} finds no room for {size_bytes} bytes ({error.strerror})",
            f"free some (ls -l {path.parent}) or make it larger (docker run --shm-size, mount -o remount,size=1G)",
        ) from error


def _foreign(path: Path, magic: bytes) -> SourceError:
    expected = MAGIC.decode()
    if magic in FORMER:
        return SourceError(
            f"{path} holds {FORMER[magic]} as an older edgeseg lays them out ({magic.decode()}), not {expected}",
            "run one version of edgeseg on both sides, and compile programs in C anew",
        )
    if magic[:7] == MAGIC[:7]:
        return SourceError(
            f"{path} is laid out in version {magic[7:].decode('ascii', 'replace')}, this edgeseg reads {expected[7:]}",
            "run one version of edgeseg on both sides",
        )
    return SourceError(f"{path} holds no pictures of edgeseg", "name what a shm:// sink or a writer of frames writes")


def _fence() -> None:
    """Keep reads and writes of memory on their side, on ARM too.

    Python has no barrier; releasing a lock is one for what stands before, acquiring it again one for what follows.
    """
    for _ in range(2):
        with _order:
            pass
