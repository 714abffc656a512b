"""Own arrays of pixels that come back when nobody holds them any more. Know no frame and no mask."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Recycler"]

KEPT_SHAPES = 4  # a camera has one, a few cameras a few
KEPT_ARRAYS = 4  # free ones of a shape; what queues hold is not free

Pixels = NDArray[np.uint8]


class Recycler:
    """Gives arrays of uint8, made anew only where none of that shape is free.

    An array is the caller's for as long as it, a view of it or anything else over its memory is alive; its memory is
    given out again after that, from whichever thread let go of it last. So a loop at a steady pace allocates nothing,
    and a caller that keeps every mask keeps every mask.

    Example:
        >>> recycler = Recycler()
        >>> first = recycler.take((2, 3))
        >>> place = first.ctypes.data
        >>> kept = first[1:]
        >>> del first
        >>> recycler.take((2, 3)).ctypes.data == place  # a view is alive
        False
        >>> del kept
        >>> recycler.take((2, 3)).ctypes.data == place
        True
    """

    def __init__(self) -> None:
        self._free: OrderedDict[tuple[int, ...], deque[Pixels]] = OrderedDict()

    def take(self, shape: tuple[int, ...]) -> Pixels:
        """An array without gaps; what is in it is not defined. One thread at a time."""
        free = self._free.get(shape)
        if free is None:
            if len(self._free) >= KEPT_SHAPES:
                self._free.popitem(last=False)
            free = self._free[shape] = deque(maxlen=KEPT_ARRAYS)
        try:
            memory = free.pop()  # the last that came back is still in the cache
        except IndexError:
            memory = np.empty(shape, np.uint8)
        return np.asarray(_Lease(memory, free))


class _Lease:
    """What an array that was given out refers to: NumPy keeps it as long as any view of that array lives."""

    __slots__ = ("__array_interface__", "_free", "_memory")

    def __init__(self, memory: Pixels, free: deque[Pixels]) -> None:
        self.__array_interface__: dict[str, Any] = memory.__array_interface__
        self._memory, self._free = memory, free

    def __del__(self) -> None:
        self._free.append(self._memory)
