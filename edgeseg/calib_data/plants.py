"""Own trees and hedges. Place none of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeseg.calib_data.camera import Points
from edgeseg.calib_data.canvas import Canvas
from edgeseg.calib_data.classes import ClassId
from edgeseg.calib_data.ground import fall
from edgeseg.calib_data.light import Bgr
from edgeseg.calib_data.textures import foliage_sprites, tint_table

LEAVES_BGR: tuple[Bgr, ...] = (
    (50, 118, 84), (44, 104, 66), (62, 128, 104), (40, 92, 72), (58, 140, 118), (40, 120, 150), (70, 112, 84),
)  # fmt: skip
BUSHES = (6, 7)


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A tree, or a hedge when `sprite` is a bush; `foot_m` is world (x, y, z), colours BGR, metres."""

    foot_m: tuple[float, float, float]
    height_m: float
    sprite: int
    leaf_bgr: Bgr
    trunk_bgr: Bgr = (54, 66, 84)

    @property
    def is_bush(self) -> bool:
        """Whether it stands without a trunk."""
        return self.sprite in BUSHES


def random_tree(
    rng: np.random.Generator,
    foot_m: tuple[float, float, float],
    *,
    is_bush: bool = False,
) -> Tree:
    """Draw a tree (4-9 m) or a bush (1.2-2.4 m) at a place."""
    sprite = int(rng.choice(BUSHES)) if is_bush else int(rng.integers(6))
    b, g, r = LEAVES_BGR[int(rng.integers(len(LEAVES_BGR)))]
    gain = rng.uniform(0.85, 1.2)
    height = rng.uniform(1.2, 2.4) if is_bush else rng.uniform(4.5, 9.0)
    return Tree(
        foot_m=foot_m,
        height_m=height,
        sprite=sprite,
        leaf_bgr=(b * gain, g * gain, r * gain),
    )


def draw_tree(canvas: Canvas, tree: Tree) -> None:
    """Draw trunk and crown; nothing when it stands behind or beside the lens."""
    foot = np.array([tree.foot_m])
    depth = float(canvas.camera.to_view(foot)[0, 2])
    # Far hedges are a pixel high and many.
    if not 1.5 < depth < (70 if tree.is_bush else 200) or not canvas.camera.sees(tree.foot_m, tree.height_m):
        return
    x, y, z = tree.foot_m
    shade = canvas.light.shade((0.0, 0.75, -0.65)) * 0.9
    if not tree.is_bush:
        _trunk(canvas, tree, shade, depth)
    side_m = tree.height_m * (1.9 if tree.is_bush else 0.86)
    middle = np.array([[x, y + tree.height_m * (0.45 if tree.is_bush else 0.64), z]])
    side_px = canvas.camera.focal_px * side_m / depth
    centre = canvas.camera.to_pixels(canvas.camera.to_view(middle))[0]
    b, g, r = canvas.light.through_air(tree.leaf_bgr, depth)
    table = tint_table((b * shade, g * shade, r * shade))
    levels = foliage_sprites()[tree.sprite].levels
    canvas.sprite(centre - side_px / 2, side_px, levels, table, ClassId.VEGETATION)


def _trunk(canvas: Canvas, tree: Tree, shade: float, depth_m: float) -> None:
    x, y, z = tree.foot_m
    wide, slim = 0.028 * tree.height_m + 0.05, 0.018 * tree.height_m + 0.03
    top = y + tree.height_m * 0.6
    outline = np.array([(x - wide, y, z), (x + wide, y, z), (x + slim, top, z), (x - slim, top, z)])
    b, g, r = tree.trunk_bgr
    colour = canvas.light.through_air((b * shade, g * shade, r * shade), depth_m)
    canvas.polygon(outline, colour, ClassId.VEGETATION)
    lit = canvas.light.through_air((b * shade * 1.3, g * shade * 1.3, r * shade * 1.3), depth_m)
    canvas.polygon(np.array([(x - wide, y, z), (x - wide * 0.3, y, z), (x - slim * 0.3, top, z), (x - slim, top, z)]),
                   lit, None)  # fmt: skip


def tree_shadow(canvas: Canvas, tree: Tree) -> list[Points]:
    """Outlines of the crown's and the trunk's shadow on the ground."""
    x, _, z = tree.foot_m
    reach, middle = tree.height_m * 0.3, tree.height_m * (0.4 if tree.is_bush else 0.64)
    ring = [math.tau * k / 14 for k in range(14)]
    wobble = [1 + 0.16 * math.sin(5 * a + x) for a in ring]
    crown = [
        (
            x + reach * w * math.cos(a),
            middle + reach * w * math.sin(a),
            z + reach * 0.4 * math.sin(a),
        )
        for a, w in zip(ring, wobble, strict=True)
    ]
    trunk = [
        (x - 0.12, 0.0, z),
        (x + 0.12, 0.0, z),
        (x + 0.12, middle, z),
        (x - 0.12, middle, z),
    ]
    return [fall(canvas, np.array(crown)), fall(canvas, np.array(trunk))]
