"""The loop with nothing faked: OpenVINO, files, a server, sinks."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from loop_lab import Keeper

from edgeseg import Session
from edgeseg.errors import SourceError
from edgeseg.imaging.images import read_label
from edgeseg.runtime.loop import LoopOptions, Opening, run_sources
from edgeseg.runtime.sinks import MaskFolder, open_sink
from edgeseg.runtime.sources import open_source
from edgeseg.runtime.sources.addresses import is_live_address


def opening_of(address: str) -> Opening:
    return Opening(name=address, is_live=is_live_address(address), open=lambda: open_source(address))


def test_masks_of_the_loop_equal_those_of_segment(chain: Any, tmp_path: Path) -> None:
    run_sources(lambda: Session(chain.fp32, depth=2), [opening_of(str(chain.images))], [MaskFolder(tmp_path)])
    with Session(chain.fp32) as session:
        for path in sorted(chain.images.iterdir()):
            np.testing.assert_array_equal(read_label(tmp_path / path.name), session.segment(cv2.imread(str(path))))


def test_an_overlay_video_holds_every_frame_at_the_sources_rate(chain: Any, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "overlay.mp4"
    with Session(chain.fp32) as session, open_source(str(clip)) as source:
        sink = open_sink(str(path), session.spec.model.labels, fps=source.fps)
    run_sources(lambda: Session(chain.fp32), [opening_of(str(clip))], [sink])
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(30.0)
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 40


def test_the_end_of_a_stream_over_http_is_told_behind_its_masks(chain: Any, clip: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(clip.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        sink, address = Keeper(), f"http://127.0.0.1:{server.server_port}/{clip.name}"
        assert is_live_address(address)
        options = LoopOptions(policy="all", reconnect=False, sink_queued=40)
        with pytest.raises(SourceError, match="stopped after 40 frames"):
            run_sources(lambda: Session(chain.fp32), [opening_of(address)], [sink], options)
        assert [sequence for _, sequence, _ in sink.taken] == list(range(40))
    finally:
        server.shutdown()
        server.server_close()
