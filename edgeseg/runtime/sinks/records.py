"""Own masks as lines of JSON, one object a frame, classes in COCO's run lengths. Draw nothing."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.errors import OutputError
from edgeseg.files import atomic_path, output_errors
from edgeseg.imaging.postprocess import Mask
from edgeseg.imaging.rle import ClassRuns, class_runs, compressed_counts
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sinks.base import MaskSink
from edgeseg.runtime.sinks.options import PLAIN, SinkOptions
from edgeseg.runtime.sinks.parts import PartNames
from edgeseg.spec import LabelSpec

__all__ = ["RECORD_SUFFIX", "MaskRecords"]

RECORD_SUFFIX = ".jsonl"
SYNC_S = 5.0  # what a power cut loses


class MaskRecords(MaskSink):
    """JSON lines. A file's appear when they are whole; of live frames a killed process leaves whole lines.

    Each is ``{"source", "sequence", "name", "time_s", "captured_s", "arrived_s", "size": [height, width], "classes":
    [{"category_id", "name", "area", "bbox": [x, y, width, height], "segmentation": {"size", "counts"}}]}``: what
    pycocotools takes. ``time_s`` is Unix time, the others are of the process's own clock. Pixels of no class, and
    classes without pixels, are in no entry.

    Args:
        path: the first file.
        labels: the names of the classes.
        options: live or not, and when to begin another file.
        clock: the clock of the frames.
        unix_clock: the time of the day.
    """

    def __init__(
        self,
        path: Path,
        labels: LabelSpec,
        *,
        options: SinkOptions = PLAIN,
        clock: Callable[[], float] = time.perf_counter,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = str(path)
        self._names = PartNames(path, options)
        self._classes = [one.name for one in labels.classes]
        self._options, self._clock, self._unix_clock = options, clock, unix_clock
        self._began_s = 0.0
        self._file: LineFile | None = self._next_file()

    def write(self, frame: Frame, mask: Mask) -> None:
        line = msgspec.json.encode(self._record(frame, mask)) + b"\n"
        taken_s = _taken_s(frame)
        file = self._file_for(taken_s)
        if not file.lines:
            self._began_s = taken_s
        file.add(line)
        if file.lines == 1:
            self._names.delete_old()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.finish()

    def abandon(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.leave()

    def _record(self, frame: Frame, mask: Mask) -> dict[str, Any]:
        size_hw = (mask.shape[0], mask.shape[1])
        return {
            "source": frame.source,
            "sequence": frame.sequence,
            "name": frame.name,
            "time_s": round(self._unix_clock() - (self._clock() - _taken_s(frame)), 6),
            "captured_s": frame.captured_s,
            "arrived_s": frame.arrived_s,
            "size": size_hw,
            "classes": [self._class(one, size_hw) for one in class_runs(mask) if one.label < len(self._classes)],
        }

    def _class(self, one: ClassRuns, size_hw: tuple[int, int]) -> dict[str, Any]:
        return {
            "category_id": one.label,
            "name": self._classes[one.label],
            "area": one.area,
            "bbox": one.bbox_xywh,
            "segmentation": {"size": size_hw, "counts": compressed_counts(one.counts)},
        }

    def _file_for(self, taken_s: float) -> LineFile:
        file = self._file
        if file is not None and file.lines:
            if not self._options.ends_part(seconds=taken_s - self._began_s, written_bytes=file.written_bytes):
                return file
            self._file = None
            file.finish()
            file = None
        self._file = file = file or self._next_file()
        return file

    def _next_file(self) -> LineFile:
        return LineFile(self._names.take(), is_growing=self._options.is_live, clock=self._clock)


class LineFile:
    """A file of lines: each is there whole, or not at all.

    Args:
        path: must not exist where ``is_growing``, is replaced by the whole file where not.
        is_growing: under its own name from the first line on.
        clock: what syncs go by.
    """

    def __init__(self, path: Path, *, is_growing: bool, clock: Callable[[], float]) -> None:
        self.lines = self.written_bytes = 0
        self._path, self._is_growing, self._clock = path, is_growing, clock
        self._stack = contextlib.ExitStack()
        target = path if is_growing else self._stack.enter_context(atomic_path(path))
        with output_errors(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._file = target.open("xb" if is_growing else "wb", buffering=0)
        self._synced_s = clock()

    def add(self, line: bytes) -> None:
        """Write one line.

        Raises:
            OutputError: it does not fit; the lines before it stay.
        """
        with output_errors(self._path):
            try:
                self._write(line)
            except OSError:
                self._file.truncate(self.written_bytes)
                self._file.seek(self.written_bytes)
                raise
            if self._is_growing and self._clock() - self._synced_s >= SYNC_S:
                os.fdatasync(self._file.fileno())
                self._synced_s = self._clock()
        self.lines += 1
        self.written_bytes += len(line)

    def finish(self) -> None:
        """All of it is on disk; a growing file without a line is removed."""
        if self._is_growing and not self.lines:
            self.leave()
            return
        try:
            with output_errors(self._path):
                os.fsync(self._file.fileno())
                self._file.close()
            self._stack.close()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Give up: a growing file keeps its lines, another is removed."""
        self._file.close()
        given_up = OutputError(f"{self._path} was given up")
        with contextlib.suppress(OutputError):
            self._stack.__exit__(type(given_up), given_up, None)
        if self._is_growing and not self.lines:
            self._path.unlink(missing_ok=True)

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        while left:  # a raw file may take a part: it says why at the next call
            left = left[self._file.write(left) :]


def _taken_s(frame: Frame) -> float:
    return frame.arrived_s if frame.captured_s is None else frame.captured_s
