"""The live view's server, asked over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import cv2
import numpy as np
import pytest
from live_lab import LABELS, SIZE_HW, TOKEN, Shown, frame_of, live_view, mask_of, state_of, take_apart

from edgeseg.errors import MissingPackageError, OptionsError, OutputError, ShapeError
from edgeseg.runtime.live import LiveHooks, LiveOptions, LiveView, parse_address
from edgeseg.runtime.live.pages import FILES

aiohttp = pytest.importorskip("aiohttp")
DEADLINE_S = 20.0


class Watcher:
    """A viewer that says it has shown a picture only when told to."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    async def text(self) -> dict[str, Any]:
        while True:
            message = await self.socket.receive(DEADLINE_S)
            if message.type == aiohttp.WSMsgType.TEXT:
                return message.json()
            assert message.type == aiohttp.WSMsgType.BINARY, message

    async def picture(self) -> Shown:
        while True:
            message = await self.socket.receive(DEADLINE_S)
            if message.type == aiohttp.WSMsgType.BINARY:
                return take_apart(message.data)
            assert message.type == aiohttp.WSMsgType.TEXT, message

    async def end(self) -> int:
        while True:
            message = await self.socket.receive(DEADLINE_S)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                return self.socket.close_code


@contextlib.asynccontextmanager
async def watching(view: LiveView, *, count: int = 1, **options: Any) -> AsyncIterator[list[Watcher]]:
    """Viewers that are known to the server: the first state comes when they are."""
    async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as stack:
        watchers = []
        for _ in range(count):
            opened = session.ws_connect(f"{view.url}ws", max_msg_size=0, **options)
            watchers.append(Watcher(await stack.enter_async_context(opened)))
            assert [(await watchers[-1].text())["type"] for _ in range(2)] == ["hello", "state"]
        yield watchers


async def ask(view: LiveView, path: str, method: str = "GET", **options: Any) -> tuple[int, bytes, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{view.url.rstrip('/')}{path}", **options) as answer,
    ):
        return answer.status, await answer.read(), answer.headers


async def until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < end_s
        await asyncio.sleep(0.005)


def test_every_viewer_gets_the_frame_and_its_mask_from_one_encoding() -> None:
    async def look(view: LiveView) -> None:
        async with watching(view, count=3) as watchers:
            view.write(frame_of(2), mask_of())
            for one in watchers:
                shown = await one.picture()
                assert shown.header["sequence"] == 2
                assert shown.header["size_wh"] == [SIZE_HW[1], SIZE_HW[0]]
                assert shown.header["pixels"] == {"0": 48 * 64 * 3 // 4, "1": 48 * 64 // 4}
                assert shown.header["stages_ms"] == {"engine": 3.5}
                assert np.abs(shown.picture.astype(int) - 120).max() <= 2  # JPEG of an even grey
                assert np.array_equal(shown.mask, mask_of())
        assert view.encoded == 1

    with live_view(LiveHooks(stages_ms=lambda: {"engine": 3.5})) as view:
        asyncio.run(look(view))


def test_a_large_frame_is_scaled_down_and_a_mask_keeps_its_ids() -> None:
    async def look(view: LiveView) -> Shown:
        async with watching(view) as (one,):
            view.write(frame_of(0, size_hw=(101, 200)), np.kron(mask_of((101, 200)), np.uint8(254)))
            return await one.picture()

    with live_view(max_side=64) as view:
        shown = asyncio.run(look(view))
    assert (shown.header["size_wh"], shown.header["picture_wh"]) == ([200, 101], [64, 32])
    assert shown.picture.shape == (32, 64, 3)
    assert set(np.unique(shown.mask)) == {0, 254}


def test_nothing_is_encoded_while_nobody_looks() -> None:
    async def come_and_go(view: LiveView) -> None:
        async with watching(view) as (one,):
            view.write(frame_of(5), mask_of())
            await one.picture()
        await until(lambda: not view._slots.wanted)

    with live_view() as view:
        for sequence in range(5):
            view.write(frame_of(sequence), mask_of())
        asyncio.run(come_and_go(view))
        for sequence in range(6, 9):
            view.write(frame_of(sequence), mask_of())
        asyncio.run(ask(view, "/state"))  # the server's thread has had its turn
        assert view.encoded == 1


def test_a_slow_viewer_gets_the_newest_frame_next_and_never_a_queue() -> None:
    async def look(view: LiveView) -> None:
        async with watching(view) as (slow,):
            for sequence in range(2):
                view.write(frame_of(sequence), mask_of())
                assert (await slow.picture()).header["sequence"] == sequence
            for sequence in range(2, 50):  # it has shown none yet
                view.write(frame_of(sequence), mask_of())
            assert view.encoded == 2
            await slow.socket.send_json({"shown": 1})
            await until(lambda: bool(view._slots.wanted))
            view.write(frame_of(50), mask_of())
            assert (await slow.picture()).header["sequence"] == 50

    with live_view() as view:
        asyncio.run(look(view))


def test_a_slow_viewer_does_not_hold_up_another() -> None:
    async def look(view: LiveView) -> None:
        async with watching(view, count=2) as (_, quick):
            for sequence in range(20):
                await until(lambda: bool(view._slots.wanted))
                view.write(frame_of(sequence), mask_of())
                assert (await quick.picture()).header["sequence"] == sequence
                await quick.socket.send_json({"shown": 1})

    with live_view() as view:
        asyncio.run(look(view))


def test_no_more_than_max_fps_pictures_a_second_are_copied() -> None:
    now_s = [0.0]
    view = LiveView(LABELS, options=LiveOptions(port=0, max_fps=10), clock=lambda: now_s[0])
    try:
        view._slots.wanted = frozenset({0})
        copied = 0
        for tick in range(100):
            now_s[0] = tick / 25
            copied += view._slots.offer(frame_of(tick), mask_of())
        assert copied == 40
    finally:
        view.close()


def test_a_viewer_chooses_its_source() -> None:
    async def look(view: LiveView) -> None:
        async with watching(view, count=2) as (first, second):
            await second.socket.send_json({"source": 1})
            await until(lambda: view._slots.wanted == {0, 1})
            for source in (0, 1):
                view.write(frame_of(source, source=source), mask_of())
            assert (await first.picture()).header["source"] == 0
            assert (await second.picture()).header["source"] == 1

    with live_view() as view:
        asyncio.run(look(view))


def test_the_state_comes_by_itself_and_on_request() -> None:
    async def look(view: LiveView) -> None:
        async with watching(view) as (one,):
            told = await one.text()
        status, body, headers = await ask(view, "/state")
        assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
        assert b'"p99_ms":6.0' in body
        assert b'"age":null' in body
        assert (told["viewers"], told["sources"][0]["masks"], told["stages"]["engine"]["count"]) == (1, 9, 2)
        assert told["device"]["memory_total_bytes"] > told["device"]["memory_used_bytes"] > 0

    with live_view(LiveHooks(state=lambda: {**state_of(18), "age": float("nan")})) as view:
        asyncio.run(look(view))


@pytest.mark.parametrize("word", ["nonsense", "[1]", '{"shown": -1}', '{"token": 1}', '{"source": true}', "x" * 1000])
def test_a_viewer_that_says_anything_else_is_shown_the_door(word: str) -> None:
    async def look(view: LiveView) -> int:
        async with watching(view) as (one,):
            await one.socket.send_str(word)
            return await one.end()

    with live_view() as view:
        assert asyncio.run(look(view)) in (1008, 1009)


def test_one_viewer_too_many_is_turned_away() -> None:
    async def look(view: LiveView) -> None:
        async with watching(view, count=2):
            status, body, _ = await ask(view, "/ws")
            assert (status, body) == (503, b"2 look already: close another page\n")

    with live_view(max_viewers=2) as view:
        asyncio.run(look(view))


def test_a_snapshot_is_the_next_frame_with_the_overlay_that_was_asked_for() -> None:
    async def look(view: LiveView, query: str) -> np.ndarray:
        asked = asyncio.ensure_future(ask(view, f"/snapshot.png{query}"))
        await until(lambda: bool(view._slots.wanted))
        view.write(frame_of(0), mask_of())
        status, body, _ = await asked
        assert status == 200
        return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)

    with live_view() as view:
        half, bare = asyncio.run(look(view, "")), asyncio.run(look(view, "?alpha=1&hide=0"))
        for query in ("?alpha=2", "?alpha=nan", "?hide=x", "?source=a"):
            assert asyncio.run(ask(view, f"/snapshot.png{query}"))[0] == 400
    assert half[0, 0].tolist() == [120, 40, 40]  # half of grey 40, half of the sky's blue
    assert bare[0, 0].tolist() == [200, 40, 40]
    assert bare[-1, 0].tolist() == [40, 40, 40]


def test_metrics_and_health_are_what_the_hooks_say_and_absent_without() -> None:
    hooks = LiveHooks(metrics=lambda: "up 1\n", health=lambda: (False, {"reason": "no frame for 9 s"}))
    with live_view(hooks) as view:
        status, body, headers = asyncio.run(ask(view, "/metrics"))
        assert (status, body, headers["Content-Type"]) == (200, b"up 1\n", "text/plain; version=0.0.4; charset=utf-8")
        status, body, _ = asyncio.run(ask(view, "/health"))
        assert (status, body) == (503, b'{"ok":false,"reason":"no frame for 9 s"}')
    with live_view() as view:
        assert [asyncio.run(ask(view, path))[0] for path in ("/metrics", "/health", "/nothing")] == [404] * 3


@pytest.mark.parametrize(
    ("headers", "status", "count"),
    [
        ({}, 401, 0),
        ({"Authorization": "Basic eDp5"}, 401, 0),
        ({"Authorization": "Bearer "}, 401, 0),
        ({"Authorization": "Bearer another token!!"}, 403, 0),
        ({"Authorization": f"Bearer {TOKEN}x"}, 403, 0),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://elsewhere.example"}, 403, 0),
        ({"Authorization": f"Bearer {TOKEN}"}, 202, 1),
    ],
)
def test_a_reload_needs_the_token(headers: dict[str, str], status: int, count: int) -> None:
    asked: list[int] = []
    with live_view(LiveHooks(reload=lambda: asked.append(1)), token=TOKEN) as view:
        assert asyncio.run(ask(view, "/reload", "POST", headers=headers))[0] == status
        assert asyncio.run(ask(view, "/reload"))[0] == 405
    assert len(asked) == count


def test_without_a_token_nothing_can_be_reloaded() -> None:
    asked: list[int] = []
    with live_view(LiveHooks(reload=lambda: asked.append(1))) as view:
        assert asyncio.run(ask(view, "/reload", "POST", headers={"Authorization": "Bearer "}))[0] == 404
    assert asked == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200), ("127.0.0.1", 200), ("[::1]:1", 200), ("attacker.example", 403),
        ("127.0.0.1.attacker.example:80", 403), ("[", 403), ("10.0.0.1", 403),
    ],
)  # fmt: skip
def test_a_foreign_name_for_this_machine_is_refused(host: str, status: int) -> None:
    with live_view() as view:
        for path in ("/", "/state", "/live.js"):
            assert asyncio.run(ask(view, path, headers={"Host": host}))[0] == status


def test_another_sites_page_cannot_look() -> None:
    async def look(view: LiveView) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            async with watching(view, headers={"Origin": "http://elsewhere.example"}):
                pass
        async with watching(view, headers={"Origin": view.url.rstrip("/")}):
            pass

    with live_view() as view:
        asyncio.run(look(view))


def test_every_answer_carries_the_headers_that_keep_strangers_out() -> None:
    with live_view() as view:
        for path in ("/", "/live.js", "/live.css", "/state", "/metrics", "/nothing"):
            headers = asyncio.run(ask(view, path))[2]
            assert "'unsafe" not in headers["Content-Security-Policy"]
            assert headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Server"] == "edgeseg"


def test_the_page_asks_nobody_else() -> None:
    with live_view() as view:
        for path in FILES:
            status, body, _ = asyncio.run(ask(view, path))
            assert status == 200
            assert b"http://" not in body
            assert b"https://" not in body


def test_the_default_address_is_this_machine_alone() -> None:
    with live_view() as view:
        host, port = view.url.removeprefix("http://").rstrip("/").split(":")
        assert host == "127.0.0.1"
        with socket.create_server(("127.0.0.2", int(port))):  # fails where all of the machine's addresses are taken
            pass


def test_a_port_that_is_taken_is_named() -> None:
    with live_view() as view:
        port = int(view.url.rstrip("/").rsplit(":", 1)[1])
        with pytest.raises(OutputError, match=rf"cannot be served on 127.0.0.1:{port} .*choose another port"):
            LiveView(LABELS, options=LiveOptions(port=port))


def test_two_views_in_one_process_do_not_meet() -> None:
    async def look(one: LiveView, other: LiveView) -> None:
        async with watching(one) as (at_one,), watching(other) as (at_other,):
            one.write(frame_of(1), mask_of())
            other.write(frame_of(2), mask_of())
            assert (await at_one.picture()).header["sequence"] == 1
            assert (await at_other.picture()).header["sequence"] == 2

    with live_view() as one, live_view() as other:
        asyncio.run(look(one, other))


def test_closing_says_good_bye_to_viewers_and_leaves_no_thread_and_no_port() -> None:
    async def look(view: LiveView) -> list[int]:
        async with watching(view, count=2) as watchers:
            view.write(frame_of(0), mask_of())
            closing = asyncio.get_running_loop().run_in_executor(None, view.close)
            codes = [await one.end() for one in watchers]
            await closing
            return codes

    before = set(threading.enumerate())
    with live_view() as view:
        assert asyncio.run(look(view)) == [1001, 1001]
        assert set(threading.enumerate()) == before
        view.write(frame_of(1), mask_of())  # nobody looks any more
        view.close()
        view.abandon()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(view.url.rstrip("/").rsplit(":", 1)[1])))


def test_a_viewer_that_does_not_listen_does_not_keep_the_view_open() -> None:
    with live_view() as view:
        port = int(view.url.rstrip("/").rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            deaf.sendall(f"GET /ws HTTP/1.1\r\nHost: localhost\r\n{upgrade}{key}".encode())
            asyncio.run(until(lambda: bool(view._slots.wanted)))
            noise = np.random.default_rng(0).integers(0, 255, (960, 960), np.uint8)
            view.write(frame_of(0, size_hw=(960, 960)), noise)
            asyncio.run(until(lambda: view.encoded == 1))
            view.close()
    assert not view._thread.is_alive()


def test_a_hook_that_fails_is_told_to_the_loop() -> None:
    def fail() -> dict[str, object]:
        raise RuntimeError("no state")

    async def look(view: LiveView) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{view.url}ws") as opened:
            assert (await opened.receive(DEADLINE_S)).type == aiohttp.WSMsgType.TEXT  # hello
            await until(lambda: not view._thread.is_alive())

    told = iter([state_of()])
    view = LiveView(
        LABELS,
        options=LiveOptions(port=0, state_every_s=0.05),
        hooks=LiveHooks(state=lambda: next(told, None) or fail()),
    )
    asyncio.run(look(view))
    with pytest.raises(OutputError, match=r"has failed .*no state"):
        view.write(frame_of(0), mask_of())
    with pytest.raises(OutputError, match="no state"):
        view.close()
    view.abandon()


def test_a_mask_of_another_size_is_refused_where_somebody_looks() -> None:
    async def look(view: LiveView) -> None:
        async with watching(view):
            with pytest.raises(ShapeError, match="fits this frame"):
                view.write(frame_of(0), mask_of((8, 8)))

    with live_view() as view:
        asyncio.run(look(view))


def test_nothing_keeps_a_view_that_has_ended() -> None:
    async def ask(view: LiveView) -> None:
        async with aiohttp.ClientSession() as session, session.get(f"{view.url}state") as answer:
            assert answer.status == 200

    with live_view() as view:
        asyncio.run(ask(view))
        kept = weakref.ref(view)
    del view
    gc.collect()
    assert kept() is None


def test_without_aiohttp_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "aiohttp.web", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'edgeseg\[web\]'"):
        LiveView(LABELS)


@pytest.mark.parametrize("text", ["8080", "host", ":http", ":65536", ":-1", ""])
def test_an_address_without_a_port_is_refused(text: str) -> None:
    with pytest.raises(OptionsError, match="is no address to serve on"):
        parse_address(text)


@pytest.mark.parametrize(
    "wrong",
    [{"port": -1}, {"token": "short"}, {"max_fps": 0}, {"max_side": 1}, {"jpeg_quality": 0}, {"max_fps": float("nan")}],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match="live view"):
        LiveOptions(**wrong)
