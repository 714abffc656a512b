"""Own what tests of commands share; see engine_lab."""

from __future__ import annotations

from engine_lab import build, builder_device

__all__ = ["build", "builder_device"]
