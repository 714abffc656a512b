"""Own how many bytes the steps around an engine must read and write, from shapes alone. Time nothing.

Counted is what no way of doing it can leave out: the source rows that some output row reads, whole; scores, masks and
pictures once. Tables, the corners' labels and what is read twice through the caches are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.spec import HeadSpec, InputSpec

if TYPE_CHECKING:
    from edgeseg.imaging._native import PreprocessTables

__all__ = ["mask_bytes", "overlay_bytes", "preprocess_bytes", "read_bytes"]


def preprocess_bytes(image: InputSpec, *, source_wh: tuple[int, int]) -> int:
    """A BGR picture to the tensor of a model's input.

    Example:
        >>> image = InputSpec(name="image", size_hw=(2, 4), mean=(0.0,) * 3, std=(1.0,) * 3)
        >>> preprocess_bytes(image, source_wh=(4, 2)) == 2 * 4 * 3 + 2 * 4 * 3 * 4
        True
    """
    tables = Preprocessor(image, threads=1).tables(source_wh)
    return read_bytes([3 * source_wh[0]], tables) + prod(image.shape) * np.dtype(image.dtype).itemsize


def read_bytes(row_bytes: Sequence[int], tables: PreprocessTables) -> int:
    """Of the source rows that some output row reads; linear reads a second one where that weighs something.

    Args:
        row_bytes: of a row of each plane; of NV12 the second plane has half as many rows.
        tables: of the plan, as ``Preprocessor.tables`` gives them.
    """
    is_linear = tables["row_taps"] == 0
    counts = 1 + (tables["row_weights"] > 0) if is_linear else tables["row_count"]
    pairs = zip(tables["row_first"], counts, strict=True)
    rows = {int(first) + step for first, count in pairs for step in range(int(count))}
    chroma = {row // 2 for row in rows}
    return sum(len(chroma if index else rows) * one for index, one in enumerate(row_bytes))


def mask_bytes(
    head: HeadSpec, *, size_hw: tuple[int, int], itemsize: int, has_confidence: bool = False, has_areas: bool = False
) -> int:
    """Scores to a mask: the scores read once, the mask written; a confidence written; for areas the mask read again."""
    return prod(head.shape) * itemsize + prod(size_hw) * (1 + has_confidence + has_areas)


def overlay_bytes(size_hw: tuple[int, int]) -> int:
    """Frame and mask read, picture written."""
    return prod(size_hw) * (3 + 1 + 3)
