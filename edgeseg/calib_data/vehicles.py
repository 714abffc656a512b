"""Own the vehicles' shapes: cars, vans, trucks, buses as meshes. Place none of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeseg.calib_data.light import Bgr
from edgeseg.calib_data.mesh import Mesh

Profile = tuple[tuple[float, float], ...]

GLASS_BGR: Bgr = (86, 74, 62)
TYRE_BGR: Bgr = (34, 32, 32)
PAINTS_BGR: tuple[Bgr, ...] = (
    (226, 228, 230), (196, 192, 188), (120, 118, 116), (52, 50, 50), (40, 44, 176), (28, 32, 120), (150, 84, 36),
    (196, 140, 72), (60, 110, 50), (52, 170, 214), (44, 104, 200), (110, 60, 70), (150, 170, 180),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Body:
    """A vehicle's measures in metres.

    `profile` runs over the top from the rear foot to the front foot: (share of the length from -0.5 rear to 0.5 front,
    height). `glass_edges` are the profile's edges that are panes; `panes` are side windows (from, to) as shares of the
    length between the belt and `pane_top_m`; `slope` is how much narrower the roof is than the belt.
    """

    length_m: float
    width_m: float
    belt_m: float
    profile: Profile
    glass_edges: tuple[int, ...]
    panes: tuple[tuple[float, float], ...]
    pane_top_m: float
    wheels: tuple[float, ...] = (-0.31, 0.31)
    wheel_radius_m: float = 0.34
    slope: float = 0.8


BODIES: dict[str, Body] = {
    "hatchback": Body(
        length_m=4.0, width_m=1.76, belt_m=0.95, pane_top_m=1.38,
        profile=((-0.5, 0.28), (-0.5, 0.98), (-0.40, 1.46), (0.08, 1.50), (0.27, 1.0), (0.47, 0.80), (0.5, 0.28)),
        glass_edges=(1, 3), panes=((-0.38, -0.15), (-0.12, 0.16)),
    ),
    "sedan": Body(
        length_m=4.6, width_m=1.82, belt_m=0.95, pane_top_m=1.35,
        profile=((-0.5, 0.28), (-0.5, 0.92), (-0.34, 1.0), (-0.21, 1.42), (0.06, 1.45), (0.24, 0.98), (0.47, 0.78),
                 (0.5, 0.28)),
        glass_edges=(2, 4), panes=((-0.26, -0.09), (-0.06, 0.14)),
    ),
    "suv": Body(
        length_m=4.6, width_m=1.92, belt_m=1.15, pane_top_m=1.62, wheel_radius_m=0.38,
        profile=((-0.5, 0.34), (-0.5, 1.15), (-0.45, 1.72), (0.08, 1.76), (0.25, 1.18), (0.48, 1.04), (0.5, 0.34)),
        glass_edges=(1, 3), panes=((-0.43, -0.28), (-0.25, -0.07), (-0.04, 0.15)), slope=0.84,
    ),
    "van": Body(
        length_m=5.4, width_m=2.0, belt_m=1.3, pane_top_m=1.95, wheel_radius_m=0.36,
        profile=((-0.5, 0.32), (-0.5, 1.3), (-0.48, 2.3), (0.22, 2.36), (0.38, 1.32), (0.49, 1.08), (0.5, 0.32)),
        glass_edges=(1, 3), panes=((0.14, 0.30),), slope=0.9,
    ),
    "truck": Body(
        length_m=7.6, width_m=2.4, belt_m=1.5, pane_top_m=2.2, wheel_radius_m=0.48, wheels=(-0.33, -0.2, 0.36),
        profile=((-0.5, 0.5), (-0.5, 1.5), (-0.5, 3.3), (0.24, 3.3), (0.25, 2.6), (0.46, 2.55), (0.5, 1.45),
                 (0.5, 0.45)),
        glass_edges=(5,), panes=((0.3, 0.44),), slope=1.0,
    ),
    "bus": Body(
        length_m=10.5, width_m=2.5, belt_m=1.3, pane_top_m=2.5, wheel_radius_m=0.48, wheels=(-0.27, 0.32),
        profile=((-0.5, 0.38), (-0.5, 1.5), (-0.49, 3.0), (0.48, 3.05), (0.5, 1.2), (0.5, 0.38)),
        glass_edges=(1, 3), panes=tuple((-0.47 + 0.135 * i, -0.35 + 0.135 * i) for i in range(7)), slope=0.98,
    ),
}  # fmt: skip
BODY_ODDS: dict[str, float] = {
    "hatchback": 0.28, "sedan": 0.24, "suv": 0.22, "van": 0.13, "truck": 0.07, "bus": 0.06,
}  # fmt: skip


def random_body_name(rng: np.random.Generator, *, is_parked: bool) -> str:
    """Draw a kind of vehicle; buses do not park."""
    names = [n for n in BODY_ODDS if not (is_parked and n in ("bus", "truck"))]
    odds = np.array([BODY_ODDS[n] for n in names])
    return names[int(rng.choice(len(names), p=odds / odds.sum()))]


def random_paint(rng: np.random.Generator) -> Bgr:
    """Draw a body colour, BGR 0-255."""
    b, g, r = PAINTS_BGR[int(rng.integers(len(PAINTS_BGR)))]
    gain = rng.uniform(0.85, 1.1)
    return b * gain, g * gain, r * gain


def vehicle_mesh(name: str, paint_bgr: Bgr, lamps_lit: float) -> Mesh:
    """Build the vehicle `name` of `BODIES`, standing on y = 0 about the origin, its front towards +z."""
    body = BODIES[name]
    mesh = Mesh(core_m=(0.0, body.belt_m * 0.8, 0.0))
    _underside(mesh, body)
    _over_the_top(mesh, body, paint_bgr)
    for side in (-1.0, 1.0):
        _flank(mesh, body, side, paint_bgr)
    _rear(mesh, body, lamps_lit)
    _front(mesh, body, lamps_lit)
    return mesh


def _half_width(body: Body, height_m: float) -> float:
    top = max(p[1] for p in body.profile)
    above = max(0.0, (height_m - body.belt_m) / (top - body.belt_m))
    return body.width_m / 2 * (1 - above * (1 - body.slope))


def _underside(mesh: Mesh, body: Body) -> None:
    """Dark sills behind the wheels, so that no street shows through between them."""
    half, reach = body.width_m / 2 * 0.9, body.length_m * 0.44
    for side in (-half, half):
        mesh.add(
            [
                (side, 0.16, -reach),
                (side, 0.16, reach),
                (side, 0.5, reach),
                (side, 0.5, -reach),
            ],
            (30, 29, 28),
        )
    for end in (-reach, reach):
        mesh.add(
            [
                (-half, 0.16, end),
                (half, 0.16, end),
                (half, 0.5, end),
                (-half, 0.5, end),
            ],
            (30, 29, 28),
        )


def _over_the_top(mesh: Mesh, body: Body, paint_bgr: Bgr) -> None:
    for index, (start, end) in enumerate(zip(body.profile, body.profile[1:], strict=False)):
        mesh.add(_strip(body, start, end, 1.0), paint_bgr)
        if index in body.glass_edges:
            mesh.add(
                _strip(body, _mix(start, end, 0.1), _mix(start, end, 0.9), 0.88),
                GLASS_BGR,
                is_detail=True,
            )


def _mix(start: tuple[float, float], end: tuple[float, float], share: float) -> tuple[float, float]:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _strip(
    body: Body, start: tuple[float, float], end: tuple[float, float], share: float
) -> list[tuple[float, float, float]]:
    near, far = _half_width(body, start[1]) * share, _half_width(body, end[1]) * share
    z0, z1 = start[0] * body.length_m, end[0] * body.length_m
    return [
        (-near, start[1], z0),
        (near, start[1], z0),
        (far, end[1], z1),
        (-far, end[1], z1),
    ]


def _flank(mesh: Mesh, body: Body, side: float, paint_bgr: Bgr) -> None:
    def at(share: float, height: float, out: float = 1.0) -> tuple[float, float, float]:
        return side * _half_width(body, height) * out, height, share * body.length_m

    lower = [(p[0], min(p[1], body.belt_m)) for p in body.profile]
    mesh.add([at(*p) for p in lower], paint_bgr)
    upper = [p for p in body.profile if p[1] > body.belt_m]
    rear, front = _belt_ends(body)
    mesh.add(
        [at(rear, body.belt_m), *(at(*p) for p in upper), at(front, body.belt_m)],
        paint_bgr,
    )
    for start, end in body.panes:
        lean = 0.035 if body.slope < 0.95 else 0.0
        glass = [at(start, body.belt_m + 0.04), at(end + lean, body.belt_m + 0.04)]
        mesh.add(
            [*glass, at(end, body.pane_top_m), at(start + lean, body.pane_top_m)],
            GLASS_BGR,
            is_detail=True,
        )
    for share in body.wheels:
        _wheel(mesh, body, side, share)


def _belt_ends(body: Body) -> tuple[float, float]:
    """Where the profile crosses the belt, rear and front, as shares of the length."""
    crossings = []
    for (z0, y0), (z1, y1) in zip(body.profile, body.profile[1:], strict=False):
        if (y0 - body.belt_m) * (y1 - body.belt_m) <= 0 and y0 != y1:
            crossings.append(z0 + (z1 - z0) * (body.belt_m - y0) / (y1 - y0))
    return min(crossings), max(crossings)


def _wheel(mesh: Mesh, body: Body, side: float, share: float) -> None:
    x, radius, z = (
        side * (body.width_m / 2 + 0.01),
        body.wheel_radius_m,
        share * body.length_m,
    )
    for scale, colour in ((1.0, TYRE_BGR), (0.58, (150.0, 150.0, 150.0))):
        ring = [math.tau * k / 12 for k in range(12)]
        points = [(x, radius + radius * scale * math.sin(a), z + radius * scale * math.cos(a)) for a in ring]
        mesh.add(points, colour, is_detail=scale < 1)


def _plate(x0: float, x1: float, y0: float, y1: float, z: float) -> list[tuple[float, float, float]]:
    return [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]


def _rear(mesh: Mesh, body: Body, lamps_lit: float) -> None:
    z, half, low = -body.length_m / 2 - 0.01, body.width_m / 2, body.profile[0][1]
    red = (40.0 + 40 * lamps_lit, 30.0 + 40 * lamps_lit, 170.0 + 85 * lamps_lit)
    top = body.belt_m * 0.95
    for side in (-1, 1):
        mesh.add(
            _plate(side * half * 0.95, side * half * 0.78, top - 0.2, top, z),
            red,
            is_detail=True,
            glows=True,
        )
    mesh.add(_plate(-half, half, low, low + 0.16, z), (54, 52, 52), is_detail=True)
    mesh.add(_plate(-0.26, 0.26, low + 0.24, low + 0.36, z), (214, 218, 220), is_detail=True)


def _front(mesh: Mesh, body: Body, lamps_lit: float) -> None:
    z, half, low = body.length_m / 2 + 0.01, body.width_m / 2, body.profile[-1][1]
    white = (200.0 + 40 * lamps_lit, 224.0 + 30 * lamps_lit, 228.0 + 27 * lamps_lit)
    mesh.add(
        _plate(-half * 0.62, half * 0.62, low + 0.12, low + 0.32, z),
        (44, 42, 42),
        is_detail=True,
    )
    for side in (-1, 1):
        mesh.add(_plate(side * half * 0.95, side * half * 0.66, low + 0.24, low + 0.42, z), white,
                 is_detail=True, glows=True)  # fmt: skip
    mesh.add(_plate(-0.26, 0.26, low + 0.02, low + 0.13, z), (214, 218, 220), is_detail=True)
