"""Own the pinhole camera: world metres to pixels and back to the ground. Draw nothing.

World axes: x to the right, y up, z along the street; metres. The camera looks along +z, turned by yaw and
tilted down by pitch. Pixels: u to the right, v down, the first pixel's centre at (0, 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

NEAR_M = 0.6
# cv2 takes polygon vertices as fixed-point int32; beyond this they could overflow.
MAX_PIXEL = 12_000.0


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Where the camera stands and how it sees; `focal_ratio` is the focal length over the picture's width."""

    position_m: tuple[float, float, float]
    pitch_rad: float
    yaw_rad: float
    focal_ratio: float
    size_wh: tuple[int, int]

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return self.focal_ratio * self.size_wh[0]

    @property
    def centre_uv(self) -> tuple[float, float]:
        """Pixel that the optical axis meets."""
        return (self.size_wh[0] - 1) / 2, (self.size_wh[1] - 1) / 2

    @property
    def horizon_v(self) -> float:
        """Row of the horizon in pixels; outside the picture when the pitch is steep."""
        return self.centre_uv[1] - self.focal_px * math.tan(self.pitch_rad)

    @cached_property
    def _axes(self) -> Points:
        """Matrix (3, 3) for row vectors: world to camera axes."""
        sin_y, cos_y = math.sin(self.yaw_rad), math.cos(self.yaw_rad)
        sin_p, cos_p = math.sin(self.pitch_rad), math.cos(self.pitch_rad)
        right = (cos_y, 0.0, -sin_y)
        up = (sin_y * sin_p, cos_p, cos_y * sin_p)
        ahead = (sin_y * cos_p, -sin_p, cos_y * cos_p)
        return np.column_stack([right, up, ahead])

    @cached_property
    def _origin(self) -> Points:
        return np.array(self.position_m)

    def to_view(self, points_m: Points) -> Points:
        """World points (N, 3) to camera axes (N, 3): right, up, depth; metres."""
        return np.asarray((points_m - self._origin) @ self._axes)

    def to_pixels(self, view_m: Points) -> Points:
        """Camera axes (N, 3) with depth > 0 to pixels (N, 2), bounded by `MAX_PIXEL`."""
        pixels = np.empty((len(view_m), 2))
        scale = self.focal_px / view_m[:, 2]
        centre_u, centre_v = self.centre_uv
        pixels[:, 0] = centre_u + view_m[:, 0] * scale
        pixels[:, 1] = centre_v - view_m[:, 1] * scale
        return pixels.clip(-MAX_PIXEL, MAX_PIXEL)

    def sees(self, place_m: tuple[float, float, float], radius_m: float) -> bool:
        """Whether a ball of this radius may show between the picture's left and right edge."""
        right, _, depth = self.to_view(np.array([place_m]))[0]
        return bool(depth > -radius_m and abs(right) < 0.5 / self.focal_ratio * max(depth, 0) + 1.3 * radius_m)

    def project(self, points_m: Points) -> Points:
        """Project a world polygon (N, 3), cut at the near plane, to pixels (M, 2); M is 0 if it is behind."""
        view = clip_near(self.to_view(points_m))
        return self.to_pixels(view) if len(view) else np.zeros((0, 2))

    def ground_grid(self, first_row: int, *, limit_m: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """World x and z of the ground seen by every pixel from `first_row` down.

        Args:
            first_row: a row below the horizon.
            limit_m: distances beyond this are held there.

        Returns:
            Two float32 arrays (H - first_row, W) in metres.
        """
        width, height = self.size_wh
        centre_u, centre_v = self.centre_uv
        across = (np.arange(width, dtype=np.float32) - np.float32(centre_u)) / np.float32(self.focal_px)
        up = (centre_v - np.arange(first_row, height)) / self.focal_px
        sin_p, cos_p = math.sin(self.pitch_rad), math.cos(self.pitch_rad)
        stretch = self.position_m[1] / np.maximum(sin_p - up * cos_p, self.position_m[1] / limit_m)
        ahead = (stretch * (up * sin_p + cos_p)).astype(np.float32)[:, None]
        right = stretch.astype(np.float32)[:, None] * across[None, :]
        sin_y, cos_y = (
            np.float32(math.sin(self.yaw_rad)),
            np.float32(math.cos(self.yaw_rad)),
        )
        x_m = right * cos_y + (ahead * sin_y + np.float32(self.position_m[0]))
        z_m = right * -sin_y + (ahead * cos_y + np.float32(self.position_m[2]))
        return x_m, z_m


def clip_near(view_m: Points) -> Points:
    """Cut a polygon (N, 3) in camera axes at depth `NEAR_M` (Sutherland-Hodgman); may return no point."""
    inside = view_m[:, 2] >= NEAR_M
    if inside.all():
        return view_m
    kept: list[Points] = []
    for index in range(len(view_m)):
        here, after = view_m[index - 1], view_m[index]
        if inside[index - 1] != inside[index]:
            kept.append(here + (after - here) * ((NEAR_M - here[2]) / (after[2] - here[2])))
        if inside[index]:
            kept.append(after)
    return np.array(kept).reshape(-1, 3)
