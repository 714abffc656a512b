"""Own what every back end's engine offers the session. Choose no back end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.spec import EngineSpec

__all__ = ["Engine"]


class Engine(ABC):
    """A deserialised plan with ``slots`` independent sets of host buffers, allocated once.

    ``start(slot)`` runs the plan on that slot's buffers without waiting; ``wait(slot)`` waits for it. Slots may be in
    flight at the same time; one slot may not be started twice without a wait. Not thread safe: one thread drives it.
    """

    spec: EngineSpec
    slots: int
    #: what the milliseconds of ``wait`` cover, in trtexec's terms
    scope: str

    @abstractmethod
    def host_input(self, slot: int) -> NDArray[Any]:
        """The input buffer, of the InputSpec's dtype and shape, host memory; owned by the engine until ``close``.

        A view of what the engine stores: NHWC of an input in the format ``hwc`` is C-contiguous.
        """

    @abstractmethod
    def host_output(self, slot: int) -> NDArray[Any]:
        """The head's output, of the HeadSpec's dtype and shape, host memory; the slot's next start overwrites it.

        A view too: without the channels that a format is padded with, so not always C-contiguous.
        """

    @abstractmethod
    def start(self, slot: int) -> None:
        """Begin inference on a slot's buffers and return at once."""

    @abstractmethod
    def wait(self, slot: int) -> float:
        """Wait for a started slot; return the milliseconds that the engine itself measured (see ``scope``)."""

    @abstractmethod
    def stages_ms(self, slot: int) -> dict[str, float]:
        """Milliseconds of the parts of the slot's last run that was waited for; nothing before the first.

        ``engine``, and where the engine copies, ``copy-in`` and ``copy-out``: trtexec's GPU compute, H2D and D2H.
        """

    @abstractmethod
    def close(self) -> None:
        """Release everything; safe to call twice."""

    def layer_times_ms(self, slot: int) -> dict[str, float]:
        """Milliseconds of every layer in the slot's last run, by the back end's names, in their order.

        Raises:
            EngineError: the engine was not loaded to be profiled.
        """
        raise EngineError(f"slot {slot}: layers are not timed", "load it with load_engine(..., profiled=True)")

    def infer(self, slot: int = 0) -> float:
        """``start`` and ``wait``; returns milliseconds."""
        self.start(slot)
        return self.wait(slot)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
