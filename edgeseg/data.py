"""Own where calibration and labelled images lie in a folder. Judge nothing, pre-process nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import DataError
from edgeseg.imaging.images import list_images, read_image, read_label
from edgeseg.imaging.preprocess import Frame

__all__ = ["CalibrationSet", "LabelledSet", "shipped_data"]


def shipped_data() -> Path:
    """The folder of the data that comes with edgeseg (synthetic; see its README)."""
    return Path(__file__).parent / "calib_data"


class CalibrationSet:
    """The images of a folder, or of its ``calibration`` subfolder where it has one.

    Args:
        folder: holds images.
    Raises:
        DataError: no folder, no image, or one that cannot be decoded (every one is looked at).
    """

    def __init__(self, folder: Path) -> None:
        inner = folder / "calibration"
        self.paths = list_images(inner if inner.is_dir() else folder)
        digest = hashlib.sha256()
        for path in self.paths:
            read_image(path)
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        self.sha256 = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        """Frames, uint8 (H, W, 3) BGR, one after another."""
        return (read_image(path) for path in self.paths)


@dataclass(frozen=True)
class LabelledFrame:
    """A picture, uint8 (H, W, 3) BGR, and its label map, uint8 (H, W)."""

    name: str
    bgr: Frame
    label: NDArray[np.uint8]


class LabelledSet:
    """Pairs ``images/NAME.*`` and ``labels/NAME.png`` of a folder, or of its ``validation`` subfolder.

    Args:
        folder: holds ``images`` and ``labels``.
    Raises:
        DataError: a folder or a label is missing.
    """

    def __init__(self, folder: Path) -> None:
        inner = folder / "validation"
        root = inner if inner.is_dir() else folder
        if not (root / "images").is_dir() or not (root / "labels").is_dir():
            raise DataError(
                f"{root} has no images/ and labels/", "put pairs there: images/NAME.jpg and labels/NAME.png"
            )
        self._pairs = [(path, root / "labels" / f"{path.stem}.png") for path in list_images(root / "images")]
        missing = [label for _, label in self._pairs if not label.is_file()]
        if missing:
            raise DataError(f"{missing[0]} is missing ({len(missing)} in all)", "give every image a label of its name")

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[LabelledFrame]:
        """Frames with their labels; raises DataError where the two differ in size."""
        for image_path, label_path in self._pairs:
            bgr, label = read_image(image_path), read_label(label_path)
            if bgr.shape[:2] != label.shape:
                raise DataError(
                    f"{label_path} is {label.shape} where its image is {bgr.shape[:2]}", "make the sizes equal"
                )
            yield LabelledFrame(image_path.stem, bgr, label)
