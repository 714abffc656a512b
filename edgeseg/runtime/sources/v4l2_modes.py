"""Own what a camera offers and which of it is taken. Open no device, read no frame."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edgeseg.errors import SourceError
from edgeseg.imaging.formats import PixelFormat
from edgeseg.runtime.sources import v4l2_api as api
from edgeseg.runtime.sources.base import SourceOptions

__all__ = ["MJPG", "RAW", "Mode", "choose_mode", "list_modes"]

#: the kernel's formats that pre-processing takes, those of the fewest bytes first; grey last, as it has no colour
RAW: dict[str, PixelFormat] = {
    "NV12": "NV12", "YU12": "I420", "YUYV": "YUYV", "UYVY": "UYVY", "BGR3": "BGR", "RGB3": "RGB", "GREY": "GRAY8",
}  # fmt: skip
MJPG = "MJPG"
ORDER = (*RAW, MJPG)
ENOUGH_FPS = 30.0  # where no rate is asked for, a raw format that gives this is taken before a faster MJPG
RATE_TOLERANCE = 0.01  # 29.97 is 30


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One of a camera's formats, with the sizes and rates it has in it.

    Attributes:
        code: the kernel's four letters.
        least_wh: the smallest size, or the only one; None where the driver does not tell.
        most_wh: the largest.
        step_wh: from size to size.
        rates: least and most frames a second of each kind of interval, at the largest size; empty: not told.
    """

    code: str
    least_wh: tuple[int, int] | None = None
    most_wh: tuple[int, int] | None = None
    step_wh: tuple[int, int] = (1, 1)
    rates: tuple[tuple[float, float], ...] = ()

    @property
    def best_fps(self) -> float:
        """The most frames a second; what is not told is taken for enough."""
        return max((most for _, most in self.rates), default=ENOUGH_FPS)

    def has_size(self, size_wh: tuple[int, int]) -> bool:
        """Whether it comes in this size; yes where the driver does not tell."""
        if self.least_wh is None or self.most_wh is None:
            return True
        return all(
            least <= side <= most and (side - least) % max(step, 1) == 0
            for side, least, most, step in zip(size_wh, self.least_wh, self.most_wh, self.step_wh, strict=True)
        )

    def has_rate(self, fps: float) -> bool:
        """Whether it comes at this rate; yes where the driver does not tell."""
        low, high = fps * (1 - RATE_TOLERANCE), fps * (1 + RATE_TOLERANCE)
        return not self.rates or any(least <= high and low <= most for least, most in self.rates)

    def __str__(self) -> str:
        size = "any size" if self.most_wh is None else "{}x{}".format(*self.most_wh)
        if self.least_wh != self.most_wh and self.least_wh is not None:
            size = "{}x{} to {}".format(*self.least_wh, size)
        rates = sorted({round(most, 2) for _, most in self.rates}, reverse=True)
        return f"{self.code} {size}" + (f" at {', '.join(f'{rate:g}' for rate in rates)}" if rates else "")


def list_modes(device: api.CameraDevice) -> tuple[Mode, ...]:
    """All that a camera tells of itself."""
    found: list[Mode] = []
    for described in _asked(device, api.ENUM_FMT, lambda: api.FormatDescription(type=api.CAPTURE)):
        if not described.flags & api.FMT_FLAG_EMULATED:
            found += _modes_of(device, described.pixelformat)
    return tuple(found)


def choose_mode(
    name: str, modes: Sequence[Mode], options: SourceOptions, current_wh: tuple[int, int]
) -> tuple[Mode, tuple[int, int]]:
    """The mode to take and its size.

    Without a wish for a format, the one with the most frames a second up to ``ENOUGH_FPS`` is taken, a raw one before
    MJPG. Without a wish for a size, the camera's present one, or the largest if the format does not have it.

    Raises:
        SourceError: no mode is what is asked for; it lists them.
    """
    wanted = [
        mode
        for mode in modes
        if mode.code in ORDER
        and (options.pixel_format is None or RAW.get(mode.code) == options.pixel_format)
        and (options.size_wh is None or mode.has_size(options.size_wh))
        and (options.fps is None or mode.has_rate(options.fps))
    ]
    if not wanted:
        asked = {"format": options.pixel_format, "size": options.size_wh, "fps": options.fps}
        words = ", ".join(f"{word} {value}" for word, value in asked.items() if value is not None) or "a known format"
        raise SourceError(f"{name} does not offer {words}", f"it offers {'; '.join(map(str, modes)) or 'nothing'}")
    if options.size_wh is None and any(mode.has_size(current_wh) for mode in wanted):
        wanted = [mode for mode in wanted if mode.has_size(current_wh)]
    best = max(wanted, key=lambda mode: (min(mode.best_fps, options.fps or ENOUGH_FPS), -ORDER.index(mode.code)))
    return best, options.size_wh or (current_wh if best.has_size(current_wh) else best.most_wh or current_wh)


def _modes_of(device: api.CameraDevice, code: int) -> Iterator[Mode]:
    sizes = list(_asked(device, api.ENUM_FRAMESIZES, lambda: api.FrameSize(pixel_format=code)))
    if not sizes:
        yield Mode(code=api.fourcc(code))
    for size in sizes:
        least = most = (size.of[0], size.of[1])
        step = (1, 1)
        if size.type != api.DISCRETE:
            least, most, step = (size.of[0], size.of[3]), (size.of[1], size.of[4]), (size.of[2], size.of[5])
        rates = tuple(_rates(device, code, most))
        yield Mode(code=api.fourcc(code), least_wh=least, most_wh=most, step_wh=step, rates=rates)


def _rates(device: api.CameraDevice, code: int, size_wh: tuple[int, int]) -> Iterator[tuple[float, float]]:
    width, height = size_wh
    made = lambda: api.FrameInterval(pixel_format=code, width=width, height=height)  # noqa: E731
    for interval in _asked(device, api.ENUM_FRAMEINTERVALS, made):
        longest = interval.of[0] if interval.type == api.DISCRETE else interval.of[1]
        yield _fps(longest), _fps(interval.of[0])


def _fps(interval: Any) -> float:
    return interval.denominator / interval.numerator if interval.numerator else 0.0


def _asked(device: api.CameraDevice, request: int, make: Callable[[], Any]) -> Iterator[Any]:
    """What an enumeration gives until it says that there is no more, or that it does not exist."""
    index = 0
    while True:
        argument = make()
        argument.index = index
        try:
            device.ioctl(request, argument)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise
        yield argument
        if request == api.ENUM_FRAMESIZES and argument.type != api.DISCRETE:  # a range is the whole answer
            return
        if request == api.ENUM_FRAMEINTERVALS and argument.type != api.DISCRETE:
            return
        index += 1
