"""Own the random placing of objects along a street: lots, trees, vehicles, persons, signs. Draw nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeseg.calib_data.buildings import ROOFS_BGR, Garden, House, Lot
from edgeseg.calib_data.figures import Person, random_person
from edgeseg.calib_data.ground import KERB_M
from edgeseg.calib_data.mesh import Mesh
from edgeseg.calib_data.plan import LENGTH_M, PARKING_M, Plan
from edgeseg.calib_data.plants import Tree, random_tree
from edgeseg.calib_data.signs import Sign, random_sign
from edgeseg.calib_data.textures import random_facade_style
from edgeseg.calib_data.vehicles import (
    BODIES,
    random_body_name,
    random_paint,
    vehicle_mesh,
)


@dataclass(frozen=True, kw_only=True)
class Vehicle:
    """A vehicle at x, and at z = `start_z_m` + `speed_mps` * time; heading 0 drives along +z; metres, radians."""

    mesh: Mesh
    body_name: str
    x_m: float
    start_z_m: float
    speed_mps: float
    heading_rad: float

    def place_at(self, time_s: float) -> tuple[float, float, float]:
        """Where its middle stands at a time, world metres."""
        return self.x_m, 0.0, self.start_z_m + self.speed_mps * time_s

    def corners_at(self, time_s: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Corners (8, 3) of its box at a time."""
        body = BODIES[self.body_name]
        half_x, half_z = body.width_m / 2, body.length_m / 2
        if abs(math.sin(self.heading_rad)) > 0.7:
            half_x, half_z = half_z, half_x
        x, _, z = self.place_at(time_s)
        top = max(p[1] for p in body.profile) * 0.92
        return np.array([(x + a * half_x, y, z + b * half_z) for y in (0.0, top) for a in (-1, 1) for b in (-1, 1)])


def place_lots(rng: np.random.Generator, plan: Plan, lamps_lit: float) -> list[Lot]:
    """Fill both sides with houses and gardens, side streets left open."""
    lots: list[Lot] = []
    for sign in (-1.0, 1.0):
        for start, end in plan.street.blocks(-24.0, LENGTH_M):
            at = start
            while at < end - 5:
                width = min(
                    rng.uniform(8, 20) if plan.is_urban else rng.uniform(10, 17),
                    end - at,
                )
                lots.append(_lot(rng, plan, sign, (at, at + width), lamps_lit))
                at += width + (0.0 if plan.is_urban and rng.random() < 0.85 else rng.uniform(1.0, 5.0))
    return lots


def _lot(
    rng: np.random.Generator,
    plan: Plan,
    sign: float,
    span_m: tuple[float, float],
    lamps_lit: float,
) -> Lot:
    if rng.random() < (0.1 if plan.is_urban else 0.22) or span_m[1] - span_m[0] < 4:
        return _garden(rng, plan, sign, span_m)
    height = rng.uniform(8, 21) if plan.is_urban else rng.uniform(4.5, 7.5)
    setback = rng.choice([0.0, 0.0, rng.uniform(0.5, 2)]) if plan.is_urban else rng.uniform(2.0, 6.0)
    has_gable = rng.random() < (0.25 if plan.is_urban else 0.85)
    return House(
        sign=sign,
        front_m=plan.side(sign).lot_line_m + float(setback),
        depth_m=rng.uniform(8, 13),
        start_m=span_m[0],
        end_m=span_m[1],
        height_m=height,
        roof_m=rng.uniform(2.2, 4.0) if has_gable else 0.0,
        roof_bgr=ROOFS_BGR[int(rng.integers(len(ROOFS_BGR)))],
        style=random_facade_style(rng, lamps_lit),
        paint_seed=int(rng.integers(1 << 30)),
    )


def _garden(rng: np.random.Generator, plan: Plan, sign: float, span_m: tuple[float, float]) -> Garden:
    line, trees = plan.side(sign).lot_line_m, []
    for z in np.arange(span_m[0] + 1, span_m[1], 1.4).tolist():
        trees.append(random_tree(rng, (sign * (line + 0.9), 0.0, z), is_bush=True))
    for _ in range(int(rng.integers(2, 5))):
        foot = (sign * (line + rng.uniform(3, 12)), 0.0, rng.uniform(*span_m))
        trees.append(random_tree(rng, foot))
    return Garden(far_m=span_m[1], trees=tuple(sorted(trees, key=lambda t: -t.foot_m[2])))


def place_trees(rng: np.random.Generator, plan: Plan) -> list[Tree]:
    """Rows of street trees on the verge or along the kerb, and a few bushes before set-back houses."""
    trees = []
    for sign in (-1.0, 1.0):
        side = plan.side(sign)
        if rng.random() > (0.85 if side.verge_m else 0.5):
            continue
        x = sign * (side.road_m + (side.verge_m / 2 if side.verge_m else 0.7))
        step = rng.uniform(8, 15)
        for z in np.arange(rng.uniform(5, 12), LENGTH_M, step).tolist():
            if not plan.is_in_crossing(z, 2.0) and rng.random() < 0.85:
                trees.append(random_tree(rng, (x, KERB_M, z)))
    return trees


def place_vehicles(rng: np.random.Generator, plan: Plan, lamps_lit: float, camera_speed_mps: float) -> list[Vehicle]:
    """Parked rows, traffic ahead and oncoming, now and then one that waits in a side street."""
    vehicles = []
    for sign, has_parking in zip((-1.0, 1.0), plan.has_parking, strict=True):
        if has_parking:
            vehicles += _parked(rng, plan, sign, lamps_lit)
    for lane in range(plan.lanes):
        x = (lane + 0.5) * plan.lane_m
        is_own = lane == plan.lanes - 1
        ahead = rng.uniform(11, 30) if is_own else rng.uniform(5, 25)
        vehicles += _traffic(
            rng,
            x,
            ahead,
            (camera_speed_mps * 1.02, camera_speed_mps * 1.02),
            0.0,
            lamps_lit,
        )
        speed = rng.uniform(7, 11)
        vehicles += _traffic(rng, -x, rng.uniform(8, 35), (-speed, -speed), math.pi, lamps_lit)
    return vehicles


def _vehicle(
    rng: np.random.Generator,
    x: float,
    z: float,
    speed: float,
    heading: float,
    lamps_lit: float,
    *,
    is_parked: bool,
) -> Vehicle:
    name = random_body_name(rng, is_parked=is_parked)
    mesh = vehicle_mesh(name, random_paint(rng), 0.0 if is_parked else lamps_lit)
    return Vehicle(
        mesh=mesh,
        body_name=name,
        x_m=x,
        start_z_m=z,
        speed_mps=speed,
        heading_rad=heading,
    )


def _parked(rng: np.random.Generator, plan: Plan, sign: float, lamps_lit: float) -> list[Vehicle]:
    x = sign * (plan.side(sign).road_m - PARKING_M / 2 - 0.05)
    filled, vehicles = rng.uniform(0.3, 0.85), []
    for z in np.arange(rng.uniform(2, 6), LENGTH_M * 0.75, 6.0).tolist():
        if plan.is_in_crossing(z, 3.5) or rng.random() > filled:
            continue
        heading = (0.0 if sign > 0 or rng.random() < 0.3 else math.pi) + rng.normal(0, 0.02)
        vehicles.append(_vehicle(rng, x, z, 0.0, heading, lamps_lit, is_parked=True))
    return vehicles


def _traffic(
    rng: np.random.Generator,
    x: float,
    first_m: float,
    speed_mps: tuple[float, float],
    heading: float,
    lamps_lit: float,
) -> list[Vehicle]:
    vehicles, at = [], first_m
    while at < LENGTH_M * 0.8:
        speed = rng.uniform(*speed_mps)
        vehicles.append(
            _vehicle(
                rng,
                x + rng.normal(0, 0.12),
                at,
                speed,
                heading,
                lamps_lit,
                is_parked=False,
            )
        )
        at += rng.uniform(14, 60)
    return vehicles


def place_persons(rng: np.random.Generator, plan: Plan) -> list[Person]:
    """Walkers on both pavements, more of them near the camera, and groups on the zebra crossings."""
    persons = []
    for sign in (-1.0, 1.0):
        side = plan.side(sign)
        near, far = side.road_m + side.verge_m + 0.5, side.lot_line_m - 0.4
        at = rng.uniform(5, 9)
        while at < LENGTH_M * 0.6:
            x, pace = (
                sign * rng.uniform(near, far),
                rng.choice([-1.0, 1.0]) * rng.uniform(0.9, 1.5),
            )
            for mate in range(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
                start = (x - sign * 0.6 * mate, KERB_M, at + 0.4 * mate)
                persons.append(random_person(rng, start, (0.0, float(pace) if rng.random() < 0.85 else 0.0)))
            at += rng.uniform(2.0, 12.0)
    for zebra in plan.zebras_m:
        persons += _crossing_walkers(rng, plan, zebra)
    return persons


def _crossing_walkers(rng: np.random.Generator, plan: Plan, span_m: tuple[float, float]) -> list[Person]:
    walkers = []
    for _ in range(int(rng.integers(0, 5))):
        sign = rng.choice([-1.0, 1.0])
        x = rng.uniform(-plan.street.left.road_m, plan.street.right.road_m)
        velocity = (float(sign) * rng.uniform(0.9, 1.5), 0.0)
        walkers.append(random_person(rng, (x, 0.0, rng.uniform(span_m[0] + 0.3, span_m[1] - 0.3)), velocity))
    return walkers


def place_signs(rng: np.random.Generator, plan: Plan) -> list[Sign]:
    """Signs near the kerb on both sides, lights or a crossing sign at the zebras."""
    signs = []
    for sign in (-1.0, 1.0):
        side = plan.side(sign)
        at = rng.uniform(7, 18)
        while at < LENGTH_M:
            if not plan.is_in_crossing(at):
                signs.append(random_sign(rng, (sign * (side.road_m + rng.uniform(0.5, 0.9)), KERB_M, at)))
            at += rng.uniform(8, 24)
        for start, _ in plan.zebras_m:
            kind = "lights" if rng.random() < 0.6 else "crossing"
            signs.append(random_sign(rng, (sign * (side.road_m + 0.6), KERB_M, start - 0.9), kind))
    return signs
