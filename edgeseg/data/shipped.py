"""Own where the data lies that comes with edgeseg. Read none of it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped_data"]


def shipped_data() -> Path:
    """The folder of the data that comes with edgeseg (synthetic; see its README)."""
    return Path(__file__).parents[1] / "calib_data"
