"""Own the persons: their looks and their walk. Place none of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeseg.calib_data.camera import Points
from edgeseg.calib_data.canvas import Canvas
from edgeseg.calib_data.classes import ClassId
from edgeseg.calib_data.light import Bgr

SKINS_BGR: tuple[Bgr, ...] = (
    (150, 180, 226),
    (120, 158, 206),
    (84, 116, 164),
    (56, 78, 112),
    (40, 54, 80),
)
HAIRS_BGR: tuple[Bgr, ...] = (
    (28, 28, 30),
    (38, 52, 76),
    (60, 96, 130),
    (110, 150, 180),
    (150, 150, 150),
)
CLOTHES_BGR: tuple[Bgr, ...] = (
    (46, 46, 190), (170, 96, 40), (60, 60, 60), (210, 208, 204), (40, 160, 214), (90, 130, 50),
    (140, 60, 110),    (110, 80, 60), (60, 110, 220), (180, 170, 90),
)  # fmt: skip
LEGS_BGR: tuple[Bgr, ...] = (
    (92, 66, 48),
    (44, 42, 42),
    (120, 112, 104),
    (70, 90, 112),
    (130, 92, 60),
)


# Beyond this a limb is thinner than a pixel of the net's input: picture and labels both leave it out.
VIEW_M = 34.0


@dataclass(frozen=True, kw_only=True)
class Person:
    """A walker: `start_m` is world (x, y, z) at time 0, `velocity_mps` along x and z; metres, BGR."""

    start_m: tuple[float, float, float]
    velocity_mps: tuple[float, float]
    height_m: float
    skin_bgr: Bgr
    hair_bgr: Bgr
    top_bgr: Bgr
    legs_bgr: Bgr
    phase: float
    has_bag: bool
    has_coat: bool

    def foot_at(self, time_s: float) -> tuple[float, float, float]:
        """Where it stands at a time, world metres."""
        x, y, z = self.start_m
        return x + self.velocity_mps[0] * time_s, y, z + self.velocity_mps[1] * time_s


def random_person(
    rng: np.random.Generator,
    start_m: tuple[float, float, float],
    velocity_mps: tuple[float, float],
) -> Person:
    """Draw a person's looks."""

    def pick(colours: tuple[Bgr, ...]) -> Bgr:
        return colours[int(rng.integers(len(colours)))]

    return Person(
        start_m=start_m,
        velocity_mps=velocity_mps,
        height_m=rng.uniform(1.12, 1.3) if rng.random() < 0.12 else rng.uniform(1.58, 1.92),
        skin_bgr=pick(SKINS_BGR),
        hair_bgr=pick(HAIRS_BGR),
        top_bgr=pick(CLOTHES_BGR),
        legs_bgr=pick(LEGS_BGR),
        phase=rng.uniform(0, math.tau),
        has_bag=bool(rng.random() < 0.35),
        has_coat=bool(rng.random() < 0.3),
    )


class _Brush:
    """Draws in body heights: (0, 0) between the feet, y up, 1 the crown of the head."""

    def __init__(
        self,
        canvas: Canvas,
        foot_uv: Points,
        height_px: float,
        shade: float,
        depth_m: float,
    ) -> None:
        self.canvas, self.foot_uv, self.height_px = canvas, foot_uv, height_px
        self.shade, self.depth_m = shade, depth_m

    def _colour(self, colour_bgr: Bgr, gain: float) -> Bgr:
        b, g, r = (c * self.shade * gain for c in colour_bgr)
        return self.canvas.light.through_air((b, g, r), self.depth_m)

    def _at(self, x: float, y: float) -> Points:
        return self.foot_uv + np.array([x, -y]) * self.height_px

    def limb(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        width: float,
        colour_bgr: Bgr,
        gain: float = 1.0,
    ) -> None:
        shown = self._colour(colour_bgr, gain)
        self.canvas.stroke(
            self._at(*start),
            self._at(*end),
            width * self.height_px,
            shown,
            ClassId.PERSON,
        )

    def shape(self, points: list[tuple[float, float]], colour_bgr: Bgr, gain: float = 1.0) -> None:
        outline = np.stack([self._at(*p) for p in points])
        self.canvas.pixels(outline, self._colour(colour_bgr, gain), ClassId.PERSON)

    def disc(
        self,
        centre: tuple[float, float],
        radius: float,
        colour_bgr: Bgr,
        gain: float = 1.0,
    ) -> None:
        shown = self._colour(colour_bgr, gain)
        self.canvas.disc(self._at(*centre), radius * self.height_px, shown, ClassId.PERSON)


def draw_person(canvas: Canvas, person: Person, time_s: float) -> None:
    """Draw a person at a time; nothing when too near to the lens or beyond `VIEW_M`."""
    foot = np.array([person.foot_at(time_s)])
    view = canvas.camera.to_view(foot)
    depth = float(view[0, 2])
    if not 1.2 < depth < VIEW_M or not canvas.camera.sees(person.foot_at(time_s), 1.0):
        return
    height_px = canvas.camera.focal_px * person.height_m / depth
    shade = canvas.light.shade((0.0, 0.3, -0.95)) * 0.75 + 0.3
    brush = _Brush(canvas, canvas.camera.to_pixels(view)[0], height_px, shade, depth)
    speed = math.hypot(*person.velocity_mps)
    swing = math.sin(person.phase + time_s * speed * 4.2) * min(1.0, speed)
    across = abs(person.velocity_mps[0]) / max(speed, 1e-6) if speed else 0.0
    _legs(brush, person, swing * (0.05 + 0.11 * across))
    _trunk_and_arms(brush, person, swing * (0.03 + 0.1 * across))
    _head(brush, person)


def _legs(brush: _Brush, person: Person, step: float) -> None:
    for sign, gain in ((-1.0, 0.82), (1.0, 1.0)):
        hip, foot = (0.045 * sign, 0.5), (0.055 * sign + sign * step, 0.03)
        knee = ((hip[0] + foot[0]) / 2 + abs(step) * 0.25, 0.27)
        brush.limb(hip, knee, 0.115, person.legs_bgr, gain)
        brush.limb(knee, foot, 0.09, person.legs_bgr, gain)
        brush.limb((foot[0] - 0.015, 0.022), (foot[0] + 0.03, 0.022), 0.045, (40, 40, 44))


def _trunk_and_arms(brush: _Brush, person: Person, swing: float) -> None:
    brush.limb((-0.125, 0.78), (-0.155 - swing, 0.5), 0.07, person.top_bgr, 0.78)
    hem = 0.36 if person.has_coat else 0.47
    brush.shape(
        [
            (-0.13, 0.82),
            (0.13, 0.82),
            (0.118, 0.6),
            (0.125, hem),
            (-0.125, hem),
            (-0.118, 0.6),
        ],
        person.top_bgr,
    )
    brush.shape(
        [(0.04, 0.82), (0.13, 0.82), (0.118, 0.6), (0.125, hem), (0.05, hem)],
        person.top_bgr,
        0.86,
    )
    brush.disc((-0.155 - swing, 0.48), 0.032, person.skin_bgr, 0.9)
    brush.limb((0.125, 0.78), (0.155 + swing, 0.5), 0.07, person.top_bgr, 0.92)
    brush.disc((0.155 + swing, 0.48), 0.032, person.skin_bgr)
    if person.has_bag:
        brush.shape([(0.12, 0.58), (0.23, 0.58), (0.24, 0.4), (0.11, 0.4)], (60, 70, 96))


def _head(brush: _Brush, person: Person) -> None:
    brush.limb((0.0, 0.82), (0.0, 0.86), 0.07, person.skin_bgr, 0.85)
    brush.disc((0.0, 0.925), 0.074, person.hair_bgr)
    brush.disc((0.008, 0.908), 0.06, person.skin_bgr)
