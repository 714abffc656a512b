"""Own image files: listing, reading, writing. Know no labels and no net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import DataError, InputError, OutputError
from edgeseg.files import read_file, write_atomically
from edgeseg.imaging.preprocess import Frame

__all__ = ["IMAGE_SUFFIXES", "list_images", "read_image", "read_label", "read_label_pixels", "write_png"]

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
    """Read a label map, whose pixel values are class ids, as uint8 (H, W).

    Raises:
        DataError: missing, broken, not one channel, or ids above 255.
    """
    label = read_label_pixels(path)
    if label.ndim != 2:
        raise DataError(
            f"{path} is {label.dtype} {label.shape}", "a label is an 8-bit single-channel image of class ids"
        )
    return label


def read_label_pixels(path: Path) -> NDArray[np.uint8]:
    """Read a label file as it is: uint8 (H, W) class ids, or where it holds colours uint8 (H, W, 3) BGR.

    A palette file gives its palette's colours. 16 bits are taken where the ids fit 8. Grey PNGs of 1, 2 and 4 bits
    give the ids that they hold, not the grey levels that OpenCV makes of them.

    Raises:
        DataError: missing, broken, ids above 255, or neither one channel nor three.
    """
    import cv2

    label = _decode(path, cv2.IMREAD_UNCHANGED, DataError)
    if label.dtype == np.uint16 and label.ndim == 2:
        label = _in_8_bits(label, path)
    if label.dtype != np.uint8 or label.shape[2:] not in {(), (3,)}:
        raise DataError(
            f"{path} is {label.dtype} {label.shape}", "a label is an 8-bit single-channel image of class ids"
        )
    return np.asarray(label // _grey_step(path) if label.ndim == 2 else label, np.uint8)


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
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error:  # a damaged header that tells more pixels than OpenCV takes
        image = None
    if image is None:
        raise error(f"{path} is no image that can be decoded ({len(data)} bytes)", "replace it or take it out")
    return np.asarray(image)


def _in_8_bits(label: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    highest = int(np.asarray(label, np.uint16).max())
    if highest > 255:
        raise DataError(f"{path} holds the id {highest} in 16 bits", "class ids go from 0 to 255: renumber them")
    return label.astype(np.uint8)


def _grey_step(path: Path) -> int:
    """How many levels OpenCV puts between two neighbouring values of a PNG with less than 8 grey bits; else 1.

    Bit depth and colour type are bytes 24 and 25 of a PNG (ISO/IEC 15948, 11.2.2); colour type 0 is grey.
    """
    with path.open("rb") as file:
        head = file.read(26)
    is_grey_png = head.startswith(b"\x89PNG\r\n\x1a\n") and head[25] == 0
    return 255 // (2 ** head[24] - 1) if is_grey_png and head[24] < 8 else 1
