"""Own who holds a CUDA context: making it current, handles made in it, and the end of both. Make no handle.

PyCUDA frees what it made when the object is dropped, and leaks, with a warning, in a thread where the context is not
current. So nothing here is dropped at once: a handle that is closed or collected, in whatever thread, leaves its PyCUDA
object with the holder, which drops it the next time that the context is current.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from types import ModuleType, TracebackType
from typing import Any, ClassVar, TypeVar

from edgeseg.errors import EngineError
from edgeseg.packages import require
from edgeseg.runtime.cuda.counters import Counters, HandleKind, Tally

__all__ = ["ContextHolder", "Handle"]

#: what uses others goes before them. Page-locked memory is not in it: it goes with the last array on it.
RELEASE_ORDER: tuple[HandleKind, ...] = ("graph", "event", "stream", "module", "device")
LOWER = "lower the frames in flight (depth), the batch or the input size, or close other programs on the GPU"

Self = TypeVar("Self", bound="Handle")
Made = TypeVar("Made")
Holder = TypeVar("Holder", bound="ContextHolder")


class _Shared:
    """What all parts of a context have in common."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.is_released = False
        self.lock = threading.Lock()
        self.handles: weakref.WeakSet[Handle] = weakref.WeakSet()
        self.dropped: deque[tuple[Tally, HandleKind, Any]] = deque()
        self.undisturbed = threading.local()  # whether this thread frees nothing


class ContextHolder:
    """One CUDA context, shared by the threads of the process that made it.

    Args:
        driver: ``pycuda.driver``.
        context: PyCUDA's context, on no thread's stack.
        ordinal: the device's number.
    """

    def __init__(self, driver: ModuleType, context: Any, ordinal: int = 0) -> None:
        self.driver, self.ordinal = driver, ordinal
        self.tally = Tally()
        self._context = context
        self._shared = _Shared()

    def part(self: Holder) -> Holder:
        """The same context with counters of its own, which add to this one's as well; it is released with this one.

        What is made by it, and by what was made by it, is counted in it.
        """
        part = copy.copy(self)
        part.tally = Tally(self.tally)
        return part

    @functools.cached_property
    def bindings(self) -> ModuleType:
        """``cuda.bindings.driver``, for what PyCUDA does not reach.

        Raises:
            MissingPackageError: cuda-bindings is absent.
        """
        return require("cuda.bindings.driver")

    @property
    def is_usable(self) -> bool:
        """Whether this is the process that made the context, before its release."""
        return self._shared.pid == os.getpid() and not self._shared.is_released

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Push the context on this thread's stack for a block, and pop it whatever happens; blocks may nest.

        Raises:
            EngineError: a CUDA call of the block failed, this is a fork, or the context has been released.
        """
        self._check_usable()
        with self._worded():
            self._context.push()
            try:
                self.sweep()
                yield
            except (self.driver.Error, EngineError) as error:
                _forget_frames(error)
                raise
            finally:
                self.sweep()
                self._context.pop()

    def counters(self) -> Counters:
        """What was done since the last reset and what is alive; dropped handles are alive until they are swept."""
        return self.tally.record()

    def reset_counters(self) -> None:
        """Count anew from 0; live handles stay counted."""
        self.tally.reset()

    def release(self) -> None:
        """Wait for the device and free what is left, in order; later use is refused. Safe to call twice, or in a fork.

        Page-locked memory stays as long as an array on it. The primary context itself stays until the process ends:
        PyCUDA's release of one leaves it on the thread's stack (``context::detach`` of 2026.1 takes the pop as implied,
        which it is not).

        Raises:
            EngineError: work in flight failed; everything is freed nevertheless.
        """
        if not self.is_usable:
            return
        with self.current():
            try:
                self._context.synchronize()
            finally:
                self._close_all()
                self._shared.is_released = True

    def adopt(self, handle: Handle) -> None:
        """Count a handle that was made, and close it at the release."""
        self.tally.opened(handle.kind)
        with self._shared.lock:
            self._shared.handles.add(handle)

    def drop(self, kind: HandleKind, raw: Any) -> None:
        """Take the PyCUDA object of a handle that ended; any thread, also the garbage collector's, no lock."""
        self._shared.dropped.append((self.tally, kind, raw))

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let this thread free nothing for a block: freeing memory would break a capture. Needs the context current."""
        self.sweep()
        self._shared.undisturbed.is_asked = True
        try:
            yield
        finally:
            self._shared.undisturbed.is_asked = False
            self.sweep()

    def sweep(self) -> None:
        """Free what was dropped. Needs the context current."""
        if getattr(self._shared.undisturbed, "is_asked", False):
            return
        dropped = self._shared.dropped
        while dropped:
            with contextlib.suppress(IndexError):  # another thread may have had the last one
                tally, kind, raw = dropped.popleft()
                del raw
                tally.closed(kind)

    def allocate(self, make: Callable[[], Made], what: str, size: int) -> Made:
        """Make something of ``size`` bytes. Needs the context current.

        Raises:
            EngineError: no memory for it, with what was asked, what was free and what to lower.
        """
        self.sweep()
        try:
            return make()
        except self.driver.MemoryError as error:
            free, total = self.driver.mem_get_info()
            raise EngineError(
                f"CUDA has no room for {what} of {size} bytes, of the device's {total} are {free} free ({error})", LOWER
            ) from error

    def _close_all(self) -> None:
        with self._shared.lock:
            handles = list(self._shared.handles)
        for kind in RELEASE_ORDER:
            for handle in handles:
                if handle.kind == kind:
                    handle.close()

    def _check_usable(self) -> None:
        parent = self._shared.pid
        if parent != os.getpid():
            raise EngineError(
                f"CUDA was started in process {parent}, and this is its fork {os.getpid()}, where it cannot work",
                "start workers by multiprocessing's 'spawn', or fork before CUDA is used",
            )
        if self._shared.is_released:
            raise EngineError("the CUDA context has been released", "use it before the program's end")

    @contextlib.contextmanager
    def _worded(self) -> Iterator[None]:
        try:
            yield
        except self.driver.Error as error:
            raise EngineError(
                f"CUDA failed ({error})", "close other programs on the GPU, or restart this one"
            ) from error


def _forget_frames(error: BaseException) -> None:
    """Let a kept error keep nothing of the device; frames that still run stay as they are."""
    one: BaseException | None = error
    while one is not None:
        traceback.clear_frames(one.__traceback__)
        one = one.__cause__ or one.__context__


class Handle:
    """One thing made in a context; closed by ``close()``, at the end of a ``with`` block, or when it is collected."""

    kind: ClassVar[HandleKind]

    def __init__(self, holder: ContextHolder, raw: Any) -> None:
        self.holder = holder
        self._raw = raw
        holder.adopt(self)

    @property
    def raw(self) -> Any:
        """PyCUDA's object, to be handed to PyCUDA and not kept.

        Raises:
            EngineError: the handle is closed.
        """
        try:
            return self.__dict__["_raw"]
        except KeyError:
            raise EngineError(f"this {type(self).__name__} is closed", "make another one") from None

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return "_raw" not in self.__dict__

    def close(self) -> None:
        """Free it, in any thread. Safe to call twice; in a fork nothing is done, the handle is the parent's.

        Raises:
            EngineError: the context cannot be made current; it is freed the next time that it can.
        """
        self._give_up()
        if self.holder.is_usable:
            with self.holder.current():
                pass  # which frees what was dropped

    def _give_up(self) -> None:
        if "_raw" in self.__dict__:
            self.holder.drop(self.kind, self.__dict__.pop("_raw"))

    def __del__(self) -> None:
        self._give_up()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
