from __future__ import annotations

import itertools
import re
import subprocess
import sys
import threading
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edgeseg.latency import RELATIVE_ERROR, LatencyLog, StageStats, percentile, summarise

ROUNDING = 1e-9  # of sums in another order
#: binary fractions and whole numbers, whose products with a count are exact or far from whole
PERCENTS = (0, 1, 5, 12.5, 25, 50, 75, 90, 93.75, 95, 99, 100)
PERCENTILES = {"p50_ms": 50, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99}

READS = 20  # while another thread adds


@pytest.mark.parametrize(
    ("n", "percent", "index"),
    [(100, 99, 98), (100, 90, 89), (10, 99, 9), (1, 50, 0), (3, 50, 1), (200, 95, 189), (4, 0, 0), (1000, 99.9, 998)],
)
def test_percentiles_take_the_sample_that_trtexec_takes(n: int, percent: float, index: int) -> None:
    assert percentile([float(i) for i in range(n)], percent) == index


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan")])
def test_no_percentile_lies_outside_the_samples(percent: float) -> None:
    with pytest.raises(ValueError, match="give 0 to 100"):
        percentile([1.0], percent)


@pytest.mark.parametrize("percent", PERCENTS)
def test_a_percentile_is_numpys_inverted_cdf_and_its_lower_or_higher_as_documented(percent: float) -> None:
    share, seen = Fraction(percent) / 100, set()
    for n in (*range(1, 260), 999, 1000, 1001, 4096, 9999):
        samples = np.arange(n, dtype=np.float64)
        ours = percentile(samples, percent)
        fraction = (n * share) % 1 or Fraction(1)
        if is_binary(share):
            assert ours == np.percentile(samples, percent, method="inverted_cdf")
        # numpy computes (n - 1) p in floats; the exact place is what its documentation means
        place = (n - 1) * share
        is_lower, is_higher = ours == place.__floor__(), ours == place.__ceil__()
        if percent:  # the fraction of nothing says nothing: all are the least sample
            assert (is_lower, is_higher) == (fraction >= share, fraction <= share)
        assert is_lower or is_higher
        seen |= {name for name, is_it in (("lower", is_lower), ("higher", is_higher)) if is_it}
        if place.denominator != 1 or is_binary(share):
            for method, is_it in (("lower", is_lower), ("higher", is_higher)):
                assert (ours == np.percentile(samples, percent, method=method)) == is_it
    assert seen == {"lower", "higher"}


def is_binary(share: Fraction) -> bool:
    """Whether the share is a binary fraction, so that numpy's float products are exact."""
    return Fraction(float(share)) == share


def test_figures_equal_numpys() -> None:
    samples = np.random.default_rng(1).gamma(2.0, 3.0, 500)
    stats = summarise(samples)
    assert (stats.mean_ms, stats.std_ms) == (pytest.approx(samples.mean()), pytest.approx(samples.std()))
    assert (stats.min_ms, stats.max_ms, stats.count) == (samples.min(), samples.max(), 500)
    assert stats.jitter_ms == pytest.approx(np.abs(samples[1:] - samples[:-1]).mean())
    assert stats.p50_ms <= stats.p90_ms <= stats.p95_ms <= stats.p99_ms <= stats.max_ms


def test_the_newest_samples_are_kept_in_order_and_all_are_counted() -> None:
    log = LatencyLog(capacity=4)
    for sample in range(10):
        log.add("engine", float(sample))
    np.testing.assert_array_equal(log.samples_ms("engine"), [6, 7, 8, 9])
    stats = log.stats()["engine"]
    assert (stats.count, stats.sum_ms, stats.kept, stats.min_ms) == (10, 45.0, 4, 6.0)
    newest = log.stats(newest=2)["engine"]
    assert (newest.count, newest.sum_ms, newest.kept, newest.min_ms) == (10, 45.0, 2, 8.0)


@pytest.mark.parametrize("capacity", [1, 3, 499, 500, 501, 1000, 10_000])
def test_a_log_tells_of_all_samples_what_numpy_does(capacity: int) -> None:
    samples = np.random.default_rng(2).lognormal(1.5, 1.0, 2345)
    log = LatencyLog(capacity=capacity)
    for index, sample in enumerate(samples.tolist()):
        log.add("engine", sample)
        if index % 467 == 0:
            assert_told(log.overall()["engine"], samples[: index + 1])
    assert_told(log.overall()["engine"], samples)
    np.testing.assert_array_equal(log.samples_ms("engine"), samples[-capacity:])
    assert log.sum_ms("engine") == pytest.approx(samples.sum(), rel=ROUNDING)


def assert_told(stats: StageStats, samples: np.ndarray) -> None:
    """Percentiles within the stated error, the rest within rounding."""
    ordered, exact = np.sort(samples), summarise(samples)
    assert (stats.count, stats.kept, stats.min_ms, stats.max_ms) == (
        len(samples),
        len(samples),
        ordered[0],
        ordered[-1],
    )
    for name in ("sum_ms", "mean_ms", "std_ms", "jitter_ms"):
        assert getattr(stats, name) == pytest.approx(getattr(exact, name), rel=ROUNDING, abs=ROUNDING)
    for name, percent in PERCENTILES.items():
        assert getattr(stats, name) == pytest.approx(percentile(ordered, percent), rel=RELATIVE_ERROR)


def test_percentiles_of_all_keep_their_error_from_a_nanosecond_to_an_hour() -> None:
    samples = np.geomspace(1e-6, 3.6e6, 4001)
    log = LatencyLog(capacity=2)
    log.add_many("engine", samples)
    for percent in np.linspace(0, 100, 801):
        expected = percentile(samples, float(percent))
        assert log.percentile_ms("engine", float(percent)) == pytest.approx(expected, rel=RELATIVE_ERROR)


def test_what_no_bucket_holds_counts_as_the_least_or_the_most() -> None:
    log = LatencyLog(capacity=1)
    log.add_many("odd", [-3.0, 0.0, 5.0, 4e6, 9e6])
    assert [log.percentile_ms("odd", percent) for percent in (20, 40, 80, 100)] == [-3.0, -3.0, 9e6, 9e6]
    assert log.percentile_ms("odd", 60) == pytest.approx(5.0, rel=RELATIVE_ERROR)


def test_many_at_once_are_the_same_as_each_in_turn() -> None:
    samples = np.random.default_rng(3).gamma(2.0, 3.0, 3210)
    one, many = LatencyLog(capacity=700), LatencyLog(capacity=700)
    for sample in samples.tolist():
        one.add("engine", sample)
    for part in (samples[:1], samples[1:1], samples[1:650], samples[650:2700], samples[2700:]):
        many.add_many("engine", part)
    many.add("engine", 4.0)
    one.add("engine", 4.0)
    np.testing.assert_array_equal(one.samples_ms("engine"), many.samples_ms("engine"))
    first, second = one.overall()["engine"], many.overall()["engine"]
    for name in StageStats.__dataclass_fields__:
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=ROUNDING), name
    assert many.stages() == ("engine",)
    assert LatencyLog().stages() == ()


def test_hours_of_samples_take_the_memory_of_the_first_and_keep_their_error() -> None:
    """A day at 1,000 frames a second is 86.4 million; a fiftieth here, of a machine that slows down on the way."""
    rng, day = np.random.default_rng(4), 1_728_000
    samples = rng.gamma(9.0, 0.5, day) * np.linspace(1.0, 1.5, day)
    log = LatencyLog()
    log.add_many("engine", samples[:20_000])
    tracemalloc.start()
    held, _ = tracemalloc.get_traced_memory()
    log.add_many("engine", samples[20_000:-2000])
    for sample in memoryview(samples[-2000:]):  # type: ignore[var-annotated]
        log.add("engine", sample)
    grown = tracemalloc.get_traced_memory()[0] - held
    tracemalloc.stop()
    assert grown < 2048  # the newest totals' own numbers in place of the last
    assert_told(log.overall()["engine"], samples)


def test_a_spread_far_below_the_mean_is_not_lost() -> None:
    samples = 1e6 + np.random.default_rng(5).normal(0.0, 1e-3, 50_000)
    log = LatencyLog(capacity=100)
    log.add_many("engine", samples)
    assert log.overall()["engine"].std_ms == pytest.approx(samples.std(), rel=1e-4)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_a_sample_that_is_no_number_is_refused_and_changes_nothing(wrong: float) -> None:
    log = LatencyLog()
    log.add("engine", 1.0)
    with pytest.raises(ValueError, match=r"'engine'.*finite"):
        log.add("engine", wrong)
    with pytest.raises(ValueError, match=r"'engine'.*finite"):
        log.add_many("engine", [2.0, wrong])
    with pytest.raises(ValueError, match="one row"):
        log.add_many("engine", [[2.0]])
    assert log.overall()["engine"].count == 1


def test_a_log_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        LatencyLog(capacity=0)


@pytest.mark.parametrize(("capacity", "added"), [(1, 3000), (7, 5000), (500, 20_000), (3000, 20_000)])
def test_what_is_read_while_another_thread_adds_is_of_one_instant(capacity: int, added: int) -> None:
    """Sample i is i + 1, so every figure of the first n is known from n alone."""
    log = LatencyLog(capacity=capacity)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    is_enough = threading.Event()

    def add() -> None:
        for index in itertools.count():
            if index >= added and is_enough.is_set():
                return
            log.add("engine", float(index + 1))

    adding = threading.Thread(target=add)
    try:
        adding.start()
        reads = 0
        while reads < READS and adding.is_alive():
            for stats in log.overall().values():
                n = stats.count
                assert (stats.sum_ms, stats.min_ms, stats.max_ms) == (n * (n + 1) / 2, 1.0, float(n))
                assert stats.jitter_ms == (1.0 if n > 1 else 0.0)
                assert stats.p50_ms == pytest.approx((n + 1) // 2, rel=RELATIVE_ERROR)
            for stats in log.stats().values():
                assert stats.sum_ms == stats.count * (stats.count + 1) / 2
                assert (stats.max_ms, stats.max_ms - stats.min_ms) == (stats.count, stats.kept - 1)
            reads += 1
    finally:
        is_enough.set()
        adding.join()
        sys.setswitchinterval(switch)
    assert reads == READS
    assert log.overall()["engine"].count >= added


def test_a_block_that_raises_adds_no_sample() -> None:
    log = LatencyLog()
    with pytest.raises(KeyError), log.timed("pre"):
        raise KeyError
    assert log.count("pre") == 0
    with log.timed("pre"):
        pass
    assert log.count("pre") == 1


def test_clear_forgets_everything() -> None:
    log = LatencyLog()
    log.add("a", 1.0)
    log.clear()
    assert (log.stats(), log.overall(), log.newest_ms(), log.count("a"), log.sum_ms("a")) == ({}, {}, {}, 0, 0.0)
    with pytest.raises(KeyError):
        log.percentile_ms("a", 50)


def test_the_newest_sample_of_a_stage_is_the_last_that_was_added() -> None:
    log = LatencyLog(capacity=3)
    for sample in (1.0, 2.0, 3.0, 4.0):
        log.add("engine", sample)
        assert log.newest_ms() == {"engine": sample}
    log.add("post", 0.5)
    assert log.newest_ms() == {"engine": 4.0, "post": 0.5}


def test_others_take_the_log_from_the_reports_and_load_nothing_heavy() -> None:
    program = """
import sys
from edgeseg.report import LatencyLog, RELATIVE_ERROR, StageStats, percentile, summarise
import edgeseg.report
log = LatencyLog()
log.add("engine", 2.0)
assert log.overall()["engine"].p99_ms == 2.0
outside = {name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - BEFORE
assert outside <= {"edgeseg", "numpy"}, outside
assert all(getattr(edgeseg.report, name) is not None for name in edgeseg.report.__all__)
"""
    before = "import sys\nBEFORE = {name.split('.')[0] for name in sys.modules}\n"
    subprocess.run([sys.executable, "-c", before + program], check=True)


def test_the_snippet_and_the_figures_of_the_documentation_hold(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "benchmark.md").read_text()
    (snippet,) = [one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "LatencyLog" in one]
    exec(snippet, {})
    kept, _, count, *_ = capsys.readouterr().out.split()
    assert (kept, count) == ("10000", "20000")
    tracemalloc.start()
    log = LatencyLog()
    log.add("frame", 1.0)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"{taken / 1000:.0f} kB a stage" in page
    for n, method in ((100, "lower"), (150, "higher")):
        samples = np.arange(n, dtype=np.float64)
        other = {"lower": "higher", "higher": "lower"}[method]
        assert percentile(samples, 99) == np.percentile(samples, 99, method=method)  # type: ignore[call-overload]
        assert percentile(samples, 99) != np.percentile(samples, 99, method=other)  # type: ignore[call-overload]
