"""Own the random ground plan of a street: widths, side streets, painted marks. Place no object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgeseg.calib_data.camera import Points
from edgeseg.calib_data.ground import Side, Street
from edgeseg.calib_data.light import Bgr

LENGTH_M = 330.0
PARKING_M = 2.4
ZEBRA_M = 3.4
Quad = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the placing of objects needs to know about a street; metres.

    `lanes` counts one direction's; `has_parking` is left, right; `zebras_m` are z spans of zebra crossings.
    """

    street: Street
    is_urban: bool
    lanes: int
    lane_m: float
    has_parking: tuple[bool, bool]
    zebras_m: tuple[tuple[float, float], ...]

    def side(self, sign: float) -> Side:
        """The left side for a negative sign, else the right one."""
        return self.street.left if sign < 0 else self.street.right

    def is_in_street(self, x_m: float) -> bool:
        """Whether a place lies between the lots."""
        return -self.street.left.lot_line_m < x_m < self.street.right.lot_line_m

    def is_in_crossing(self, z_m: float, margin_m: float = 0.0) -> bool:
        """Whether a place lies in a side street's mouth or on the zebra before it."""
        return any(m - h - 6.0 - margin_m < z_m < m + h + margin_m for m, h in self.street.crossings)


def random_plan(rng: np.random.Generator) -> Plan:
    """Draw a street's ground plan."""
    is_urban = bool(rng.random() < 0.62)
    lanes, lane = (2 if rng.random() < 0.25 else 1), rng.uniform(3.1, 3.7)
    parking = (bool(rng.random() < 0.65), bool(rng.random() < 0.65))
    left, right = (_random_side(rng, lanes * lane, has_parking=p) for p in parking)
    crossings = _random_crossings(rng)
    zebras = tuple((m - h - 5.0, m - h - 5.0 + ZEBRA_M) for m, h in crossings if rng.random() < 0.8)
    marks = _marks(rng, lanes, lane, left.road_m, right.road_m, parking, crossings, zebras)
    grey = rng.uniform(84, 122)
    street = Street(
        left=left, right=right, crossings=crossings, marks_m=marks,
        road_bgr=(grey * rng.uniform(1.0, 1.07), grey, grey * rng.uniform(0.96, 1.0)),
        pavement_bgr=_random_pavement(rng), grass_bgr=(58.0, rng.uniform(112, 140), rng.uniform(84, 118)),
        mark_bgr=(rng.uniform(205, 235), 232.0, 235.0),
    )  # fmt: skip
    return Plan(
        street=street,
        is_urban=is_urban,
        lanes=lanes,
        lane_m=lane,
        has_parking=parking,
        zebras_m=zebras,
    )


def _random_side(rng: np.random.Generator, lanes_m: float, *, has_parking: bool) -> Side:
    verge = rng.uniform(1.3, 2.6) if rng.random() < 0.4 else 0.0
    return Side(
        road_m=lanes_m + (PARKING_M if has_parking else 0.3),
        verge_m=verge,
        pavement_m=rng.uniform(2.2, 4.6) + verge * 0.2,
    )


def _random_pavement(rng: np.random.Generator) -> Bgr:
    grey = rng.uniform(140, 172)
    warmth = rng.uniform(0.0, 0.12)
    return grey * (1 - warmth), grey, grey * (1 + warmth * 0.6)


def _random_crossings(rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    crossings, at = [], rng.uniform(18, 75)
    while at < LENGTH_M - 30:
        crossings.append((at, rng.uniform(3.4, 5.5)))
        at += rng.uniform(55, 110)
    return tuple(crossings)


def _marks(
    rng: np.random.Generator,
    lanes: int,
    lane_m: float,
    left_m: float,
    right_m: float,
    parking: tuple[bool, bool],
    crossings: tuple[tuple[float, float], ...],
    zebras: tuple[tuple[float, float], ...],
) -> Points:
    """All painted marks as quads (N, 4, 3) at y = 0: (x0, x1, z0, z1) rectangles, arrows aside."""
    wide = rng.uniform(0.16, 0.24)
    free = list(_between(crossings))
    quads: list[Quad] = []
    quads += _middle_line(rng, free, wide)
    for sign in (-1.0, 1.0) if lanes == 2 else ():
        quads += _dashes(sign * lane_m, wide, free, 3.0, 4.5)
    for sign, has_bays in zip((-1.0, 1.0), parking, strict=True):
        edge = sign * lanes * lane_m
        quads += _bays(edge, sign, free) if has_bays else _line(edge - sign * 0.1, wide, free)
    for start, end in zebras:
        quads += _zebra(-left_m, right_m, start, end)
        quads.append((0.15, lanes * lane_m - 0.1, start - 1.6, start - 1.1))
    rectangles = [np.array([(a, 0, c), (b, 0, c), (b, 0, d), (a, 0, d)]) for a, b, c, d in quads]
    arrows = [arrow for _, end in free for arrow in _arrow((lanes - 0.5) * lane_m, end - 14.0)]
    return np.array(rectangles + arrows, np.float64)


def _between(
    crossings: tuple[tuple[float, float], ...],
) -> Iterable[tuple[float, float]]:
    """Stretches that carry lines: from a side street to the stop line before the next one."""
    at = -10.0
    for middle, half in crossings:
        yield at, middle - half - 6.6
        at = middle + half + 1.0
    yield at, LENGTH_M + 60


def _line(x: float, width: float, free: list[tuple[float, float]]) -> list[Quad]:
    return [(x - width / 2, x + width / 2, start, end) for start, end in free if end > start]


def _dashes(x: float, width: float, free: list[tuple[float, float]], dash: float, gap: float) -> list[Quad]:
    return [
        (x - width / 2, x + width / 2, z, min(z + dash, end))
        for start, end in free
        for z in np.arange(start, end - 0.5, dash + gap).tolist()
    ]


def _middle_line(rng: np.random.Generator, free: list[tuple[float, float]], width: float) -> list[Quad]:
    style = rng.choice(["dashed", "solid", "double"], p=[0.6, 0.2, 0.2])
    if style == "dashed":
        return _dashes(0.0, width, free, 3.0, rng.uniform(3.0, 5.0))
    if style == "solid":
        return _line(0.0, width, free)
    return _line(-width, width * 0.8, free) + _line(width, width * 0.8, free)


def _bays(edge: float, sign: float, free: list[tuple[float, float]]) -> list[Quad]:
    """Parking bays: a dashed line along the lane and a short bar every 6 m."""
    quads = _dashes(edge + sign * 0.05, 0.16, free, 2.0, 1.0)
    inner, outer = sorted((edge, edge + sign * (PARKING_M - 0.1)))
    for start, end in free:
        quads += [(inner, outer, z, z + 0.16) for z in np.arange(start + 2, end - 1, 6.0).tolist()]
    return quads


def _zebra(x0: float, x1: float, start: float, end: float) -> list[Quad]:
    return [(x, x + 0.55, start, end) for x in np.arange(x0 + 0.35, x1 - 0.6, 1.1).tolist()]


def _arrow(x: float, z: float) -> list[Points]:
    """A straight-ahead arrow 4 m long as two quads, the head's last corner doubled."""
    shaft = [
        (x - 0.1, 0, z),
        (x + 0.1, 0, z),
        (x + 0.1, 0, z + 2.6),
        (x - 0.1, 0, z + 2.6),
    ]
    head = [
        (x - 0.42, 0, z + 2.5),
        (x + 0.42, 0, z + 2.5),
        (x, 0, z + 4.2),
        (x, 0, z + 4.2),
    ]
    return [np.array(shaft), np.array(head)]
