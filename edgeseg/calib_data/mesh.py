"""Own flat-faced solids: faces with colours, hidden-face removal, drawing. Know no particular object."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeseg.calib_data.camera import NEAR_M, Points
from edgeseg.calib_data.canvas import Canvas
from edgeseg.calib_data.classes import ClassId
from edgeseg.calib_data.light import Bgr


@dataclass(kw_only=True)
class Mesh:
    """A solid in its own axes (x right, y up, z ahead; metres), nearly convex about `core_m`.

    Faces are drawn in the order in which they were added, those turned away left out: coarse faces first, then details.
    """

    core_m: tuple[float, float, float]
    points_m: list[Points] = field(default_factory=list)
    colours_bgr: list[Bgr] = field(default_factory=list)
    is_detail: list[bool] = field(default_factory=list)
    glows: list[bool] = field(default_factory=list)
    _frozen: tuple[Points, NDArray[np.int64], Points, Points] | None = None

    def add(
        self,
        points: list[tuple[float, float, float]],
        colour_bgr: Bgr,
        *,
        is_detail: bool = False,
        glows: bool = False,
    ) -> None:
        """Append a flat face; a detail is left out at a distance, a glowing one takes no shade."""
        self.points_m.append(np.array(points, np.float64))
        self.colours_bgr.append(colour_bgr)
        self.is_detail.append(is_detail)
        self.glows.append(glows)
        self._frozen = None

    def _freeze(self) -> tuple[Points, NDArray[np.int64], Points, Points]:
        """All vertices, each face's first index, outward unit normals, face centres."""
        if self._frozen is None:
            ends = np.cumsum([0] + [len(p) for p in self.points_m])
            centres = np.array([p.mean(axis=0) for p in self.points_m])
            normals = np.array([np.cross(p[1] - p[0], p[2] - p[1]) for p in self.points_m])
            outward = np.sign(np.sum(normals * (centres - np.asarray(self.core_m)), axis=1))
            normals *= (outward / np.maximum(np.linalg.norm(normals, axis=1), 1e-9))[:, None]
            self._frozen = (np.concatenate(self.points_m), ends, normals, centres)
        return self._frozen

    def draw(
        self,
        canvas: Canvas,
        class_id: ClassId,
        *,
        at_m: tuple[float, float, float],
        heading_rad: float = 0.0,
    ) -> None:
        """Draw the solid standing at `at_m`, turned from +z towards +x by `heading_rad`."""
        if not canvas.camera.sees(at_m, 5.5):
            return
        points, ends, normals, centres = self._freeze()
        turn = _turn(heading_rad)
        world, place = (
            points @ turn + np.asarray(at_m),
            np.asarray(canvas.camera.position_m),
        )
        view = canvas.camera.to_view(world)
        if view[:, 2].max() < NEAR_M:
            return
        distance = float(np.linalg.norm(np.asarray(at_m) - place))
        facing = np.sum((centres @ turn + np.asarray(at_m) - place) * (normals @ turn), axis=1) < 0
        is_plain = distance > 42
        is_whole = view[:, 2].min() >= NEAR_M
        pixels = canvas.camera.to_pixels(view) if is_whole else None
        for index in np.flatnonzero(facing).tolist():
            if is_plain and self.is_detail[index]:
                continue
            part = slice(ends[index], ends[index + 1])
            flat = pixels[part] if pixels is not None else canvas.camera.project(world[part])
            colour = self._colour(canvas, index, normals[index] @ turn, distance)
            canvas.pixels(flat, colour, None if self.is_detail[index] else class_id)

    def _colour(self, canvas: Canvas, index: int, normal: Points, distance_m: float) -> Bgr:
        light = canvas.light
        shade = 1.0 if self.glows[index] else light.shade((float(normal[0]), float(normal[1]), float(normal[2])))
        b, g, r = self.colours_bgr[index]
        return light.through_air((b * shade, g * shade, r * shade), distance_m)


def _turn(heading_rad: float) -> Points:
    """Matrix (3, 3) for row vectors: +z goes to (sin, 0, cos)."""
    sin_h, cos_h = math.sin(heading_rad), math.cos(heading_rad)
    return np.array([[cos_h, 0.0, -sin_h], [0.0, 1.0, 0.0], [sin_h, 0.0, cos_h]])
