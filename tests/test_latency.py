from __future__ import annotations

import numpy as np
import pytest

from edgeseg.latency import LatencyLog, percentile, summarise


@pytest.mark.parametrize(
    ("n", "percent", "index"),
    [(100, 99, 98), (100, 90, 89), (10, 99, 9), (1, 50, 0), (3, 50, 1), (200, 95, 189), (4, 0, 0)],
)
def test_percentiles_take_the_sample_that_trtexec_takes(n: int, percent: float, index: int) -> None:
    assert percentile([float(i) for i in range(n)], percent) == index


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
    assert log.stats() == {}


def test_the_newest_sample_of_a_stage_is_the_last_that_was_added() -> None:
    log = LatencyLog(capacity=3)
    for sample in (1.0, 2.0, 3.0, 4.0):
        log.add("engine", sample)
        assert log.newest_ms() == {"engine": sample}
    log.add("post", 0.5)
    assert log.newest_ms() == {"engine": 4.0, "post": 0.5}
