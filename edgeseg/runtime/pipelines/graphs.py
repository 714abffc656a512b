"""Own whether a session uses CUDA graphs, and the one word about it where it does not. Capture nothing."""

from __future__ import annotations

import warnings

__all__ = ["GraphUse"]


class GraphUse:
    """On, until something speaks against it; then off for good, and said once.

    Args:
        is_wanted: by the caller.
        no_capture: the engine's reason against them; empty where it has none.
    """

    def __init__(self, *, is_wanted: bool, no_capture: str) -> None:
        self._reason = "not asked for" if not is_wanted else no_capture
        self._is_used = False

    @property
    def may_capture(self) -> bool:
        """Whether a graph is to be captured where there is none."""
        return not self._reason

    @property
    def state(self) -> str:
        """In a word, with the reason."""
        if self._reason:
            return f"off: {self._reason}"
        return "on" if self._is_used else "waiting: the second frame of a form is captured"

    def took(self) -> None:
        """A graph was captured."""
        self._is_used = True

    def refuse(self, error: Exception) -> None:
        """Go on without graphs, and say why, once."""
        self._reason = str(error)
        warnings.warn(f"frames run without CUDA graphs: {error}", RuntimeWarning, stacklevel=2)
