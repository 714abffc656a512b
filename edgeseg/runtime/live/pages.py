"""Own the answers over HTTP and WebSocket: routes, and what each says. Open no port, hold no thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from edgeseg.imaging.overlay import Overlay
from edgeseg.packages import require
from edgeseg.runtime.live.guard import SECURITY_HEADERS, Refusal, check_host, check_origin, check_token
from edgeseg.runtime.live.hub import Encoded, Hub, Viewer
from edgeseg.runtime.live.options import LiveHooks, LiveOptions
from edgeseg.runtime.live.wire import encode_image, hello, to_json
from edgeseg.spec import UNSEEN, LabelSpec

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Pages"]

SCRIPTS = ("live.js", "page.js", "picture.js", "plots.js", "state.js")
FILES = {
    "/": ("live.html", "text/html"),
    "/live.css": ("live.css", "text/css"),
    **{f"/{name}": (name, "text/javascript") for name in SCRIPTS},
}
PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
MESSAGE_BYTES = 256  # a viewer says {"shown":1} or {"source":1}
HEARTBEAT_S = 20.0  # a viewer whose cable was pulled is let go after this
LEAVE_S = 1.0
SNAPSHOT_WAIT_S = 5.0

Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class Pages:
    """The web application of one live view.

    Args:
        labels: class names and colours.
        title: what the page is headed.
        options, hooks: of the view.
        hub: who looks.
        state: JSON of ``/state``.
    """

    def __init__(
        self,
        labels: LabelSpec,
        *,
        title: str,
        options: LiveOptions,
        hooks: LiveHooks,
        hub: Hub,
        state: Callable[[], str],
    ) -> None:
        self._web: Any = require("aiohttp.web")
        self._codes: Any = require("aiohttp").WSCloseCode
        self._labels, self._options, self._hooks, self._hub, self._state = labels, options, hooks, hub, state
        self._hello = hello(labels, title=title, has_reload=self._reload is not None)
        self._sockets: set[web.WebSocketResponse] = set()
        page = files("edgeseg.runtime.live") / "page"
        self._files = {path: ((page / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}

    def application(self) -> web.Application:
        """The routes, each behind the guard.

        The guard is no middleware of aiohttp's, which keeps the handlers of applications that have one in a cache of
        its own, and with them the view, its sinks and their threads after all have ended.
        """
        app: web.Application = self._web.Application()
        for path in self._files:
            app.router.add_get(path, self._guarded(self._file))
        for path, handler in {
            "/ws": self._socket,
            "/state": self._tell_state,
            "/snapshot.png": self._snapshot,
            "/metrics": self._metrics,
            "/health": self._health,
        }.items():
            app.router.add_get(path, self._guarded(handler))
        app.router.add_post("/reload", self._guarded(self._ask_reload))
        app.on_response_prepare.append(_add_headers)
        return app

    def _guarded(self, handler: Handler) -> Handler:
        async def guard(request: web.Request) -> web.StreamResponse:
            refusal = check_host(request.headers, self._options.host) or check_origin(request.headers)
            return self._refused(refusal) if refusal else await handler(request)

        return guard

    async def leave(self) -> None:
        """Say good-bye to every viewer; one that does not listen is left."""
        away = self._codes.GOING_AWAY
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*(one.close(code=away) for one in self._sockets), return_exceptions=True), LEAVE_S
            )

    @property
    def _reload(self) -> Callable[[], None] | None:
        return self._hooks.reload if self._options.token is not None else None

    def _refused(self, refusal: Refusal) -> web.Response:
        headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
        response: web.Response = self._web.Response(status=refusal.status, text=refusal.text, headers=headers)
        return response

    async def _file(self, request: web.Request) -> web.Response:
        body, kind = self._files[request.path]
        response: web.Response = self._web.Response(body=body, content_type=kind, charset="utf-8")
        return response

    async def _tell_state(self, _: web.Request) -> web.Response:
        return self._json(self._state())

    async def _metrics(self, _: web.Request) -> web.Response:
        if self._hooks.metrics is None:
            return self._refused(Refusal(404, "this loop gives no metrics\n"))
        response: web.Response = self._web.Response(
            body=self._hooks.metrics().encode(), headers={"Content-Type": PROMETHEUS_TEXT}
        )
        return response

    async def _health(self, _: web.Request) -> web.Response:
        if self._hooks.health is None:
            return self._refused(Refusal(404, "this loop tells no health\n"))
        is_well, details = self._hooks.health()
        return self._json(to_json({"ok": is_well, **details}), status=200 if is_well else 503)

    async def _ask_reload(self, request: web.Request) -> web.Response:
        if self._reload is None:
            return self._refused(Refusal(404, "nothing can be reloaded here: serve with a token\n"))
        refusal = check_token(request.headers, self._options.token or "")
        if refusal:
            return self._refused(refusal)
        self._reload()
        return self._json(to_json({"asked": True}), status=202)

    async def _snapshot(self, request: web.Request) -> web.Response:
        try:
            source = int(request.query.get("source", "0"))
            hidden = [int(one) for one in request.query.get("hide", "").split(",") if one]
            alpha = float(request.query.get("alpha", "0.5"))
        except ValueError as error:
            return self._refused(Refusal(400, f"{error}: ask for /snapshot.png?source=0&alpha=0.5&hide=1,2\n"))
        if not 0 <= alpha <= 1 or any(not 0 <= one <= 255 for one in hidden):
            return self._refused(Refusal(400, f"alpha is {alpha}, hidden ids are {hidden}: give 0 to 1, 0 to 255\n"))
        overlay = Overlay(self._labels, alpha=alpha, clear={UNSEEN, *hidden})
        encoded = await self._next_picture(source)
        if encoded is None:
            return self._refused(Refusal(503, f"source {source} gave no picture for {SNAPSHOT_WAIT_S:g} s\n"))
        picture = encode_image(".png", overlay.blend(encoded.picture.bgr, encoded.picture.mask))
        response: web.Response = self._web.Response(body=picture, content_type="image/png")
        return response

    async def _next_picture(self, source: int) -> Encoded | None:
        """Look until a picture comes."""
        viewer = Viewer(source=source, window=1)
        self._hub.add(viewer)
        try:
            return await asyncio.wait_for(_first_picture(viewer), SNAPSHOT_WAIT_S)
        except asyncio.TimeoutError:
            return None
        finally:
            self._hub.remove(viewer)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if len(self._sockets) >= self._options.max_viewers:
            return self._refused(Refusal(503, f"{len(self._sockets)} look already: close another page\n"))
        socket: web.WebSocketResponse = self._web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_BYTES, compress=False, timeout=LEAVE_S
        )
        self._sockets.add(socket)
        viewer, sender = Viewer(), None
        try:
            await socket.prepare(request)
            await socket.send_str(self._hello)
            viewer.put(self._state())
            self._hub.add(viewer)
            sender = asyncio.ensure_future(self._send(socket, viewer))
            await self._listen(socket, viewer)
        finally:
            self._hub.remove(viewer)
            self._sockets.discard(socket)
            if sender is not None:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
        return socket

    async def _send(self, socket: web.WebSocketResponse, viewer: Viewer) -> None:
        with contextlib.suppress(ConnectionError):  # it left; what listens notices too
            while True:
                item = await viewer.next()
                self._hub.refresh()
                if isinstance(item, Encoded):
                    await socket.send_bytes(item.message)
                else:
                    await socket.send_str(item)

    async def _listen(self, socket: web.WebSocketResponse, viewer: Viewer) -> None:
        async for message in socket:
            word = _word_of(message.data) if message.type == self._web.WSMsgType.TEXT else None
            if word is None:
                await socket.close(code=self._codes.POLICY_VIOLATION, message=b"say shown or source")
                return
            if "source" in word:
                self._hub.choose(viewer, word["source"])
            else:
                self._hub.shown(viewer)

    def _json(self, text: str, *, status: int = 200) -> web.Response:
        response: web.Response = self._web.Response(text=text, status=status, content_type="application/json")
        return response


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)


async def _first_picture(viewer: Viewer) -> Encoded:
    while True:
        item = await viewer.next()
        if isinstance(item, Encoded):
            return item


def _word_of(text: str) -> dict[str, int] | None:
    """What a viewer says: ``{"shown": 1}`` or ``{"source": index}``."""
    try:
        word = json.loads(text)
    except ValueError:
        return None
    if not isinstance(word, dict) or len(word) != 1 or not word.keys() <= {"shown", "source"}:
        return None
    return word if all(type(value) is int and value >= 0 for value in word.values()) else None
