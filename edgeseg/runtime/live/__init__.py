"""Own the live view: a page with the stream, its classes and how the loop does. Change nothing in the loop."""

from __future__ import annotations

from edgeseg.runtime.live.options import LiveHooks, LiveOptions, parse_address
from edgeseg.runtime.live.view import LiveView

__all__ = ["LiveHooks", "LiveOptions", "LiveView", "parse_address"]
