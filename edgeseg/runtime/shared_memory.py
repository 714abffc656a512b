"""Own the two ends of pictures in POSIX shared memory, frames and masks alike. The layout is shared_ring's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import OutputError, SourceError
from edgeseg.files import output_errors
from edgeseg.imaging.formats import ColourMatrix, FrameForm, Picture, planes_of, size_wh_of
from edgeseg.runtime.recycling import Recycler
from edgeseg.runtime.shared_ring import Ring, SlotHead

__all__ = ["MASK_FORM", "SHARED_FOLDER", "SharedPicture", "SharedReader", "SharedWriter", "shared_path"]

MASK_FORM = "MASK"
SHARED_FOLDER = Path("/dev/shm")  # noqa: S108  # where shm_open looks on Linux
SLOTS = 4
TRIES = 100


def shared_path(name: str, *, error: type[OutputError] | type[SourceError], folder: Path = SHARED_FOLDER) -> Path:
    """Where the shared memory of that name is.

    Raises:
        error: the name has characters that such a name cannot have.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}", name):
        raise error(f"shared memory cannot be called {name!r}", "use letters, digits, - and _, as in shm://masks")
    return folder / name


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
        writer: a random number of its writer's; another one began anew.
        colour_matrix: of a YUV frame.
        is_full_range: a YUV frame uses 0-255.
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
    writer: int = 0
    colour_matrix: ColourMatrix = "BT.601"
    is_full_range: bool = False

    @property
    def mask(self) -> NDArray[np.uint8]:
        """uint8 (H, W) of a format with a byte a pixel; a view of ``data``."""
        width, height = self.size_wh
        return self.data.reshape(height, self.pitch)[:, :width]


class SharedWriter:
    """Publishes pictures under a name; closing removes it. Waits for no reader.

    Args:
        name: as ``shared_path`` takes it.
        picture_bytes: room to begin with; a larger picture makes more.
        slots: pictures kept; a reader has the time of ``slots - 1`` pictures to copy one.
        folder: where shared memory is.
    Raises:
        OutputError: another process writes there, or there is no room.
    """

    def __init__(self, name: str, *, picture_bytes: int = 0, slots: int = SLOTS, folder: Path = SHARED_FOLDER) -> None:
        self._path, self._slots = shared_path(name, error=OutputError, folder=folder), max(slots, 2)
        self._published, self._identity = 0, int.from_bytes(os.urandom(8), "little") or 1
        with output_errors(self._path):
            self._refuse_second()
        self._ring: Ring | None = self._new_ring(picture_bytes)

    def write(self, picture: Picture, form: FrameForm, *, sequence: int, captured_s: float | None = None) -> None:
        """Publish a frame, as a ``shm://`` source reads it; see ``publish``.

        Args:
            picture: what ``planes_of`` takes.
            form: how to read it.
            sequence: its number.
            captured_s: when the camera took it, on the clock of time.perf_counter.
        """
        planes = planes_of(picture, form.pixel_format)
        self.publish(
            planes,
            size_wh=size_wh_of(planes),
            form=form.pixel_format,
            sequence=sequence,
            arrived_s=time.perf_counter(),
            captured_s=captured_s,
            colour_matrix=form.colour_matrix,
            is_full_range=form.is_full_range,
        )

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
        colour_matrix: ColourMatrix = "BT.601",
        is_full_range: bool = False,
    ) -> None:
        """Copy a picture in; readers see it whole or not at all.

        Args:
            planes: uint8, rows first, any pitch; in shared memory they lie one after another without gaps.
            size_wh: width and height in pixels.
            form: as in ``SharedPicture``.
            sequence, arrived_s, captured_s, source: the frame's.
            colour_matrix, is_full_range: of a YUV frame.
        Raises:
            OutputError: a larger picture finds no room.
        """
        head = SlotHead(
            sequence=sequence,
            captured_ns=0 if captured_s is None else round(captured_s * 1e9),
            arrived_ns=round(arrived_s * 1e9),
            width=size_wh[0],
            height=size_wh[1],
            pitch=planes[0].size // planes[0].shape[0],
            data_bytes=sum(plane.size for plane in planes),
            source=source,
            form=form,
            is_full_range=is_full_range,
            is_bt_709=colour_matrix == "BT.709",
        )
        ring = self._ring_for(head.data_bytes)
        self._published += 1
        ring.write(self._published, head, planes)

    def close(self) -> None:
        """Tell the readers, and take the name away. Safe to call twice."""
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.end()
            if ring.is_at(self._path):
                self._path.unlink(missing_ok=True)
            ring.close()

    def _ring_for(self, data_bytes: int) -> Ring:
        if self._ring is None:
            raise OutputError(f"{self._path} is closed", "open another writer")
        if self._ring.room_bytes < data_bytes:
            before, self._ring = self._ring, self._new_ring(data_bytes)
            before.close()
        return self._ring

    def _new_ring(self, data_bytes: int) -> Ring:
        with output_errors(self._path):
            return Ring.create(self._path, slots=self._slots, data_bytes=data_bytes, writer=self._identity)

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
        folder: where shared memory is.
    Raises:
        SourceError: there is no such shared memory, or it is laid out in another way.
    """

    def __init__(self, name: str, *, folder: Path = SHARED_FOLDER) -> None:
        self._path = shared_path(name, error=SourceError, folder=folder)
        self._seen, self._recycler = 0, Recycler()
        self._ring = self._open()

    @property
    def writer(self) -> int:
        """The random number of the present writer."""
        return self._ring.writer

    @property
    def is_ended(self) -> bool:
        """The writer has closed, and no other has taken its place."""
        return self._ring.is_ended and not self._reopen()

    @property
    def why_silent(self) -> str | None:
        """Why nothing will come any more; None as long as the writer lives, or another has taken its place."""
        if self._reopen() or self._ring.is_written():
            return None
        return "its writer took it away" if self._ring.is_ended or not self._path.exists() else "its writer died"

    def newest(self) -> SharedPicture | None:
        """A copy of the newest picture; None where there is none since the last call.

        Raises:
            SourceError: the writer laps this reader again and again, or what it writes is no picture.
        """
        for _ in range(TRIES):
            published = self._ring.published
            if published in (0, self._seen):
                if not self._reopen():
                    return None
                continue
            read = self._ring.read(published, self._recycler)
            if read is not None:
                self._seen = published
                return _picture(*read, published, self._ring.writer)
        raise SourceError(f"{self._path} changes faster than it can be read", "read it at a higher priority")

    def close(self) -> None:
        """Let go of the memory. Safe to call twice."""
        self._ring.close()

    def _open(self) -> Ring:
        try:
            return Ring.attach(self._path)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read ({error.strerror})", "start its writer first") from error

    def _reopen(self) -> bool:
        """Whether the name means another file now, which is open then."""
        if self._ring.is_at(self._path) or not self._path.exists():
            return False
        before, self._ring = self._ring, self._open()
        self._seen = 0 if before.writer != self._ring.writer else self._seen
        before.close()
        return True


def _picture(head: SlotHead, pixels: NDArray[np.uint8], number: int, writer: int) -> SharedPicture:
    return SharedPicture(
        data=pixels,
        size_wh=(head.width, head.height),
        pitch=head.pitch,
        form=head.form,
        sequence=head.sequence,
        source=head.source,
        captured_s=head.captured_ns / 1e9 if head.captured_ns else None,
        arrived_s=head.arrived_ns / 1e9,
        published=number,
        writer=writer,
        colour_matrix="BT.709" if head.is_bt_709 else "BT.601",
        is_full_range=head.is_full_range,
    )
