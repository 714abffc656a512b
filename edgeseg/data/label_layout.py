"""Own what every layout of labelled data answers: does it fit, its splits, its pairs, its ids. Know no data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.label_tables import VOID
from edgeseg.errors import DataError
from edgeseg.imaging.images import read_label

__all__ = ["Found", "IdMap", "LabelLayout", "LayoutName", "Pair", "has_folders", "subfolders"]

LayoutName = Literal["plain", "cityscapes", "cityscapes-ids", "voc", "ade20k", "camvid"]
IdMap = NDArray[np.uint8]


class Pair(NamedTuple):
    """A frame's name, and where its image and its label belong; either file may be missing."""

    name: str
    image: Path
    label: Path


class Found(NamedTuple):
    """The frames of a split, by name, and all label files that lie where theirs belong."""

    pairs: list[Pair]
    labels: list[Path]


class LabelLayout(ABC):
    """One data set's folders.

    ``ignore`` is the id of what counts as no class, ``default`` the split that is taken when none is named, ``also``
    other names of splits.
    """

    name: ClassVar[LayoutName]
    looks_for: ClassVar[str]
    ignore: ClassVar[int | None] = VOID
    default: ClassVar[str] = "val"
    also: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def fits(self, folder: Path) -> bool:
        """Whether the folder has the subfolders of this layout."""

    def is_sure(self, folder: Path) -> bool:
        """Whether it is this data set, and not another in folders of these names; decides where nobody says."""
        return self.fits(folder)

    @abstractmethod
    def splits(self, folder: Path) -> tuple[str, ...]:
        """The splits that are there, by name; none where the folder is not split."""

    @abstractmethod
    def find(self, folder: Path, split: str | None) -> Found:
        """The frames of a split.

        Raises:
            DataError: a folder or a list that the split needs is missing or empty.
        """

    def read(self, path: Path) -> IdMap:
        """Class ids of a label file, uint8 (H, W).

        Raises:
            DataError: broken, or it holds what is no label of this data set.
        """
        return read_label(path)

    def choose(self, folder: Path, split: str | None) -> str | None:
        """The split to take, by the name that it has in the folder; None where the folder is not split.

        Raises:
            DataError: no such split; names those that are there.
        """
        there = self.splits(folder)
        if split is None and not there:
            return None
        wanted = self.also.get(split or self.default, split or self.default)
        if wanted not in there:
            names = ", ".join(there)
            raise DataError(
                f"{folder} has no split '{wanted}' ({self.name})",
                f"take one that is there (--split): {names}" if there else "it is not split: leave --split out",
            )
        return wanted


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, by name."""
    return sorted(one for one in folder.iterdir() if one.is_dir())


def has_folders(folder: Path, *names: str) -> bool:
    """Whether a folder has subfolders of all these names."""
    return all((folder / name).is_dir() for name in names)
