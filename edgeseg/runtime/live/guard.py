"""Own who may ask what: host and origin of a request, its token, the headers of every answer. Serve nothing."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from edgeseg.runtime.live.options import is_loopback

__all__ = ["SECURITY_HEADERS", "Refusal", "check_host", "check_origin", "check_token"]

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "edgeseg",  # the versions of Python and aiohttp are nobody's business
}


@dataclass(frozen=True)
class Refusal:
    """An HTTP status and what the answer says."""

    status: int
    text: str


def check_host(headers: Mapping[str, str], bound_to: str) -> Refusal | None:
    """Refuse a foreign name where only this machine is served.

    A page of a stranger may point its own name at 127.0.0.1 and then read what is served there (DNS rebinding); the
    browser still says that name.
    """
    named = headers.get("Host", "")
    if not is_loopback(bound_to) or is_loopback(_name_of(named)):
        return None
    return Refusal(403, f"host {named!r} is not this machine: ask for localhost, or serve on another address\n")


def check_origin(headers: Mapping[str, str]) -> Refusal | None:
    """Refuse a request of another site's page; browsers name it, other programs need not."""
    origin = headers.get("Origin")
    if origin is None or urlsplit(origin).netloc.lower() == headers.get("Host", "").lower():
        return None
    return Refusal(403, f"origin {origin!r} is not this page: open the live view itself\n")


def check_token(headers: Mapping[str, str], token: str) -> Refusal | None:
    """Refuse what does not carry the token; how long that takes does not tell how much of it is right."""
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given:
        return Refusal(401, "this needs the token: send Authorization: Bearer TOKEN\n")
    if not hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.encode()):
        return Refusal(403, "the token is wrong\n")
    return None


def _name_of(host: str) -> str:
    """The name of a Host header without its port; nothing where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
