"""Own frames that another process leaves in shared memory, and the side that leaves them. Lay out nothing."""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgeseg.errors import OutputError, ShapeError, SourceError
from edgeseg.imaging.formats import FrameForm, Picture, Plane, picture_view, plane_sizes, planes_of, size_wh_of
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sources.base import DEFAULT_FPS, FrameSource, SourceOptions
from edgeseg.runtime.sources.shared_layout import HEAD_BYTES, HEADER, MAGIC, SLOT, Slot, read_slot, slot_words

__all__ = ["SHARED_FOLDER", "SharedSource", "SharedWriter"]

SHARED_FOLDER = Path("/dev/shm")  # noqa: S108  # where POSIX shared memory is on Linux
POLL_S = 1e-3  # shared memory wakes nobody; this is the age that a frame may gain
LOOK_AT_WRITER_S = 0.25
FRAMES = HEADER.size - 8  # where the header tells how many frames are finished


class SharedSource(FrameSource):
    """The newest frame in shared memory, whenever there is a newer one; those missed between use up their numbers.

    A frame is copied out, then checked to have stayed whole: the writer never waits, and overwrites it before long.

    Args:
        name: what the user typed.
        place: the name of the shared memory, without folder.
        options: timeouts; the frames' form is the writer's.
        folder: where shared memory is.
    Raises:
        SourceError: there is none, or it is not laid out as ``shared_layout`` says.
    """

    is_live, length = True, None

    def __init__(self, name: str, place: str, options: SourceOptions, *, folder: Path = SHARED_FOLDER) -> None:
        self.name, self.fps = name, options.fps or DEFAULT_FPS
        self._options, self._path = options, folder / place
        self._closed, self._fence = threading.Event(), threading.Lock()
        try:
            with self._path.open("rb") as file:
                self._inode = os.fstat(file.fileno()).st_ino
                self._memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._path} cannot be read ({error})", "start what writes the frames first") from error
        self._slots, self._slot_bytes = self._layout()

    def __iter__(self) -> Iterator[Frame]:
        seen, given, last_s = 0, 0, time.monotonic()
        while not self._closed.is_set():
            done = self._frames()
            if done == seen:
                self._check_writer(given, last_s)
                self._closed.wait(POLL_S)
                continue
            seen = done
            if (frame := self._copy(done)) is not None:
                given += 1
                yield frame
            last_s = time.monotonic()  # a reader that was busy elsewhere is no silence of the writer

    def close(self) -> None:
        """The memory itself is let go when nothing refers to it any more."""
        self._closed.set()

    def _layout(self) -> tuple[int, int]:
        head = self._memory[: HEADER.size]
        magic, slots, slot_bytes, _ = HEADER.unpack(head) if len(head) == HEADER.size else (b"", 0, 0, 0)
        if magic != MAGIC or slots < 2 or len(self._memory) < HEAD_BYTES + slots * slot_bytes:
            raise SourceError(
                f"{self._path} holds no frames as edgeseg lays them out ({len(self._memory)} bytes, {slots} slots)",
                "see edgeseg/runtime/sources/shared_layout.py",
            )
        return slots, slot_bytes

    def _frames(self) -> int:
        with self._fence:  # what the writer wrote before the number must not be read before it (ARM reorders loads)
            return int.from_bytes(self._memory[FRAMES : FRAMES + 8], "little")

    def _copy(self, done: int) -> Frame | None:
        """The newest frame; None where the writer overtook, as there is a newer one then."""
        at = HEAD_BYTES + (done - 1) % self._slots * self._slot_bytes
        slot = read_slot(self.name, self._memory[at : at + SLOT.size])
        if slot.lock % 2:
            return None
        picture = self._picture(self._memory[at + HEAD_BYTES : at + self._slot_bytes], slot)
        with self._fence:
            if self._memory[at : at + 8] != slot.lock.to_bytes(8, "little"):
                return None
        return Frame(
            picture=picture,
            form=slot.form,
            sequence=slot.sequence,
            arrived_s=time.perf_counter(),
            captured_s=slot.captured_ns * 1e-9 if slot.captured_ns else None,  # perf_counter is CLOCK_MONOTONIC
            name=f"{slot.sequence:06d}",
        )

    def _picture(self, copied: bytes, slot: Slot) -> Picture:
        try:
            return picture_view(copied, slot.form.pixel_format, size_wh=slot.size_wh, pitch=slot.pitch)
        except ShapeError as error:
            raise SourceError(f"{self.name} holds a frame that is none ({error.what})", error.hint) from error

    def _check_writer(self, given: int, last_s: float) -> None:
        silent_s = time.monotonic() - last_s
        why = None
        if silent_s > self._options.read_timeout_s:
            why = f"nothing came for {self._options.read_timeout_s:g} s"
        elif silent_s > LOOK_AT_WRITER_S:
            why = self._why_gone()
        if why:
            raise SourceError(f"{self.name} stopped after {given} frames ({why})", "check what writes the frames")

    def _why_gone(self) -> str | None:
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_ino != self._inode:
                    return "its writer began anew"
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # the writer holds it
            return None
        except FileNotFoundError:
            return "its writer took it away"
        return "its writer died"


class SharedWriter:
    """Leave frames in shared memory for any number of readers; waits for none.

    Args:
        place: the name of the shared memory, without folder; what is there is replaced.
        picture_bytes: room for the largest picture.
        slots: frames kept; a reader must copy one within ``slots - 1`` periods.
        folder: where shared memory is.
    Raises:
        OutputError: it cannot be made.
    """

    def __init__(self, place: str, *, picture_bytes: int, slots: int = 4, folder: Path = SHARED_FOLDER) -> None:
        self._path, self._slots, self._done = folder / place, max(slots, 2), 0
        self._slot_bytes = HEAD_BYTES + -(-picture_bytes // HEAD_BYTES) * HEAD_BYTES
        fresh = self._path.with_name(f".{place}.{os.getpid()}")
        try:
            self._file = fresh.open("wb+")
            self._file.truncate(HEAD_BYTES + self._slots * self._slot_bytes)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._memory = mmap.mmap(self._file.fileno(), 0)
            self._memory[: HEADER.size] = HEADER.pack(MAGIC, self._slots, self._slot_bytes, 0)
            fresh.rename(self._path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise OutputError(f"{self._path} cannot be made ({error.strerror})", "free shared memory") from error
        self._fence = threading.Lock()

    def write(self, picture: Picture, form: FrameForm, *, sequence: int, captured_s: float | None = None) -> None:
        """Copy a picture in, without gaps between its rows.

        Raises:
            OutputError: it is larger than the room made for it.
        """
        planes = planes_of(picture, form.pixel_format)
        size_wh = size_wh_of(planes)
        sizes = plane_sizes(form.pixel_format, size_wh)
        needed = sum(rows * row_bytes for rows, row_bytes in sizes)
        if needed > self._slot_bytes - HEAD_BYTES:
            raise OutputError(
                f"{self._path} has room for {self._slot_bytes - HEAD_BYTES} bytes, the frame has {needed}",
                "make it for the largest frame",
            )
        at = HEAD_BYTES + self._done % self._slots * self._slot_bytes
        lock = int.from_bytes(self._memory[at : at + 8], "little") + 1
        nanoseconds = 0 if captured_s is None else int(captured_s * 1e9)
        slot = Slot(
            lock=lock, sequence=sequence, captured_ns=nanoseconds, size_wh=size_wh, pitch=sizes[0][1], form=form
        )
        with self._fence:
            self._memory[at : at + SLOT.size] = slot_words(slot)
        self._fill(at + HEAD_BYTES, planes)
        with self._fence:
            self._memory[at : at + 8] = (lock + 1).to_bytes(8, "little")
        self._done += 1
        with self._fence:
            self._memory[FRAMES : FRAMES + 8] = self._done.to_bytes(8, "little")

    def close(self) -> None:
        """Take the name away and let go; readers that have it open see that."""
        if not self._file.closed:
            self._path.unlink(missing_ok=True)
            self._memory.close()
            self._file.close()

    def _fill(self, at: int, planes: tuple[Plane, ...]) -> None:
        for plane in planes:
            rows = np.ascontiguousarray(plane).reshape(-1)
            self._memory[at : at + rows.size] = rows.data
            at += rows.size
