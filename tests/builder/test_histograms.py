from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from edgeseg.builder.histograms import BINS, CHUNK, SMALLEST_EXPONENT, SMOOTHING, Histogram

Floats = NDArray[np.float32]

NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TENSORS = arrays.arrays(np.float32, arrays.array_shapes(min_dims=1, max_dims=4, max_side=6), elements=NUMBERS)
#: magnitudes that a net has: bins matter there
USUAL = arrays.arrays(np.float32, st.integers(1, 300), elements=st.floats(-100, 100, width=32))
#: so near the peak ends a threshold of uniform numbers: the noise of sampling, about sqrt(2 bins) / values in the
#: divergence, outweighs the last few of 4096 bins
UNIFORM_BINS = 40


def counted(*tensors: Floats) -> Histogram:
    seen = Histogram()
    for tensor in tensors:
        seen.add(tensor)
    return seen


def state(seen: Histogram) -> tuple[list[int], float, float]:
    return seen.counts.tolist(), seen.width, seen.peak


@given(st.lists(TENSORS, max_size=5), st.randoms())
def test_counts_depend_neither_on_order_nor_on_shares(tensors: list[Floats], random: object) -> None:
    at_once = counted(*tensors)
    mixed = sorted(tensors, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert state(counted(*mixed)) == state(at_once)
    for cut in range(len(mixed) + 1):
        one, two = counted(*mixed[:cut]), counted(*mixed[cut:])
        assert state(one.merge(two)) == state(two.merge(one)) == state(at_once)


@given(TENSORS)
def test_every_value_is_counted_in_its_own_bin_and_the_peak_in_the_upper_half(tensor: Floats) -> None:
    seen, magnitudes = counted(tensor), np.abs(tensor.astype(np.float64)).ravel()
    exact = [math.floor(one / seen.width) for one in magnitudes]
    assert seen.counts.tolist() == np.bincount(exact, minlength=BINS).tolist()
    assert seen.total == tensor.size
    assert seen.peak == magnitudes.max()
    if seen.peak >= 2.0**SMALLEST_EXPONENT:
        assert BINS // 2 <= max(exact) < BINS


def test_a_merge_leaves_both_parts_as_they_were() -> None:
    one, two = counted(np.ones(3, np.float32)), counted(np.full(2, 100, np.float32))
    before = state(one), state(two)
    one.merge(two).add(np.ones(5, np.float32))
    assert (state(one), state(two)) == before


def test_tensors_larger_than_a_chunk_and_not_contiguous_are_counted_whole() -> None:
    rng = np.random.default_rng(0)
    tensor = rng.normal(size=(3, CHUNK)).astype(np.float32)
    tensor[2, -1] = 50
    parts = counted(*(tensor[row, start::2] for row in range(3) for start in (0, 1)))
    assert state(counted(tensor.T)) == state(parts) == state(counted(tensor))
    assert parts.total == 3 * CHUNK


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 7, CHUNK + 1])
def test_nan_and_infinity_are_refused_wherever_they_stand(value: float, place: int) -> None:
    tensor = np.ones(CHUNK + 2, np.float32)
    tensor[place] = value
    with pytest.raises(ValueError, match="holds"):
        counted(tensor)


@given(USUAL, st.floats(0.01, 100))
def test_a_percentile_is_numpys_within_a_bin(values: Floats, percentile: float) -> None:
    seen = counted(values)
    expected = np.percentile(np.abs(values.astype(np.float64)), percentile)
    assert seen.percentile_threshold(percentile) == pytest.approx(expected, rel=1e-12, abs=seen.width)


def test_the_hundredth_percentile_is_the_peak_exactly() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert counted(values).percentile_threshold(100) == np.abs(values).max()


@pytest.mark.parametrize("percentile", [0, -1, 100.1, math.nan])
def test_no_other_percentile_is_taken(percentile: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        counted(np.ones(3, np.float32)).percentile_threshold(percentile)


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="of 0 values"):
        Histogram().percentile_threshold(99)


def plain_entropy_threshold(seen: Histogram, levels: int) -> float:
    """The definition of ``Histogram.entropy_threshold``, a bin at a time."""
    bins = [float(one) for one in seen.counts]
    while bins and not bins[-1]:
        bins.pop()
    bins[0] = bins[1]
    best, threshold = math.inf, seen.peak
    for kept in range(levels, len(bins) + 1):
        clipped = sum(bins[kept:])
        if clipped > sum(bins[:kept]):
            continue
        p = bins[:kept]
        p[-1] += clipped
        level_of = [bin_ * levels // kept for bin_ in range(kept)]
        mass, filled = [0.0] * levels, [0] * levels
        for bin_, level in enumerate(level_of):
            mass[level] += bins[bin_]
            filled[level] += p[bin_] > 0
        q = [(mass[level] / filled[level] or SMOOTHING) if p[b] else 0.0 for b, level in enumerate(level_of)]
        divergence = sum(a / sum(p) * math.log(a / sum(p) / (b / sum(q))) for a, b in zip(p, q, strict=True) if a)
        if divergence <= best + 1e-12:
            best, threshold = min(divergence, best), min(kept * seen.width, seen.peak)
    return threshold


SHAPES = {
    "normal": lambda rng: rng.normal(size=20_000),
    "relu": lambda rng: np.maximum(rng.normal(size=20_000), 0),
    "heavy tails": lambda rng: rng.standard_t(2, size=20_000),
    "far value": lambda rng: np.append(rng.normal(size=20_000), 60),
    "two heaps": lambda rng: np.concatenate([rng.normal(size=9_000), rng.normal(20, 0.1, size=11_000)]),
    "few": lambda rng: rng.normal(size=5),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_entropy_threshold_is_that_of_its_plain_definition(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeseg.builder.histograms.BINS", 512)  # the plain one takes a minute with 4096
    seen = counted(SHAPES[shape](np.random.default_rng(1)).astype(np.float32))
    assert seen.entropy_threshold(24) == plain_entropy_threshold(seen, 24)


def test_entropy_cuts_one_far_value_off_a_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(size=1_000_000).astype(np.float32)
    for far in (20.0, 60.0, 100.0):
        seen = counted(values, np.array([far], np.float32))
        assert 3 < seen.entropy_threshold() < 8
        assert seen.peak == far


def test_entropy_keeps_the_peak_of_a_uniform_distribution() -> None:
    seen = counted(np.random.default_rng(0).uniform(-1, 1, 2_000_000).astype(np.float32))
    assert seen.peak - UNIFORM_BINS * seen.width <= seen.entropy_threshold() <= seen.peak


def test_zeros_do_not_move_the_entropy_threshold() -> None:
    values = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    with_zeros = counted(values, np.zeros(1_000_000, np.float32))
    assert with_zeros.entropy_threshold() == counted(values).entropy_threshold()


def test_entropy_never_clips_more_than_it_keeps() -> None:
    values = np.repeat(np.array([0.1, 1.0], np.float32), (1, 100_000))
    assert counted(values).entropy_threshold() == 1.0


@given(USUAL)
@settings(max_examples=30)
def test_thresholds_lie_between_zero_and_the_peak(values: Floats) -> None:
    seen = counted(values)
    for threshold in (seen.entropy_threshold(), seen.percentile_threshold(99.9)):
        assert 0 <= threshold <= seen.peak
