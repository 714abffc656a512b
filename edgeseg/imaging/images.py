"""Own image files: listing, reading, writing. Know no labels and no net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import DataError, InputError, OutputError
from edgeseg.files import read_file, write_atomically
from edgeseg.imaging.preprocess import Frame

__all__ = ["IMAGE_SUFFIXES", "list_images", "read_image", "read_label", "write_png"]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
FAST_COMPRESSION = 1  # zlib level: masks are flat, so a higher level costs time and saves little


def list_images(folder: Path, *, error: type[InputError] = DataError) -> list[Path]:
    """The image files of a folder (not of its subfolders), sorted by name, at least one.

    Raises:
        error: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise error(f"{folder} is not a folder", f"give a folder of images ({' '.join(IMAGE_SUFFIXES)})")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise error(f"{folder} holds no image", f"put images there ({' '.join(IMAGE_SUFFIXES)})")
    return found


def read_image(path: Path, *, error: type[InputError] = DataError) -> Frame:
    """Read a picture as uint8 (H, W, 3) BGR, owned by the caller.

    Raises:
        error: missing, empty, or no image that OpenCV can decode.
    """
    import cv2

    return np.asarray(_decode(path, cv2.IMREAD_COLOR, error), np.uint8)


def read_label(path: Path) -> NDArray[np.uint8]:
    """Read a label map, whose 8-bit pixel values are class ids, as uint8 (H, W).

    Raises:
        DataError: missing, broken, or not one 8-bit channel.
    """
    import cv2

    label = _decode(path, cv2.IMREAD_UNCHANGED, DataError)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise DataError(
            f"{path} is {label.dtype} {label.shape}", "a label is an 8-bit single-channel image of class ids"
        )
    return np.asarray(label, np.uint8)


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write uint8 (H, W) or (H, W, 3) BGR as PNG, atomically.

    Raises:
        OutputError: the folder cannot be written or the device is full.
    """
    import cv2

    done, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, FAST_COMPRESSION])
    if not done:
        raise OutputError(f"{path}: OpenCV cannot encode {image.dtype} {image.shape} as PNG", "give uint8 pixels")
    write_atomically(path, data.tobytes())


def _decode(path: Path, mode: int, error: type[InputError]) -> NDArray[np.generic]:
    import cv2

    data = read_file(path, error=error)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    if image is None:
        raise error(f"{path} is no image that can be decoded ({len(data)} bytes)", "replace it or take it out")
    return np.asarray(image)
