"""Own the live view as a sink: the server's thread, its port, its end. Encode and answer nothing here."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from edgeseg.errors import OutputError
from edgeseg.imaging.postprocess import Mask
from edgeseg.machine.state import DeviceState
from edgeseg.packages import require
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.live.hub import Encoded, Hub
from edgeseg.runtime.live.options import LiveHooks, LiveOptions
from edgeseg.runtime.live.pages import Pages
from edgeseg.runtime.live.slot import Slots
from edgeseg.runtime.live.wire import encode_picture, to_json
from edgeseg.runtime.sinks import MaskSink
from edgeseg.spec import LabelSpec

__all__ = ["LiveView"]

SHUTDOWN_S = 1.0
CLOSE_GRACE_S = 10.0


class LiveView(MaskSink):
    """A page with the stream, for several viewers at once. It serves from the constructor on until ``close``.

    ``write`` never waits: it copies the frame only while somebody looks, at most ``max_fps`` times a second, and the
    newest copy replaces one that was not sent yet. Viewers change nothing in the process, but for a reload that
    carries the token.

    Args:
        labels: class names and colours.
        title: what the page is headed, as the engine's name.
        options: where and how it is served.
        hooks: where it asks for what it shows.
        clock: seconds, that of the frames.
    Raises:
        OutputError: the port cannot be had.
        MissingPackageError: without the ``web`` extra.
    """

    def __init__(
        self,
        labels: LabelSpec,
        *,
        title: str = "edgeseg",
        options: LiveOptions = LiveOptions(),  # noqa: B008  # frozen
        hooks: LiveHooks = LiveHooks(),  # noqa: B008  # frozen
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._web: Any = require("aiohttp.web")
        self._options, self._hooks = options, hooks
        self._slots = Slots(max_fps=options.max_fps, max_side=options.max_side, stages_ms=hooks.stages_ms, clock=clock)
        self._device = DeviceState()
        self._labels, self._title = labels, title
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._encoded = 0
        listening = _listen(options)
        #: what a browser is told to open
        self.url = _url(options.host, listening.getsockname()[1])
        self.name = f"live view {self.url}"
        is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening, is_up), name="edgeseg-live", daemon=True)
        self._thread.start()
        is_up.wait()
        self._check()

    @property
    def encoded(self) -> int:
        """How many pictures were encoded; each serves all viewers."""
        return self._encoded

    def write(self, frame: Frame, mask: Mask) -> None:
        self._check()
        if self._slots.offer(frame, mask):
            self._wake("_pictures")

    def close(self) -> None:
        self._wake("_stop")
        self._thread.join(CLOSE_GRACE_S)
        if self._thread.is_alive():
            raise OutputError(f"{self.name} did not end in {CLOSE_GRACE_S:g} s", "look for a hook that does not return")
        self._check()

    def abandon(self) -> None:
        """The same as ``close``, but what failed before is not told again."""
        with contextlib.suppress(OutputError):
            self.close()

    def _check(self) -> None:
        if self._error is not None:
            raise OutputError(f"{self.name} has failed ({self._error!r})", "serve again") from self._error

    def _wake(self, event: str) -> None:
        """Set one of the events that the server's thread waits for; nobody does once it has ended."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(getattr(self, event).set)

    def _run(self, listening: socket.socket, is_up: threading.Event) -> None:
        try:
            asyncio.run(self._serve(listening, is_up))
        except BaseException as error:  # noqa: BLE001  # kept for the thread that writes, which raises it
            self._error = error
        finally:
            listening.close()
            self._device.close()
            is_up.set()

    async def _serve(self, listening: socket.socket, is_up: threading.Event) -> None:
        self._stop, self._pictures = asyncio.Event(), asyncio.Event()
        hub = Hub(on_wanted=lambda sources: setattr(self._slots, "wanted", sources))
        pages = Pages(
            self._labels,
            title=self._title,
            options=self._options,
            hooks=self._hooks,
            hub=hub,
            state=lambda: self._state(hub),
        )
        runner = self._web.AppRunner(
            pages.application(), handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_S
        )
        await runner.setup()
        await self._web.SockSite(runner, listening).start()
        try:
            with self._lock:
                self._loop = asyncio.get_running_loop()
            is_up.set()
            await _until_one_ends(self._stop.wait(), self._encode_all(hub), self._tell_all(hub))
        finally:
            with self._lock:
                self._loop = None  # nothing wakes a loop that has ended
            self._slots.wanted = frozenset()
            await pages.leave()
            await runner.cleanup()

    async def _encode_all(self, hub: Hub) -> None:
        while True:
            await self._pictures.wait()
            self._pictures.clear()
            for picture in self._slots.take():
                message = encode_picture(picture, jpeg_quality=self._options.jpeg_quality)
                self._encoded += 1
                hub.publish(Encoded(picture, message))

    async def _tell_all(self, hub: Hub) -> None:
        while True:
            await asyncio.sleep(self._options.state_every_s)
            if hub.viewers:
                hub.tell(self._state(hub))

    def _state(self, hub: Hub) -> str:
        state = dict(self._hooks.state())
        return to_json({**state, "type": "state", "device": self._device.read(), "viewers": len(hub.viewers)})


async def _until_one_ends(*waits: Any) -> None:
    """Run all until one of them ends; its error is raised."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _listen(options: LiveOptions) -> socket.socket:
    where = f"{options.host}:{options.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((address[0], options.port), family=family)
    except OSError as error:
        raise OutputError(
            f"the live view cannot be served on {where} ({error.strerror or error})",
            "choose another port, or 0 for a free one; `ss -ltnp` tells who has it",
        ) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
