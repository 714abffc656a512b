"""Own who looks and what each viewer gets next. Know no sockets; all of it runs in the server's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from edgeseg.runtime.live.slot import LivePicture

__all__ = ["Encoded", "Hub", "Viewer"]

#: pictures on the way to a viewer that it has not shown: two keep 15 a second up to a round trip of 130 ms
WINDOW = 2


@dataclass(frozen=True)
class Encoded:
    """A picture with its message, shared by all viewers."""

    picture: LivePicture
    message: bytes


class Viewer:
    """One who looks: a slot for the newest picture and one for the newest text, never a queue.

    Args:
        source: which one it looks at.
        window: pictures that it may be sent before it says that it has shown one.
    """

    def __init__(self, *, source: int = 0, window: int = WINDOW) -> None:
        self.source = source
        self.credit = self._window = window
        self._picture: Encoded | None = None
        self._text: str | None = None
        self._changed = asyncio.Event()

    def put(self, item: Encoded | str) -> None:
        """Hold it for the viewer in place of an older one."""
        if isinstance(item, str):
            self._text = item
        else:
            self._picture = item
        self._changed.set()

    def shown(self) -> None:
        """The viewer has shown a picture; more than it was sent does not count."""
        self.credit = min(self.credit + 1, self._window)

    def drop_picture(self) -> None:
        """Forget the picture that waits."""
        self._picture = None

    async def next(self) -> Encoded | str:
        """What it is sent next."""
        while True:
            if self._text is not None:
                text, self._text = self._text, None
                return text
            if self._picture is not None:  # put there while there was credit, which only this takes
                picture, self._picture = self._picture, None
                self.credit -= 1
                return picture
            self._changed.clear()
            await self._changed.wait()


class Hub:
    """All viewers.

    Args:
        on_wanted: told which sources a picture is wanted of, whenever that may have changed.
    """

    def __init__(self, on_wanted: Callable[[frozenset[int]], None]) -> None:
        self.viewers: set[Viewer] = set()
        self._on_wanted = on_wanted

    def add(self, viewer: Viewer) -> None:
        """Let one look."""
        self.viewers.add(viewer)
        self.refresh()

    def remove(self, viewer: Viewer) -> None:
        """One looks no more."""
        self.viewers.discard(viewer)
        self.refresh()

    def choose(self, viewer: Viewer, source: int) -> None:
        """Show a viewer another source."""
        viewer.source = source
        viewer.drop_picture()  # of the source before
        self.refresh()

    def shown(self, viewer: Viewer) -> None:
        """A viewer has shown a picture."""
        viewer.shown()
        self.refresh()

    def publish(self, encoded: Encoded) -> None:
        """Give a picture to those who look at its source and may be sent one; others get a newer one later."""
        for viewer in self.viewers:
            if viewer.credit and viewer.source == encoded.picture.source:
                viewer.put(encoded)

    def tell(self, text: str) -> None:
        """Give a text to all."""
        for viewer in self.viewers:
            viewer.put(text)

    def refresh(self) -> None:
        """Say anew which sources a picture is wanted of: those of viewers that may be sent one."""
        self._on_wanted(frozenset(viewer.source for viewer in self.viewers if viewer.credit))
