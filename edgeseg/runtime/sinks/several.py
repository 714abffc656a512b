"""Own which sinks a run has: one for all its sources, or one for each. Know no sink's inside, write nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeseg.errors import OptionsError
from edgeseg.runtime.sinks.base import MaskSink
from edgeseg.runtime.sinks.opening import DISPLAYS, FUNCTION, open_sink
from edgeseg.runtime.sinks.options import PLAIN, SinkOptions
from edgeseg.runtime.sinks.places import check_places
from edgeseg.runtime.sinks.records import RECORD_SUFFIX
from edgeseg.runtime.sinks.rtsp import RTSP_SCHEME
from edgeseg.runtime.sinks.video_file import VIDEO_SUFFIXES
from edgeseg.spec import LabelSpec

__all__ = ["SOURCE_WORD", "Feed", "check_sinks", "open_sinks"]

#: stands for a source's number in the name of a sink
SOURCE_WORD = "{source}"
NO_SINK = "none"


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A source as its sinks see it: frames a second, and whether it goes on without a reader."""

    fps: float
    is_live: bool


def check_sinks(names: Sequence[str], *, sources: int, read: Sequence[Path] = (), options: SinkOptions = PLAIN) -> None:
    """See that sinks can take what so many sources give, and do what is asked of them; opens none.

    Args:
        names: as ``open_sink`` takes them, with ``{source}`` or without.
        sources: how many there are.
        read: files and folders that they read.
        options: what is asked of the sinks.
    Raises:
        OptionsError: a sink for all of several sources can carry one alone, none has files to begin anew, or two would
            write to one place, or one over a source.
    """
    if options.has_parts and not any(_is_recording(name) for name in names):
        raise OptionsError(
            "a recording is to be cut into files, and no sink is one", "name overlay.mp4 or masks.jsonl, for example"
        )
    for name in names:
        if sources > 1 and SOURCE_WORD not in name and not _carries_several(name):
            raise OptionsError(f"{name} can take the masks of one source, and there are {sources}", _remedy(name))
    written = [name for name in names if name != NO_SINK]
    check_places((own for name in written for own in _own_names(name, sources)), read)


@contextlib.contextmanager
def open_sinks(
    names: Sequence[str],
    labels: LabelSpec,
    feeds: Sequence[Feed],
    *,
    alpha: float = 0.5,
    options: SinkOptions = PLAIN,
) -> Iterator[list[MaskSink]]:
    """Open every sink that is named, ``none`` being none; those that are not closed by the end are abandoned.

    A name with ``{source}`` is opened once for each source, its number in place of that, at that source's rate and live
    where that source is; the sink's ``source`` says which. One without is live where any source is.

    Args:
        names: as ``open_sink`` takes them.
        labels, alpha: of all.
        feeds: the sources, in their order.
        options: of all, but for ``is_live``, which the sources say.
    Raises:
        OptionsError: as ``check_sinks``.
        OutputError, MissingPackageError: as ``open_sink``; the sinks before it leave nothing.
    """
    check_sinks(names, sources=len(feeds), options=options)
    whole = Feed(fps=feeds[0].fps, is_live=any(feed.is_live for feed in feeds))
    with contextlib.ExitStack() as stack:
        opened: list[MaskSink] = []
        for name in names:
            for own, feed, source in _takers(name, feeds, whole):
                live = replace(options, is_live=feed.is_live)
                opened.append(open_sink(own, labels, fps=feed.fps, alpha=alpha, options=live))
                stack.callback(opened[-1].abandon)
                opened[-1].source = source
        yield opened


def _takers(name: str, feeds: Sequence[Feed], whole: Feed) -> list[tuple[str, Feed, int | None]]:
    """What is opened for a name: a sink's own name, what it is fed with, and by which source; None for all."""
    if name == NO_SINK:
        return []
    if SOURCE_WORD not in name:
        return [(name, whole, None)]
    return [(own, feeds[index], index) for index, own in enumerate(_own_names(name, len(feeds)))]


def _own_names(name: str, sources: int) -> list[str]:
    """Of the sinks that are opened for a name."""
    return [name.replace(SOURCE_WORD, str(index)) for index in range(sources)] if SOURCE_WORD in name else [name]


def _carries_several(name: str) -> bool:
    """Whether what a sink is given says of every frame which source it is from."""
    return name == NO_SINK or name.startswith(FUNCTION) or Path(name).suffix.lower() == RECORD_SUFFIX


def _is_recording(name: str) -> bool:
    return "://" not in name and Path(name).suffix.lower() in (*VIDEO_SUFFIXES, RECORD_SUFFIX)


def _remedy(name: str) -> str:
    if name in DISPLAYS:
        return "leave it out and look at all of them in a browser, with --serve"
    if name.startswith(RTSP_SCHEME):
        return f"give each a port of its own, {RTSP_SCHEME}:855{SOURCE_WORD}/live"
    suffix = Path(name).suffix
    return f"write {name.removesuffix(suffix)}-{SOURCE_WORD}{suffix} for one of each"
