from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeseg import Session
from edgeseg.errors import OutputError, ShapeError, SourceError
from edgeseg.imaging.images import read_label
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import run_loop
from edgeseg.runtime.sinks import MaskFolder, MaskSink, OverlayVideo, open_sink, open_sinks
from edgeseg.runtime.sources import FrameSource, ImageFolder, VideoSource, open_source


def frame_of(size_hw: tuple[int, int], sequence: int) -> Frame:
    picture = np.full((*size_hw, 3), sequence % 256, np.uint8)
    return Frame(picture=picture, sequence=sequence, arrived_s=0.0, name=str(sequence))


class Recorder(MaskSink):
    """A sink that remembers what it was given, and may fail or wait."""

    name = "recorder"

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.sequences: list[int] = []
        self.ended = ""
        self._fails_at = fails_at

    def write(self, frame: Frame, mask: np.ndarray) -> None:
        if frame.sequence == self._fails_at:
            raise OutputError("recorder is full", "empty it")
        self.sequences.append(frame.sequence)

    def close(self) -> None:
        self.ended = "closed"

    def abandon(self) -> None:
        self.ended = "abandoned"


class Live(FrameSource):
    """Frames that come whether they are taken or not; ends itself without an error."""

    name, is_live, fps, length = "live", True, 30.0, None

    def __init__(self, count: int) -> None:
        self._count = count
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        for sequence in range(self._count):
            yield Frame(
                picture=np.full((9, 16, 3), sequence % 256, np.uint8),
                sequence=sequence,
                arrived_s=0.0,
                name=str(sequence),
            )

    def close(self) -> None:
        self.closed.set()


def test_every_frame_of_a_video_gets_its_mask_in_order(chain: Any, clip: Path) -> None:
    sink = Recorder()
    counted: list[int] = []
    with Session(chain.fp32) as session:
        stats = run_loop(session, open_source(str(clip)), [sink], policy="all", on_mask=counted.append)
    assert sink.sequences == list(range(40))
    assert counted == list(range(1, 41))
    assert (stats.frames, stats.dropped, sink.ended) == (40, 0, "closed")
    assert stats.stages["arrival-to-mask"].count == 40


def test_the_latest_policy_counts_what_it_drops_and_keeps_the_order(chain: Any) -> None:
    sink, source = Recorder(), Live(400)
    with Session(chain.fp32, depth=1) as session:
        stats = run_loop(session, source, [sink], policy="latest")
    assert stats.frames + stats.dropped == 400
    assert sink.sequences == sorted(sink.sequences)
    assert sink.sequences[-1] == 399
    assert source.closed.is_set()


def test_masks_of_the_loop_equal_those_of_segment(chain: Any, tmp_path: Path) -> None:
    with Session(chain.fp32) as session:
        run_loop(session, ImageFolder(chain.images), [MaskFolder(tmp_path)], policy="all")
    with Session(chain.fp32) as session:
        for path in sorted(chain.images.iterdir()):
            np.testing.assert_array_equal(read_label(tmp_path / path.name), session.segment(cv2.imread(str(path))))


def test_a_sink_that_fails_ends_the_loop_and_abandons_every_sink(chain: Any, clip: Path) -> None:
    failing, other = Recorder(fails_at=5), Recorder()
    with Session(chain.fp32) as session, pytest.raises(OutputError, match="recorder is full"):
        run_loop(session, open_source(str(clip)), [other, failing], policy="all")
    assert (failing.ended, other.ended) == ("abandoned", "abandoned")
    assert failing.sequences == list(range(5))


def test_a_source_that_fails_leaves_whole_sinks_with_all_it_gave(chain: Any) -> None:
    class Broken(Live):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            raise SourceError("the cable was pulled", "push it in")

    sink = Recorder()
    with Session(chain.fp32) as session, pytest.raises(SourceError, match="cable"):
        run_loop(session, Broken(7), [sink], policy="all")
    assert (sink.sequences, sink.ended) == (list(range(7)), "closed")


def test_an_overlay_video_holds_every_frame_at_the_sources_rate(chain: Any, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "overlay.mp4"
    source = open_source(str(clip))
    with Session(chain.fp32) as session:
        run_loop(session, source, [open_sink(str(path), session.spec.model.labels, fps=source.fps)], policy="all")
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(30.0)
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 40


def test_an_overlay_video_takes_odd_sizes_and_refuses_a_change_of_size(chain: Any, tmp_path: Path) -> None:
    with Session(chain.fp32) as session:
        labels = session.spec.model.labels
    sink = OverlayVideo(tmp_path / "odd.mp4", labels, fps=25)
    sink.write(
        frame_of((33, 47), 0),
        np.zeros((33, 47), np.uint8),
    )
    with pytest.raises(ShapeError, match="folder"):
        sink.write(
            frame_of((44, 44), 1),
            np.zeros((44, 44), np.uint8),
        )
    sink.close()
    sink.close()
    sink.abandon()
    assert cv2.VideoCapture(str(tmp_path / "odd.mp4")).read()[1].shape == (34, 48, 3)


def test_an_abandoned_or_empty_overlay_video_leaves_nothing(chain: Any, tmp_path: Path) -> None:
    with Session(chain.fp32) as session:
        labels = session.spec.model.labels
    started = OverlayVideo(tmp_path / "a.mp4", labels, fps=25)
    started.write(
        frame_of((32, 32), 0),
        np.zeros((32, 32), np.uint8),
    )
    started.abandon()
    OverlayVideo(tmp_path / "b.mp4", labels, fps=25).close()
    assert list(tmp_path.iterdir()) == []


def test_none_is_no_sink_and_open_sinks_are_abandoned_unless_closed(chain: Any, tmp_path: Path) -> None:
    with Session(chain.fp32) as session:
        labels = session.spec.model.labels
    with open_sinks(["none", str(tmp_path / "a.mp4")], labels, fps=25) as opened:
        assert [sink.name for sink in opened] == [str(tmp_path / "a.mp4")]
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_video_knows_its_length_and_rate(clip: Path) -> None:
    with open_source(str(clip)) as source:
        assert isinstance(source, VideoSource)
        assert (source.length, source.fps, source.is_live) == (40, pytest.approx(30.0), False)
        numbers = [(frame.sequence, frame.name) for frame in source]
    assert numbers == [(i, f"{i:06d}") for i in range(40)]


def test_a_stream_over_http_is_a_live_source(chain: Any, clip: Path) -> None:
    """Served by a real server on this machine; the stream's end is told as such."""
    import functools
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(clip.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        sink = Recorder()
        source = open_source(f"http://127.0.0.1:{server.server_port}/{clip.name}")
        assert source.is_live
        with Session(chain.fp32) as session, pytest.raises(SourceError, match="stopped after 40 frames"):
            run_loop(session, source, [sink], policy="all")
        assert sink.sequences == list(range(40))
    finally:
        server.shutdown()
        server.server_close()
