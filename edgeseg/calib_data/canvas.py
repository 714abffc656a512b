"""Own a frame being drawn: picture and labels side by side, filled from the same polygons. Know no object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.calib_data.camera import NEAR_M, Camera, Points
from edgeseg.calib_data.classes import ClassId
from edgeseg.calib_data.light import Bgr, Image, Light

# Vertices keep 1/16 pixel in cv2's fixed point.
SHIFT = 4


class Canvas:
    """Picture (smooth edges) and labels (hard edges) of one frame.

    Attributes:
        frame_bgr: uint8 (H, W, 3).
        labels: uint8 (H, W), class ids.
        shadow: uint8 (H / 2, W / 2), 255 where the sun reaches the ground; applied by the ground alone.
    """

    def __init__(self, camera: Camera, light: Light) -> None:
        width, height = camera.size_wh
        self.camera = camera
        self.light = light
        self.frame_bgr: Image = np.zeros((height, width, 3), np.uint8)
        self.labels: Image = np.full((height, width), int(ClassId.SKY), np.uint8)
        self.shadow: Image = np.full((height // 2, width // 2), 255, np.uint8)

    def polygon(self, points_m: Points, colour_bgr: Bgr, class_id: ClassId | None) -> None:
        """Fill a world polygon (N, 3); `class_id` None leaves the labels, for details upon a drawn object."""
        self.pixels(self.camera.project(points_m), colour_bgr, class_id)

    def pixels(self, points_uv: Points, colour_bgr: Bgr, class_id: ClassId | None) -> None:
        """Fill a polygon (N, 2) given in pixels."""
        if len(points_uv) < 3:
            return
        fixed = np.round(points_uv * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(self.frame_bgr, [fixed], colour_bgr, cv2.LINE_AA, SHIFT)
        if class_id is not None:
            cv2.fillPoly(self.labels, [fixed], int(class_id), cv2.LINE_8, SHIFT)

    def stroke(
        self,
        start_uv: Points,
        end_uv: Points,
        width_px: float,
        colour_bgr: Bgr,
        class_id: ClassId | None,
    ) -> None:
        """Draw a limb with round ends between two pixels, at least one pixel thick."""
        ends = np.round(np.stack([start_uv, end_uv]) * (1 << SHIFT)).astype(np.int32).tolist()
        thick = max(1, round(width_px))
        cv2.line(self.frame_bgr, ends[0], ends[1], colour_bgr, thick, cv2.LINE_AA, SHIFT)
        if class_id is not None:
            cv2.line(self.labels, ends[0], ends[1], int(class_id), thick, cv2.LINE_8, SHIFT)

    def disc(
        self,
        centre_uv: Points,
        radius_px: float,
        colour_bgr: Bgr,
        class_id: ClassId | None,
    ) -> None:
        """Fill a circle given in pixels."""
        if not np.all(np.abs(centre_uv) < 8000):
            return
        centre = [round(float(c) * (1 << SHIFT)) for c in centre_uv]
        radius = max(1, round(radius_px * (1 << SHIFT)))
        cv2.circle(self.frame_bgr, centre, radius, colour_bgr, -1, cv2.LINE_AA, SHIFT)
        if class_id is not None:
            cv2.circle(self.labels, centre, radius, int(class_id), -1, cv2.LINE_8, SHIFT)

    def image_quad(self, corners_m: Points, paint: Callable[[], Image], table: Image, class_id: ClassId) -> None:
        """Lay a picture, toned by a table uint8 (1, 256, 3), onto a world quad.

        The corners (4, 3) are top left, top right, bottom right, bottom left. `paint` gives the picture and is called
        only when the quad shows. A quad that reaches the lens is left out: walls are cut before that, where they lie
        outside the frame.
        """
        view = self.camera.to_view(corners_m)
        if view[:, 2].min() < NEAR_M:
            return
        corners = self.camera.to_pixels(view)
        box = self._box(corners)
        if box is None:
            return
        left, top, right, bottom = box
        source = cv2.LUT(_shrunk(paint(), corners), table)
        rows, columns = source.shape[:2]
        here = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32) - np.float32(0.5)
        there = (corners - (left, top)).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(here, there)
        size = (right - left, bottom - top)
        laid = cv2.warpPerspective(
            source,
            matrix,
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        mask = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillPoly(
            mask,
            [np.round(there * (1 << SHIFT)).astype(np.int32)],
            255,
            cv2.LINE_8,
            SHIFT,
        )
        self._stamp(laid, mask, (left, top), class_id)

    def sprite(
        self,
        corner_uv: Points,
        side_px: float,
        levels: Sequence[tuple[Image, Image]],
        table: Image,
        class_id: ClassId,
    ) -> None:
        """Stamp a square sprite of `side_px` whose top left corner is `corner_uv`; opaque where alpha >= 128.

        Args:
            corner_uv: (2,) pixels.
            side_px: shown size in pixels.
            levels: brightness and alpha, uint8 (n, n) each, every level half as large as the one before.
            table: uint8 (1, 256, 3), brightness to BGR.
            class_id: label of the opaque pixels.
        """
        box = self._box(np.stack([corner_uv, corner_uv + side_px]))
        if box is None or side_px < 2:
            return
        left, top, right, bottom = box
        step = int(np.clip(np.floor(np.log2(levels[0][0].shape[0] / side_px)), 0, len(levels) - 1))
        grey, alpha = levels[step]
        scale = side_px / grey.shape[0]
        matrix = np.array(
            [[scale, 0, corner_uv[0] - left], [0, scale, corner_uv[1] - top]],
            np.float32,
        )
        size = (right - left, bottom - top)
        shown = cv2.warpAffine(grey, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mask = cv2.compare(cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR), 127, cv2.CMP_GT)
        self._stamp(
            cv2.LUT(cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR), table),
            mask,
            (left, top),
            class_id,
        )

    def cast(self, points_m: Iterable[Points], darkness: float) -> None:
        """Shade the ground under polygons (N, 3) at y = 0; `darkness` 0-1 is the share of light taken."""
        for points in points_m:
            flat = self.camera.project(points)
            if len(flat) >= 3:
                fixed = np.round((flat * 0.5 - 0.25) * (1 << SHIFT)).astype(np.int32)
                cv2.fillPoly(self.shadow, [fixed], round(255 * (1 - darkness)), cv2.LINE_8, SHIFT)

    def _box(self, points_uv: Points) -> tuple[int, int, int, int] | None:
        width, height = self.camera.size_wh
        low, high = np.floor(points_uv.min(axis=0)), np.ceil(points_uv.max(axis=0)) + 1
        left, top = max(0, int(low[0])), max(0, int(low[1]))
        right, bottom = min(width, int(high[0])), min(height, int(high[1]))
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _stamp(
        self,
        picture_bgr: Image,
        mask: Image,
        corner: tuple[int, int],
        class_id: ClassId,
    ) -> None:
        left, top = corner
        rows, columns = (
            slice(top, top + mask.shape[0]),
            slice(left, left + mask.shape[1]),
        )
        cv2.copyTo(picture_bgr, mask, self.frame_bgr[rows, columns])
        self.labels[rows, columns][mask > 0] = int(class_id)


def _shrunk(image_bgr: Image, corners_uv: NDArray[np.float64]) -> Image:
    """Average the picture down to about its projected size, so that windows far away do not shimmer."""
    edges = np.linalg.norm(corners_uv - np.roll(corners_uv, -1, axis=0), axis=1)
    rows, columns = image_bgr.shape[:2]
    # The nearer end of a receding wall is shown larger than the mean: a third above the mean keeps it crisp.
    wanted_wh = (max(edges[0], edges[2]) * 1.35, max(edges[1], edges[3]) * 1.0)
    width, height = (
        min(columns, max(2, int(wanted_wh[0]))),
        min(rows, max(2, int(wanted_wh[1]))),
    )
    if (width, height) == (columns, rows):
        return image_bgr
    return np.asarray(cv2.resize(image_bgr, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
