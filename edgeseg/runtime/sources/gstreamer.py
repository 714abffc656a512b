"""Own frames of a GStreamer pipeline: its process is asked for them. gstreamer_child.py plays it."""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeseg.errors import ShapeError, SourceError
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.gstreamer_process import START_S, end_process, start_process
from edgeseg.runtime.sources.addresses import without_password
from edgeseg.runtime.sources.base import DEFAULT_FPS, SourceOptions, WakeableSource
from edgeseg.runtime.sources.gstreamer_frames import Numbers, form_of, picture_of

__all__ = ["GstreamerSource"]

PACKAGES = "python3-gi gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
OF_JETSON = ("nvarguscamerasrc", "nvvidconv")
CONVERT = "put ! videoconvert ! video/x-raw,format=NV12,colorimetry=bt709 at its end"
TRY = "check what it reads from, or try it with gst-launch-1.0"
MESSAGE_BYTES = 1 << 16
INT = struct.Struct("i")  # the one descriptor that comes with a frame
END_S = 2.0  # to let go of a camera; a pipeline that hangs does not do that either


class GstreamerSource(WakeableSource):
    """What comes to the appsink of a pipeline, in its own format and where it lies in its memory.

    The pipeline runs in a process of its own, under the Python that has GStreamer: a camera's driver that hangs or
    crashes takes nothing with it, and closing kills what does not end. A frame is asked for when it is wanted, and
    comes as memory that is handed over; its bytes are copied twice, out of GStreamer and into that memory.

    A live pipeline that ends has failed; one that is not (a file) ends the source. Frames that are marked as damaged
    count as corrupt.

    Args:
        name: what the user typed.
        pipeline: as gst-launch takes it, with an appsink; see ``gstreamer_text``.
        options: timeouts.
    Attributes:
        pipeline: the text, without passwords.
        process: plays it.
    Raises:
        SourceError: GStreamer is not installed, has not the elements, or the pipeline does not start.
    """

    length = None

    def __init__(self, name: str, pipeline: str, options: SourceOptions) -> None:
        super().__init__()
        self.name, self.pipeline, self._options = without_password(name), without_password(pipeline), options
        self._given, self._numbers = 0, Numbers()
        self._message = bytearray(MESSAGE_BYTES)  # kept, as recv_fds would allocate it for each frame
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # what GStreamer is asked to log goes where it is looked for; a driver's own words go nowhere
            log = None if "GST_DEBUG" in os.environ else subprocess.DEVNULL
            script = Path(__file__).with_name("gstreamer_child.py")
            self.process = start_process(script, stdin=theirs.fileno(), stderr=log)
        try:
            self._heard("ready", START_S)
            self._say(pipeline.encode())
            said, _ = self._heard("playing", options.open_timeout_s)
        except SourceError:
            self._release()
            raise
        self.is_live, self.fps = bool(said["is_live"]), float(said["fps"]) or DEFAULT_FPS

    def _wake(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        self._socket.close()
        end_process(self.process, END_S)

    def _frames(self) -> Iterator[Frame]:
        while not self._closed.is_set():
            self._say(b"next")
            said, memory = self._heard("frame", self._options.read_timeout_s)
            arrived_s = time.perf_counter()
            if said["is"] == "end":
                return
            number = self._numbers.next(said["offset"], said["running_ns"], said.get("fps", 0.0))
            if said["is_corrupt"]:
                self.corrupt += 1
                continue
            frame = self._frame(said, memory, number, arrived_s)
            self._given += 1
            yield frame

    def _frame(self, said: dict[str, Any], memory: mmap.mmap | None, number: int, arrived_s: float) -> Frame:
        form = form_of(said)
        if form is None or memory is None:
            raise self._error(
                f"gives {said['format']}, matrix {said.get('matrix')}",
                CONVERT,
            )
        try:
            picture = picture_of(memory, said, form.pixel_format)
        except ShapeError as error:
            raise self._error(
                f"gives {error.what}", "put ! videoconvert ! video/x-raw,format=BGR at its end"
            ) from error
        # perf_counter is CLOCK_MONOTONIC on Linux
        captured_s = None if said["captured_ns"] is None else said["captured_ns"] * 1e-9
        return Frame(
            picture=picture,
            form=form,
            sequence=number,
            arrived_s=arrived_s,
            captured_s=captured_s if captured_s is not None and 0 < captured_s <= arrived_s else None,
            name=f"{number:06d}",
        )

    def _say(self, words: bytes) -> None:
        try:
            self._socket.send(words)
        except OSError:  # it has ended, or close() came: what can be heard tells which
            return

    def _heard(self, expected: str, timeout_s: float) -> tuple[dict[str, Any], mmap.mmap | None]:
        """What the process says, and the memory that comes with it."""
        self._socket.settimeout(timeout_s)
        try:
            length, files, _, _ = self._socket.recvmsg_into([self._message], socket.CMSG_SPACE(INT.size))
        except TimeoutError as error:
            raise self._error(*self._silence(expected, timeout_s)) from error
        except ConnectionResetError:
            length, files = 0, []
        said: dict[str, Any] = json.loads(self._message[:length]) if length else {"is": "gone"}
        memory = _mapped(*INT.unpack(files[0][2])) if files else None
        if said["is"] == "end" and not self._is_failure():
            return said, None
        if said["is"] == "gone" and self._closed.is_set():
            return {"is": "end"}, None
        if said["is"] != expected:
            raise self._error(*self._reason(said))
        return said, memory

    def _is_failure(self) -> bool:
        """Whether an end is one: a camera has none, and a file without a frame is no source."""
        return self.is_live or not (self._given or self.corrupt)

    def _silence(self, expected: str, timeout_s: float) -> tuple[str, str]:
        what = {"ready": "GStreamer did not start", "playing": "it gave no frame"}.get(expected, "nothing came")
        return f"{what} for {timeout_s:g} s", TRY

    def _reason(self, said: dict[str, Any]) -> tuple[str, str]:
        if said["is"] == "missing":
            return f"GStreamer is not there for Python ({said['why']})", f"apt-get install {PACKAGES}"
        if said["is"] == "end":
            return "it came to its end", "check the camera or the stream"
        if said["is"] == "gone":
            return "its process has ended, as where a plugin crashes", TRY
        return without_password(said["why"]), _next_step(said["why"])

    def _error(self, why: str, hint: str) -> SourceError:
        state = f"stopped after {self._given} frames" if self._given else "gives no frame"
        is_its_name = self.name.lower().startswith("gst://")
        who = f"gst://{self.pipeline}" if is_its_name else f"{self.name}, by the pipeline '{self.pipeline}',"
        return SourceError(f"{who} {state} ({why})", hint)


def _mapped(file: int) -> mmap.mmap:
    try:
        return mmap.mmap(file, 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ)
    finally:
        os.close(file)


def _next_step(why: str) -> str:
    if "not-negotiated" in why or "could not link" in why:
        return "frames must come as raw video in memory: put ! decodebin ! videoconvert at its end"
    if not why.startswith("no element"):
        return TRY
    name = why.split('"')[1]
    if name in OF_JETSON:
        return "it is NVIDIA's and comes with a Jetson's JetPack; elsewhere give a pipeline of your own: gst://..."
    return f"install the GStreamer package that holds it, and check with gst-inspect-1.0 {name}"
