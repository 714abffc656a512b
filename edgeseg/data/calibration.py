"""Own the frames that calibration feeds: which, in what order, and their hash. Pre-process nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from edgeseg.data.bad_files import BadFiles, Skipped, file_digests
from edgeseg.data.frame_files import VideoFile, open_frames
from edgeseg.errors import DataError
from edgeseg.files import sha256_of
from edgeseg.imaging.preprocess import Frame

__all__ = ["CalibrationSet"]


class CalibrationSet:
    """Frames from a folder of images, a list of images or a video; read one by one, anew at every iteration.

    ``len()`` is the number of frames that will be asked for. For a video it is the container's own count divided by
    ``every`` (counted by decoding where the container tells none). A damaged file may hold fewer: iterating then ends
    early, ``skipped`` says so, and ``len()`` is from then on what was read.

    Args:
        source: a folder of images, taken by name, or with a ``calibration`` subfolder that is taken instead; a text
            list (.txt, .lst) with one image path a line, relative to the list's folder, blank lines and lines of
            ``#`` passed over; or a video file.
        every: take every n-th frame, the first included.
        skip_bad: pass over images that cannot be read, listed ones that are missing included.
    Raises:
        DataError: no such source, no frame in it, a video that does not open, or ``every`` below 1.
    """

    def __init__(self, source: Path, *, every: int = 1, skip_bad: bool = False) -> None:
        if every < 1:
            raise DataError(f"every {every} is below 1", "give 1 for all frames, 10 for every tenth")
        self.source, self.every, self.skip_bad = source, every, skip_bad
        self._frames = open_frames(source, every)
        #: files passed over, with the reason, in the last iteration that came to its end
        self.skipped: tuple[Skipped, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The image files in their order; none for a video."""
        return () if isinstance(self._frames, VideoFile) else self._frames.files

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        """Frames, uint8 (H, W, 3) BGR, one after another, each owned by the caller.

        Raises:
            DataError: an image cannot be read (named, with its place), or with ``skip_bad`` not one can.
        """
        bad = BadFiles(self._frames.kind, len(self._frames), skip_bad=self.skip_bad)
        used = 0
        for frame in self._frames.read(bad):
            used += 1
            yield frame
        bad.check_any(used, self.source)
        self.skipped = tuple(bad.skipped)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of what is fed: the files' bytes in their order, and ``every``; their names do not count.

        Files are read in pieces, at the first use. Those that cannot be read are not fed and do not count.

        Raises:
            DataError: a file cannot be read, without ``skip_bad``.
        """
        return sha256_of("\n".join([self._frames.kind, str(self.every), *self._digests]).encode())

    @property
    def files_sha256(self) -> frozenset[str]:
        """Hex digest of every image file, to compare with ``LabelledSet.images_sha256``; empty for a video.

        Raises:
            DataError: a file cannot be read, without ``skip_bad``.
        """
        return frozenset(self._digests) if self.paths else frozenset()

    @cached_property
    def _digests(self) -> tuple[str, ...]:
        found = file_digests(self.source, self._frames.files, "file", skip_bad=self.skip_bad)
        return tuple(digest for _, digest in found)
