from __future__ import annotations

import numpy as np
import pytest
from simulated_runs import simulated_run

from edgeseg.report.slowdown import FEWEST_BLOCKS, slowdown

PAIRS = 100
MOST_FALSE_ALARMS = 5
DRIFT = 0.01


def lows(seed: int, *, slower: float, drift: float = DRIFT, baselines: int = 1, pairs: int = PAIRS) -> list[float]:
    random = np.random.default_rng(seed)
    return [
        slowdown(
            [simulated_run(random, 10.0, drift=drift) for _ in range(baselines)],
            simulated_run(random, 10.0 * (1 + slower), drift=drift),
        ).low
        for _ in range(pairs)
    ]


@pytest.mark.parametrize("drift", [0.003, 0.03])
def test_equal_runs_are_flagged_in_five_of_a_hundred_pairs_at_most(drift: float) -> None:
    assert sum(low > 0.0 for low in lows(1, slower=0.0, drift=drift)) <= MOST_FALSE_ALARMS


def test_equal_runs_are_flagged_no_more_often_against_five_baselines() -> None:
    assert sum(low > 0.0 for low in lows(2, slower=0.0, baselines=5, pairs=20)) <= 1


def test_a_regression_of_eight_percent_is_found_above_a_limit_of_three() -> None:
    assert sum(low > 0.03 for low in lows(3, slower=0.08, pairs=20)) >= 16


def test_a_regression_of_eight_percent_is_found_above_a_limit_of_five_against_five_baselines() -> None:
    assert sum(low > 0.05 for low in lows(4, slower=0.08, baselines=5, pairs=20)) >= 14


def test_the_change_is_that_of_the_medians() -> None:
    old = [[10.0, 11.0, 12.0]] * 10
    found = slowdown([old], [[value * 1.25 for value in block] for block in old])
    assert (found.old_ms, found.new_ms) == (11.0, 13.75)
    assert found.change == pytest.approx(0.25)
    assert found.low <= found.change <= found.high


def test_what_got_faster_is_below_zero() -> None:
    found = slowdown([[[10.0, 10.1]] * 10], [[5.0, 5.05]] * 10)
    assert found.high < -0.45


def test_the_same_samples_give_the_same_interval() -> None:
    runs = [simulated_run(np.random.default_rng(5), 10.0, drift=DRIFT) for _ in range(2)]
    assert slowdown(runs[:1], runs[1]) == slowdown(runs[:1], runs[1])


def test_more_confidence_is_a_wider_interval() -> None:
    random = np.random.default_rng(6)
    old, new = (simulated_run(random, 10.0, drift=DRIFT) for _ in range(2))
    some, more = (slowdown([old], new, confidence=share) for share in (0.8, 0.99))
    assert more.low < some.low < some.high < more.high


def test_baselines_that_lie_apart_widen_the_interval() -> None:
    steady = [[10.0, 10.1, 10.2]] * 10
    apart = [[[value * factor for value in block] for block in steady] for factor in (0.8, 1.0, 1.25)]
    assert slowdown([steady], [[12.0, 12.1]] * 10).low > 0.1
    assert slowdown(apart, [[12.0, 12.1]] * 10).low < 0.0


def test_rounds_of_a_run_that_lie_apart_widen_the_interval() -> None:
    wandering = [[level, level * 1.01] for level in np.linspace(9.0, 11.0, 10)]
    assert slowdown([wandering], [[11.5, 11.6]] * 10).low < 0.0


def test_a_run_of_one_round_is_judged_by_its_pieces() -> None:
    found = slowdown([[list(np.linspace(10.0, 10.2, 80))]], [list(np.linspace(12.0, 12.2, 80))])
    assert 0.1 < found.low < found.high < 0.3


@pytest.mark.parametrize("counts", [(1, FEWEST_BLOCKS - 1), (FEWEST_BLOCKS - 1, 1)])
def test_too_few_samples_are_refused(counts: tuple[int, int]) -> None:
    rounds, samples = counts
    with pytest.raises(ValueError, match="7 samples in"):
        slowdown([[[10.0] * samples] * rounds], [[10.0, 10.0]] * 10)


@pytest.mark.parametrize("confidence", [0.0, 1.0, float("nan")])
def test_a_confidence_that_is_no_share_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        slowdown([[[1.0]] * 10], [[1.0]] * 10, confidence=confidence)
