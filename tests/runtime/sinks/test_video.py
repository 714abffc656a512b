from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.errors import OptionsError, OutputError, ShapeError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.sinks import Feed, OverlayVideo, SinkOptions, open_sink, open_sinks

av = pytest.importorskip("av")
LIVE = SinkOptions(is_live=True)
ENDINGS = pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])


def pictures(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def times(path: Path) -> list[float]:
    return [round(one.time, 3) for one in pictures(path)]


@ENDINGS
def test_a_killed_process_leaves_a_live_recording_playable_but_for_its_last_second(
    ending: str, killed: Callable[[str], None], tmp_path: Path
) -> None:
    killed(f'write(open_sink("live.{ending}", labels, fps=30, options=SinkOptions(is_live=True)), 100)')
    found = times(tmp_path / f"live.{ending}")
    assert len(found) >= 70
    assert found == [pytest.approx(number / 30, abs=0.002) for number in range(len(found))]


def test_a_killed_process_leaves_nothing_under_the_name_of_a_batch_result(
    killed: Callable[[str], None], tmp_path: Path
) -> None:
    killed('write(open_sink("batch.mp4", labels, fps=30), 100)')
    assert not (tmp_path / "batch.mp4").exists()


@ENDINGS
def test_a_live_recording_keeps_the_times_of_its_frames(ending: str, labels: Any, make: Any, tmp_path: Path) -> None:
    given = [5.0, 5.04, 5.2, 5.21, 9.0]
    sink = open_sink(str(tmp_path / f"a.{ending}"), labels, fps=30, options=LIVE)
    for number, at_s in enumerate(given):
        sink.write(*make(number, at_s=at_s))
    sink.close()
    assert times(tmp_path / f"a.{ending}") == [pytest.approx(one - 5.0, abs=0.001) for one in given]


def test_the_cameras_time_counts_before_the_arrival(labels: Any, make: Any, tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.mp4"), labels, fps=30, options=LIVE)
    for number, captured_s in enumerate((1.0, 1.5)):
        frame, mask = make(number, at_s=100.0 + number)
        late = Frame(picture=frame.picture, sequence=number, arrived_s=100.0, captured_s=captured_s, name="a")
        sink.write(late, mask)
    sink.close()
    assert times(tmp_path / "a.mp4") == [0.0, 0.5]


def test_a_clock_that_stands_or_jumps_back_does_not_end_a_recording(labels: Any, make: Any, tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.mp4"), labels, fps=30, options=LIVE)
    for number, at_s in enumerate((5.0, 5.0, 4.0, 5.5)):
        sink.write(*make(number, at_s=at_s))
    sink.close()
    assert times(tmp_path / "a.mp4") == [0.0, 0.0, 0.0, 0.5]  # a tick of 1/90000 s apart


def test_a_change_of_size_begins_another_live_file(labels: Any, make: Any, tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.mp4"), labels, fps=30, options=LIVE)
    for number, size_hw in enumerate([(32, 48)] * 3 + [(33, 47)] * 2 + [(32, 48)]):
        sink.write(*make(number, size_hw))
    sink.close()
    found = {path.name: (len(pictures(path)), pictures(path)[0].height) for path in tmp_path.iterdir()}
    assert found == {"a.mp4": (3, 32), "a.part-0002.mp4": (2, 34), "a.part-0003.mp4": (1, 32)}
    assert times(tmp_path / "a.part-0002.mp4")[0] == 0.0


def test_a_batch_result_refuses_a_change_of_size(labels: Any, make: Any, tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.mp4"), labels, fps=30)
    sink.write(*make(0))
    with pytest.raises(ShapeError, match="folder"):
        sink.write(*make(1, (64, 64)))
    sink.abandon()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_live", [True, False])
def test_a_segment_ends_at_its_length(is_live: bool, labels: Any, make: Any, tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.mkv"), labels, fps=30, options=SinkOptions(is_live=is_live, segment_s=1.0))
    for number in range(75):
        sink.write(*make(number))
    sink.close()
    counts = {path.name: len(pictures(path)) for path in tmp_path.iterdir()}
    assert counts == {"a.part-0001.mkv": 30, "a.part-0002.mkv": 30, "a.part-0003.mkv": 15}


def test_a_segment_ends_at_its_size_and_no_frame_is_lost(labels: Any, tmp_path: Path) -> None:
    options = SinkOptions(is_live=True, segment_bytes=50_000)
    sink, rng = open_sink(str(tmp_path / "a.mp4"), labels, fps=30, options=options), np.random.default_rng(0)
    for number in range(120):
        picture, mask = rng.integers(0, 256, (64, 96, 3), np.uint8), rng.integers(0, 3, (64, 96), np.uint8)
        sink.write(Frame(picture=picture, sequence=number, arrived_s=number / 30, name="a"), mask)
    sink.close()
    files = list(tmp_path.iterdir())
    assert len(files) > 1
    assert sum(len(pictures(path)) for path in files) == 120


def test_a_live_recording_never_replaces_an_older_one(labels: Any, make: Any, tmp_path: Path) -> None:
    for length in (2, 3):
        sink = open_sink(str(tmp_path / "a.mp4"), labels, fps=30, options=LIVE)
        for number in range(length):
            sink.write(*make(number))
        sink.close()
    assert {path.name: len(pictures(path)) for path in tmp_path.iterdir()} == {"a.mp4": 2, "a.part-0002.mp4": 3}


def test_a_video_of_classes_shows_their_colours_alone(labels: Any, make: Any, tmp_path: Path) -> None:
    sink = open_sink(f"mask:{tmp_path / 'a.mp4'}", labels, fps=30)
    for number in range(3):
        sink.write(*make(number))
    sink.close()
    picture = pictures(tmp_path / "a.mp4")[2].to_ndarray(format="rgb24")
    for (row, column), colour in {(28, 8): (0, 0, 255), (28, 40): (255, 0, 0), (4, 40): (0, 255, 0)}.items():
        assert np.abs(picture[row, column].astype(int) - colour).max() < 40  # H.264 in 4:2:0


def test_what_was_whole_stays_playable_when_the_disk_is_full(cramped: Any, tmp_path: Path) -> None:
    said = cramped(
        """
        from edgeseg.errors import OutputError
        sink = open_sink("a.mp4", labels, fps=30, options=SinkOptions(is_live=True))
        try:
            write(sink, 300)
        except OutputError as error:
            print(error)
        sink.abandon(); sink.abandon(); sink.close()
        """,
        limit_bytes=150_000,
    )
    assert said.startswith("a.mp4 cannot be written (File too large): free space")
    assert 30 <= len(pictures(tmp_path / "a.mp4")) < 300


def test_a_live_recording_goes_on_in_another_file_after_a_failed_write(cramped: Any, tmp_path: Path) -> None:
    cramped(
        """
        from edgeseg.errors import OutputError
        sink, failed = open_sink("a.mkv", labels, fps=30, options=SinkOptions(is_live=True)), 0
        for number in range(120):
            try:
                write(sink, 1, first=number)
            except OutputError:
                failed += 1
        sink.close()
        assert failed, "the limit was never met"
        """,
        limit_bytes=150_000,
    )
    assert len(times(tmp_path / "a.part-0002.mkv")) >= 20


def test_a_batch_result_that_does_not_fit_leaves_nothing(cramped: Any, tmp_path: Path) -> None:
    said = cramped(
        """
        from edgeseg.errors import OutputError
        sink = open_sink("a.mp4", labels, fps=30)
        try:
            write(sink, 300)
            sink.close()
        except OutputError as error:
            print(error)
        sink.abandon()
        """,
        limit_bytes=150_000,
    )
    assert "a.mp4 cannot be written" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_a_live_recording_without_frames_leaves_nothing(end: str, labels: Any, tmp_path: Path) -> None:
    sink = OverlayVideo(tmp_path / "a.mp4", labels, fps=30, options=LIVE)
    assert (tmp_path / "a.mp4").exists()  # a folder that cannot be written is told before the first frame
    getattr(sink, end)()
    getattr(sink, end)()
    assert list(tmp_path.iterdir()) == []


def test_an_abandoned_live_recording_keeps_every_frame(labels: Any, make: Any, tmp_path: Path) -> None:
    sink = OverlayVideo(tmp_path / "a.mp4", labels, fps=30, options=LIVE)
    for number in range(5):
        sink.write(*make(number))
    sink.abandon()
    sink.close()
    assert len(pictures(tmp_path / "a.mp4")) == 5


def test_a_place_that_cannot_be_written_is_told_at_opening(labels: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        open_sink(str(tmp_path / "file" / "a.mp4"), labels, fps=30, options=LIVE)


@pytest.mark.parametrize("name", ["mask:folder", "mask:a.png", "a.avi"])
def test_a_name_that_means_no_sink_is_refused_with_those_that_do(name: str, labels: Any) -> None:
    with pytest.raises(OutputError, match=r"\.mp4 \.mkv \.mov"):
        open_sink(name, labels, fps=30)


@pytest.mark.parametrize("wrong", [{"segment_s": 0.0}, {"segment_bytes": 0}])
def test_segments_without_length_are_refused(wrong: Any) -> None:
    with pytest.raises(OptionsError, match="segments"):
        SinkOptions(**wrong)


def test_segments_leave_no_file_open(labels: Any, make: Any, tmp_path: Path) -> None:
    def handles() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    sink = open_sink(str(tmp_path / "a.mp4"), labels, fps=30, options=SinkOptions(is_live=True, segment_s=0.05))
    sink.write(*make(0))
    before = handles()
    for number in range(1, 60):
        sink.write(*make(number))
    assert len(list(tmp_path.iterdir())) > 20
    assert handles() == before
    sink.close()
    assert handles() == before - 1


def test_odd_sides_are_padded_to_even_ones(labels: Any, make: Any, tmp_path: Path) -> None:
    sink = OverlayVideo(tmp_path / "odd.mp4", labels, fps=25)
    sink.write(*make(0, (33, 47)))
    sink.close()
    sink.abandon()
    (picture,) = pictures(tmp_path / "odd.mp4")
    assert (picture.height, picture.width) == (34, 48)


def test_an_abandoned_or_empty_batch_video_leaves_nothing(labels: Any, make: Any, tmp_path: Path) -> None:
    started = OverlayVideo(tmp_path / "a.mp4", labels, fps=25)
    started.write(*make(0))
    started.abandon()
    OverlayVideo(tmp_path / "b.mp4", labels, fps=25).close()
    assert list(tmp_path.iterdir()) == []


def test_none_is_no_sink_and_open_sinks_are_abandoned_unless_closed(labels: Any, tmp_path: Path) -> None:
    feeds = [Feed(fps=25, is_live=False)]
    with open_sinks(["none", str(tmp_path / "a.mp4")], labels, feeds) as opened:
        assert [sink.name for sink in opened] == [str(tmp_path / "a.mp4")]
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
