"""Own the base of all records that are kept in files. Know no content."""

from __future__ import annotations

import msgspec

__all__ = ["Record"]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Strict on reading; frozen and keyword-only are said again by each kind, for type checkers and for msgspec."""
