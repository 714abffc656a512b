"""Own the RTSP server of one stream, in a process of its own under a Python that has Debian's GStreamer.

It is run by its path and imports nothing of edgeseg. Words: address, port, path. It reads pictures from its standard
input, all of one size, each ``width, height, bytes`` (three unsigned 32-bit numbers, little-endian) and I420 data, says
``ready`` or why not, and ends with its input. Encoding costs only while somebody watches.
"""

from __future__ import annotations

import functools
import importlib
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

HEAD = struct.Struct("<III")
#: leaky-type 2 gives up the oldest picture; config-interval 1 lets a client join after at most a second
LAUNCH = (
    "( appsrc name=pictures is-live=true do-timestamp=true format=time max-buffers=2 leaky-type=2 ! "
    "x264enc tune=zerolatency speed-preset=veryfast pass=qual quantizer=23 key-int-max=30 ! "
    "rtph264pay name=pay0 pt=96 config-interval=1 )"
)


class Stream:
    """Gives pictures to the pipeline, while there is one."""

    def __init__(self, gst: Any) -> None:
        self._gst = gst
        self._lock = threading.Lock()
        self._source: Any = None
        self._has_caps = False

    def configure(self, _factory: Any, media: Any) -> None:
        """A first client came: this is its pipeline, shared by those that follow."""
        with self._lock:
            self._source, self._has_caps = media.get_element().get_by_name("pictures"), False
        media.connect("unprepared", self._forget)

    def push(self, width: int, height: int, data: bytes) -> None:
        with self._lock:
            if self._source is None:
                return
            if not self._has_caps:  # all pictures have one size
                self._source.set_property("caps", self._caps(width, height))
                self._has_caps = True
            self._source.emit("push-buffer", self._gst.Buffer.new_wrapped(data))

    def _forget(self, _media: Any) -> None:
        with self._lock:
            self._source = None

    def _caps(self, width: int, height: int) -> Any:
        words = f"video/x-raw,format=I420,width={width},height={height},framerate=0/1,pixel-aspect-ratio=1/1"
        return self._gst.Caps.from_string(words)


def main(address: str, port: str, path: str) -> int:
    """Serve until the input ends."""
    try:
        glib, gst, rtsp = _libraries()
    except (ImportError, ValueError) as error:
        return _refuse(f"GStreamer's RTSP server is not installed ({error})")
    gst.init(None)
    missing = [name for name in ("appsrc", "x264enc", "rtph264pay") if gst.ElementFactory.find(name) is None]
    if missing:
        return _refuse(f"GStreamer has no {' '.join(missing)}")
    stream, factory, server = Stream(gst), rtsp.RTSPMediaFactory(), rtsp.RTSPServer()
    factory.set_launch(LAUNCH)
    factory.set_shared(True)
    factory.connect("media-configure", stream.configure)
    server.set_address(address)
    server.set_service(port)
    server.get_mount_points().add_factory(path, factory)
    if not server.attach(None):
        return _refuse(f"{address} port {port} cannot be listened on")
    loop = glib.MainLoop()
    # asked within the loop: a quit before it runs would be forgotten, and the server would outlive its process
    end = functools.partial(glib.idle_add, loop.quit)
    threading.Thread(target=_read, args=(sys.stdin.buffer, stream, end), daemon=True).start()
    _say("ready")
    loop.run()
    return 0


def _libraries() -> tuple[Any, Any, Any]:
    """GLib, GStreamer and its RTSP server."""
    gi = importlib.import_module("gi")
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    glib, gst, rtsp = (importlib.import_module(f"gi.repository.{name}") for name in ("GLib", "Gst", "GstRtspServer"))
    return glib, gst, rtsp


def _read(pipe: BinaryIO, stream: Stream, end: Callable[[], object]) -> None:
    try:
        while len(head := pipe.read(HEAD.size)) == HEAD.size:
            width, height, size = HEAD.unpack(head)
            stream.push(width, height, pipe.read(size))
    finally:
        end()


def _refuse(why: str) -> int:
    _say(why)
    return 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
