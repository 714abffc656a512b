"""Own the lots along the street: houses and gardens, with their shadows. Draw nothing on the pavement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgeseg.calib_data.camera import Points
from edgeseg.calib_data.canvas import Canvas
from edgeseg.calib_data.classes import ClassId
from edgeseg.calib_data.ground import fall, sun_shadow
from edgeseg.calib_data.light import Bgr, Image
from edgeseg.calib_data.plants import Tree, draw_tree
from edgeseg.calib_data.textures import FacadeStyle, facade

ROOFS_BGR: tuple[Bgr, ...] = (
    (62, 74, 138),
    (58, 64, 112),
    (86, 84, 84),
    (96, 88, 80),
    (70, 96, 150),
)
# Walls nearer than this lie beside the picture for every rig of scene.py.
CUT_M = 3.4
# Beyond this a window is about a pixel wide: walls are drawn plain.
PLAIN_M = 120.0


@dataclass(kw_only=True)
class House:
    """A building, in metres: `sign` -1 left or 1 right, front at x = sign * `front_m`, start to end along z."""

    sign: float
    front_m: float
    depth_m: float
    start_m: float
    end_m: float
    height_m: float
    roof_m: float
    roof_bgr: Bgr
    style: FacadeStyle
    paint_seed: int
    _front: Image | None = None

    @property
    def far_m(self) -> float:
        """Where it ends along z."""
        return self.end_m

    def front(self) -> Image:
        """The street front, painted on first use."""
        if self._front is None:
            rng = np.random.default_rng(self.paint_seed)
            self._front = facade(rng, self.style, (self.end_m - self.start_m, self.height_m))
        return self._front

    def end(self) -> Image:
        """The wall that faces the camera: the street front's first bays, mirrored."""
        front = self.front()
        share = min(1.0, self.depth_m / (self.end_m - self.start_m))
        return front[:, : max(8, int(front.shape[1] * share))][:, ::-1]


@dataclass(frozen=True, kw_only=True)
class Garden:
    """A lot without a house: trees and hedges, far ones first."""

    far_m: float
    trees: tuple[Tree, ...]


Lot = House | Garden


def draw_lots(canvas: Canvas, lots: list[Lot]) -> None:
    """Draw all lots, far ones first, so that nearer houses hide what stands behind them."""
    camera_z = canvas.camera.position_m[2]
    for lot in sorted(lots, key=lambda one: -one.far_m):
        if lot.far_m < camera_z + CUT_M + 0.5 or lot.far_m > camera_z + 330:
            continue
        if isinstance(lot, House):
            _draw_house(canvas, lot)
        else:
            for tree in lot.trees:
                draw_tree(canvas, tree)


def _draw_house(canvas: Canvas, house: House) -> None:
    camera_z = canvas.camera.position_m[2]
    start = max(house.start_m, camera_z + CUT_M)
    if house.roof_m > 0:
        _roof(canvas, house, start)
    if house.start_m > camera_z + CUT_M:
        x_front = house.sign * house.front_m
        x_back = x_front + house.sign * house.depth_m
        z, top = house.start_m, house.height_m
        end_wall = [(x_front, top, z), (x_back, top, z), (x_back, 0.0, z), (x_front, 0.0, z)]
        _wall(canvas, house, end_wall, house.end, (0.0, 0.0, -1.0))
    _front_wall(canvas, house, start)


def _front_wall(canvas: Canvas, house: House, start: float) -> None:
    """The wall along the street; one that passes the camera is cut, its texture in proportion."""
    hidden = (start - house.start_m) / (house.end_m - house.start_m)

    def rest() -> Image:
        image = house.front()
        return image[:, min(int(hidden * image.shape[1]), image.shape[1] - 2) :]

    x, top = house.sign * house.front_m, house.height_m
    corners = [(x, top, start), (x, top, house.end_m), (x, 0.0, house.end_m), (x, 0.0, start)]
    _wall(canvas, house, corners, rest, (-house.sign, 0.0, 0.0))


def _wall(
    canvas: Canvas,
    house: House,
    corners_m: list[tuple[float, float, float]],
    paint: Callable[[], Image],
    normal: tuple[float, float, float],
) -> None:
    """One wall; `paint` is called for its texture only where windows can be made out."""
    corners = np.array(corners_m)
    distance = float(corners[:, 2].mean()) - canvas.camera.position_m[2]
    shade = canvas.light.shade(normal) * 0.97
    if distance > PLAIN_M:
        b, g, r = (0.86 * shade * c for c in house.style.wall_bgr)
        canvas.polygon(corners, canvas.light.through_air((b, g, r), distance), ClassId.BUILDING)
    else:
        canvas.image_quad(corners, paint, _tone(canvas, shade, distance), ClassId.BUILDING)


def _roof(canvas: Canvas, house: House, start: float) -> None:
    """Gable towards the camera and the slope towards the street."""
    eaves, ridge = house.height_m, house.height_m + house.roof_m
    inner = house.sign * (house.front_m - 0.35)
    middle = house.sign * (house.front_m + house.depth_m / 2)
    outer = house.sign * (house.front_m + house.depth_m)
    distance = start - canvas.camera.position_m[2]
    gable = np.array(
        [
            (house.sign * house.front_m, eaves, start),
            (middle, ridge, start),
            (outer, eaves, start),
        ]
    )
    b, g, r = house.style.wall_bgr
    shade = canvas.light.shade((0.0, 0.0, -1.0)) * 0.94
    canvas.polygon(
        gable,
        canvas.light.through_air((b * shade, g * shade, r * shade), distance),
        ClassId.BUILDING,
    )
    slope = [
        (inner, eaves - 0.1, start),
        (inner, eaves - 0.1, house.end_m),
        (middle, ridge, house.end_m),
    ]
    b, g, r = house.roof_bgr
    shade = canvas.light.shade((-house.sign * 0.6, 0.8, 0.0))
    colour = canvas.light.through_air((b * shade, g * shade, r * shade), distance)
    canvas.polygon(np.array([*slope, (middle, ridge, start)]), colour, ClassId.BUILDING)


def _tone(canvas: Canvas, shade: float, distance_m: float) -> Image:
    """Lookup table uint8 (1, 256, 3): a wall as it is lit and seen through the air."""
    kept = float(np.exp(-max(0.0, distance_m) / canvas.light.haze_length_m))
    levels = np.arange(256)[:, None] * (shade * kept)
    table = np.clip(levels + np.asarray(canvas.light.sky_low_bgr)[None, :] * (1 - kept), 0, 255)
    return table.astype(np.uint8).reshape(1, 256, 3)


def lot_shadows(canvas: Canvas, lots: list[Lot]) -> None:
    """Cast the houses' shadows on the ground: the street front's and the end wall's."""
    darkness, camera_z = sun_shadow(canvas), canvas.camera.position_m[2]
    for lot in lots:
        if isinstance(lot, House) and camera_z - 30 < lot.far_m < camera_z + 150:
            canvas.cast(_wall_shadows(canvas, lot), darkness)


def _wall_shadows(canvas: Canvas, house: House) -> list[Points]:
    x_front, x_back = (
        house.sign * house.front_m,
        house.sign * (house.front_m + house.depth_m),
    )
    corners = [
        (x_front, house.start_m),
        (x_front, house.end_m),
        (x_back, house.end_m),
        (x_back, house.start_m),
    ]
    tops = fall(canvas, np.array([(x, house.height_m, z) for x, z in corners]))
    feet = np.array([(x, 0.0, z) for x, z in corners])
    shadows = [np.stack([feet[i], feet[(i + 1) % 4], tops[(i + 1) % 4], tops[i]]) for i in range(4)]
    return [*shadows, tops]
