from __future__ import annotations

import pytest

from edgeseg.runtime.sources.clocks import WINDOW_S, Pace, StreamClock


def test_a_frame_is_as_old_as_its_delay_above_the_least_one() -> None:
    clock = StreamClock()
    ages = [
        100 + i / 10 + delay - clock.captured_s(i / 10, 100 + i / 10 + delay) for i, delay in enumerate((0.3, 0.1, 0.4))
    ]
    assert ages == pytest.approx([0, 0, 0.3])


def test_no_frame_is_captured_after_it_arrived() -> None:
    clock = StreamClock()
    for presented, arrived in ((5, 10), (5.1, 9), (90, 9.1), (0, 9.2), (0.1, 80)):
        assert clock.captured_s(presented, arrived) <= arrived


def test_a_senders_clock_that_runs_slow_makes_no_frame_look_old() -> None:
    """A hundred times worse than quartz, for an hour."""
    clock, drift = StreamClock(), 1 - 3e-3
    ages = [at - clock.captured_s(at * drift, at) for at in range(3600)]
    assert max(ages) <= 2 * WINDOW_S * (1 - drift) + 0.01


def test_a_burst_behind_a_hole_is_as_old_as_it_is() -> None:
    clock = StreamClock()
    for at in range(10):
        clock.captured_s(at, 50.0 + at)
    assert 70 - clock.captured_s(12, 70) == pytest.approx(8)


def test_a_sender_that_counts_anew_is_taken_as_new() -> None:
    clock = StreamClock()
    clock.captured_s(1000, 50)
    assert clock.captured_s(0, 51) == pytest.approx(51)


def test_a_pace_waits_for_what_is_left_and_never_for_what_is_late() -> None:
    now, waits = [10.0], []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    pace = Pace(wait, now=lambda: now[0])
    pace.until(3.0)
    pace.until(3.5)
    now[0] += 2.0
    pace.until(4.0)
    pace.until(6.0)
    assert waits == pytest.approx([0.5, 0.5])
