"""The law of a series is recovered, with an interval that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


@pytest.fixture
def fitting(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import fitting

    return fitting


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_an_exact_law_is_recovered(fitting: Any, exponent: float) -> None:
    law = fitting.fit(SIZES, [3.0 * size**exponent for size in SIZES])
    assert (law.exponent, law.factor, law.points) == (pytest.approx(exponent), pytest.approx(3.0), len(SIZES))
    assert law.low == pytest.approx(law.high) == pytest.approx(exponent)
    assert law.r2 == pytest.approx(1.0)


def test_the_fit_is_numpys_and_explains_what_it_leaves(fitting: Any) -> None:
    costs = [1.0, 2.3, 3.6, 9.1, 14.0, 35.0]
    law = fitting.fit(SIZES, costs)
    slope, offset = np.polyfit(np.log(SIZES), np.log(costs), 1)
    assert (law.exponent, np.log(law.factor)) == (pytest.approx(slope), pytest.approx(offset))
    assert law.r2 == pytest.approx(np.corrcoef(np.log(SIZES), np.log(costs))[0, 1] ** 2)


@pytest.mark.parametrize("points", [3, 4, 6, 12, 30])
def test_the_interval_holds_the_exponent_in_95_of_100_noisy_series(fitting: Any, points: int) -> None:
    rng, sizes, series = np.random.default_rng(points), np.geomspace(1, 100, points), 1000
    held = 0
    for noise in rng.normal(0, 0.2, (series, points)):
        law = fitting.fit(sizes, np.exp(0.7 * np.log(sizes) + noise))
        held += law.low <= 0.7 <= law.high
    assert 0.93 <= held / series <= 0.975  # beyond the table it is a little too wide


@pytest.mark.parametrize(
    ("sizes", "costs"),
    [((1, 2), (1, 2)), ((1, 2, 3), (1, 2)), ((1, 2, 3), (1, 0, 3)), ((0, 1, 2), (1, 1, 1)), ((5, 5, 5), (1, 2, 3))],
)
def test_what_has_no_law_is_refused(fitting: Any, sizes: tuple[float, ...], costs: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three or more"):
        fitting.fit(sizes, costs)


@pytest.mark.parametrize(
    ("exponent", "low", "high", "told"),
    [
        (0.05, -0.1, 0.2, "Post hardly depends on the classes."),
        (0.3, -0.1, 0.7, "Post shows no dependence on the classes beyond its scatter."),
        (1.05, 1.02, 1.08, "Post grows in proportion to the classes."),
        (0.8, 0.55, 1.05, "Post grows in proportion to the classes."),
        (0.5, 0.3, 0.7, "grows more slowly than in proportion to the classes: twice as many classes cost 1.41 times"),
        (2.0, 1.8, 2.2, "grows faster than in proportion to the classes: twice as many classes cost 4.00 times"),
        (-1.0, -1.2, -0.8, "Post falls with the classes: twice as many classes cost 0.50 times"),
        (1.0, 0.4, 1.6, "no one law from these points (0.40 to 1.60)"),
    ],
)
def test_the_sentence_follows_from_interval_and_exponent(
    fitting: Any, exponent: float, low: float, high: float, told: str
) -> None:
    law = fitting.Fit(exponent=exponent, low=low, high=high, factor=1.0, r2=0.9, points=4)
    assert told in fitting.sentence(law, "Post", "classes")
