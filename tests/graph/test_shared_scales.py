"""Tensors that are copies of each other have one scale."""

from __future__ import annotations

from precision_lab import net

from edgeseg.graph.shared_scales import shared


def test_what_a_concatenation_takes_and_gives_has_the_largest_range() -> None:
    assert shared(net(), {"u": 2.0, "rc": 1.0, "k": 3.0}) == {"u": 3.0, "rc": 3.0, "k": 3.0}


def test_a_chain_of_copies_is_one_group() -> None:
    """The pooling joins p to rc, the concatenation rc to k."""
    assert shared(net(), {"p": 5.0, "rc": 1.0, "k": 3.0}) == {"p": 5.0, "rc": 5.0, "k": 5.0}


def test_what_is_computed_from_another_keeps_its_own_range() -> None:
    given = {"image": 1.0, "a": 2.0, "ra": 3.0, "b": 4.0}
    assert shared(net(), given) == given


def test_tensors_that_are_not_quantised_join_nothing() -> None:
    assert shared(net(), {"u": 2.0, "rc": 1.0}) == {"u": 2.0, "rc": 2.0}
    assert shared(net(), {"u": 2.0}) == {"u": 2.0}
