"""Own a camera that is none: it answers the kernel's requests with structures packed by hand, as on 64-bit Linux."""

from __future__ import annotations

import errno
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["FakeCamera", "Shot"]

MONOTONIC, ERROR = 0x2000, 0x40
OFFSET_UNIT = 1 << 20
STALE = bytearray([0xEE]) * (1 << 16)


@dataclass(frozen=True)
class Shot:
    """What the driver puts into its next buffer; an int is the errno of a DQBUF that fails."""

    data: bytes
    sequence: int = 0
    flags: int = MONOTONIC
    stamp: tuple[int, int] = (1, 500_000)


@dataclass
class FakeCamera:
    """A driver's answers.

    Attributes:
        modes: four letters to (width, height, (fps as numerator, denominator of the interval)).
        shots: what comes, in order; after the last one nothing does.
        layout: bytesperline, sizeimage, colorspace, ycbcr_enc, quantization that S_FMT answers.
    """

    modes: dict[bytes, list[tuple[int, int, list[tuple[int, int]]]]]
    shots: deque[Shot | int] = field(default_factory=deque)
    current: tuple[int, int, bytes] = (640, 480, b"YUYV")
    layout: tuple[int, int, int, int, int] = (0, 0, 8, 0, 0)
    capabilities: tuple[int, int] = (0x84200001 | 0x04000000, 0x04200001)
    stepwise: tuple[int, ...] | None = None
    sets_another_size: tuple[int, int] | None = None
    log: list[str] = field(default_factory=list)
    fps: tuple[int, int] | None = None
    queued: deque[int] = field(default_factory=deque)
    buffers: list[bytearray] = field(default_factory=list)
    is_closed: bool = False
    woken: threading.Event = field(default_factory=threading.Event)

    def ioctl(self, request: int, argument: Any) -> None:
        """By the numbers that <linux/videodev2.h> gives on 64-bit Linux."""
        answers = {
            0x80685600: self.querycap, 0xC0405602: self.enum_fmt, 0xC02C564A: self.enum_sizes,
            0xC034564B: self.enum_intervals, 0xC0D05604: self.get_format, 0xC0D05605: self.set_format,
            0xC0CC5616: self.set_rate, 0xC0145608: self.request_buffers, 0xC0585609: self.query_buffer,
            0xC058560F: self.queue, 0xC0585611: self.dequeue,
            0x40045612: lambda _: self.log.append("on"), 0x40045613: lambda _: self.log.append("off"),
        }  # fmt: skip
        answers[request](memoryview(argument).cast("B"))

    def map(self, length: int, offset: int) -> Any:
        index = offset // OFFSET_UNIT
        assert len(self.buffers[index]) == length
        camera = self

        class Mapped:
            def __len__(self) -> int:
                return length

            def copy_into(self, target: memoryview) -> None:
                assert index not in camera.queued, "read while it is the driver's"
                target[:] = memoryview(camera.buffers[index])[: len(target)]

            def close(self) -> None:
                camera.log.append("unmap")

        return Mapped()

    def wait(self, seconds: float) -> Literal["ready", "woken", "late"]:
        if self.shots:
            return "ready"
        return "woken" if self.woken.wait(seconds) else "late"

    def wake(self) -> None:
        self.woken.set()

    def close(self) -> None:
        assert not self.is_closed
        self.is_closed = True

    def querycap(self, at: memoryview) -> None:
        struct.pack_into("II", at, 84, *self.capabilities)

    def enum_fmt(self, at: memoryview) -> None:
        (index,) = struct.unpack_from("I", at)
        struct.pack_into("4s", at, 44, self.nth(list(self.modes), index))

    def enum_sizes(self, at: memoryview) -> None:
        index, code = struct.unpack_from("I4s", at)
        if self.stepwise:
            self.nth([0], index)
            struct.pack_into("I6I", at, 8, 3, *self.stepwise)
            return
        width, height, _ = self.nth(self.modes[code], index)
        struct.pack_into("III", at, 8, 1, width, height)

    def enum_intervals(self, at: memoryview) -> None:
        index, code, width, height = struct.unpack_from("I4sII", at)
        intervals = next((rates for w, h, rates in self.modes[code] if (w, h) == (width, height)), [])
        struct.pack_into("III", at, 16, 1, *self.nth(intervals, index))

    def get_format(self, at: memoryview) -> None:
        struct.pack_into("II4s", at, 8, *self.current)

    def set_format(self, at: memoryview) -> None:
        width, height, code = struct.unpack_from("II4s", at, 8)
        width, height = self.sets_another_size or (width, height)
        self.current = (width, height, code)
        pitch, size, colorspace, encoding, quantization = self.layout
        struct.pack_into("II4sIIII", at, 8, width, height, code, 1, pitch, size or width * height * 4, colorspace)
        struct.pack_into("II", at, 44, encoding, quantization)

    def set_rate(self, at: memoryview) -> None:
        self.fps = struct.unpack_from("II", at, 12)

    def request_buffers(self, at: memoryview) -> None:
        (count,) = struct.unpack_from("I", at)
        assert struct.unpack_from("II", at, 4) == (1, 1)
        self.buffers = [bytearray(STALE) for _ in range(count)]

    def query_buffer(self, at: memoryview) -> None:
        (index,) = struct.unpack_from("I", at)
        struct.pack_into("I", at, 64, index * OFFSET_UNIT)
        struct.pack_into("I", at, 72, len(self.buffers[index]))

    def queue(self, at: memoryview) -> None:
        (index,) = struct.unpack_from("I", at)
        assert index not in self.queued
        self.queued.append(index)

    def dequeue(self, at: memoryview) -> None:
        shot = self.shots.popleft()
        if isinstance(shot, int):
            raise OSError(shot, "as told")
        index = self.queued.popleft()
        self.buffers[index][:] = STALE
        memoryview(self.buffers[index])[: len(shot.data)] = shot.data
        struct.pack_into("I", at, 0, index)
        struct.pack_into("II", at, 8, len(shot.data), shot.flags)
        struct.pack_into("qq", at, 24, *shot.stamp)
        struct.pack_into("I", at, 56, shot.sequence)

    def nth(self, of: list[Any], index: int) -> Any:
        if index >= len(of):
            raise OSError(errno.EINVAL, "no more")
        return of[index]
