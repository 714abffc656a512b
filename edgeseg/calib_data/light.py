"""Own the light of a scene: sun, sky colours, haze and the sensor's response. Draw no object."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Bgr = tuple[float, float, float]
Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Light:
    """One moment's light. Colours are BGR 0-255, gains are factors, angles radians; azimuth 0 is straight ahead."""

    name: str
    sun_azimuth: float
    sun_elevation: float
    sun_strength: float
    ambient: float
    sky_top_bgr: Bgr
    sky_low_bgr: Bgr
    cloud_cover: float
    haze_length_m: float
    gain_bgr: Bgr
    gamma: float
    lamps_lit: float
    blur_sigma_px: float
    noise_sigma: float
    noise_seed: int

    @property
    def sun_direction(self) -> tuple[float, float, float]:
        """Unit vector towards the sun in world axes."""
        level = math.cos(self.sun_elevation)
        return (
            level * math.sin(self.sun_azimuth),
            math.sin(self.sun_elevation),
            level * math.cos(self.sun_azimuth),
        )

    def shade(self, normal: tuple[float, float, float]) -> float:
        """Brightness factor of a face with this unit outward normal."""
        facing = sum(n * s for n, s in zip(normal, self.sun_direction, strict=True))
        return self.ambient + self.sun_strength * max(0.0, facing)

    def through_air(self, colour_bgr: Bgr, distance_m: float) -> Bgr:
        """The colour as seen through `distance_m` of haze."""
        kept = math.exp(-max(0.0, distance_m) / self.haze_length_m)
        b, g, r = (c * kept + h * (1 - kept) for c, h in zip(colour_bgr, self.sky_low_bgr, strict=True))
        return b, g, r


@dataclass(frozen=True, kw_only=True)
class Mood:
    """Ranges from which a light of one kind is drawn; colours as in `Light`."""

    name: str
    elevation: tuple[float, float]
    strength: tuple[float, float]
    ambient: tuple[float, float]
    sky_top_bgr: Bgr
    sky_low_bgr: Bgr
    cover: tuple[float, float]
    gain_bgr: Bgr
    lamps_lit: float


MOODS = (
    Mood(name="clear", elevation=(0.6, 1.1), strength=(0.55, 0.75), ambient=(0.55, 0.65),
         sky_top_bgr=(214, 142, 70), sky_low_bgr=(238, 216, 188), cover=(0.1, 0.45),
         gain_bgr=(1.0, 1.0, 1.0), lamps_lit=0.0),
    Mood(name="overcast", elevation=(0.8, 1.2), strength=(0.08, 0.18), ambient=(0.82, 0.95),
         sky_top_bgr=(196, 184, 174), sky_low_bgr=(222, 216, 210), cover=(0.7, 1.0),
         gain_bgr=(1.04, 1.0, 0.96), lamps_lit=0.1),
    Mood(name="golden", elevation=(0.25, 0.45), strength=(0.6, 0.8), ambient=(0.5, 0.6),
         sky_top_bgr=(196, 150, 108), sky_low_bgr=(168, 206, 246), cover=(0.2, 0.6),
         gain_bgr=(0.82, 0.98, 1.12), lamps_lit=0.15),
    Mood(name="dusk", elevation=(0.12, 0.25), strength=(0.1, 0.2), ambient=(0.5, 0.62),
         sky_top_bgr=(150, 96, 72), sky_low_bgr=(140, 150, 226), cover=(0.2, 0.6),
         gain_bgr=(1.0, 0.82, 0.78), lamps_lit=0.6),
)  # fmt: skip
MOOD_ODDS = (0.45, 0.2, 0.2, 0.15)


def random_light(rng: np.random.Generator, mood_name: str | None = None) -> Light:
    """Draw a light; `mood_name` fixes its kind (clear, overcast, golden, dusk)."""
    index = int(rng.choice(len(MOODS), p=MOOD_ODDS))
    mood = MOODS[index] if mood_name is None else next(m for m in MOODS if m.name == mood_name)
    warmth, exposure = rng.normal(0, 0.04), rng.uniform(0.9, 1.08)
    blue, green, red = mood.gain_bgr
    # The sun keeps off the street's axis, so that one side of it is lit and shadows fall across.
    side = rng.choice([-1.0, 1.0])
    return Light(
        name=mood.name,
        sun_azimuth=float(side * rng.uniform(0.5, 2.5)),
        sun_elevation=rng.uniform(*mood.elevation),
        sun_strength=rng.uniform(*mood.strength),
        ambient=rng.uniform(*mood.ambient),
        sky_top_bgr=mood.sky_top_bgr,
        sky_low_bgr=mood.sky_low_bgr,
        cloud_cover=rng.uniform(*mood.cover),
        haze_length_m=rng.uniform(180, 500),
        gain_bgr=(
            exposure * blue * (1 - warmth),
            exposure * green,
            exposure * red * (1 + warmth),
        ),
        gamma=rng.uniform(0.9, 1.1),
        lamps_lit=mood.lamps_lit,
        blur_sigma_px=float(rng.choice([0.45, 0.6, 0.9, 1.3], p=[0.4, 0.3, 0.2, 0.1])),
        noise_sigma=rng.uniform(1.0, 5.0),
        noise_seed=int(rng.integers(1 << 30)),
    )


# Noise is kept as 128 + NOISE_GAIN * sigma units, so that one saturating blend of uint8 images adds it.
NOISE_GAIN = 32


@lru_cache(maxsize=1)
def _noise_tile() -> Image:
    rng = np.random.default_rng(20)
    return np.clip(np.round(rng.normal(128, NOISE_GAIN, (900, 1500, 3))), 0, 255).astype(np.uint8)


def expose(frame_bgr: Image, light: Light, frame_index: int) -> Image:
    """Turn the drawn picture into the sensor's: optics' blur, response, noise.

    Args:
        frame_bgr: uint8 (H, W, 3), at most 1280x720.
        light: gives gains, blur and noise; the blur is for a picture 960 wide and scales with the width.
        frame_index: picks the noise, so that neighbouring frames differ.

    Returns:
        uint8 (H, W, 3), a new array.
    """
    height, width = frame_bgr.shape[:2]
    levels = np.arange(256) / 255
    curves = [np.clip(255 * np.power(levels, light.gamma) * gain, 0, 255) for gain in light.gain_bgr]
    table = np.round(np.stack(curves, axis=1)).astype(np.uint8).reshape(1, 256, 3)
    exposed = cv2.LUT(cv2.GaussianBlur(frame_bgr, (0, 0), light.blur_sigma_px * width / 960), table)
    rng = np.random.default_rng((light.noise_seed, frame_index))
    top, left = int(rng.integers(900 - height + 1)), int(rng.integers(1500 - width + 1))
    noise = _noise_tile()[top : top + height, left : left + width]
    share = light.noise_sigma / NOISE_GAIN
    return np.asarray(cv2.addWeighted(exposed, 1.0, noise, share, -128 * share), np.uint8)
