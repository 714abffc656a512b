"""Own which sink a user's words mean, and that none is left open. Write nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeseg.errors import OutputError
from edgeseg.runtime.sinks.base import MaskSink
from edgeseg.runtime.sinks.folder import MaskFolder
from edgeseg.runtime.sinks.video import VIDEO_SUFFIXES, OverlayVideo
from edgeseg.spec import LabelSpec

__all__ = ["open_sink", "open_sinks"]

NO_SINK = "none"


@contextlib.contextmanager
def open_sinks(names: Sequence[str], labels: LabelSpec, *, fps: float, alpha: float = 0.5) -> Iterator[list[MaskSink]]:
    """Open every sink that is named, ``none`` being none; those that are not closed by the end are abandoned.

    Raises:
        OutputError, MissingPackageError: as ``open_sink``; the sinks before it leave nothing.
    """
    with contextlib.ExitStack() as stack:
        opened: list[MaskSink] = []
        for name in names:
            if name != NO_SINK:
                opened.append(open_sink(name, labels, fps=fps, alpha=alpha))
                stack.callback(opened[-1].abandon)
        yield opened


def open_sink(name: str, labels: LabelSpec, *, fps: float, alpha: float = 0.5) -> MaskSink:
    """Open what a user calls a sink: ``overlay.mp4`` is a video, a name without suffix a folder of masks.

    Raises:
        OutputError: it cannot be written, or the suffix means nothing.
        MissingPackageError: a video without the ``video`` extra.
    """
    path = Path(name)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return OverlayVideo(path, labels, fps=fps, alpha=alpha)
    if path.suffix and not path.is_dir():
        raise OutputError(
            f"{name} has the unknown ending {path.suffix}", f"end it with {' '.join(VIDEO_SUFFIXES)}, or name a folder"
        )
    return MaskFolder(path)
