"""The record of a search on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeseg.builder.trials import Trials, trials_path
from edgeseg.errors import SpecError


class Judged:
    """Gives each set of kept nodes a figure, and remembers who was judged."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, frozenset[str]]] = []

    def __call__(self, kind: str, kept: frozenset[str]) -> float:
        self.seen.append((kind, kept))
        return len(kept) / 10


def trials(path: Path, judge: Any, *, key: str = "k", budget: int = 5) -> Trials:
    return Trials(path, key=key, budget=budget, judge=judge)


def test_a_precision_is_judged_once(tmp_path: Path) -> None:
    judge = Judged()
    one = trials(tmp_path / "a.json", judge)
    assert one.miou("int8", frozenset("ab")) == one.miou("int8", frozenset("ba")) == 0.2
    assert one.miou("fp32") == 0.0
    assert judge.seen == [("int8", frozenset("ab")), ("fp32", frozenset())]
    assert [(trial.kind, trial.kept) for trial in one.made] == [("int8", ("a", "b")), ("fp32", ())]


def test_a_search_that_was_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    first = trials(tmp_path / "a.json", Judged())
    first.miou("int8", frozenset("ab"))
    assert first.ranking(lambda: ("b", "a")) == ("b", "a")
    judge = Judged()
    second = trials(tmp_path / "a.json", judge)
    assert second.resumed == 1
    assert second.miou("int8", frozenset("ab")) == 0.2
    assert second.ranking(lambda: ("never", "asked")) == ("b", "a")
    assert judge.seen == []


def test_a_trial_that_did_not_end_leaves_no_trace(tmp_path: Path) -> None:
    def stopped(kind: str, kept: frozenset[str]) -> float:
        raise KeyboardInterrupt

    one = trials(tmp_path / "a.json", stopped)
    with pytest.raises(KeyboardInterrupt):
        one.miou("int8")
    assert trials(tmp_path / "a.json", Judged()).resumed == 0


def test_a_record_of_something_else_is_begun_anew(tmp_path: Path) -> None:
    trials(tmp_path / "a.json", Judged(), key="one net").miou("int8")
    other = trials(tmp_path / "a.json", Judged(), key="another")
    assert other.resumed == 0
    assert other.made == ()


def test_the_budget_counts_what_was_tried_before_too(tmp_path: Path) -> None:
    first = trials(tmp_path / "a.json", Judged(), budget=3)
    assert [first.miou("int8", frozenset(name)) for name in "ab"] == [0.1, 0.1]
    second = trials(tmp_path / "a.json", Judged(), budget=3)
    assert second.miou("int8", frozenset("c")) == 0.1
    assert second.miou("int8", frozenset("d")) is None
    assert second.miou("int8", frozenset("a")) == 0.1  # what is known costs nothing


def test_a_damaged_record_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"schema": 1, "key": "k", "trials": [')
    with pytest.raises(SpecError, match=r"a\.json is no record of a search .*: delete it to begin the search anew"):
        trials(path, Judged())


def test_the_record_lies_beside_the_engine() -> None:
    assert trials_path(Path("a/net.engine")) == Path("a/net.engine.search.json")
