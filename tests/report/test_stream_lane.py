"""The scope end-to-end: the loop on sources of known pace, with engines of known delay."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeseg.errors import OptionsError, SourceError
from edgeseg.imaging.images import write_png
from edgeseg.report.benchmark import run_benchmark
from edgeseg.report.cameras import PacedSource, RepeatedFrames, RepeatedSource, stream_opening
from edgeseg.report.frames import FrameSet, load_frames
from edgeseg.report.record import Measurement, Settings
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import Opening
from edgeseg.runtime.sources import FrameSource

QUICK = {"warm_up_ms": 0.0, "duration_s": 0.2, "iterations": 10, "rounds": 2}


def stream_of(engines: list[Path], frames: FrameSet, **settings: object) -> Measurement:
    (one,) = run_benchmark(engines[:1], frames, Settings(scopes=("end-to-end",), **{**QUICK, **settings})).measurements
    return one


def test_every_mask_of_a_stream_has_all_stages(engines: list[Path], frames: FrameSet) -> None:
    one = stream_of(engines, frames)
    assert {"wait", "pre", "engine", "post", "total"} <= set(one.stages)
    assert one.headline.stats.count >= 10
    inner = sum(np.array(one.stages[stage].samples_ms) for stage in ("wait", "pre", "engine", "post"))
    assert np.all(np.array(one.stages["total"].samples_ms) >= inner - 0.01)  # rounding of five figures


def test_without_a_rate_the_source_waits_and_nothing_is_missed(engines: list[Path], frames: FrameSet) -> None:
    stream = stream_of(engines, frames).stream
    assert stream is not None and not stream.is_live and stream.begins_at == "arrival"
    assert stream.missed == 0 and stream.frames == stream.masks


def test_at_a_cameras_rate_the_latency_begins_at_the_capture(engines: list[Path], frames: FrameSet) -> None:
    stream = stream_of(engines, frames, camera_hz=50.0).stream
    assert stream is not None and stream.is_live and stream.begins_at == "capture" and stream.camera_hz == 50.0
    assert stream.frames == stream.masks + stream.missed


def test_a_rate_that_the_engine_cannot_keep_misses_frames(engines: list[Path], frames: FrameSet) -> None:
    stream = stream_of(engines, frames, camera_hz=50_000.0).stream
    assert stream is not None and stream.missed > 0 and stream.frames == stream.masks + stream.missed


def test_a_folder_is_read_again_until_the_turn_is_whole(engines: list[Path], tmp_path: Path) -> None:
    for index in range(3):
        write_png(tmp_path / f"{index}.png", np.full((60, 90, 3), index, np.uint8))
    one = stream_of(engines, load_frames(str(tmp_path)), duration_s=0.0, iterations=20)
    assert one.headline.stats.count >= 20
    assert one.stream is not None and one.stream.missed == 0


def test_a_source_that_ends_too_early_is_an_error_and_no_short_measurement(
    engines: list[Path], frames: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def three(frames: FrameSet, camera_hz: float | None) -> Opening:
        clock = SimpleNamespace(now_s=0.0)
        return Opening(name="three", is_live=False, open=lambda: Given(clock, 0.0, frames=3))

    monkeypatch.setattr("edgeseg.report.stream_lane.stream_opening", three)
    with pytest.raises(SourceError, match=r"three ended after 3 masks, before the turn's 0\.2 s and 10 iterations"):
        stream_of(engines, frames)


def test_a_repeated_source_numbers_on_and_ends_where_it_gives_nothing() -> None:
    clock, left = SimpleNamespace(now_s=0.0), [2, 3, 0, 5]
    opened: list[Given] = []

    def open_one() -> Given:
        opened.append(Given(clock, 0.0, frames=left.pop(0)))
        return opened[-1]

    assert [one.sequence for one in RepeatedSource(open_one)] == [0, 1, 2, 3, 4]
    assert left == [5] and all(one.is_closed for one in opened)


class Given(FrameSource):
    name, is_live, fps, length = "given", False, 30.0, None

    def __init__(self, clock: SimpleNamespace, takes_s: float, *, frames: int = 100) -> None:
        self._clock, self._takes_s, self._count, self.is_closed = clock, takes_s, frames, False

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            self._clock.now_s += self._takes_s
            yield Frame(picture=np.zeros((2, 2, 3), np.uint8), sequence=index, arrived_s=0.0, name=str(index))

    def close(self) -> None:
        self.is_closed = True


def paced(takes_s: float, hz: float) -> list[tuple[int, float | None]]:
    """Numbers and captures of the first frames, on a clock that moves by reading, or by the wait."""
    clock = SimpleNamespace(now_s=5.0)
    source = PacedSource(Given(clock, takes_s), hz, now=lambda: clock.now_s)

    def wait(seconds: float) -> bool:
        clock.now_s += seconds
        return False

    source._closed = SimpleNamespace(wait=wait)  # type: ignore[assignment]
    return [(one.sequence, one.captured_s) for one in islice(source, 5)]


def test_a_paced_frame_is_captured_when_it_is_due() -> None:
    numbers, captured = zip(*paced(0.001, 100.0), strict=True)
    assert numbers == (0, 1, 2, 3, 4)
    np.testing.assert_allclose(captured, 5.001 + np.arange(5) / 100)


def test_a_reader_that_is_late_misses_frames() -> None:
    numbers, _ = zip(*paced(0.025, 100.0), strict=True)
    assert numbers == (0, 2, 5, 7, 10)  # read at 0, 25, 50, 75 and 100 ms, a frame every 10 ms


def test_a_paced_source_closes_the_one_it_reads() -> None:
    source = Given(SimpleNamespace(now_s=0.0), 0.0)
    with PacedSource(source, 30.0):
        pass
    assert source.is_closed


def test_a_repeated_picture_ends_when_it_is_closed() -> None:
    source = RepeatedFrames(FrameSet(name="two", frames=(np.zeros((2, 2, 3), np.uint8),) * 2))
    taken = []
    for frame in source:
        taken.append(frame.sequence)
        if len(taken) == 5:
            source.close()
    assert taken == [0, 1, 2, 3, 4]


def test_a_live_source_takes_no_rate() -> None:
    frames = FrameSet(name="camera", frames=(), address="rtsp://user:secret@camera/1")
    with pytest.raises(OptionsError, match=r"camera/1 is live and has its own rate: leave --camera-hz out") as caught:
        stream_opening(frames, 30.0)
    assert "secret" not in str(caught.value)


def test_a_known_delay_of_every_stage_is_recovered(engines: list[Path], frames: FrameSet) -> None:
    """Sleep in place of an engine; what the sleep really took, by the same clock, is what must be found."""
    from edgeseg.report.lanes import EngineLane, FrameLane
    from edgeseg.runtime.engines import load_engine
    from edgeseg.runtime.engines.openvino import OpenVINOEngine
    from edgeseg.runtime.session import Session

    class Slow(OpenVINOEngine):
        def wait(self, slot: int) -> float:
            super().wait(slot)
            began_s = time.perf_counter()
            time.sleep(0.02)
            self.took_ms = (time.perf_counter() - began_s) * 1e3
            slept.append(self.took_ms)
            return self.took_ms

        def stages_ms(self, slot: int) -> dict[str, float]:
            return {"engine": self.took_ms}

    slept: list[float] = []
    engine = load_engine(engines[0], slots=1)
    engine.__class__ = Slow
    with Session(engine) as session:
        for kind in (EngineLane, FrameLane):
            lane = kind("slow", session, frames)
            lane.warm_up(0.0)
            slept.clear()
            lane.take_turn(0.0, 20, zero_s=0.0)
            one = lane.measurement()
            known = sorted(slept[1:])[10 - 1 : 10 + 1]
            assert known[0] * 0.98 <= one.stages["engine"].stats.p50_ms <= known[1] * 1.02
            if kind is FrameLane:
                assert one.headline.stats.p50_ms >= known[0]
