"""Own what a live view may be asked for and what it may ask. Open no port."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeseg.errors import OptionsError

__all__ = ["LOOPBACK", "LiveHooks", "LiveOptions", "is_loopback", "parse_address"]

LOOPBACK = "127.0.0.1"
TOKEN_CHARACTERS = 16  # what a stranger on the network cannot try out


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """How the page is served.

    Attributes:
        host: address to listen on; this machine alone without it.
        port: 0 takes a free one.
        token: what a request that changes the process must carry; without it there is no such request.
        max_fps: pictures a second and source that are copied and encoded, whatever the loop does.
        max_side: pixels of the longer side of the picture that viewers get; larger frames are scaled down.
        jpeg_quality: 1 to 100.
        state_every_s: seconds between two messages about the loop.
        max_viewers: how many may look at once; one more is turned away.
    """

    host: str = LOOPBACK
    port: int = 8080
    token: str | None = None
    max_fps: float = 15.0
    max_side: int = 960
    jpeg_quality: int = 75
    state_every_s: float = 1.0
    max_viewers: int = 16

    def __post_init__(self) -> None:
        _check("port", self.port, 0, 65535)
        _check("max_fps", self.max_fps, 0.1, 240)
        _check("max_side", self.max_side, 16, 16384)
        _check("jpeg_quality", self.jpeg_quality, 1, 100)
        _check("state_every_s", self.state_every_s, 0.01, 3600)
        _check("max_viewers", self.max_viewers, 1, 1000)
        if self.token is not None and len(self.token) < TOKEN_CHARACTERS:
            raise OptionsError(
                f"the live view's token has {len(self.token)} characters",
                f"give {TOKEN_CHARACTERS} or more, for example of `openssl rand -hex 16`",
            )


@dataclass(frozen=True, kw_only=True)
class LiveHooks:
    """Where the live view asks for what it shows. All are called from its own thread, and must be quick.

    Attributes:
        state: of the loop, once every ``state_every_s`` while somebody looks: ``lambda: vars(state.snapshot())``, what
            the page shows are the names of ``edgeseg.runtime.loop.snapshot``; without it there is none.
        stages_ms: the newest time of each stage, once a picture, from the thread that writes it.
        metrics: text of ``/metrics``; there is none without it.
        health: whether all is well, and details; there is no ``/health`` without it.
        reload: asks for the engine to be loaded anew, and returns before it is; needs a token.
    """

    state: Callable[[], Mapping[str, object]] = dict
    stages_ms: Callable[[], Mapping[str, float]] = dict
    metrics: Callable[[], str] | None = None
    health: Callable[[], tuple[bool, Mapping[str, object]]] | None = None
    reload: Callable[[], None] | None = None


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of what a user types; this machine alone where no host is named.

    Raises:
        OptionsError: it has no port.

    Example:
        >>> parse_address(":8080"), parse_address("0.0.0.0:80"), parse_address("[::1]:0")
        (('127.0.0.1', 8080), ('0.0.0.0', 80), ('::1', 0))
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise OptionsError(f"{text!r} is no address to serve on", "give :8080, or 0.0.0.0:8080 for all of the network")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``, a name or an address."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise OptionsError(f"the live view's {name} is {value}", f"give {low} to {high}")
