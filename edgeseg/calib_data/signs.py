"""Own traffic signs and lights on their posts. Place none of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeseg.calib_data.canvas import Canvas
from edgeseg.calib_data.classes import ClassId
from edgeseg.calib_data.light import Bgr

RED: Bgr = (42, 36, 200)
BLUE: Bgr = (176, 92, 30)
GREEN: Bgr = (86, 124, 30)
WHITE: Bgr = (236, 238, 240)
YELLOW: Bgr = (40, 196, 240)
POST_BGR: Bgr = (132, 132, 130)
# Beyond this a post is thinner than a pixel of the net's input: picture and labels both leave it out.
VIEW_M = 42.0
KINDS = ("limit", "yield", "stop", "parking", "crossing", "priority", "lights", "board")
Outline = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A sign that faces the oncoming camera; `foot_m` is world (x, y, z), sizes in metres."""

    foot_m: tuple[float, float, float]
    kind: str
    radius_m: float
    height_m: float


def random_sign(
    rng: np.random.Generator,
    foot_m: tuple[float, float, float],
    kind: str | None = None,
) -> Sign:
    """Draw a sign's kind and size; `kind` fixes the former."""
    chosen = kind or KINDS[int(rng.integers(len(KINDS)))]
    return Sign(
        foot_m=foot_m,
        kind=chosen,
        radius_m=rng.uniform(0.5, 0.66),
        height_m=rng.uniform(2.3, 3.0),
    )


def _ring(corners: int, turn: float = 0.0) -> Outline:
    angles = [math.tau * (k / corners) + turn for k in range(corners)]
    return [(math.cos(a), math.sin(a)) for a in angles]


def _box(half_w: float, half_h: float, up: float = 0.0) -> Outline:
    return [
        (-half_w, up - half_h),
        (half_w, up - half_h),
        (half_w, up + half_h),
        (-half_w, up + half_h),
    ]


def _moved(outline: Outline, right: float) -> Outline:
    return [(x + right, y) for x, y in outline]


def _layers(kind: str) -> list[tuple[Outline, float, Bgr]]:
    """What the plate is made of, in radii about its middle: outline, scale, colour; the first gives the shape."""
    if kind == "limit":
        black: Bgr = (40, 40, 40)
        three = [(_box(0.13, 0.05, up), 1.0, black) for up in (0.3, 0.0, -0.3)]
        return [(_ring(24), 1.0, RED), (_ring(24), 0.76, WHITE), *((_moved(o, -0.22), s, c) for o, s, c in three),
                (_moved(_box(0.05, 0.35), -0.1), 1.0, black), (_moved(_box(0.18, 0.35), 0.24), 1.0, black),
                (_moved(_box(0.08, 0.24), 0.24), 1.0, WHITE)]  # fmt: skip
    if kind == "yield":
        return [
            (_ring(3, -math.pi / 2), 1.15, RED),
            (_ring(3, -math.pi / 2), 0.68, WHITE),
        ]
    if kind == "stop":
        return [
            (_ring(8, math.pi / 8), 1.08, WHITE),
            (_ring(8, math.pi / 8), 0.97, RED),
            (_box(0.62, 0.16), 1.0, WHITE),
        ]
    if kind == "parking":
        stem: Outline = [(-0.3, -0.55), (-0.08, -0.55), (-0.08, 0.6), (-0.3, 0.6)]
        bowl: Outline = [(-0.1, -0.08), (0.22, -0.08), (0.38, 0.08), (0.38, 0.44), (0.22, 0.6), (-0.1, 0.6)]
        hole: Outline = [(-0.08, 0.1), (0.15, 0.1), (0.18, 0.14), (0.18, 0.38), (0.15, 0.42), (-0.08, 0.42)]
        return [(_box(0.95, 0.95), 1.0, WHITE), (_box(0.85, 0.85), 1.0, BLUE), (stem, 1.0, WHITE),
                (bowl, 1.0, WHITE), (hole, 1.0, BLUE)]  # fmt: skip
    if kind == "crossing":
        walker: Outline = [
            (-0.3, -0.6),
            (0.0, 0.1),
            (0.3, -0.6),
            (0.18, 0.3),
            (-0.12, 0.3),
        ]
        return [
            (_box(0.95, 0.95), 1.0, BLUE),
            (_ring(3, math.pi / 2), 0.95, WHITE),
            (walker, 0.6, (40, 40, 40)),
        ]
    if kind == "priority":
        return [(_ring(4), 1.2, WHITE), (_ring(4), 0.9, YELLOW)]
    return [(_box(1.9, 0.9), 1.0, WHITE), (_box(1.8, 0.8), 1.0, GREEN), (_box(1.2, 0.12, 0.3), 1.0, WHITE),
            (_box(0.9, 0.12, -0.25), 1.0, WHITE)]  # fmt: skip


def draw_sign(canvas: Canvas, sign: Sign, time_s: float) -> None:
    """Draw post and plate; nothing when behind the lens or beyond `VIEW_M`."""
    depth = float(canvas.camera.to_view(np.array([sign.foot_m]))[0, 2])
    if not 1.5 < depth < VIEW_M:
        return
    shade = canvas.light.shade((0.0, 0.2, -0.98)) * 0.7 + 0.34
    _flat(
        canvas,
        sign,
        _box(0.085, sign.height_m / 2, sign.height_m / 2),
        POST_BGR,
        shade,
        depth,
    )
    if sign.kind == "lights":
        _lights(canvas, sign, time_s, shade, depth)
        return
    for index, (outline, scale, colour) in enumerate(_layers(sign.kind)):
        grow = scale * sign.radius_m
        shape = [(px * grow, sign.height_m + py * grow) for px, py in outline]
        _flat(canvas, sign, shape, colour, shade, depth, is_detail=index > 0)


def _lights(canvas: Canvas, sign: Sign, time_s: float, shade: float, depth_m: float) -> None:
    _flat(
        canvas,
        sign,
        _box(0.28, 0.62, sign.height_m + 0.3),
        (44, 46, 44),
        shade,
        depth_m,
    )
    burning = int(time_s / 4 + sign.foot_m[2]) % 3
    colours: tuple[Bgr, ...] = ((60, 60, 250), (50, 190, 250), (120, 230, 90))
    for place, colour in enumerate(colours):
        b, g, r = colour
        shown = colour if place == burning else (b * 0.3, g * 0.3, r * 0.3)
        lens = [(px * 0.15, sign.height_m + 0.68 - 0.38 * place + py * 0.15) for px, py in _ring(12)]
        _flat(canvas, sign, lens, shown, 1.0, depth_m, is_detail=True)


def _flat(
    canvas: Canvas,
    sign: Sign,
    shape: Outline,
    colour_bgr: Bgr,
    shade: float,
    depth_m: float,
    *,
    is_detail: bool = False,
) -> None:
    """Draw an outline given in metres about the sign's foot."""
    x, y, z = sign.foot_m
    points = np.array([(x + px, y + py, z) for px, py in shape])
    b, g, r = colour_bgr
    colour = canvas.light.through_air((b * shade, g * shade, r * shade), depth_m)
    canvas.polygon(points, colour, None if is_detail else ClassId.SIGN)
