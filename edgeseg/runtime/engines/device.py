"""Own what every engine on a CUDA device offers: tensors there, and host buffers on demand. Know no back end."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import CudaContext, DeviceTensor, Marks, Stream
from edgeseg.runtime.engines.base import Engine
from edgeseg.runtime.layouts import as_nchw, layout_of, stored_shape
from edgeseg.spec import EngineSpec

__all__ = ["DeviceEngine"]

STAGES = ("copy-in", "engine", "copy-out")


@dataclass
class _HostSide:
    """A slot's part of the host interface; the arrays outlive the engine, as long as somebody views them."""

    stream: Stream
    marks: Marks
    stored_input: NDArray[Any]  # pinned, as the engine stores it
    stored_output: NDArray[Any]
    host_input: NDArray[Any]  # a view of that, as the model says
    host_output: NDArray[Any]
    is_started: bool = False
    stages_ms: dict[str, float] = field(default_factory=dict)


class DeviceEngine(Engine):
    """A deserialised plan whose tensors lie on a CUDA device, one set a slot, which begins at the model's own shape.

    A session enqueues what is before and behind the engine on a stream of its own: ``set_shape``, then work that fills
    ``device_input``, ``enqueue``, work that reads ``device_output``. Engine's host interface is built on the same, at
    the model's own shape, with page-locked arrays and a stream a slot that are made when they are first asked for. One
    slot is used in one of the two ways at a time.

    A subclass calls ``finish_host`` in its ``close``, before it drops anything.

    Args:
        spec: the engine's sidecar.
        slots: sets of tensors, >= 1.
        cuda: the context that they lie in.
    Raises:
        EngineError: no slots.
    """

    cuda: CudaContext
    scope = "engine+copies"
    #: why a CUDA graph of ours may not hold this engine's work; empty where it may
    no_capture: str = ""

    def __init__(self, spec: EngineSpec, *, slots: int, cuda: CudaContext) -> None:
        if slots < 1:
            raise EngineError(f"{slots} slots", "give at least 1")
        self.spec, self.slots, self.cuda = spec, slots, cuda
        self._is_closed = False
        self._hosts: dict[int, _HostSide] = {}

    @abstractmethod
    def set_shape(self, slot: int, *, batch: int, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Give a slot's input another shape, until the next one. Needs the context current.

        Args:
            slot: one of which nothing is in flight; its graphs hold no longer where the shape changed.
            batch: images of the input.
            size_hw: their height and width.
        Returns:
            Height and width of the head's output.
        Raises:
            EngineError: the engine does not take it; with what it takes. The slot keeps its shape.
        """

    @abstractmethod
    def device_input(self, slot: int) -> DeviceTensor:
        """The input, as the engine stores it (``layouts.stored_shape``), at the slot's present shape, contiguous.

        The engine owns it; its address stays until ``close``.
        """

    @abstractmethod
    def device_output(self, slot: int) -> DeviceTensor:
        """The head's output, in the same way; the slot's next work overwrites it."""

    @abstractmethod
    def enqueue(self, slot: int, stream: Stream) -> None:
        """Run the plan on the slot's tensors behind the work of a stream, without waiting. Needs the context current.

        Raises:
            EngineError: the back end refuses; with its last words.
        """

    def host_input(self, slot: int) -> NDArray[Any]:
        return self._host(slot).host_input

    def host_output(self, slot: int) -> NDArray[Any]:
        return self._host(slot).host_output

    def start(self, slot: int) -> None:
        """Begin inference on a slot's host buffers and return at once.

        Raises:
            EngineError: it is started already, has another shape than the model, or the back end refuses.
        """
        host = self._host(slot)
        if host.is_started:
            raise EngineError(f"slot {slot} is started already", "wait for it first")
        with self.cuda.current():
            host.marks.reach(0, host.stream)
            host.stream.copy_in(self.device_input(slot), host.stored_input)
            host.marks.reach(1, host.stream)
            self.enqueue(slot, host.stream)
            host.marks.reach(2, host.stream)
            host.stream.copy_out(host.stored_output, self.device_output(slot))
            host.marks.reach(3, host.stream)
        host.is_started = True

    def wait(self, slot: int) -> float:
        """Wait for a started slot; return the milliseconds from before the copy in to behind the copy out.

        Raises:
            EngineError: it is not started, or the work failed on the device.
        """
        self.check_slot(slot)
        host = self._hosts.get(slot)
        if host is None or not host.is_started:
            raise EngineError(f"slot {slot} is not started", "start it first")
        host.is_started = False
        with self.cuda.current():
            host.marks.synchronize()
            host.stages_ms = dict(zip(STAGES, host.marks.ms(), strict=True))
        return sum(host.stages_ms.values())

    def stages_ms(self, slot: int) -> dict[str, float]:
        self.check_slot(slot)
        return {} if slot not in self._hosts else self._hosts[slot].stages_ms

    def check_slot(self, slot: int) -> None:
        """Raise an EngineError where there is no such slot, or the engine is closed."""
        if self._is_closed:
            raise EngineError("the engine is closed", "open it again")
        if not 0 <= slot < self.slots:
            raise EngineError(f"slot {slot} of {self.slots}", f"take 0 to {self.slots - 1}")

    def finish_host(self) -> None:
        """End the host interface: wait for its work and drop its streams. Needs the context current.

        The streams are dropped also where the work failed; views of the host buffers stay readable.
        """
        self._is_closed = True
        hosts = list(self._hosts.values())
        self._hosts.clear()
        for host in hosts:
            host.stream.synchronize()

    def _host(self, slot: int) -> _HostSide:
        self.check_slot(slot)
        wanted, found = self._stored_input_shape(), self.device_input(slot).shape
        if found != wanted:
            raise EngineError(
                f"slot {slot} has an input of {found} where the host's buffers have the model's {wanted}",
                "set_shape() to the model's, or fill device_input()",
            )
        if slot not in self._hosts:
            with self.cuda.current():
                self._hosts[slot] = self._made_host()
        return self._hosts[slot]

    def _stored_input_shape(self) -> tuple[int, ...]:
        image = self.spec.model.input
        return stored_shape(image.shape, layout_of(self.spec, image.name))

    def _made_host(self) -> _HostSide:
        image, head = self.spec.model.input, self.spec.model.head
        layouts = [layout_of(self.spec, name) for name in (image.name, head.output)]
        stored_input = self.cuda.pinned(stored_shape(image.shape, layouts[0]), image.dtype)
        stored_output = self.cuda.pinned(stored_shape(head.shape, layouts[1]), head.dtype)
        return _HostSide(
            stream=Stream(self.cuda),
            marks=Marks(self.cuda, len(STAGES) + 1),
            stored_input=stored_input,
            stored_output=stored_output,
            host_input=as_nchw(stored_input, image.shape, layouts[0]),
            host_output=as_nchw(stored_output, head.shape, layouts[1]),
        )
