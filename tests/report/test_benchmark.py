from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import EngineError, SpecError
from edgeseg.files import sha256_of
from edgeseg.latency import percentile, summarise
from edgeseg.report.benchmark import run_benchmark
from edgeseg.report.frames import FrameSet
from edgeseg.report.record import Report, Settings

MakeEngine = Callable[[Path, int], Path]
QUICK = Settings(warm_up_ms=0, duration_s=0, iterations=4, rounds=2)


def test_every_engine_is_measured_in_every_scope(report: Report) -> None:
    assert [(one.scope, one.engine) for one in report.measurements] == [
        ("engine", "wide.engine"),
        ("engine", "narrow.engine"),
        ("frame-to-mask", "wide.engine"),
        ("frame-to-mask", "narrow.engine"),
    ]


def test_the_stages_of_a_scope_are_those_of_the_session(report: Report) -> None:
    for one in report.measurements:
        expected = {"enqueue", "engine"} if one.scope == "engine" else {"pre", "engine", "post", "total"}
        assert set(one.stages) == expected


def test_statistics_equal_those_recomputed_from_the_samples(report: Report) -> None:
    for one in report.measurements:
        for stage in one.stages.values():
            expected = summarise(np.array(stage.samples_ms))
            for field in stage.stats.__struct_fields__:
                assert getattr(stage.stats, field) == getattr(expected, field), field


def test_the_ratio_is_the_quotient_of_the_medians(report: Report) -> None:
    assert len(report.comparisons) == 2
    for one in report.comparisons:
        baseline, engine = report.of_scope(one.scope)
        assert (one.baseline, one.engine) == (baseline.engine, engine.engine)
        medians = [percentile(sorted(each.headline.samples_ms), 50) for each in (baseline, engine)]
        assert one.ratio == medians[0] / medians[1]


def test_the_round_ratios_are_the_quotients_of_the_rounds_medians(report: Report) -> None:
    for one in report.comparisons:
        rounds = zip(*(each.rounds_ms for each in report.of_scope(one.scope)), strict=True)
        expected = [percentile(sorted(first), 50) / percentile(sorted(other), 50) for first, other in rounds]
        assert list(one.round_ratios) == expected


def test_both_duration_and_iterations_are_met(report: Report) -> None:
    settings = report.settings
    for one in report.measurements:
        assert len(one.round_counts) == settings.rounds
        assert one.headline.stats.count >= settings.iterations
        assert min(one.round_counts) >= math.ceil(settings.iterations / settings.rounds)


def test_a_duration_lasts_where_the_iterations_are_met_early(engines: list[Path], frames: FrameSet) -> None:
    settings = Settings(warm_up_ms=0, duration_s=0.2, iterations=1, rounds=2, scopes=("engine",))
    (one,) = run_benchmark(engines[:1], frames, settings).measurements
    for turn in np.split(np.array(one.started_s), np.cumsum(one.round_counts)[:-1]):
        longest_s = np.diff(turn, append=turn[-1]).max()
        assert turn[-1] - turn[0] < 0.2 / 2  # no iteration begins after the end
        assert len(turn) > 1 or longest_s >= 0.2 / 2


def test_turns_of_engines_alternate(report: Report) -> None:
    for scope in report.settings.scopes:
        turns = [
            (min(starts), max(starts), one.engine)
            for one in report.of_scope(scope)
            for starts in np.split(np.array(one.started_s), np.cumsum(one.round_counts)[:-1])
        ]
        ordered = sorted(turns)
        assert [name for _, _, name in ordered] == ["wide.engine", "narrow.engine"] * report.settings.rounds
        assert all(first[1] < second[0] for first, second in itertools.pairwise(ordered))


def test_more_iterations_than_a_log_keeps_are_all_kept(engines: list[Path], frames: FrameSet) -> None:
    settings = Settings(warm_up_ms=0, duration_s=0, iterations=10_500, rounds=1, scopes=("engine",))
    (one,) = run_benchmark(engines[1:], frames, settings).measurements
    assert one.headline.stats.count == 10_500


def test_one_engine_has_no_comparison(engines: list[Path], frames: FrameSet) -> None:
    assert run_benchmark(engines[:1], frames, QUICK).comparisons == ()


def test_the_same_engine_twice_gets_two_names_and_a_comparison(engines: list[Path], frames: FrameSet) -> None:
    report = run_benchmark([engines[0], engines[0]], frames, QUICK)
    assert [one.name for one in report.engines] == [str(engines[0]), f"{engines[0]} #2"]
    assert {one.engine for one in report.comparisons} == {f"{engines[0]} #2"}


def test_engines_of_one_name_are_told_apart_by_their_paths(
    make_engine: MakeEngine, frames: FrameSet, tmp_path: Path
) -> None:
    paths = [make_engine(tmp_path / folder / "net.engine", 4) for folder in ("first", "second")]
    assert [one.name for one in run_benchmark(paths, frames, QUICK).engines] == [str(path) for path in paths]


def test_a_name_with_a_line_end_stays_on_one_line(make_engine: MakeEngine, frames: FrameSet, tmp_path: Path) -> None:
    path = make_engine(tmp_path / "two\nlines.engine", 4)
    (engine,) = run_benchmark([path], frames, QUICK).engines
    assert engine.name == "two\N{REPLACEMENT CHARACTER}lines.engine"


def test_the_record_names_the_files_by_their_hashes(report: Report, engines: list[Path]) -> None:
    for one, path in zip(report.engines, engines, strict=True):
        assert one.plan_sha256 == sha256_of(path.read_bytes())
        assert one.sidecar_sha256 == sha256_of(path.with_name(path.name + ".json").read_bytes())
        assert (one.plan_bytes, one.size_hw, one.classes) == (path.stat().st_size, (32, 64), 4)


def test_masks_are_the_same_before_and_after_the_timing(report: Report) -> None:
    assert [one.changed_pixels for one in report.engines] == [0, 0]


def test_the_scope_engine_states_what_the_back_end_covers(report: Report) -> None:
    assert {one.engine_covers for one in report.measurements} == {"engine"}


def test_progress_tells_every_turn_in_order(engines: list[Path], frames: FrameSet) -> None:
    told: list[tuple[int, int]] = []
    run_benchmark(engines, frames, QUICK, on_turn=lambda done, total, _what: told.append((done, total)))
    lanes, rounds = 4, 2
    assert told == [(done, lanes * (1 + rounds)) for done in range(lanes * (1 + rounds) + 1)]


def test_an_exchanged_engine_is_refused_before_anything_is_measured(
    make_engine: MakeEngine, frames: FrameSet, tmp_path: Path
) -> None:
    path = make_engine(tmp_path / "net.engine", 4)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    told: list[int] = []
    with pytest.raises(SpecError, match="changed or exchanged"):
        run_benchmark([path], frames, QUICK, on_turn=lambda done, _total, _what: told.append(done))
    assert told == []


def test_an_engine_that_fails_in_the_middle_is_an_error_and_leaves_nothing_running(
    engines: list[Path], frames: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeseg.runtime.engines.openvino import OpenVINOEngine

    waits = itertools.count()
    wait = OpenVINOEngine.wait

    def fail(self: OpenVINOEngine, slot: int) -> float:
        if next(waits) == 20:
            raise EngineError("the device is gone", "look at dmesg")
        return wait(self, slot)

    monkeypatch.setattr(OpenVINOEngine, "wait", fail)
    threads = threading.active_count()
    with pytest.raises(EngineError, match="the device is gone: look at dmesg"):
        run_benchmark(engines, frames, Settings(warm_up_ms=0, duration_s=0, iterations=40, rounds=2))
    assert threading.active_count() == threads
