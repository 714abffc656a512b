from __future__ import annotations

import pytest

from edgeseg.accuracy import LEAST_RATIO, TimedEngine, precision_verdicts


def timed(name: str, p50_ms: float, *, backend: str = "openvino", size_hw: tuple[int, int] = (8, 8)) -> TimedEngine:
    """An engine whose name is its precision and a number."""
    return TimedEngine(name=name, precision=name.split("-")[0], backend=backend, size_hw=size_hw, p50_ms=p50_ms)


@pytest.mark.parametrize(
    ("int8_ms", "is_worth_it"),
    [(5.0, True), (10.0 / LEAST_RATIO, True), (10.0 / LEAST_RATIO + 0.01, False), (10.0, False), (20.0, False)],
)
def test_int8_is_worth_it_from_five_percent_on(int8_ms: float, is_worth_it: bool) -> None:
    (verdict,) = precision_verdicts([timed("fp32-1", 10.0), timed("int8-1", int8_ms)])
    assert LEAST_RATIO == 1.05
    assert verdict.is_worth_it is is_worth_it
    assert verdict.ratio == 10.0 / int8_ms


def test_the_fastest_higher_precision_is_the_measure() -> None:
    engines = [timed("fp32-1", 10.0), timed("fp16-1", 6.2), timed("bf16-1", 7.0), timed("int8-1", 6.1)]
    (verdict,) = precision_verdicts(engines)
    assert (verdict.engine, verdict.baseline, verdict.baseline_precision) == ("int8-1", "fp16-1", "fp16")
    assert not verdict.is_worth_it


def test_every_low_precision_has_its_verdict_and_is_no_measure_for_another() -> None:
    verdicts = precision_verdicts([timed("int8-1", 6.0), timed("fp8-1", 5.0), timed("fp16-1", 9.0)])
    assert [(one.engine, one.baseline) for one in verdicts] == [("int8-1", "fp16-1"), ("fp8-1", "fp16-1")]


@pytest.mark.parametrize(
    "others",
    [
        [],
        [timed("int8-2", 9.0)],
        [timed("fp16-1", 9.0, backend="tensorrt")],
        [timed("fp16-1", 9.0, size_hw=(16, 16))],
    ],
)
def test_nothing_is_said_without_a_higher_precision_of_that_back_end_and_size(others: list[TimedEngine]) -> None:
    assert precision_verdicts([timed("int8-1", 6.0), *others]) == ()
