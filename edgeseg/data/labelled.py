"""Own labelled frames: pairs of image and label of one data set, read one by one. Know no folders, judge no net."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.bad_files import GO_ON, BadFiles, Skipped, file_digests
from edgeseg.data.label_layout import Found, LayoutName, Pair
from edgeseg.data.layouts import LAYOUTS, find_layout
from edgeseg.errors import DataError
from edgeseg.files import sha256_of
from edgeseg.imaging.images import read_image
from edgeseg.imaging.preprocess import Frame

__all__ = ["LabelledFrame", "LabelledSet"]


@dataclass(frozen=True)
class LabelledFrame:
    """A picture, uint8 (H, W, 3) BGR, and its label map, uint8 (H, W); both owned by whoever got it."""

    name: str
    bgr: Frame
    label: NDArray[np.uint8]


class LabelledSet:
    """The frames of a data set with their labels, read one by one, anew at every iteration.

    The images say what belongs to the set (VOC: the list, or without lists the labels); labels beyond are not looked
    at. Ids in ``LabelledFrame.label`` are class ids, whatever the files hold:

    =============== ==================================================== ========== ===================== ======
    layout          folders                                              split      ids                   ignore
    =============== ==================================================== ========== ===================== ======
    plain           images/NAME.*, labels/NAME.png; a split: a subfolder validation as they are            None
    cityscapes      leftImg8bit/SPLIT/CITY, gtFine/SPLIT/CITY            val        train ids 0-18        255
    cityscapes-ids  the same                                             val        label ids 0-33        255
    voc             JPEGImages, SegmentationClass, ImageSets             val        0-20, by the colours  255
    ade20k          images/SPLIT, annotations/SPLIT                      validation 0-149, one less       255
    camvid          SPLIT, SPLITannot or SPLIT_labels; or the original's test       0-10, also by colours 11
    =============== ==================================================== ========== ===================== ======

    Args:
        folder: holds the data set.
        layout: how it is laid out; ``auto`` knows it by its folders.
        split: which part; without it the one of the table. A plain folder that has no ``validation`` is taken whole.
        skip_bad: pass over frames that miss a file, cannot be read, or whose label does not fit.
    Raises:
        DataError: the layout or the split is not there, no image has a label, or (without ``skip_bad``) one has none.
    """

    def __init__(
        self, folder: Path, *, layout: LAYOUTS = "auto", split: str | None = None, skip_bad: bool = False
    ) -> None:
        self._layout = find_layout(folder, layout)
        self.folder, self.skip_bad = folder, skip_bad
        self.split = self._layout.choose(folder, split)
        found = self._layout.find(folder, self.split)
        whole, lacking = _parted(found.pairs)
        if not whole:
            raise self._nothing_common(lacking, found)
        if lacking and not skip_bad:
            raise DataError(
                f"{lacking[0][0]} is missing ({len(lacking)} in all)", f"give every image a label of its name; {GO_ON}"
            )
        self._pairs, self._lacking = tuple(whole), tuple(lacking)
        #: files passed over, with the reason, in the last iteration that came to its end; missing ones from the start
        self.skipped: tuple[Skipped, ...] = self._lacking

    @property
    def layout(self) -> LayoutName:
        """The layout that the set was found in; never ``auto``."""
        return self._layout.name

    @property
    def ignore(self) -> int | None:
        """The id in the labels that counts as no class; None where the layout has none (plain)."""
        return self._layout.ignore

    def __len__(self) -> int:
        """The number of frames that will be asked for; those that miss a file are not among them."""
        return len(self._pairs)

    def __iter__(self) -> Iterator[LabelledFrame]:
        """Frames with their labels, of one size each.

        Raises:
            DataError: an image or a label cannot be read, or their sizes differ (named, with the place); or with
                ``skip_bad`` not one can be used.
        """
        bad = BadFiles("frame", len(self), skip_bad=self.skip_bad)
        used = 0
        for place, pair in enumerate(self._pairs, start=1):
            frame = bad.tried(place, pair.image, partial(self._read, pair))
            if frame is not None:
                used += 1
                yield frame
        bad.check_any(used, self.folder)
        self.skipped = (*self._lacking, *bad.skipped)

    @cached_property
    def image_digests(self) -> dict[Path, str]:
        """Hex SHA-256 of every image file's bytes, in order; read at the first use.

        Raises:
            DataError: a file cannot be read, without ``skip_bad``.
        """
        return dict(self._digests("image"))

    @property
    def images_sha256(self) -> frozenset[str]:
        """The digests of ``image_digests``, to compare with ``CalibrationSet.files_sha256``."""
        return frozenset(self.image_digests.values())

    @cached_property
    def sha256(self) -> str:
        """Hex digest of what is compared with: images' and labels' bytes in their order, and the layout.

        Raises:
            DataError: a file cannot be read, without ``skip_bad``.
        """
        digests = [*self.image_digests.values(), *(digest for _, digest in self._digests("label"))]
        return sha256_of("\n".join([self.layout, *digests]).encode())

    def _digests(self, kind: Literal["image", "label"]) -> list[tuple[Path, str]]:
        files = tuple(pair.image if kind == "image" else pair.label for pair in self._pairs)
        return file_digests(self.folder, files, kind, skip_bad=self.skip_bad)

    def _read(self, pair: Pair) -> LabelledFrame:
        bgr, label = read_image(pair.image), self._layout.read(pair.label)
        if bgr.shape[:2] != label.shape:
            raise DataError(
                f"{pair.label} is {label.shape} where its image is {bgr.shape[:2]} (height, width)",
                "make the sizes equal",
            )
        return LabelledFrame(pair.name, bgr, label)

    def _nothing_common(self, lacking: list[Skipped], found: Found) -> DataError:
        where = f"{self.folder} ({self.layout}{f', split {self.split}' if self.split else ''})"
        first = f"{lacking[0][0]} is missing" if lacking else "there is no image"
        return DataError(
            f"{where} has no common file: {first}, and "
            + (f"{found.labels[0]} belongs to no image" if found.labels else "there is no label at all"),
            "give image and label the same name",
        )


def _parted(pairs: list[Pair]) -> tuple[list[Pair], list[Skipped]]:
    """The pairs that are whole, and of each other the file that is missing."""
    whole, lacking = list[Pair](), list[Skipped]()
    for pair in pairs:
        missing = next((path for path in (pair.image, pair.label) if not path.is_file()), None)
        if missing is None:
            whole.append(pair)
        else:
            lacking.append((missing, "is missing"))
    return whole, lacking
