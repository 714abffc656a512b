"""Which calibration frames are warned about, and which are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.data import CalibrationSet, Likeness, shipped_data
from edgeseg.errors import ShapeError
from edgeseg.imaging.images import IMAGE_SUFFIXES, read_image
from edgeseg.spec import Colour, InputSpec

FEW, ALIKE, GREY, SMALL = "image(s) where 32", "nearly one picture", "are grey", "less than half"
KINDS = (FEW, ALIKE, GREY, SMALL)
Frames = Iterable[np.ndarray]


def street() -> list[np.ndarray]:
    """The shipped calibration frames, 540x960."""
    return list(CalibrationSet(shipped_data()))


def still() -> np.ndarray:
    return read_image(shipped_data() / "validation" / "images" / "0000.jpg")


def photographs() -> list[np.ndarray]:
    data = pytest.importorskip("skimage.data")
    paths = sorted(Path(data.__file__).parent.iterdir())
    colour = [read_image(path) for path in paths if path.suffix in IMAGE_SUFFIXES and "multipage" not in path.name]
    return colour * 2


def noisy() -> Frames:
    rng = np.random.default_rng(0)
    frame = still()
    return (cv2.add(frame, rng.normal(0, 8, frame.shape), dtype=cv2.CV_8U) for _ in range(32))


def passed_by() -> Frames:
    frame = still()
    height, width = frame.shape[:2]
    for left in np.linspace(0, width * 3 // 4, 32).astype(int):
        seen = frame.copy()
        seen[height // 2 : height * 3 // 4, left : left + width // 4] = (30, 30, 200)
        yield seen


def shaken() -> Frames:
    rng = np.random.default_rng(0)
    return (np.roll(still(), tuple(rng.integers(-8, 9, 2)), (0, 1)) for _ in range(32))


def lit_unevenly() -> Frames:
    return (cv2.convertScaleAbs(still(), alpha=float(gain)) for gain in np.linspace(0.5, 1.2, 32))


def covered() -> Frames:
    rng = np.random.default_rng(0)
    return (rng.integers(0, 6, (540, 960, 3)).astype(np.uint8) for _ in range(32))


def clip(every: int) -> Frames:
    return islice(CalibrationSet(shipped_data() / "clip.mp4", every=every), 33)


def grey(frames: Frames) -> Frames:
    return (cv2.cvtColor(cv2.cvtColor(one, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) for one in frames)


def shrunk(frames: Frames, size_wh: tuple[int, int]) -> Frames:
    return (cv2.resize(one, size_wh) for one in frames)


CASES: dict[str, tuple[Callable[[], Frames], set[str]]] = {
    "street scenes": (street, set()),
    "street scenes in fog": (lambda: (cv2.convertScaleAbs(one, alpha=0.1, beta=180) for one in street()), set()),
    "street scenes by night": (lambda: (cv2.convertScaleAbs(one, alpha=0.08) for one in street()), set()),
    "photographs": (photographs, set()),
    "a moving car, every tenth frame": (lambda: clip(10), set()),
    "a third of a second of a moving car": (lambda: islice(clip(1), 8), {FEW, ALIKE}),
    "street scenes, 31": (lambda: street()[:31], {FEW}),
    "two street scenes": (lambda: street()[:2], {FEW}),
    "four street scenes": (lambda: street()[:4], {FEW}),
    "one": (lambda: [still()], {FEW}),
    "one, four times": (lambda: [still()] * 4, {FEW, ALIKE}),
    "none": (list, {FEW}),
    "one again and again": (lambda: [still()] * 40, {ALIKE}),
    "black": (lambda: [np.zeros((540, 960, 3), np.uint8)] * 40, {ALIKE, GREY}),
    "a still camera with noise": (noisy, {ALIKE}),
    "a still camera and a bus that passes": (passed_by, {ALIKE}),
    "a covered lens": (covered, {ALIKE}),
    "a shaken camera": (shaken, {ALIKE}),
    "a still camera under clouds": (lit_unevenly, {ALIKE}),
    "grey street scenes": (lambda: grey(street()), {GREY}),
    "grey but for one": (lambda: [*list(grey(street()))[1:], still()], set()),
    "small": (lambda: shrunk(street(), (300, 150)), {SMALL}),
    "just not small": (lambda: shrunk(street(), (512, 256)), set()),
    "half of them small": (lambda: [*street()[:16], *shrunk(street()[:16], (300, 150))], set()),
    "most of them small": (lambda: [*street()[:15], *shrunk(street()[:17], (300, 150))], {SMALL}),
    "low but wide": (lambda: shrunk(street(), (1024, 150)), set()),
}


def likeness_of(frames: Frames, colour: Colour = "RGB") -> Likeness:
    channels = 1 if colour == "GRAY" else 3
    image = InputSpec(name="x", size_hw=(512, 1024), colour=colour, mean=(0.0,) * channels, std=(1.0,) * channels)
    likeness = Likeness(image)
    for frame in frames:
        likeness.see(frame)
    return likeness


@pytest.mark.parametrize("name", CASES)
def test_a_set_is_warned_about_exactly_what_is_wrong_with_it(name: str) -> None:
    frames, expected = CASES[name]
    warnings = likeness_of(frames()).warnings()
    assert {kind for kind in KINDS if any(kind in one for one in warnings)} == expected
    assert len(warnings) == len(expected)
    assert all("; give " in one for one in warnings), "every warning says what to do"


def test_grey_frames_are_what_a_grey_net_takes() -> None:
    assert likeness_of(grey(street()), colour="GRAY").warnings() == ()


def test_a_warning_tells_got_and_expected() -> None:
    warnings = likeness_of(grey(shrunk([still()] * 5, (300, 150)))).warnings()
    told = (
        "5 calibration image(s) where 32",
        "vary by 0.000 where 0.05",
        "takes RGB",
        "(smallest 150x300, input 512x1024)",
    )
    assert len(warnings) == len(told)
    assert all(part in one for part, one in zip(told, warnings, strict=True))


def test_variety_is_the_variance_of_all_thumbnails_at_once() -> None:
    frames = street()
    small = np.stack([cv2.resize(one, (16, 16), interpolation=cv2.INTER_AREA) for one in frames]).astype(float)
    spread = np.sqrt(small.var(axis=(1, 2, 3), keepdims=True) + 9)
    scaled = (small - small.mean(axis=(1, 2, 3), keepdims=True)) / spread
    expected = np.median(scaled.var(axis=0).mean(axis=-1))
    assert likeness_of(frames).variety == pytest.approx(expected, rel=1e-9)  # float64 sums in another order


def test_a_frame_of_another_form_is_refused() -> None:
    with pytest.raises(ShapeError):
        likeness_of([np.zeros((4, 4), np.uint8)])
