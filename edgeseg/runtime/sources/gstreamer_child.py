"""Own a GStreamer pipeline, in a process of its own under a Python that has Debian's GStreamer. Read no pixel.

It is run by its path and imports nothing of edgeseg. Its standard input is a socket of whole messages (SOCK_SEQPACKET).
It says ``ready``; the first message to it is a pipeline's text, which it plays, and every further one asks for a frame.
Answers are JSON objects. A frame's bytes come with it as a file descriptor of memory, which is the reader's alone. The
end of the socket is its end.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import socket
import sys
import time
from typing import Any

WAIT_NS = 50_000_000  # for a frame, before it looks for errors and for the reader's end; a frame ends it at once
LOOK_NS = 5_000_000
Said = dict[str, Any]


class Refused(Exception):  # noqa: N818  # an answer, not a defect
    """The pipeline gives nothing more, and why."""


class Pipeline:
    """A playing pipeline and its appsink.

    Args:
        libraries: gi's GLib, Gst and GstVideo.
        text: as gst-launch takes it, with an appsink.
        reader: the socket; its end ends waiting.
    """

    def __init__(self, libraries: tuple[Any, Any, Any], text: str, reader: socket.socket) -> None:
        self._glib, self._gst, self._video = libraries
        self._reader = reader
        self._caps: Any = None
        self._form: Said = {}
        try:
            self._pipeline = self._gst.parse_launch(text)
        except self._glib.Error as error:
            raise Refused(error.message) from error
        self._sink = self._found_sink()
        self._is_live = False

    def play(self) -> Said:
        """Begin, and wait until the first frame's form is there; its rate is 0 where it tells none."""
        self._is_live = self._begin()
        return {"is": "playing", "is_live": self._is_live, "fps": self._fps()}

    def _fps(self) -> float:
        pad = self._sink.get_static_pad("sink")
        while (caps := pad.get_current_caps()) is None:
            self._check(LOOK_NS)
            if self._has_ended():
                raise Refused("it ended without a frame")
        is_told, above, below = caps.get_structure(0).get_fraction("framerate")
        return float(above / below) if is_told and below else 0.0

    def next(self) -> tuple[Said, int | None]:
        """The next frame and the descriptor of its bytes, which is the caller's to close; or the end."""
        while (sample := self._sink.emit("try-pull-sample", WAIT_NS)) is None:
            if self._has_ended():
                return {"is": "end"}, None
            self._check(0)
        self._empty_bus()
        return self._frame(sample)

    def stop(self) -> None:
        """Let go of cameras and files."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _found_sink(self) -> Any:
        if not isinstance(self._pipeline, self._gst.Pipeline):
            raise Refused("it is a single element")
        sinks, found = self._pipeline.iterate_all_by_element_factory_name("appsink"), []
        while (one := sinks.next())[0] == self._gst.IteratorResult.OK:
            found.append(one[1])
        if len(found) != 1:
            raise Refused(f"it has {len(found)} elements appsink, one is needed")
        return found[0]

    def _begin(self) -> bool:
        """Whether it is live. An appsink that was given no bound would grow for ever: it gets that of the newest."""
        state = self._gst.State
        is_unbounded = self._sink.get_property("max-buffers") == 0
        if is_unbounded:
            self._sink.set_property("max-buffers", 1)
        is_live = self._pipeline.set_state(state.PAUSED) == self._gst.StateChangeReturn.NO_PREROLL
        if is_unbounded:
            self._sink.set_property("drop", is_live)  # who is not live waits instead
        if self._pipeline.set_state(state.PLAYING) == self._gst.StateChangeReturn.FAILURE:
            self._check(WAIT_NS)
            raise Refused("it does not start")
        return bool(is_live)

    def _check(self, wait_ns: int) -> None:
        """Raise what an element has reported, and at the reader's end."""
        message = self._pipeline.get_bus().timed_pop_filtered(wait_ns, self._gst.MessageType.ERROR)
        if message is not None:
            raise Refused(_words(message))
        if select.select([self._reader], [], [], 0)[0] and not self._reader.recv(1, socket.MSG_PEEK):
            raise Refused("nobody reads")

    def _has_ended(self) -> bool:
        """Whether all is over; raises where that is for an error, which is reported before its end goes downstream."""
        has_ended = bool(self._sink.get_property("eos"))
        if has_ended:
            self._check(0)
        return has_ended

    def _empty_bus(self) -> None:
        """What elements tell while all is well is kept until somebody takes it. Errors follow the last frame."""
        bus = self._pipeline.get_bus()
        while (message := bus.peek()) is not None and message.type != self._gst.MessageType.ERROR:
            bus.pop()

    def _frame(self, sample: Any) -> tuple[Said, int | None]:
        buffer, caps = sample.get_buffer(), sample.get_caps()
        if self._caps is None or not caps.is_equal(self._caps):
            self._caps, self._form = caps, self._read(caps)
        said = {"is": "frame", **self._form, **self._times(sample, buffer)}
        said["is_corrupt"] = bool(buffer.get_flags() & self._gst.BufferFlags.CORRUPTED)
        if not self._form["strides"]:
            return said, None
        if (meta := self._video.buffer_get_video_meta(buffer)) is not None:  # as they lie, not as they would by default
            said["strides"], said["offsets"] = list(meta.stride), list(meta.offset)
        return said, self._copied(buffer)

    def _copied(self, buffer: Any) -> int:
        """New memory with a buffer's bytes. (``extract_dup`` takes 3.4 ms for 1080p where mapping takes 0.1.)"""
        is_mapped, info = buffer.map(self._gst.MapFlags.READ)
        if not is_mapped:
            raise Refused("its frames cannot be read from memory")
        memory = os.memfd_create("edgeseg-frame")
        try:
            left = memoryview(info.data)
            while left:
                left = left[os.write(memory, left) :]
        finally:
            left.release()
            buffer.unmap(info)
        return memory

    def _times(self, sample: Any, buffer: Any) -> Said:
        """When it was captured, on CLOCK_MONOTONIC by the pipeline's clock; its time and number in the stream."""
        none = self._gst.CLOCK_TIME_NONE
        running = (
            none if buffer.pts == none else sample.get_segment().to_running_time(self._gst.Format.TIME, buffer.pts)
        )
        captured, clock = None, self._pipeline.get_clock()
        if self._is_live and running != none and clock is not None:
            captured = time.monotonic_ns() - (clock.get_time() - self._pipeline.get_base_time() - running)
        offset = None if buffer.offset == self._gst.BUFFER_OFFSET_NONE else buffer.offset
        return {"captured_ns": captured, "running_ns": None if running == none else running, "offset": offset}

    def _read(self, caps: Any) -> Said:
        """What the caps tell; without strides where they are of something else than pixels in memory."""
        structure, features = caps.get_structure(0), caps.get_features(0)
        named = [features.get_nth(at) for at in range(features.get_size())]
        is_elsewhere = any(one.startswith("memory:") and one != "memory:SystemMemory" for one in named)
        info = self._video.VideoInfo.new_from_caps(caps) if structure.get_name() == "video/x-raw" else None
        if info is None or is_elsewhere:
            return {"format": f"{structure.get_name()}({', '.join(named)})", "strides": []}
        return {
            "format": structure.get_string("format"),
            "size_wh": [info.width, info.height],
            "strides": list(info.stride),
            "offsets": list(info.offset),
            "matrix": info.colorimetry.matrix.value_nick,
            "is_full_range": info.colorimetry.range == self._video.VideoColorRange(1),
            "tells_colours": structure.has_field("colorimetry"),
            "fps": info.fps_n / info.fps_d if info.fps_d else 0.0,
        }


def main() -> int:
    """Serve until the reader ends."""
    reader = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    try:
        libraries = _libraries()
    except (ImportError, ValueError) as error:
        _say(reader, {"is": "missing", "why": str(error)})
        return 1
    libraries[1].init(None)
    _say(reader, {"is": "ready"})
    pipeline = None
    try:
        pipeline = Pipeline(libraries, reader.recv(1 << 20).decode(), reader)
        _say(reader, pipeline.play())
        while reader.recv(16):
            _say(reader, *pipeline.next())
    except Refused as error:
        _say(reader, {"is": "failed", "why": str(error)})
    except (BrokenPipeError, ConnectionResetError):
        return 0
    finally:
        if pipeline is not None:
            pipeline.stop()
    return 0


def _libraries() -> tuple[Any, Any, Any]:
    """GLib, GStreamer, and its words for video."""
    gi = importlib.import_module("gi")
    for name in ("Gst", "GstApp", "GstVideo"):
        gi.require_version(name, "1.0")
    glib, gst, video, _ = (
        importlib.import_module(f"gi.repository.{one}") for one in ("GLib", "Gst", "GstVideo", "GstApp")
    )
    return glib, gst, video


def _say(reader: socket.socket, said: Said, memory: int | None = None) -> None:
    words = json.dumps(said).encode()
    if memory is None:
        reader.send(words)
        return
    try:
        socket.send_fds(reader, [words], [memory])
    finally:
        os.close(memory)


def _words(message: Any) -> str:
    """An element's error: who, what, and the last line of its details, which tells which file or address.

    The first line is of GStreamer's own source.
    """
    error, details = message.parse_error()
    last = (details or "").strip().partition("\n")[2].rpartition("\n")[2]
    return f"{message.src.get_name()}: {error.message}" + (f" ({last})" if last else "")


if __name__ == "__main__":
    sys.exit(main())
