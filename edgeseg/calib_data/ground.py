"""Own the ground: road, kerbs, pavements, grass, lane marks, textures, shadows. Draw nothing upright."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.calib_data.camera import NEAR_M, Points
from edgeseg.calib_data.canvas import Canvas
from edgeseg.calib_data.classes import ClassId
from edgeseg.calib_data.light import Bgr
from edgeseg.calib_data.textures import broad_tile, fine_tile

KERB_M = 0.13
VIEW_M = 420.0
TEXTURE_M = 180.0
# Beyond this a mark is thinner than a pixel of the net's input: picture and labels both leave it out.
MARK_VIEW_M = 55.0


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of the street, metres outwards from the road's edge: grass strip, then pavement."""

    road_m: float
    verge_m: float
    pavement_m: float

    @property
    def lot_line_m(self) -> float:
        """Distance from the street's middle to the front of the lots."""
        return self.road_m + self.verge_m + self.pavement_m


@dataclass(frozen=True, kw_only=True)
class Street:
    """The ground plan: x = 0 is the middle line, left is negative; colours BGR.

    `crossings` are side streets (middle z, half width); `marks_m` is float64 (N, 4, 3), quads at y = 0.
    """

    left: Side
    right: Side
    crossings: tuple[tuple[float, float], ...]
    marks_m: Points
    road_bgr: Bgr
    pavement_bgr: Bgr
    grass_bgr: Bgr
    mark_bgr: Bgr

    def blocks(self, start_m: float, end_m: float) -> Iterator[tuple[float, float]]:
        """Stretches of z between the side streets."""
        at = start_m
        for middle, half in sorted(self.crossings):
            if at < middle - half:
                yield at, min(middle - half, end_m)
            at = max(at, middle + half)
        if at < end_m:
            yield at, end_m


def _rect(x0: float, x1: float, z0: float, z1: float, y: float = 0.0) -> Points:
    return np.array([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)])


def _lit(canvas: Canvas, colour_bgr: Bgr) -> Bgr:
    shade = canvas.light.shade((0.0, 1.0, 0.0))
    b, g, r = colour_bgr
    return b * shade, g * shade, r * shade


def draw_ground(canvas: Canvas, street: Street) -> None:
    """Draw the ground's plan, marks included, in flat colours; `finish_ground` adds textures and shadows."""
    camera_z = canvas.camera.position_m[2]
    near, far = camera_z - 2, camera_z + VIEW_M
    canvas.polygon(_rect(-900, 900, near, far), _lit(canvas, street.grass_bgr), ClassId.VEGETATION)
    road = _lit(canvas, street.road_bgr)
    canvas.polygon(_rect(-street.left.road_m, street.right.road_m, near, far), road, ClassId.ROAD)
    for middle, half in street.crossings:
        canvas.polygon(_rect(-160, 160, middle - half, middle + half), road, ClassId.ROAD)
    for start, end in sorted(street.blocks(near, far), reverse=True):
        _pavement(canvas, street, street.left, -1.0, (start, end))
        _pavement(canvas, street, street.right, 1.0, (start, end))
    _marks(canvas, street)


def _pavement(canvas: Canvas, street: Street, side: Side, sign: float, span_m: tuple[float, float]) -> None:
    start, end = span_m
    light = _lit(canvas, street.pavement_bgr)
    edge, inner = sign * side.road_m, sign * (side.road_m + side.verge_m)
    canvas.polygon(_rect(edge, sign * side.lot_line_m, start, end, KERB_M), light, ClassId.SIDEWALK)
    if side.verge_m > 0:
        strip = _rect(edge + sign * 0.25, inner, start + 0.5, end - 0.5, KERB_M)
        canvas.polygon(strip, _lit(canvas, street.grass_bgr), ClassId.VEGETATION)
    b, g, r = street.pavement_bgr
    face = np.array([(edge, 0, start), (edge, KERB_M, start), (edge, KERB_M, end), (edge, 0, end)])
    shade = canvas.light.shade((-sign, 0.0, 0.0)) * 0.92
    canvas.polygon(face, (b * shade, g * shade, r * shade), ClassId.SIDEWALK)
    stone = _rect(edge, edge + sign * 0.22, start, end, KERB_M)
    canvas.polygon(stone, _lit(canvas, (b * 1.12, g * 1.12, r * 1.12)), None)


def _marks(canvas: Canvas, street: Street) -> None:
    quads = street.marks_m.copy()
    limit = canvas.camera.position_m[2] + MARK_VIEW_M
    quads = quads[(quads[:, :, 2].min(axis=1) < limit) & (quads[:, :, 2].max(axis=1) > canvas.camera.position_m[2])]
    if len(quads) == 0:
        return
    quads[:, :, 2] = np.minimum(quads[:, :, 2], limit)
    view = canvas.camera.to_view(quads.reshape(-1, 3))
    is_near = view[:, 2].reshape(-1, 4).min(axis=1) < NEAR_M
    view[:, 2] = np.maximum(view[:, 2], NEAR_M)
    flat = canvas.camera.to_pixels(view).reshape(-1, 4, 2)
    colour = _lit(canvas, street.mark_bgr)
    for index in range(len(quads)):
        shown = canvas.camera.project(quads[index]) if is_near[index] else flat[index]
        canvas.pixels(shown, colour, ClassId.LANE_MARK)


def finish_ground(canvas: Canvas) -> None:
    """Lay grain, slabs, grass, shadows and haze over the ground drawn so far, as its labels say."""
    camera = canvas.camera
    first = max(0, math.ceil(camera.horizon_v) + 1)
    if first >= camera.size_wh[1]:
        return
    x_m, z_m = camera.ground_grid(first, limit_m=TEXTURE_M)
    depth = np.maximum(z_m[:, :1] - np.float32(camera.position_m[2]), 0.1)
    labels, part = canvas.labels[first:], canvas.frame_bgr[first:]
    kept = np.exp(-depth / np.float32(canvas.light.haze_length_m)).astype(np.float32)
    gain = _texture_gain(labels, x_m, z_m, depth) * kept * np.float32(128)
    factor = cv2.multiply(cv2.convertScaleAbs(gain), _shadow_rows(canvas, first), scale=1 / 255)
    drawn = cv2.multiply(part, cv2.merge([factor] * 3), scale=1 / 128)
    haze = np.array(canvas.light.sky_low_bgr, np.float32) * (1 - kept)[..., None]
    veil = np.round(np.broadcast_to(haze, part.shape)).astype(np.uint8)
    is_ground = cv2.bitwise_and(cv2.compare(labels, int(ClassId.SKY), cv2.CMP_NE),
                                cv2.compare(labels, int(ClassId.BUILDING), cv2.CMP_NE))  # fmt: skip
    cv2.copyTo(cv2.add(drawn, veil), is_ground, part)


def _texture_gain(
    labels: NDArray[np.uint8],
    x_m: NDArray[np.float32],
    z_m: NDArray[np.float32],
    depth_m: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Brightness factors float32 (H, W); detail fades with the square of the depth, where it would shimmer."""
    fine = _pick(_sample(fine_tile(), x_m, z_m, 76), labels)
    half = _sample(
        broad_tile(),
        np.ascontiguousarray(x_m[::2, ::2]),
        np.ascontiguousarray(z_m[::2, ::2]),
        10,
    )
    broad = _pick(cv2.resize(half, (labels.shape[1], labels.shape[0])), labels)
    fine_share = (1 / (1 + (depth_m / 16) ** 2) / 128).astype(np.float32)
    broad_share = (1 / (1 + (depth_m / 70) ** 2) / 128).astype(np.float32)
    level = 1 - 128 * (fine_share + broad_share)
    return np.asarray(fine * fine_share + broad * broad_share + level, np.float32)


def _pick(tiles: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Choose each pixel's channel by its class: asphalt, paving or grass."""
    chosen = cv2.extractChannel(tiles, 0)
    for channel, class_id in ((1, ClassId.SIDEWALK), (2, ClassId.VEGETATION)):
        cv2.copyTo(
            cv2.extractChannel(tiles, channel),
            cv2.compare(labels, int(class_id), cv2.CMP_EQ),
            chosen,
        )
    return np.asarray(chosen, np.uint8)


def _sample(
    tile: NDArray[np.uint8],
    x_m: NDArray[np.float32],
    z_m: NDArray[np.float32],
    texels_per_m: int,
) -> NDArray[np.uint8]:
    # cv2.remap keeps 16-bit source coordinates: whole tiles are taken off to stay within them.
    turns = math.floor(float(z_m[-1, 0]) * texels_per_m / 512) * 512
    u, v = (
        x_m * np.float32(texels_per_m),
        z_m * np.float32(texels_per_m) - np.float32(turns),
    )
    return np.asarray(cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.uint8)


def _shadow_rows(canvas: Canvas, first_row: int) -> NDArray[np.uint8]:
    soft = cv2.GaussianBlur(canvas.shadow, (0, 0), 1.6)
    full = cv2.resize(soft, canvas.camera.size_wh, interpolation=cv2.INTER_LINEAR)
    return np.asarray(full[first_row:], np.uint8)


def sun_shadow(canvas: Canvas) -> float:
    """How much darker the ground is where the sun does not reach it, 0-1."""
    whole = canvas.light.shade((0.0, 1.0, 0.0))
    return 0.92 * (1 - canvas.light.ambient / whole)


def fall(canvas: Canvas, points_m: Points) -> Points:
    """Where the shadows of world points (N, 3) fall on the ground; very low suns are held at 14 degrees."""
    sx, sy, sz = canvas.light.sun_direction
    reach = points_m[:, 1:2] / max(sy, 0.25)
    return np.asarray(np.hstack([points_m[:, :1] - sx * reach, 0 * reach, points_m[:, 2:3] - sz * reach]))


def hull_shadow(canvas: Canvas, points_m: Points) -> Points:
    """Outline (M, 3) of the shadow that a convex body with these corners casts."""
    flat = fall(canvas, points_m)[:, [0, 2]].astype(np.float32)
    outline = cv2.convexHull(flat).reshape(-1, 2).astype(np.float64)
    return np.stack([outline[:, 0], np.zeros(len(outline)), outline[:, 1]], axis=1)
