"""Own the record of a search: which precisions were tried, kept in a file so that an interrupted search goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from edgeseg.errors import SpecError
from edgeseg.files import read_file, write_atomically
from edgeseg.records import Record
from edgeseg.spec import PrecisionKind, TrialSpec

__all__ = ["Trials", "trials_path"]

Kept = frozenset[str]


def trials_path(engine_path: Path) -> Path:
    """``net.engine`` -> ``net.engine.search.json``."""
    return engine_path.with_name(engine_path.name + ".search.json")


class _Record(Record, frozen=True, kw_only=True):
    """What the file holds; ``key`` is a hash of all that the figures depend on."""

    schema: Literal[1] = 1
    key: str
    ranking: tuple[str, ...] = ()
    trials: tuple[TrialSpec, ...] = ()


class Trials:
    """The trials of one search, on disk after each.

    Args:
        path: of the file; one of another key is begun anew.
        key: hash of the net, its ranges, the frames and the judge.
        budget: how many trials may be made in all, those that are found in the file included.
        judge: gives the mean IoU of a precision with some nodes kept.
    Raises:
        SpecError: the file is there and is no such record.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: str,
        budget: int,
        judge: Callable[[PrecisionKind, Kept], float],
    ) -> None:
        self._path, self._budget, self._judge = path, budget, judge
        found = _read(path)
        self._record = found if found is not None and found.key == key else _Record(key=key)
        #: how many trials were there already
        self.resumed = len(self._record.trials)

    @property
    def made(self) -> tuple[TrialSpec, ...]:
        """In their order."""
        return self._record.trials

    def ranking(self, ranked: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        """The recorded ranking, or what ``ranked`` finds, which is then recorded."""
        if not self._record.ranking:
            self._write(msgspec.structs.replace(self._record, ranking=ranked()))
        return self._record.ranking

    def miou(self, kind: PrecisionKind, kept: Kept = frozenset()) -> float | None:
        """Mean IoU (0 to 1) of a precision, tried now if it has not been; None where the budget is spent."""
        names = tuple(sorted(kept))
        for trial in self.made:
            if (trial.kind, trial.kept) == (kind, names):
                return trial.miou
        if len(self.made) >= self._budget:
            return None
        trial = TrialSpec(kind=kind, kept=names, miou=self._judge(kind, kept))
        self._write(msgspec.structs.replace(self._record, trials=(*self.made, trial)))
        return trial.miou

    def _write(self, record: _Record) -> None:
        self._record = record
        write_atomically(self._path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def _read(path: Path) -> _Record | None:
    if not path.exists():
        return None
    redo = "delete it to begin the search anew"
    try:
        return msgspec.json.decode(read_file(path, error=SpecError, make_it=redo), type=_Record)
    except msgspec.DecodeError as error:
        raise SpecError(f"{path} is no record of a search ({error})", redo) from error
