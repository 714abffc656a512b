"""Own what lies behind the street: sky, clouds, the far skyline. Draw nothing on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.calib_data.canvas import Canvas
from edgeseg.calib_data.classes import ClassId
from edgeseg.calib_data.light import Bgr
from edgeseg.calib_data.textures import cloud_tile

FAR_M = 420.0
REDUCTION = 4


@dataclass(frozen=True, kw_only=True)
class Skyline:
    """Silhouettes at `FAR_M`: tree tops every 6 m and blocks (left x, width, height, colour); metres, BGR."""

    tree_heights_m: NDArray[np.float64]
    blocks: tuple[tuple[float, float, float, Bgr], ...]
    cloud_offset: tuple[float, float]


def random_skyline(rng: np.random.Generator) -> Skyline:
    """Draw a skyline that covers every direction a camera can look."""
    steps = rng.normal(0, 1.6, 220)
    heights = 11 + 5 * np.sin(np.arange(220) / rng.uniform(6, 20)) + steps
    blocks = []
    for _ in range(int(rng.integers(8, 26))):
        grey = rng.uniform(120, 175)
        colour = (grey * 1.03, grey, grey * 0.97)
        blocks.append((rng.uniform(-420, 420), rng.uniform(14, 40), rng.uniform(16, 58), colour))
    return Skyline(
        tree_heights_m=np.maximum(heights, 4),
        blocks=tuple(blocks),
        cloud_offset=(rng.random() * 512, rng.random() * 512),
    )


def draw_sky(canvas: Canvas, skyline: Skyline, time_s: float) -> None:
    """Fill the whole frame with sky; the ground and the objects cover what they hide."""
    width, height = canvas.camera.size_wh
    rows = min(height, max(REDUCTION * 2, math.ceil(canvas.camera.horizon_v) + 12))
    small_wh = (width // REDUCTION, max(2, rows // REDUCTION))
    small = _sky_pixels(canvas, skyline, small_wh, time_s)
    cv2.resize(
        small,
        (width, rows),
        dst=canvas.frame_bgr[:rows],
        interpolation=cv2.INTER_LINEAR,
    )


def _sky_pixels(canvas: Canvas, skyline: Skyline, size_wh: tuple[int, int], time_s: float) -> NDArray[np.uint8]:
    camera, light = canvas.camera, canvas.light
    u = (np.arange(size_wh[0], dtype=np.float32) + 0.5) * REDUCTION
    v = (np.arange(size_wh[1], dtype=np.float32) + 0.5) * REDUCTION
    rise = np.maximum((camera.horizon_v - v) / camera.focal_px, 0.004).astype(np.float32)[:, None]
    side = ((u - camera.centre_uv[0]) / camera.focal_px + camera.yaw_rad).astype(np.float32)[None, :]
    height = np.clip(rise / 0.55, 0, 1)[..., None] ** np.float32(0.8)
    low, top = np.array(light.sky_low_bgr, np.float32), np.array(light.sky_top_bgr, np.float32)
    sky = low * (1 - height) + top * height
    sky = sky + _glow(canvas, side, rise)[..., None] * np.array((60, 90, 110), np.float32)
    clouds = _clouds(skyline, light.cloud_cover, side, rise, time_s)[..., None]
    white = np.minimum(low * 1.06 + 8, 255)
    return np.asarray(np.clip(sky * (1 - clouds) + white * clouds, 0, 255), np.uint8)


def _glow(canvas: Canvas, side: NDArray[np.float32], rise: NDArray[np.float32]) -> NDArray[np.float32]:
    light = canvas.light
    off_side = np.abs(side - math.tan(np.clip(light.sun_azimuth, -1.2, 1.2)))
    off_rise = rise - math.tan(light.sun_elevation)
    return np.asarray(np.exp(-(off_side**2 + off_rise**2) / 0.12) * light.sun_strength, np.float32)


def _clouds(
    skyline: Skyline,
    cover: float,
    side: NDArray[np.float32],
    rise: NDArray[np.float32],
    time_s: float,
) -> NDArray[np.float32]:
    """Density 0-1 on a flat layer of clouds, thinner towards the horizon."""
    ahead = np.minimum(np.float32(42) / (rise + np.float32(0.12)), 400)
    along = (ahead + np.float32(skyline.cloud_offset[0] + time_s * 0.6)) * np.ones_like(side)
    across = side * ahead + np.float32(skyline.cloud_offset[1] + 512)
    density = cv2.remap(cloud_tile(), across.astype(np.float32), along.astype(np.float32), cv2.INTER_LINEAR,
                        borderMode=cv2.BORDER_WRAP)  # fmt: skip
    edge = 0.72 - 0.55 * cover
    return np.asarray(
        np.clip((density - edge) / 0.28, 0, 1) * np.clip(rise / 0.1, 0.25, 0.9),
        np.float32,
    )


def draw_skyline(canvas: Canvas, skyline: Skyline) -> None:
    """Draw blocks and tree tops on the horizon; they move along with the camera."""
    origin_x, origin_z = canvas.camera.position_m[0] * 0.9, canvas.camera.position_m[2]
    z = origin_z + FAR_M
    for left, width, height, colour in skyline.blocks:
        corners = [
            (left, -20),
            (left, height),
            (left + width, height),
            (left + width, -20),
        ]
        points = np.array([(x + origin_x, y, z) for x, y in corners])
        canvas.polygon(
            points,
            canvas.light.through_air(_dim(canvas, colour), FAR_M * 0.45),
            ClassId.BUILDING,
        )
    xs = (np.arange(len(skyline.tree_heights_m)) - len(skyline.tree_heights_m) / 2) * 6.0
    tops = [(x, h) for x, h in zip(xs, skyline.tree_heights_m, strict=True)]
    outline = [(xs[0], -20.0), *tops, (xs[-1], -20.0)]
    points = np.array([(x + origin_x, y, z) for x, y in outline])
    canvas.polygon(
        points,
        canvas.light.through_air(_dim(canvas, (62, 104, 84)), FAR_M * 0.35),
        ClassId.VEGETATION,
    )


def _dim(canvas: Canvas, colour_bgr: Bgr) -> Bgr:
    shade = min(1.0, canvas.light.shade((0.0, 0.4, -0.9)) + 0.15)
    b, g, r = colour_bgr
    return b * shade, g * shade, r * shade
