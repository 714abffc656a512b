"""Own cameras of the kernel's V4L2 interface: buffers in, frames out. Choose no mode, lay out no structure."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from ctypes import c_int
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.errors import ShapeError, SourceError
from edgeseg.imaging.decoded import FramePictures
from edgeseg.imaging.formats import FrameForm, Picture, Plane, picture_view
from edgeseg.packages import require
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.recycling import Recycler
from edgeseg.runtime.sources import v4l2_api as api
from edgeseg.runtime.sources.base import DEFAULT_FPS, SourceOptions, WakeableSource
from edgeseg.runtime.sources.v4l2_modes import MJPG, RAW, choose_mode, list_modes

__all__ = ["V4l2Source", "open_camera"]

BUFFERS = 4  # one that the driver fills, one that is copied, two for when this thread does not run in time
REC709, DCI_P3, JPEG = 3, 12, 7  # v4l2_colorspace
ENC_709, FULL_RANGE = 2, 1  # v4l2_ycbcr_encoding, v4l2_quantization
HINTS = {
    errno.ENOENT: "list the cameras: ls /dev/video*",
    errno.EACCES: "add yourself to the group video, or run as one who may",
    errno.EBUSY: "end the other program that has it open",
    errno.ENOTTY: "give the camera's own /dev/video, not that of its metadata",
}


def open_camera(name: str, path: Path, options: SourceOptions) -> V4l2Source:
    """Open a camera by its file.

    Raises:
        SourceError: there is none, it may not be opened, or it does not offer what is asked of it.
    """
    try:
        device = api.KernelCamera(path)
    except OSError as error:
        raise _refusal(name, "cannot be opened", error) from error
    return V4l2Source(name, device, options)


class V4l2Source(WakeableSource):
    """A camera's frames as the driver gives them, in memory of their own.

    A frame is copied out of the driver's buffer (one copy of its bytes) and the buffer given back at once: a loop holds
    several frames, and a driver that has run out of buffers drops the newest. Numbers are the driver's, so frames that
    it dropped have used theirs up. Buffers that the driver marks as damaged or that are too short, and JPEG that does
    not decode, count as corrupt.

    Args:
        name: what the user typed.
        device: opened; closed by the source.
        options: what is asked; see ``choose_mode``.
    Raises:
        SourceError: it is no camera with streaming buffers, or does not offer what is asked.
    """

    is_live, length = True, None

    def __init__(self, name: str, device: api.CameraDevice, options: SourceOptions) -> None:
        super().__init__()
        self.name, self._device, self._options = name, device, options
        self._buffers: list[api.BufferMemory] = []
        self._recycler = Recycler()
        self.form, self._decoder, self._last = FrameForm(), None, -1
        try:
            self._set_up()
        except (SourceError, OSError) as error:
            self._release()
            if isinstance(error, OSError):
                raise _refusal(name, "cannot be set up", error) from error
            raise

    def _wake(self) -> None:
        self._device.wake()

    def _set_up(self) -> None:
        asked = api.Capability()
        self._device.ioctl(api.QUERYCAP, asked)
        able = asked.device_caps if asked.capabilities & api.CAP_DEVICE_CAPS else asked.capabilities
        if not (able & api.CAP_VIDEO_CAPTURE and able & api.CAP_STREAMING):
            raise SourceError(f"{self.name} is no camera with one plane and streaming", "try opencv://0")
        modes = list_modes(self._device)
        current = api.Format(type=api.CAPTURE)
        self._device.ioctl(api.G_FMT, current)
        mode, size_wh = choose_mode(self.name, modes, self._options, (current.fmt.pix.width, current.fmt.pix.height))
        self._take(mode.code, size_wh)
        self.fps = self._set_rate(mode.best_fps if mode.rates else None)
        self._start()

    def _take(self, code: str, size_wh: tuple[int, int]) -> None:
        wanted = api.Format(type=api.CAPTURE)
        pix = wanted.fmt.pix
        pix.width, pix.height, pix.pixelformat = *size_wh, api.fourcc(code)
        self._device.ioctl(api.S_FMT, wanted)
        given, asked = (
            f"{kind} {width}x{height}"
            for kind, width, height in ((api.fourcc(pix.pixelformat), pix.width, pix.height), (code, *size_wh))
        )
        if given != asked:
            raise SourceError(f"{self.name} gives {given} where {asked} was asked for", "ask for what it gives")
        self.size_wh, self._pitch = size_wh, pix.bytesperline or None
        if code == MJPG:
            self._decoder, self._pictures = _mjpeg_decoder(), FramePictures()
        else:
            self.form = _form_of(code, pix)
            if self._picture(np.empty(pix.sizeimage, np.uint8)) is None:
                raise SourceError(
                    f"{self.name} lays {asked} out in {pix.sizeimage} bytes with a pitch of {self._pitch}",
                    "ask for another format",
                )

    def _set_rate(self, best_fps: float | None) -> float:
        """The rate that the driver has taken; without a wish the mode's best."""
        fps = self._options.fps or best_fps
        if not fps:
            return DEFAULT_FPS
        wanted = api.StreamParameters(type=api.CAPTURE, timeperframe=api.Fraction(1000, round(fps * 1000)))
        try:
            self._device.ioctl(api.S_PARM, wanted)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL) and self._options.fps is None:  # a rate of its own
                return fps
            raise
        given = wanted.timeperframe
        return given.denominator / given.numerator if given.numerator and given.denominator else fps

    def _start(self) -> None:
        asked = api.RequestBuffers(count=BUFFERS, type=api.CAPTURE, memory=api.MMAP)
        self._device.ioctl(api.REQBUFS, asked)
        for index in range(asked.count):
            buffer = self._buffer(index)
            self._device.ioctl(api.QUERYBUF, buffer)
            self._buffers.append(self._device.map(buffer.length, buffer.m.offset))
            self._device.ioctl(api.QBUF, buffer)
        self._device.ioctl(api.STREAMON, c_int(api.CAPTURE))

    def _buffer(self, index: int = 0) -> api.Buffer:
        return api.Buffer(index=index, type=api.CAPTURE, memory=api.MMAP)

    def _release(self) -> None:
        if self._buffers:
            try:
                self._device.ioctl(api.STREAMOFF, c_int(api.CAPTURE))
            except OSError as error:
                if error.errno != errno.ENODEV:  # unplugged: nothing is left to stop
                    raise
        for one in self._buffers:
            one.close()
        self._buffers.clear()
        self._device.close()

    def _frames(self) -> Iterator[Frame]:
        given, last_s = 0, time.monotonic()
        while not self._closed.is_set():
            left_s = self._options.read_timeout_s - (time.monotonic() - last_s)
            state = self._device.wait(left_s) if left_s > 0 else "late"
            if state == "woken":
                return
            if state == "late":
                raise self._stopped(given, f"nothing whole came for {self._options.read_timeout_s:g} s")
            if (frame := self._read(given)) is not None:
                given += 1
                yield frame
                last_s = time.monotonic()  # a reader that was busy elsewhere is no silence of the camera

    def _read(self, given: int) -> Frame | None:
        buffer = self._buffer()
        try:
            self._device.ioctl(api.DQBUF, buffer)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return None
            if error.errno == errno.EIO:  # the kernel's page on DQBUF: a passing problem such as a lost signal
                self.corrupt, self._last = self.corrupt + 1, self._last + 1
                return None
            raise self._stopped(given, error.strerror or str(error)) from error
        arrived_s = time.perf_counter()
        data = self._copied(buffer)
        self._device.ioctl(api.QBUF, self._buffer(buffer.index))
        self._last = sequence = max(self._last + 1, buffer.sequence)  # some drivers count nothing
        read = None if buffer.flags & api.BUF_FLAG_ERROR else self._picture(data)
        if read is None:
            self.corrupt += 1
            return None
        return Frame(
            picture=read[0],
            form=read[1],
            sequence=sequence,
            arrived_s=arrived_s,
            captured_s=_captured_s(buffer, arrived_s),
            name=f"{sequence:06d}",
        )

    def _copied(self, buffer: api.Buffer) -> Plane:
        """What the driver has written, in memory of the buffer's size, so that JPEG of any length takes the same."""
        memory = self._buffers[buffer.index]
        data = self._recycler.take((len(memory),))[: buffer.bytesused]
        memory.copy_into(data.data)
        return data

    def _picture(self, data: Plane) -> tuple[Picture, FrameForm] | None:
        """The picture in a buffer's bytes; None where they hold none."""
        if self._decoder is None:
            try:
                return picture_view(data, self.form.pixel_format, size_wh=self.size_wh, pitch=self._pitch), self.form
            except ShapeError:  # too few bytes
                return None
        av = require("av")
        try:
            frames = self._decoder.decode(av.Packet(data)) if data.size else []
        except av.error.InvalidDataError:
            return None
        return self._pictures.picture_of(frames[0]) if frames and not frames[0].is_corrupt else None

    def _stopped(self, given: int, why: str) -> SourceError:
        return SourceError(f"{self.name} stopped after {given} frames ({why})", "check the camera and its cable")


def _captured_s(buffer: api.Buffer, arrived_s: float) -> float | None:
    """The driver's time; perf_counter is CLOCK_MONOTONIC on Linux."""
    if buffer.flags & api.BUF_FLAG_TIMESTAMP_MASK != api.BUF_FLAG_TIMESTAMP_MONOTONIC:
        return None
    stamp_s = float(buffer.timestamp.tv_sec + buffer.timestamp.tv_usec * 1e-6)
    return stamp_s if 0 < stamp_s <= arrived_s else None


def _form_of(code: str, pix: api.PixFormat) -> FrameForm:
    """Colours by what the driver says, and by the kernel's defaults where it says nothing (V4L2_MAP_*_DEFAULT)."""
    is_709 = pix.ycbcr_enc == ENC_709 or (not pix.ycbcr_enc and pix.colorspace in (REC709, DCI_P3))
    is_full = pix.quantization == FULL_RANGE or (not pix.quantization and pix.colorspace == JPEG)
    return FrameForm(pixel_format=RAW[code], colour_matrix="BT.709" if is_709 else "BT.601", is_full_range=is_full)


def _mjpeg_decoder() -> Any:
    decoder = require("av").CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1  # several would each hold a frame back
    return decoder


def _refusal(name: str, what: str, error: OSError) -> SourceError:
    hint = HINTS.get(error.errno or 0, "check the camera and its cable")
    return SourceError(f"camera {name} {what} ({error.strerror or error})", hint)
