"""Own what tests of the live view share: pictures with known masks, messages taken apart, a feed."""

from __future__ import annotations

import itertools
import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.latency import summarise
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.live import LiveHooks, LiveOptions, LiveView
from edgeseg.runtime.loop.snapshot import SinkSnapshot, Snapshot, SourceSnapshot
from edgeseg.spec import ClassSpec, LabelSpec

TOKEN = "a token of the tests"
CLASSES = (("ground", (200, 40, 40)), ("<b>sky</b>", (40, 40, 200)), ("never", (40, 200, 40)))
LABELS = LabelSpec(classes=tuple(ClassSpec(name=name, colour=colour) for name, colour in CLASSES))
SIZE_HW = (48, 64)


@dataclass(frozen=True)
class Shown:
    """A message with a picture, taken apart."""

    header: dict[str, Any]
    picture: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def take_apart(message: bytes) -> Shown:
    """What a browser does with a message."""
    end = 4 + int.from_bytes(message[:4], "little")
    header = json.loads(message[4:end])
    split = end + header["jpeg_bytes"]
    picture = cv2.imdecode(np.frombuffer(message[end:split], np.uint8), cv2.IMREAD_COLOR)
    width, height = header["picture_wh"]
    rows = np.frombuffer(zlib.decompress(message[split:]), np.uint8).reshape(height, width)
    return Shown(header, picture, np.bitwise_xor.accumulate(rows, axis=0))


def frame_of(sequence: int, *, source: int = 0, size_hw: tuple[int, int] = SIZE_HW) -> Frame:
    """A grey picture, another for each sequence number."""
    picture = np.full((*size_hw, 3), 40 + 40 * sequence % 160, np.uint8)
    return Frame(picture=picture, sequence=sequence, arrived_s=0.0, name=str(sequence), source=source)


def mask_of(size_hw: tuple[int, int] = SIZE_HW) -> NDArray[np.uint8]:
    """A quarter sky (above), three quarters ground."""
    mask = np.zeros(size_hw, np.uint8)
    mask[: size_hw[0] // 4] = 1
    return mask


def state_of(masks: int = 0) -> dict[str, object]:
    """What a loop tells of itself: two sources with half of the masks each, one sink."""
    counts = {"frames_in": masks // 2 + 6, "masks": masks // 2, "dropped": 3, "stale": 2, "corrupt": 1, "in_flight": 0}
    rest = {"is_live": True, "stalls": 1, "abandoned": 0, "mask_age_ms": 9.0}
    good = SourceSnapshot(
        name="v4l2:///dev/video0", standing="running", reconnects=4, frame_age_s=0.02, error="", **counts, **rest
    )
    bad = SourceSnapshot(
        name="rtsp://cam",
        standing="waiting",
        reconnects=0,
        frame_age_s=None,
        error="<i>no answer</i>",
        **counts,
        **rest,
    )
    sink = SinkSnapshot(name="out.mp4", standing="open", written=masks, queued=2, dropped=7, busy_s=0.0, error="")
    return vars(
        Snapshot(
            engine="net.engine",
            uptime_s=masks / 10,
            sources=(good, bad),
            sinks=(sink,),
            reloads=5,
            reload_failures=0,
            stages={"engine": summarise(np.array([5.0, 6.0]))},
            mask_age_s=0.5,
        )
    )


@contextmanager
def live_view(hooks: LiveHooks = LiveHooks(), **options: Any) -> Iterator[LiveView]:  # noqa: B008
    """A live view on a free port whose clock lets every picture be due."""
    with_port = {"port": 0, "state_every_s": 0.05, **options}
    view = LiveView(
        LABELS, title="lab", options=LiveOptions(**with_port), hooks=hooks, clock=itertools.count().__next__
    )
    try:
        yield view
    finally:
        view.close()


@contextmanager
def feed(view: LiveView, *, period_s: float = 0.04, source: int = 0) -> Iterator[None]:
    """Frames written by a thread of its own."""
    is_over = threading.Event()

    def write() -> None:
        for sequence in itertools.count():
            if is_over.wait(period_s):
                return
            view.write(frame_of(sequence, source=source), mask_of())

    thread = threading.Thread(target=write, name="feed")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
