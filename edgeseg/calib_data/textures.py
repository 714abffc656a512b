"""Own the procedural surfaces: noise tiles, facades, foliage sprites. Place nothing in a scene."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.calib_data.light import Bgr, Image

TEXELS_PER_M = 16


def _value_noise(rng: np.random.Generator, size: int, cells: int) -> NDArray[np.float32]:
    """Smooth noise (size, size) in 0-1 that tiles; `cells` lumps a side."""
    lattice = rng.random((cells, cells), dtype=np.float32)
    padded = np.pad(lattice, 2, mode="wrap")
    pixels = size // cells
    smooth = cv2.resize(padded, (size + 4 * pixels, size + 4 * pixels), interpolation=cv2.INTER_CUBIC)
    return np.asarray(
        smooth[2 * pixels : 2 * pixels + size, 2 * pixels : 2 * pixels + size],
        np.float32,
    )


def _fractal(rng: np.random.Generator, size: int, cells: tuple[int, ...], fall: float = 0.5) -> NDArray[np.float32]:
    """Sum of value noises, each next one `fall` as strong, scaled to 0-1."""
    total = np.zeros((size, size), np.float32)
    for step, count in enumerate(cells):
        total += np.float32(fall**step) * _value_noise(rng, size, count)
    low, high = float(total.min()), float(total.max())
    return np.asarray((total - low) / (high - low), np.float32)


@lru_cache(maxsize=1)
def asphalt_tile() -> Image:
    """Brightness of asphalt around 128, uint8 (512, 512), tiling: grain and worn patches."""
    rng = np.random.default_rng(1)
    grain = cv2.GaussianBlur(rng.normal(0, 24, (512, 512)).astype(np.float32), (0, 0), 0.8)
    patches = (_fractal(rng, 512, (4, 8, 16, 32)) - 0.5) * 26
    return np.asarray(np.clip(128 + grain + patches, 0, 255), np.uint8)


@lru_cache(maxsize=1)
def paving_tile() -> Image:
    """Brightness of paving slabs around 128, uint8 (512, 512), tiling: 8x8 slabs with joints."""
    rng = np.random.default_rng(2)
    slabs = cv2.resize(
        rng.normal(0, 9, (8, 8)).astype(np.float32),
        (512, 512),
        interpolation=cv2.INTER_NEAREST,
    )
    tile = 128 + slabs + rng.normal(0, 7, (512, 512)) + (_fractal(rng, 512, (4, 16)) - 0.5) * 20
    tile[::64] -= 34
    tile[1::64] -= 34
    tile[:, ::64] -= 34
    tile[:, 1::64] -= 34
    return np.asarray(np.clip(tile, 0, 255), np.uint8)


@lru_cache(maxsize=1)
def grass_tile() -> Image:
    """Brightness of grass around 128, uint8 (512, 512), tiling."""
    rng = np.random.default_rng(3)
    blades = cv2.GaussianBlur(rng.normal(0, 70, (512, 512)).astype(np.float32), (0, 0), 1.1)
    return np.asarray(np.clip(128 + blades + (_fractal(rng, 512, (8, 16, 64)) - 0.5) * 60, 0, 255), np.uint8)


@lru_cache(maxsize=1)
def cloud_tile() -> NDArray[np.float32]:
    """Cloud density 0-1, float32 (512, 512), tiling."""
    return _fractal(np.random.default_rng(4), 512, (4, 8, 16, 32, 64), 0.55)


@dataclass(frozen=True, kw_only=True)
class Foliage:
    """A crown of leaves: brightness and opacity, uint8 (n, n) pairs from n = 192 down by halves."""

    levels: tuple[tuple[Image, Image], ...]


@lru_cache(maxsize=1)
def foliage_sprites() -> tuple[Foliage, ...]:
    """Eight crowns: four broad, two tall, two bush-like (flat bottomed)."""
    rng = np.random.default_rng(5)
    return tuple(_foliage(rng, kind) for kind in ("broad",) * 4 + ("tall",) * 2 + ("bush",) * 2)


def _foliage(rng: np.random.Generator, kind: str) -> Foliage:
    size = 192
    # Not black outside the leaves: the blur below would draw a dark rim around the crown.
    grey, alpha = (
        np.full((size, size), 112, np.float32),
        np.zeros((size, size), np.uint8),
    )
    centres = _clumps(rng, kind)
    for u, v, radius in sorted(centres, key=lambda c: -c[1] + 0.3 * c[2]):
        cv2.circle(alpha, (int(u), int(v)), int(radius), 255, -1)
        # Each clump is lit from above: a lighter disc inside a darker one.
        cv2.circle(grey, (int(u), int(v)), int(radius), 78 + 50 * (1 - v / size), -1)
        cv2.circle(
            grey,
            (int(u), int(v - radius * 0.3)),
            int(radius * 0.66),
            108 + 70 * (1 - v / size),
            -1,
        )
    leaves = cv2.GaussianBlur(rng.normal(0, 95, (size, size)).astype(np.float32), (0, 0), 1.4)
    grey = cv2.GaussianBlur(grey, (0, 0), 3.0) + leaves
    ragged = cv2.GaussianBlur(alpha.astype(np.float32), (0, 0), 4.0) + leaves * 1.2
    whole = (
        np.clip(grey, 12, 255).astype(np.uint8),
        np.where(ragged > 118, 255, 0).astype(np.uint8),
    )
    levels = [whole]
    while levels[-1][0].shape[0] > 12:
        half = (levels[-1][0].shape[0] // 2,) * 2
        levels.append((_half(levels[-1][0], half), _half(levels[-1][1], half)))
    return Foliage(levels=tuple(levels))


def _half(image: Image, size_wh: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _clumps(rng: np.random.Generator, kind: str) -> list[tuple[float, float, float]]:
    spread = {"broad": (62, 56), "tall": (34, 70), "bush": (72, 30)}[kind]
    middle = {"broad": 92, "tall": 96, "bush": 130}[kind]
    clumps = []
    for _ in range(26):
        angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
        radius = rng.uniform(15, 27)
        clumps.append(
            (
                96 + spread[0] * reach * np.cos(angle),
                middle + spread[1] * reach * np.sin(angle),
                radius,
            )
        )
    return clumps


def tint_table(colour_bgr: Bgr) -> Image:
    """Lookup table uint8 (1, 256, 3) that turns brightness into shades of a colour; 128 gives the colour itself."""
    levels = np.arange(256, dtype=np.float64)[:, None] / 128
    return np.asarray(np.clip(levels * np.asarray(colour_bgr)[None, :], 0, 255), np.uint8).reshape(1, 256, 3)


@dataclass(frozen=True, kw_only=True)
class FacadeStyle:
    """How a wall looks; sizes in metres, colours BGR."""

    wall_bgr: Bgr
    trim_bgr: Bgr
    glass_bgr: Bgr
    floor_m: float
    window_wh_m: tuple[float, float]
    pitch_m: float
    has_shop: bool
    has_balconies: bool
    is_brick: bool
    lit_share: float


WALLS_BGR: tuple[Bgr, ...] = (
    (168, 198, 218), (138, 170, 204), (120, 150, 190), (190, 206, 214), (104, 122, 168), (92, 106, 146),
    (176, 184, 190), (150, 190, 214), (158, 176, 160), (186, 176, 164), (126, 164, 216), (206, 214, 220),
)  # fmt: skip
SHOPS_BGR: tuple[Bgr, ...] = (
    (70, 60, 130),
    (60, 96, 60),
    (110, 74, 40),
    (40, 90, 150),
    (64, 64, 64),
    (120, 110, 40),
)


def random_facade_style(rng: np.random.Generator, lamps_lit: float) -> FacadeStyle:
    """Draw a style; `lamps_lit` 0-1 raises the share of windows with light in them."""
    wall = WALLS_BGR[int(rng.integers(len(WALLS_BGR)))]
    jitter = rng.uniform(0.88, 1.06)
    b, g, r = (c * jitter for c in wall)
    return FacadeStyle(
        wall_bgr=(b, g, r),
        trim_bgr=(b * 1.12, g * 1.12, r * 1.12) if rng.random() < 0.7 else (60.0, 62.0, 66.0),
        glass_bgr=(rng.uniform(84, 130), rng.uniform(70, 104), rng.uniform(52, 84)),
        floor_m=rng.uniform(2.9, 3.6),
        window_wh_m=(rng.uniform(0.9, 1.7), rng.uniform(1.3, 1.9)),
        pitch_m=rng.uniform(2.1, 3.3),
        has_shop=bool(rng.random() < 0.4),
        has_balconies=bool(rng.random() < 0.25),
        is_brick=bool(rng.random() < 0.35),
        lit_share=0.05 + 0.7 * lamps_lit,
    )


def facade(rng: np.random.Generator, style: FacadeStyle, size_wh_m: tuple[float, float]) -> Image:
    """Paint a wall with its windows: uint8 (height * TEXELS_PER_M, width * TEXELS_PER_M, 3) BGR."""
    columns, rows = (max(8, round(side * TEXELS_PER_M)) for side in size_wh_m)
    bays = max(1, int(size_wh_m[0] / style.pitch_m))
    cells = _cells(rng, style, (size_wh_m[0] / bays, style.floor_m))
    floors = max(1, int(size_wh_m[1] / style.floor_m))
    pick = np.where(
        rng.random((floors, bays)) < style.lit_share,
        0,
        rng.integers(1, len(cells), (floors, bays)),
    )
    grid = np.concatenate([np.concatenate([cells[i] for i in row], axis=1) for row in pick], axis=0)
    wall = np.empty((rows, columns, 3), np.uint8)
    wall[:] = np.asarray(style.wall_bgr, np.uint8)
    height, width = min(rows, grid.shape[0]), min(columns, grid.shape[1])
    wall[rows - height :, :width] = grid[grid.shape[0] - height :, :width]
    if style.has_shop:
        _shop(rng, wall, style, size_wh_m)
    else:
        _door(rng, wall, size_wh_m)
    b, g, r = style.trim_bgr
    cv2.rectangle(wall, (0, 0), (columns, TEXELS_PER_M // 2), (b, g, r), -1)
    cv2.rectangle(
        wall,
        (0, TEXELS_PER_M // 2),
        (columns, TEXELS_PER_M // 2 + 2),
        (b * 0.6, g * 0.6, r * 0.6),
        -1,
    )
    return _weathered(rng, wall, style)


def _cells(rng: np.random.Generator, style: FacadeStyle, size_wh_m: tuple[float, float]) -> list[Image]:
    """Variants of one bay of one floor; the first has its light on."""
    columns, rows = (max(4, round(side * TEXELS_PER_M)) for side in size_wh_m)
    cells = []
    for index in range(4):
        cell = np.empty((rows, columns, 3), np.uint8)
        cell[:] = np.asarray(style.wall_bgr, np.uint8)
        _window(rng, cell, style, (size_wh_m[0] / 2, size_wh_m[1] - 0.9), is_lit=index == 0)
        cells.append(cell)
    return cells


@lru_cache(maxsize=2)
def _weather_tile(*, is_brick: bool) -> Image:
    """Brightness of plaster or bricks around 128, uint8 (512, 512)."""
    rng = np.random.default_rng(6)
    shades = 1 + (_fractal(rng, 512, (4, 8, 32)) - 0.5) * 0.22 + rng.normal(0, 0.03, (512, 512))
    if is_brick:
        shades[::4] *= 0.86
        shades[::8, ::6] *= 0.9
        shades[4::8, 3::6] *= 0.9
    return np.asarray(np.clip(shades * 128, 0, 255), np.uint8)


def _weathered(rng: np.random.Generator, wall: Image, style: FacadeStyle) -> Image:
    rows, columns = wall.shape[:2]
    top, left = int(rng.integers(16)) * 8, int(rng.integers(24)) * 6
    tile = np.tile(_weather_tile(is_brick=style.is_brick), (1, 2))[top : top + rows, left : left + columns]
    if tile.shape != (rows, columns):
        tile = cv2.resize(tile, (columns, rows))
    return np.asarray(cv2.multiply(wall, cv2.merge([tile] * 3), scale=1 / 128), np.uint8)


def _rectangle(image: Image, left_m: float, top_m: float, wh_m: tuple[float, float], colour: Bgr) -> None:
    start = (round(left_m * TEXELS_PER_M), round(top_m * TEXELS_PER_M))
    end = (
        round((left_m + wh_m[0]) * TEXELS_PER_M) - 1,
        round((top_m + wh_m[1]) * TEXELS_PER_M) - 1,
    )
    cv2.rectangle(image, start, end, colour, -1)


def _window(
    rng: np.random.Generator,
    wall: Image,
    style: FacadeStyle,
    foot_m: tuple[float, float],
    *,
    is_lit: bool,
) -> None:
    width, height = min(style.window_wh_m[0], foot_m[0] * 2 - 0.7), style.window_wh_m[1]
    left, top = foot_m[0] - width / 2, foot_m[1] - height
    _rectangle(wall, left - 0.13, top - 0.13, (width + 0.26, height + 0.26), style.trim_bgr)
    dim = rng.uniform(0.75, 1.15)
    b, g, r = style.glass_bgr
    glass = (110.0, 190.0, 244.0) if is_lit else (b * dim, g * dim, r * dim)
    _rectangle(wall, left, top, (width, height), glass)
    if not is_lit:  # the sky in the upper panes
        _rectangle(
            wall,
            left,
            top,
            (width, height * rng.uniform(0.2, 0.5)),
            (b * 1.5, g * 1.45, r * 1.4),
        )
    _rectangle(wall, foot_m[0] - 0.05, top, (0.1, height), style.trim_bgr)
    tb, tg, tr = style.trim_bgr
    _rectangle(
        wall,
        left - 0.2,
        foot_m[1],
        (width + 0.4, 0.14),
        (tb * 0.75, tg * 0.75, tr * 0.75),
    )
    if style.has_balconies:
        _rectangle(wall, left - 0.25, foot_m[1] - 0.55, (width + 0.5, 0.7), (74, 72, 70))
        _rectangle(wall, left - 0.2, foot_m[1] - 0.45, (width + 0.4, 0.42), (118, 114, 110))


def _shop(
    rng: np.random.Generator,
    wall: Image,
    style: FacadeStyle,
    size_wh_m: tuple[float, float],
) -> None:
    colour = SHOPS_BGR[int(rng.integers(len(SHOPS_BGR)))]
    width, height = size_wh_m
    _rectangle(
        wall,
        0.2,
        height - 2.9,
        (width - 0.4, 2.9),
        (colour[0] * 0.7, colour[1] * 0.7, colour[2] * 0.7),
    )
    panes = max(1, round(width / 2.6))
    glow = 1.0 + 1.2 * style.lit_share
    for pane in range(panes):
        left = 0.4 + pane * (width - 0.8) / panes
        _rectangle(
            wall,
            left,
            height - 2.3,
            ((width - 0.8) / panes - 0.2, 1.9),
            (104 * glow, 100 * glow, 92 * glow),
        )
        _rectangle(
            wall,
            left,
            height - 2.3,
            ((width - 0.8) / panes - 0.2, 0.6),
            (140, 132, 120),
        )
    _rectangle(wall, 0.1, height - 3.0, (width - 0.2, 0.6), colour)


def _door(rng: np.random.Generator, wall: Image, size_wh_m: tuple[float, float]) -> None:
    left = rng.uniform(0.2, 0.8) * (size_wh_m[0] - 1.4)
    colour = SHOPS_BGR[int(rng.integers(len(SHOPS_BGR)))]
    _rectangle(wall, left - 0.15, size_wh_m[1] - 2.45, (1.4, 2.45), (150, 154, 158))
    _rectangle(wall, left, size_wh_m[1] - 2.3, (1.1, 2.3), colour)


@lru_cache(maxsize=1)
def fine_tile() -> Image:
    """Asphalt, paving and grass as three channels, uint8 (512, 512, 3)."""
    return np.dstack([asphalt_tile(), paving_tile(), grass_tile()])


@lru_cache(maxsize=1)
def broad_tile() -> Image:
    """The same for patches metres wide; slabs and blades are too small to count there."""
    soft = cv2.addWeighted(asphalt_tile(), 0.5, asphalt_tile(), 0.0, 64)
    blades = cv2.addWeighted(grass_tile(), 0.6, grass_tile(), 0.0, 51)
    return np.dstack([asphalt_tile(), soft, blades])
