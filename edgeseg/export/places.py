"""Own the search for a net's weights in what a checkpoint holds: wrappers, prefixes, averaged weights. Load nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeseg.packages import require

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Place", "Table", "places_of", "tables_in"]

#: words in a name that mark weights averaged over the training
AVERAGED = {"ema", "swa", "shadow", "averaged"}
#: a file with such a key has the averaged weights under ``state_dict``: MMEngine's and Lightning's
SWAPPED = ("message_hub", "current_model_state")
COMPILED = "_orig_mod."  # what torch.compile puts into every key
MAX_DEPTH = 4

Table = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class Place:
    """Where in a file a net's weights may be: in the mapping ``table``, with ``prefix`` before the net's keys.

    ``count`` is how many of the net's keys are there.
    """

    table: str
    prefix: str
    count: int
    is_averaged: bool

    @property
    def label(self) -> str:
        """How a user names it: ``state_dict.model``; empty for the file's top level."""
        return _label(self.table, self.prefix)

    def __str__(self) -> str:
        return self.label or "the top level"


def tables_in(content: object) -> dict[str, Table]:
    """All mappings in a file that hold tensors, by their place, such as ``callbacks.EMA.state_dict``."""
    return dict(_tables(content, "", 0))


def places_of(keys: Collection[str], content: object, tables: Mapping[str, Table]) -> list[Place]:
    """Everywhere in ``tables`` that keys of a net are found, the most complete first.

    Args:
        keys: the net's.
        content: the whole file.
        tables: of the file.
    """
    is_swapped = isinstance(content, Mapping) and any(key in content for key in SWAPPED)
    counts = Counter(
        (name, key[:start])
        for name, table in tables.items()
        for key in table
        for start in _starts(key)
        if key[start:] in keys
    )
    return [
        Place(table, prefix, count, table == "state_dict" if is_swapped else _says_averaged(_label(table, prefix)))
        for (table, prefix), count in counts.most_common()
    ]


def _tables(content: object, name: str, depth: int) -> Iterator[tuple[str, Table]]:
    if not isinstance(content, Mapping) or depth > MAX_DEPTH:
        return
    torch = require("torch")
    items = {str(key).replace(COMPILED, ""): value for key, value in content.items()}
    tensors = {key: value for key, value in items.items() if torch.is_tensor(value)}
    if tensors:
        yield name, tensors
    for key, value in items.items():
        yield from _tables(value, _label(name, key), depth + 1)


def _starts(key: str) -> list[int]:
    """Where in a key a net's own key may begin: ``a.b.c`` -> 0, 2, 4."""
    return [0, *(found.end() for found in re.finditer(r"\.", key))]


def _says_averaged(label: str) -> bool:
    return not AVERAGED.isdisjoint(re.split(r"[._]", label.lower()))


def _label(table: str, prefix: str) -> str:
    return f"{table}.{prefix}".strip(".")
