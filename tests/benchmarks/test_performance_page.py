"""docs/performance.md is what the command makes of its results, and its verdicts follow from the figures."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import performance

    return performance


@pytest.fixture
def goals(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import goals

    return goals


@pytest.fixture
def results(pages: Any) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(pages.read_results(RESULTS))
    return found


def test_the_page_is_made_of_the_results_that_ship(pages: Any, results: dict[str, Any]) -> None:
    from benchmarks.conftest import WHY_MISSED

    assert (ROOT / "docs" / "performance.md").read_text() == pages.page(results, WHY_MISSED)
    assert not any(one.get("is_quick", False) for one in results.values())


def test_a_suite_that_has_not_run_is_asked_for(pages: Any, tmp_path: Path) -> None:
    (tmp_path / "limits.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"python -m benchmarks --only imaging --only engines") as refused:
        pages.read_results(tmp_path)
    assert "limits" not in str(refused.value).split(": run")[0].split("has no")[1]


@pytest.mark.parametrize(
    ("found", "is_at_most", "verdict"),
    [(4.0, False, "met"), (3.999, False, "MISSED"), (4.0, True, "met"), (4.001, True, "MISSED")],
)
def test_a_goal_is_met_by_the_figure_alone(goals: Any, found: float, is_at_most: bool, verdict: str) -> None:
    goal = goals.Goal("pixels", 4.0, found, "x", is_at_most=is_at_most, why="a profile says so")
    told = "\n".join(goals.goal_table([goal]))
    assert f"| {verdict} |" in told
    assert ("a profile says so" in told) == (verdict == "MISSED")


def test_a_miss_that_no_profile_explains_says_so(goals: Any) -> None:
    assert "no profile says why" in "\n".join(goals.goal_table([goals.Goal("pixels", 4.0, 1.0, "x")]))


def test_the_goal_of_a_whole_frame_is_that_of_the_worst_row(goals: Any, results: dict[str, Any]) -> None:
    report = results["end-to-end"]
    worst, best = report["rows"][3], report["rows"][0]
    worst["ratios"]["INT8 to our threads"] = [0.4, 0.5, 0.6]
    best["pixels"]["INT8"] = 0.99
    ratio, share = goals.end_to_end_goals(report)
    assert worst["frame"] in ratio.what and ratio.told.startswith("0.50x") and not ratio.is_met
    assert best["frame"] in share.what and share.told == "0.99" and not share.is_met


def test_what_the_ratio_would_be_without_pixels_is_told_of_a_missed_frame(goals: Any, results: dict[str, Any]) -> None:
    row = results["end-to-end"]["rows"][0]
    row["ratios"]["INT8 to our threads"] = [1.0, 2.0, 3.0]
    row["ms"] |= {"INT8": 10.0, "our threads": 20.0}
    row["pixels"]["INT8"] = 0.2
    ratio, _ = goals.end_to_end_goals({"rows": [row]})
    assert "of 10.0 ms 8.0 ms are the engine" in ratio.why
    assert "the ratio would be 2.5x" in ratio.why


def test_a_busy_machine_is_said_once_and_a_quiet_one_not(pages: Any, results: dict[str, Any]) -> None:
    for load, is_told in ((0.2, False), (6.0, True)):
        for report in results.values():
            report["environment"] |= {"load_1min": load, "usable_cores": 2}
        assert ("run it again on a quiet one" in "\n".join(pages.runs_table(results))) == is_told


def test_a_ratio_is_of_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.rounds import ratio_of

    ours, theirs = [1.0, 10.0, 100.0], [2.0, 30.0, 400.0]
    assert ratio_of(theirs, ours) == {"median": 3.0, "lowest": 2.0, "highest": 4.0}
    with pytest.raises(ValueError, match="longer"):
        ratio_of([1.0], ours)


def test_ways_take_turns_and_one_call_of_each_turn_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import rounds

    called: list[str] = []
    monkeypatch.setattr(rounds, "settle", lambda: None)
    found = rounds.turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2, calls=3)
    assert "".join(called) == "aaaabbbb" * 2
    assert {name: len(samples) for name, samples in found.items()} == {"a": 2, "b": 2}


def test_a_series_takes_turns_and_its_law_is_that_of_the_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import series

    order: list[int] = []

    def measure(size: int) -> dict[str, float]:
        order.append(size)
        outlier = 100.0 if len(order) in (1, 5, 9) else 1.0  # each point has one bad round
        return {"engine": size**2 * outlier, "post": 3.0}

    monkeypatch.setattr(series, "settle", lambda: None)
    points = {size: lambda size=size: measure(size) for size in (1, 2, 4)}  # type: ignore[misc]
    told = series.series("pixels", "ms", points, rounds=3)
    assert order == [1, 2, 4] * 3
    assert told["laws"]["engine"]["exponent"] == pytest.approx(2.0)
    assert told["laws"]["post"]["exponent"] == pytest.approx(0.0)
    assert told["points"][1]["costs"]["engine"] == {"median": 4.0, "lowest": 4.0, "highest": 400.0}


def test_the_frames_a_second_of_cameras_follow_from_a_frames_time(pages: Any) -> None:
    points = [{"size": size, "costs": {"wall time a frame": {"median": ms}}} for size, ms in ((1, 2.0), (8, 2.5))]
    told = {"by": "cameras", "points": points, "laws": {"wall time a frame": {}}}
    assert pages.rates_told(told) == ["Frames a second of all cameras together: 500 with 1, 400 with 8."]
    assert pages.rates_told(told | {"laws": {"post": {}}}) == []
