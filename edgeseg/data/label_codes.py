"""Own the way from a label file's values or colours to class ids. Know no data set's folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.label_tables import ADE20K_CLASSES, CAMVID_VOID, CITYSCAPES_EVALUATED, CITYSCAPES_LABELS, VOID
from edgeseg.errors import DataError

__all__ = ["ade20k_table", "camvid_table", "cityscapes_table", "ids_of_colours", "ids_of_values"]

IdMap = NDArray[np.uint8]
Table = NDArray[np.int16]  # of 256 values; NO_ID where a value stands for nothing
NO_ID = -1


def cityscapes_table(*, to_train_ids: bool) -> Table:
    """Label ids to train ids, or to themselves; what the benchmark does not evaluate is VOID either way."""
    table = _table_of_none()
    table[:CITYSCAPES_LABELS] = VOID
    for train_id, label_id in enumerate(CITYSCAPES_EVALUATED):
        table[label_id] = train_id if to_train_ids else label_id
    table[VOID] = VOID  # how -1 reads where a tool wrote it into 8 bits
    return table


def ade20k_table() -> Table:
    """0 to VOID, 1 to 150 to themselves less one."""
    table = _table_of_none()
    table[0] = VOID
    table[1 : ADE20K_CLASSES + 1] = np.arange(ADE20K_CLASSES)
    return table


def camvid_table() -> Table:
    """SegNet's ids 0 to 11, void included, to themselves."""
    table = _table_of_none()
    table[: CAMVID_VOID + 1] = np.arange(CAMVID_VOID + 1)
    return table


def ids_of_values(values: IdMap, table: Table, path: Path) -> IdMap:
    """Put every value of a label map, uint8 (H, W), through the table; a new array.

    Raises:
        DataError: a value that stands for nothing; names it, its place and the file.
    """
    ids = table[values]
    if ids.min() == NO_ID:
        row, column = np.argwhere(ids == NO_ID)[0]
        raise DataError(
            f"{path} holds {values[row, column]} in row {row}, column {column}, which is no label of this data set",
            "check that the file and the layout belong together",
        )
    return ids.astype(np.uint8)


def ids_of_colours(colours_bgr: NDArray[np.uint8], ids: Mapping[tuple[int, int, int], int], path: Path) -> IdMap:
    """Look every colour of a label picture, uint8 (H, W, 3) BGR, up exactly; uint8 (H, W), a new array.

    Args:
        colours_bgr: the picture.
        ids: RGB -> id.
        path: its file, for the message.
    Raises:
        DataError: a colour that is none of them; names it, its place and the file.
    """
    known = sorted((red << 16 | green << 8 | blue, one) for (red, green, blue), one in ids.items())
    codes = np.array([code for code, _ in known], np.uint32)
    wide = colours_bgr.astype(np.uint32)
    found = wide[..., 2] << 16 | wide[..., 1] << 8 | wide[..., 0]
    places = np.searchsorted(codes, found).clip(max=len(codes) - 1)
    strange = codes[places] != found
    if strange.any():
        row, column = np.argwhere(strange)[0]
        blue, green, red = colours_bgr[row, column].tolist()
        raise DataError(
            f"{path} has the colour ({red}, {green}, {blue}) in row {row}, column {column}, which is no class of "
            "this data set",
            "check that the file is a PNG in the data set's own colours: JPEG and resizing make new ones",
        )
    return np.asarray(np.array([one for _, one in known], np.uint8)[places])


def _table_of_none() -> Table:
    return np.full(256, NO_ID, np.int16)
