"""Own the pictures of the worst frames: frame, label and mask as images within a page. Judge nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseg.accuracy.results import FramePicture
from edgeseg.errors import OutputError
from edgeseg.imaging.overlay import palette_bgr
from edgeseg.spec import LabelSpec

__all__ = ["Shot", "legend_of", "mask_bgr", "shot_of"]

Pixels = NDArray[np.uint8]
JPEG_QUALITY = 85
DIMMED = 0.4  # of a right pixel's colour, so that the wrong ones stand out
STRIPE_PX = 3


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One frame's three pictures as ``data:`` addresses, of one size."""

    name: str
    miou: float
    size_wh: tuple[int, int]
    frame: str
    label: str
    mask: str


def shot_of(picture: FramePicture, labels: LabelSpec, *, ignore: int | None) -> Shot:
    """The three pictures of a frame in the model's colours; what is ignored or not seen is black.

    Args:
        picture: of the frame.
        labels: names and colours of the classes.
        ignore: the label that did not count.
    """
    height, width = picture.label.shape
    return Shot(
        name=picture.name,
        miou=picture.miou,
        size_wh=(width, height),
        frame=_address(picture.frame_bgr, "jpeg"),
        label=_address(_table(labels, ignore)[picture.label], "png"),
        mask=_address(mask_bgr(picture, labels, ignore=ignore), "png"),
    )


def mask_bgr(picture: FramePicture, labels: LabelSpec, *, ignore: int | None) -> Pixels:
    """The mask's colours, dimmed where they are right and striped with white where they are wrong.

    Returns:
        uint8 (h, w, 3) BGR; black where the label is ignored.
    """
    colours = palette_bgr(labels)[picture.mask]
    rows, columns = np.indices(picture.mask.shape)
    is_stripe = (rows + columns) // STRIPE_PX % 2 == 0
    is_wrong = picture.mask != picture.label
    painted = np.where(is_wrong[..., None], colours, (colours * DIMMED).astype(np.uint8))
    painted[is_wrong & is_stripe] = 255
    if ignore is not None:
        painted[picture.label == ignore] = 0
    return painted


def legend_of(pictures: Iterable[FramePicture], labels: LabelSpec) -> list[tuple[str, str]]:
    """Name and colour, ``#rrggbb``, of every class that the pictures show."""
    shown = np.zeros(256, np.bool_)
    for picture in pictures:
        for ids in (picture.label, picture.mask):
            shown[ids.ravel()] = True
    seen = [one for one, is_shown in zip(labels.classes, shown, strict=False) if is_shown]
    return [(one.name, "#{:02x}{:02x}{:02x}".format(*one.colour)) for one in seen]


def _table(labels: LabelSpec, ignore: int | None) -> Pixels:
    table = palette_bgr(labels)
    if ignore is not None:
        table[ignore] = 0
    return table


def _address(image: Pixels, form: str) -> str:
    import cv2

    done, data = cv2.imencode(f".{form}", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if form == "jpeg" else [])
    if not done:
        raise OutputError(f"OpenCV cannot encode {image.dtype} {image.shape} as {form}", "report this")
    return f"data:image/{form};base64,{base64.b64encode(data.tobytes()).decode()}"
