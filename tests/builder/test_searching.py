"""The search for the fewest kept nodes, on promises that are known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.builder.searching import fewest_kept

NODES = tuple("abcdefghijklmnop")
#: of 16 nodes: 4 halvings, and what thinning may ask of a set that bisection has left
MOST_ASKED = 23


class Promise:
    """Counts how often it is asked, and ends the asking after ``budget``."""

    def __init__(self, is_held: Callable[[frozenset[str]], bool], budget: int = 1000) -> None:
        self.is_held, self.budget, self.asked = is_held, budget, list[frozenset[str]]()

    def __call__(self, kept: frozenset[str]) -> bool | None:
        if len(self.asked) >= self.budget:
            return None
        self.asked.append(kept)
        return self.is_held(kept)


@given(st.sets(st.sampled_from(NODES), min_size=1))
def test_the_culprits_and_no_others_are_kept_wherever_they_rank(culprits: set[str]) -> None:
    promise = Promise(lambda kept: culprits <= kept)
    assert fewest_kept(NODES, promise) == culprits


@given(st.integers(1, 4))
def test_culprits_at_the_head_of_the_ranking_are_found_in_few_steps(count: int) -> None:
    promise = Promise(lambda kept: set(NODES[:count]) <= kept)
    assert len(fewest_kept(NODES, promise)) == count
    assert len(promise.asked) <= MOST_ASKED - 10


@given(st.lists(st.integers(0, 100), min_size=2, max_size=16), st.integers(0, 100))
def test_where_effects_add_up_what_is_kept_holds_and_none_of_it_can_be_given_back(
    effects: list[int], share: int
) -> None:
    """In the order of their effect, as the ranking has them."""
    drop = dict(zip(NODES, sorted(effects, reverse=True), strict=False))
    limit = sum(effects) * share / 101

    def is_held(kept: frozenset[str]) -> bool:
        return sum(effect for name, effect in drop.items() if name not in kept) <= limit

    ranking = tuple(drop)
    if is_held(frozenset()):
        return
    kept = fewest_kept(ranking, Promise(is_held))
    assert is_held(kept)
    assert not any(is_held(kept - {name}) for name in kept if kept - {name})
    fewest = next(count for count in range(1, len(ranking) + 1) if is_held(frozenset(ranking[:count])))
    assert len(kept) == fewest


@given(st.integers(0, 30), st.sets(st.sampled_from(NODES), min_size=1))
def test_an_end_of_asking_leaves_a_set_that_holds(budget: int, culprits: set[str]) -> None:
    promise = Promise(lambda kept: culprits <= kept, budget)
    assert culprits <= fewest_kept(NODES, promise)
    assert len(promise.asked) <= budget


@given(st.randoms(use_true_random=False))
def test_a_promise_without_order_still_ends_in_a_set_that_held(random: object) -> None:
    """Quantisation errors can cancel: more kept is not always better."""
    answers: dict[frozenset[str], bool] = {frozenset(NODES): True}

    def is_held(kept: frozenset[str]) -> bool:
        return answers.setdefault(kept, random.random() < 0.5)  # type: ignore[attr-defined]

    kept = fewest_kept(NODES, Promise(is_held))
    assert answers[kept]
    assert kept


@pytest.mark.parametrize("ranking", ["a", "ab"])
def test_small_nets_end_at_once(ranking: str) -> None:
    assert fewest_kept(ranking, Promise(lambda kept: "a" in kept)) == {"a"}


def test_the_same_promise_is_asked_the_same_way_twice() -> None:
    first, second = (Promise(lambda kept: {"c", "k"} <= kept) for _ in range(2))
    fewest_kept(NODES, first)
    fewest_kept(NODES, second)
    assert first.asked == second.asked
