"""Own what tests of data sets share: writing small pictures, labels and palettes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.imaging.images import write_png

WriteLabel = Callable[..., None]


def picture(seed: int, size_hw: tuple[int, int] = (2, 3)) -> np.ndarray:
    """Noise, uint8 (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)


@pytest.fixture
def put() -> Callable[..., Path]:
    """``put(path, array)`` or ``put(path, seed)``: a PNG, its folders made; returns the path."""

    def write(path: Path, content: np.ndarray | int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, picture(content) if isinstance(content, int) else content)
        return path

    return write


@pytest.fixture
def put_indexed() -> WriteLabel:
    """``put_indexed(path, ids, palette)``: a palette PNG, as Pillow writes it; more words go to its ``save``."""
    image = pytest.importorskip("PIL.Image")

    def write(path: Path, ids: Sequence[Sequence[int]], palette: Sequence[tuple[int, int, int]], **words: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        label = image.fromarray(np.array(ids, np.uint8)).convert("P")
        label.putdata(np.array(ids).ravel().tolist())
        label.putpalette([level for colour in palette for level in colour])
        label.save(path, **words)

    return write
