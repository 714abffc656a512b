"""Own real senders of video on loopback, each a process of its own that a test can kill and start anew on its port."""

from __future__ import annotations

import functools
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

__all__ = [
    "SIZE_WH",
    "HttpSender",
    "RtspServer",
    "Sender",
    "UdpSender",
    "free_port",
    "needs_ffmpeg",
    "needs_gstreamer",
    "needs_rtsp",
]

SIZE_WH = (320, 240)
SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's GStreamer belongs to it
READY_S = 20.0  # a generous deadline on a busy machine, not a claim
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "10")

RTSP = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch("( videotestsrc is-live=true pattern=red ! video/x-raw,width={},height={},framerate=30/1,"
    "format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96 )")
factory.set_shared(True)
server.get_mount_points().add_factory("/live", factory)
assert server.attach(None)
GLib.MainLoop().run()
""".format(*SIZE_WH)


class Sender:
    """A process that sends red pictures of ``SIZE_WH`` to or from ``address``, 30 a second."""

    address: str

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it can be connected to, where it listens."""
        self._process = subprocess.Popen(
            self._words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def restart(self) -> None:
        """Start while a client tries to connect; return when it is back, or sooner where that cannot be seen."""
        Sender.start(self)

    def kill(self) -> None:
        """As a pulled plug: without a farewell."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Sender:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class RtspServer(Sender):
    """GStreamer's own RTSP server."""

    def __init__(self) -> None:
        self._port = free_port()
        self.address = f"rtsp://127.0.0.1:{self._port}/live"
        super().__init__([SYSTEM_PYTHON, "-c", RTSP, str(self._port)])

    def start(self) -> None:
        super().start()
        wait_for_port(self._port)

    def restart(self) -> None:
        self.start()


class HttpSender(Sender):
    """ffmpeg as an HTTP server of one client, MPEG-TS."""

    def __init__(self) -> None:
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}/live.ts"
        super().__init__(ffmpeg("-listen", "1", self.address))

    def start(self) -> None:
        super().start()
        wait_until_listening(self._port)


class UdpSender(Sender):
    """ffmpeg as a sender of MPEG-TS in datagrams, whether somebody listens or not."""

    def __init__(self) -> None:
        self.address = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
        super().__init__(ffmpeg(f"{self.address}?pkt_size=1316"))


def ffmpeg(*target: str) -> list[str]:
    """The words that send red pictures to a target."""
    picture = f"color=red:size={SIZE_WH[0]}x{SIZE_WH[1]}:rate=30"
    return ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", picture, *X264, "-f", "mpegts", *target]


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Return when a server takes connections; it must not mind one that goes away at once."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port} after {READY_S} s")


def wait_until_listening(port: int) -> None:
    """Return when a server listens, told by the kernel's table: a first connection would be the one it serves."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with open("/proc/net/tcp") as table:
            if any(f":{port:04X} 00000000:0000 0A" in line for line in table):
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port} after {READY_S} s")


@functools.cache
def has_rtsp() -> bool:
    """Whether Debian's GStreamer can serve RTSP."""
    if not (sys.platform == "linux" and shutil.which(SYSTEM_PYTHON)):
        return False
    asked = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None)"
    encoder = "assert Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('rtph264pay')"
    return (
        subprocess.run([SYSTEM_PYTHON, "-c", f"{asked}; {encoder}"], capture_output=True, check=False).returncode == 0
    )


@functools.cache
def has_gstreamer() -> bool:
    """Whether Debian's GStreamer can be asked for frames."""
    asked = "import gi; [gi.require_version(one, '1.0') for one in ('Gst', 'GstApp', 'GstVideo')]"
    element = "from gi.repository import Gst; Gst.init(None); assert Gst.ElementFactory.find('videotestsrc')"
    words = [SYSTEM_PYTHON, "-c", f"{asked}; {element}"]
    return bool(shutil.which(SYSTEM_PYTHON)) and subprocess.run(words, capture_output=True, check=False).returncode == 0


def has_ffmpeg() -> bool:
    """Whether ffmpeg can be called."""
    return shutil.which("ffmpeg") is not None


needs_ffmpeg = pytest.mark.skipif(not has_ffmpeg(), reason="ffmpeg: scripts/install_servers.sh")
needs_rtsp = pytest.mark.skipif(not has_rtsp(), reason="GStreamer's RTSP server: scripts/install_servers.sh")
needs_gstreamer = pytest.mark.skipif(not has_gstreamer(), reason="GStreamer for Python: scripts/install_servers.sh")
