"""Own the search for the fewest nodes whose higher precision keeps a promise. Build and run nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["fewest_kept"]

Kept = frozenset[str]


def fewest_kept(ranking: Sequence[str], holds: Callable[[Kept], bool | None]) -> Kept:
    """The nodes to keep in the higher precision, by bisection and then by giving back what was not needed.

    Bisection finds how many of the ranking's first have to be kept; where effects add up that is one number, and where
    they do not, what it ends with still holds. Of those, halves, quarters and at last single nodes are given back, the
    least harmful first, so that none is left whose giving back alone would still hold the promise. Deterministic.

    Args:
        ranking: names of all nodes that may be kept, the one whose quantisation harms most first. To keep none of
            them breaks the promise, to keep all of them holds it.
        holds: whether the promise holds if these are kept; None when no more may be asked.
    Returns:
        The smallest set found that holds; all of the ranking if none was found before the asking ended.

    Example:
        >>> sorted(fewest_kept("abcdefgh", lambda kept: {"b", "e"} <= kept))
        ['b', 'e']
    """
    best, broken, holding = frozenset(ranking), 0, len(ranking)
    while holding - broken > 1:
        middle = (broken + holding) // 2
        answer = holds(frozenset(ranking[:middle]))
        if answer is None:
            return best
        if answer:
            best, holding = frozenset(ranking[:middle]), middle
        else:
            broken = middle
    return _thinned(best, ranking, holds)


def _thinned(best: Kept, ranking: Sequence[str], holds: Callable[[Kept], bool | None]) -> Kept:
    size = len(best) // 2
    while size >= 1:
        harmless_first = [name for name in reversed(ranking) if name in best]
        for start in range(0, len(harmless_first), size):
            rest = best.difference(harmless_first[start : start + size])
            answer = holds(rest) if rest else False
            if answer is None:
                return best
            if answer:
                best = rest
        size //= 2
    return best
