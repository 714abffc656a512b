"""Own frames that another process leaves in shared memory. Lay out nothing, leave nothing there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edgeseg.errors import ShapeError, SourceError
from edgeseg.imaging.formats import PIXEL_FORMATS, FrameForm, picture_view
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.shared_memory import SHARED_FOLDER, SharedPicture, SharedReader, SharedWriter
from edgeseg.runtime.sources.base import DEFAULT_FPS, FrameSource, SourceOptions

__all__ = ["SharedSource", "SharedWriter"]

POLL_S = 1e-3  # shared memory wakes nobody; this is the age that a frame may gain
LOOK_AT_WRITER_S = 0.25


class SharedSource(FrameSource):
    """The newest frame in shared memory, whenever there is a newer one; those missed between use up their numbers.

    Args:
        name: what the user typed.
        place: the name of the shared memory, without folder.
        options: timeouts; the frames' form is the writer's.
        folder: where shared memory is.
    Raises:
        SourceError: there is none, or it is not laid out as ``shared_ring`` says.
    """

    is_live, length = True, None

    def __init__(self, name: str, place: str, options: SourceOptions, *, folder: Path = SHARED_FOLDER) -> None:
        self.name, self.fps = name, options.fps or DEFAULT_FPS
        self._options, self._closed = options, threading.Event()
        self._reader = SharedReader(place, folder=folder)
        self._writer, self._is_iterated = self._reader.writer, False

    def __iter__(self) -> Iterator[Frame]:
        self._is_iterated = True
        try:
            yield from self._frames()
        finally:
            self._reader.close()

    def _frames(self) -> Iterator[Frame]:
        given, last_s = 0, time.monotonic()
        while not self._closed.is_set():
            picture = self._reader.newest()
            self._check_same(given)
            if picture is None:
                self._check_writer(given, last_s)
                self._closed.wait(POLL_S)
                continue
            given += 1
            yield self._frame(picture)
            last_s = time.monotonic()  # a reader that was busy elsewhere is no silence of the writer

    def close(self) -> None:
        """A read in another thread ends by itself, and lets go of the memory."""
        self._closed.set()
        if not self._is_iterated:
            self._reader.close()

    def _frame(self, shared: SharedPicture) -> Frame:
        if shared.form not in PIXEL_FORMATS:
            raise SourceError(
                f"{self.name} holds {shared.form!r}, no frame of a pixel format",
                f"known are {', '.join(PIXEL_FORMATS)}",
            )
        form = FrameForm(
            pixel_format=shared.form,
            colour_matrix=shared.colour_matrix,
            is_full_range=shared.is_full_range,
        )
        try:
            picture = picture_view(shared.data, form.pixel_format, size_wh=shared.size_wh, pitch=shared.pitch)
        except ShapeError as error:
            raise SourceError(f"{self.name} holds a frame that is none ({error.what})", error.hint) from error
        return Frame(
            picture=picture,
            form=form,
            sequence=shared.sequence,
            arrived_s=time.perf_counter(),
            captured_s=shared.captured_s,
            name=f"{shared.sequence:06d}",
        )

    def _check_same(self, given: int) -> None:
        """Another writer counts anew, so its frames are another source's."""
        if self._reader.writer != self._writer:
            raise self._stopped(given, "its writer began anew")

    def _check_writer(self, given: int, last_s: float) -> None:
        silent_s = time.monotonic() - last_s
        if silent_s > self._options.read_timeout_s:
            raise self._stopped(given, f"nothing came for {self._options.read_timeout_s:g} s")
        why = self._reader.why_silent if silent_s > LOOK_AT_WRITER_S else None
        if why:
            raise self._stopped(given, why)

    def _stopped(self, given: int, why: str) -> SourceError:
        return SourceError(f"{self.name} stopped after {given} frames ({why})", "check what writes the frames")
