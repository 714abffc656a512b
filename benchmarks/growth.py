"""Own how cost grows: with frames, classes, resolution and cameras; a series of points each, and the law through them.

    python -m benchmarks.growth

Nets are of four layers and random weights (small_nets.py), frames are synthetic. The points of a series take turns, so
that a machine that slows down bends no series; a point is the median of its rounds. After timing the last frame's mask
is held against the first one's, and the masks of all cameras are counted.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.rounds import IS_QUICK, described, write
from benchmarks.series import Costs, series
from benchmarks.small_nets import STRIDE, small_engine
from edgeseg import Session
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.runtime.loop import Opening, run_sources
from edgeseg.runtime.sources import SourceOptions
from edgeseg.runtime.sources.synthetic import BARS_BGR, SyntheticSource
from edgeseg.spec import HeadSpec

__all__ = ["main"]

WORK = Path(__file__).parents[1] / "build" / "bench"
THREADS = len(os.sched_getaffinity(0))
FRAMES = (10, 30, 100) if IS_QUICK else (10, 30, 100, 300, 1000, 3000)
CLASSES = (2, 5, 19) if IS_QUICK else (2, 5, 19, 50, 100, 150)
SIZES_HW = ((256, 512), (512, 1024), (1024, 2048), (2160, 3840))
CAMERAS = (1, 2, 4) if IS_QUICK else (1, 2, 4, 8)
CAMERA_FRAMES, CAMERA_WARM_UP = 64 if IS_QUICK else 320, 16  # of all cameras together
NET_HW, CAMERA_HW, LOGITS_HW = (256, 512), (1080, 1920), (64, 128)

Picture = NDArray[np.uint8]


def bars(size_hw: tuple[int, int]) -> Picture:
    """A colour test picture."""
    return np.asarray(cv2.resize(BARS_BGR[None], size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def by_frames() -> dict[str, Any]:
    """One session, so many frames one after the other: what builds up shows here."""
    frame = bars(NET_HW)
    with Session(small_engine(WORK, classes=19, size_hw=NET_HW), depth=1, threads=THREADS) as session:
        expected = session.segment(frame)
        mask = np.empty_like(expected)

        def run(frames: int) -> Costs:
            start_s = time.perf_counter()
            for _ in range(frames):
                session.segment(frame, out=mask)
            return {"wall time": (time.perf_counter() - start_s) * 1e3}

        run(10)
        told = series("frames", "ms", {count: partial(run, count) for count in FRAMES}, rounds=2)
        if not np.array_equal(mask, expected):
            raise SystemExit("the last frame's mask is not the first one's")
    return told


def stages_of(session: Session, frame: Picture, mask: Picture, calls: int) -> Costs:
    """Medians of the stages of some frames."""
    session.segment(frame, out=mask)
    session.latency.clear()
    for _ in range(calls):
        session.segment(frame, out=mask)
    return {stage: one.p50_ms for stage, one in session.latency.stats().items() if stage in ("pre", "engine", "post")}


def by_classes_alone() -> dict[str, Any]:
    """Scores at 64x128 to a mask of 1080x1920: wide regions as a trained net gives them, and noise."""
    rng, mask = np.random.default_rng(0), np.empty(CAMERA_HW, np.uint8)
    points: dict[float, Callable[[], Costs]] = {}
    for classes in CLASSES:
        head = HeadSpec(output="logits", channels=classes, size_hw=LOGITS_HW, decision="argmax")
        coarse = rng.normal(0, 6, (classes, 5, 9)).astype(np.float32)
        smooth = [cv2.resize(plane, LOGITS_HW[::-1], interpolation=cv2.INTER_CUBIC) for plane in coarse]
        given = {
            "post, wide regions": np.stack(smooth)[None].astype(np.float32),
            "post, noise": rng.normal(0, 1, (1, classes, *LOGITS_HW)).astype(np.float32),
        }
        points[classes] = partial(mask_costs, MaskMaker(head, threads=THREADS), given, mask)
    return series("classes", "ms", points)


def mask_costs(maker: MaskMaker, given: Mapping[str, NDArray[np.float32]], mask: Picture) -> Costs:
    """Of each kind of scores."""
    return {kind: timed_ms(partial(maker.mask, one, size_hw=CAMERA_HW, out=mask)) for kind, one in given.items()}


def timed_ms(run: Callable[[], Any], calls: int = 7) -> float:
    """Median of some calls after one that is not timed."""
    run()
    times = []
    for _ in range(calls):
        start_s = time.perf_counter()
        run()
        times.append((time.perf_counter() - start_s) * 1e3)
    return statistics.median(times)


def by_classes_of_a_net() -> dict[str, Any]:
    """A whole frame of 256x512 through a net whose head has so many channels."""
    frame, mask = bars(NET_HW), np.empty(NET_HW, np.uint8)
    with ExitStack() as stack:
        points: dict[float, Callable[[], Costs]] = {}
        for classes in CLASSES:
            engine = small_engine(WORK, classes=classes, size_hw=NET_HW)
            session = stack.enter_context(Session(engine, depth=1, threads=THREADS))
            points[classes] = partial(stages_of, session, frame, mask, 15)
        told = series("classes", "ms", points)
        del told["laws"]["pre"]  # knows nothing of classes
    for point in told["points"]:
        del point["costs"]["pre"]
    return told


def by_resolution() -> dict[str, Any]:
    """Frame, input and mask of one size, scores at an eighth of it, 19 classes."""
    with ExitStack() as stack:
        points: dict[float, Callable[[], Costs]] = {}
        for size_hw in SIZES_HW:
            engine = small_engine(WORK, classes=19, size_hw=size_hw)
            session = stack.enter_context(Session(engine, depth=1, threads=THREADS))
            given = bars(size_hw), np.empty(size_hw, np.uint8), 3 if size_hw[0] > 1024 else 9
            points[size_hw[0] * size_hw[1]] = partial(stages_of, session, *given)
        told = series("pixels", "ms", points)
    for point, (height, width) in zip(told["points"], SIZES_HW, strict=True):
        point["label"] = f"{height}x{width}"
    return told


def by_cameras() -> dict[str, Any]:
    """So many synthetic cameras in one session, as fast as they are taken, and as many frames in all each time."""
    engine = small_engine(WORK, classes=19, size_hw=NET_HW)

    def run(cameras: int) -> Costs:
        openings, at_s = [camera(index, CAMERA_FRAMES // cameras) for index in range(cameras)], []

        def on_mask(_masks: int) -> None:
            at_s.append((time.perf_counter(), time.process_time()))

        run_sources(lambda: session_of(engine), openings, [], on_mask=on_mask)
        if len(at_s) != CAMERA_FRAMES:
            raise SystemExit(f"{cameras} cameras: {len(at_s)} masks of {CAMERA_FRAMES} frames")
        (wall_s, cpu_s), frames = np.subtract(at_s[-1], at_s[CAMERA_WARM_UP]), len(at_s) - 1 - CAMERA_WARM_UP
        return {"wall time a frame": wall_s * 1e3 / frames, "CPU time a frame": cpu_s * 1e3 / frames}

    run(1)
    return series("cameras", "ms", {count: partial(run, count) for count in CAMERAS})


def camera(index: int, frames: int) -> Opening:
    """A synthetic one that gives frames as fast as they are taken."""
    options = SourceOptions(size_wh=(640, 480))
    return Opening(
        name=f"camera {index}", is_live=False, open=lambda: SyntheticSource("camera", options, frames=frames)
    )


def session_of(engine: Path) -> Session:
    """Two frames in flight, as a loop has by itself."""
    return Session(engine, threads=THREADS)


def main() -> None:
    """Measure every series, and write the JSON."""
    report = described("openvino", "numpy") | {"threads": THREADS, "stride": STRIDE}
    report["series"] = {
        "Frames": by_frames(),
        "Classes, post-processing alone": by_classes_alone(),
        "Classes, a net's head": by_classes_of_a_net(),
        "Resolution": by_resolution(),
        "Cameras in one session": by_cameras(),
    }
    print(write("growth", report))  # noqa: T201  # the run's own result


if __name__ == "__main__":
    main()
