"""Own a street scene as a function of its seed and of time: frame and labels. Write no file.

scene = random_scene(7)
frame_bgr, labels = scene.render(0.0, size_wh=(960, 540))
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeseg.calib_data.buildings import Garden, Lot, draw_lots, lot_shadows
from edgeseg.calib_data.camera import Camera
from edgeseg.calib_data.canvas import Canvas
from edgeseg.calib_data.classes import ClassId
from edgeseg.calib_data.figures import Person, draw_person
from edgeseg.calib_data.ground import (
    draw_ground,
    finish_ground,
    hull_shadow,
    sun_shadow,
)
from edgeseg.calib_data.light import Image, Light, expose, random_light
from edgeseg.calib_data.plan import Plan, random_plan
from edgeseg.calib_data.plants import Tree, draw_tree, tree_shadow
from edgeseg.calib_data.population import (
    Vehicle,
    place_lots,
    place_persons,
    place_signs,
    place_trees,
    place_vehicles,
)
from edgeseg.calib_data.signs import Sign, draw_sign
from edgeseg.calib_data.sky import Skyline, draw_sky, draw_skyline, random_skyline

FRAMES_PER_S = 30


@dataclass(frozen=True, kw_only=True)
class Rig:
    """How the camera is mounted and driven; metres, radians, metres a second."""

    x_m: float
    height_m: float
    pitch_rad: float
    yaw_rad: float
    focal_ratio: float
    speed_mps: float

    def camera_at(self, time_s: float, size_wh: tuple[int, int]) -> Camera:
        """The camera at a time: it drives along +z and sways a little."""
        return Camera(
            position_m=(
                self.x_m + 0.12 * math.sin(0.7 * time_s),
                self.height_m,
                self.speed_mps * time_s,
            ),
            pitch_rad=self.pitch_rad + 0.002 * math.sin(3.1 * time_s),
            yaw_rad=self.yaw_rad + 0.008 * math.sin(0.5 * time_s),
            focal_ratio=self.focal_ratio,
            size_wh=size_wh,
        )


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A street with all that stands and moves in it."""

    plan: Plan
    light: Light
    rig: Rig
    skyline: Skyline
    lots: list[Lot]
    trees: list[Tree]
    vehicles: list[Vehicle]
    persons: list[Person]
    signs: list[Sign]

    def render(self, time_s: float, *, size_wh: tuple[int, int]) -> tuple[Image, Image]:
        """Draw the scene at a time.

        Args:
            time_s: seconds since the camera stood at z = 0; 0 to about 20.
            size_wh: width and height in pixels, at most 1280x720; both even.

        Returns:
            The frame, uint8 (H, W, 3) BGR, and the labels, uint8 (H, W) class ids; both owned by the caller.
        """
        canvas = Canvas(self.rig.camera_at(time_s, size_wh), self.light)
        draw_sky(canvas, self.skyline, time_s)
        draw_skyline(canvas, self.skyline)
        draw_ground(canvas, self.plan.street)
        self._cast_shadows(canvas, time_s)
        finish_ground(canvas)
        draw_lots(canvas, self.lots)
        self._draw_objects(canvas, time_s)
        return expose(canvas.frame_bgr, self.light, round(time_s * FRAMES_PER_S)), canvas.labels

    def _cast_shadows(self, canvas: Canvas, time_s: float) -> None:
        """Sun shadows first, then the darker ones under the vehicles, which any light leaves."""
        darkness, z = sun_shadow(canvas), canvas.camera.position_m[2]
        lot_shadows(canvas, self.lots)
        gardens = [tree for lot in self.lots if isinstance(lot, Garden) for tree in lot.trees if not tree.is_bush]
        for tree in [*self.trees, *gardens]:
            if z - 15 < tree.foot_m[2] < z + 80:
                canvas.cast(tree_shadow(canvas, tree), darkness)
        for person in self.persons:
            x, _, foot_z = person.foot_at(time_s)
            if z < foot_z < z + 40 and self.plan.is_in_street(x):
                body = [(x + a, y, foot_z) for a in (-0.2, 0.2) for y in (0.0, person.height_m * 0.9)]
                canvas.cast([hull_shadow(canvas, np.array(body))], darkness)
        boxes = [v.corners_at(time_s) for v in self.vehicles if z - 12 < v.place_at(time_s)[2] < z + 80]
        canvas.cast((hull_shadow(canvas, box) for box in boxes), darkness)
        canvas.cast((box[[0, 1, 3, 2]] for box in boxes), max(darkness, 0.55))

    def _draw_objects(self, canvas: Canvas, time_s: float) -> None:
        """Draw what stands between the lots, far ones first."""
        z = canvas.camera.position_m[2]
        order: list[tuple[float, object]] = [(v.place_at(time_s)[2], v) for v in self.vehicles]
        # Whoever has crossed the street walks on behind the houses.
        order += [(p.foot_at(time_s)[2], p) for p in self.persons if self.plan.is_in_street(p.foot_at(time_s)[0])]
        order += [(t.foot_m[2], t) for t in self.trees] + [(s.foot_m[2], s) for s in self.signs]
        for _, thing in sorted(
            (pair for pair in order if z - 8 < pair[0] < z + 120),
            key=lambda pair: -pair[0],
        ):
            if isinstance(thing, Vehicle):
                place = thing.place_at(time_s)
                thing.mesh.draw(canvas, ClassId.VEHICLE, at_m=place, heading_rad=thing.heading_rad)
            elif isinstance(thing, Person):
                draw_person(canvas, thing, time_s)
            elif isinstance(thing, Tree):
                draw_tree(canvas, thing)
            elif isinstance(thing, Sign):
                draw_sign(canvas, thing, time_s)


def random_scene(seed: int, *, mood_name: str | None = None) -> Scene:
    """Draw a scene; the same seed gives the same one.

    Args:
        seed: any non-negative integer.
        mood_name: fixes the light: clear, overcast, golden or dusk; None draws it.
    """
    rng = np.random.default_rng(seed)
    light = random_light(rng, mood_name)
    plan = random_plan(rng)
    rig = Rig(
        x_m=(plan.lanes - 0.5) * plan.lane_m + rng.normal(0, 0.2),
        height_m=rng.uniform(1.35, 2.3),
        pitch_rad=rng.uniform(0.0, 0.075),
        yaw_rad=rng.normal(0, 0.03),
        focal_ratio=rng.uniform(0.72, 1.0),
        speed_mps=rng.uniform(7, 10),
    )
    return Scene(
        plan=plan,
        light=light,
        rig=rig,
        skyline=random_skyline(rng),
        lots=place_lots(rng, plan, light.lamps_lit),
        trees=place_trees(rng, plan),
        vehicles=place_vehicles(rng, plan, light.lamps_lit, rig.speed_mps),
        persons=place_persons(rng, plan),
        signs=place_signs(rng, plan),
    )
