"""Own a CUDA session without CUDA: our kernels as C++ and a net in NumPy, on the driver of adversarial schedules."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import pytest
from kernel_lab import Shim
from numpy.typing import NDArray
from stream_lab import LabDriver, context_of
from stream_objects import LabFunction, LabMark, LabModule, LabStream
from torch_engine import engine_spec

from edgeseg.errors import EngineError
from edgeseg.imaging.formats import planes_of, size_wh_of
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.runtime.cuda import CudaContext, DeviceTensor, Module, Stream
from edgeseg.runtime.cuda.buffers import packed_strides
from edgeseg.runtime.engines.device import DeviceEngine
from edgeseg.runtime.kernels.loading import PARAMS_OF
from edgeseg.runtime.sizes import model_at
from edgeseg.spec import EngineSpec, HeadSpec, InputSpec, ProfileSpec

__all__ = [
    "ForeignArray",
    "LabEngine",
    "SessionLab",
    "assert_nothing_is_left",
    "engine_on",
    "mask_of",
    "net",
    "session_lab",
    "spec_of",
]

STEP, CLASSES = 4, 3
SIZE_HW = (16, 24)
LARGEST = (3, 24, 32)  # batch, height, width
BYTES = 8 << 20
NET = b"net"
NET_PARAMS = np.dtype(
    [("source", "u8"), ("target", "u8"), ("batch", "i4"), ("height", "i4"), ("width", "i4")], align=True
)
WEIGHTS = np.random.default_rng(7).normal(0, 1, (CLASSES, 3)).astype(np.float32)


def net(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores, float32 (N, CLASSES, h / STEP, w / STEP), of an image (N, 3, h, w)."""
    part = image[:, :, ::STEP, ::STEP]
    return np.stack([sum(part[:, k] * one[k] for k in range(3)) for one in WEIGHTS], 1).astype(np.float32)


def spec_of(*, has_profile: bool = False, resize: Any = "stretch") -> EngineSpec:
    """The sidecar of the net."""
    profile = ProfileSpec(minimum=(1, 8, 8), optimum=(1, *SIZE_HW), maximum=LARGEST, step_hw=(STEP, STEP))
    image = InputSpec(name="image", size_hw=SIZE_HW, mean=(0.5,) * 3, std=(0.25,) * 3, resize=resize)
    head = HeadSpec(
        output="scores", channels=CLASSES, size_hw=(SIZE_HW[0] // STEP, SIZE_HW[1] // STEP), decision="argmax"
    )
    spec = engine_spec(image, head)
    return spec if not has_profile else msgspec.structs.replace(spec, profiles=(profile,))


def mask_of(frame: Any, size_hw: tuple[int, int] = SIZE_HW, *, spec: EngineSpec | None = None, **form: Any) -> Any:
    """What the CPU makes of a frame with the same net."""
    model = (spec or spec_of()).model
    scores_hw = (size_hw[0] // STEP, size_hw[1] // STEP)
    image, head = model_at(model, input_hw=size_hw, scores_hw=scores_hw)
    preprocessor = Preprocessor(image, threads=1)
    scores = net(preprocessor.tensor(frame, **form))
    width, height = size_wh_of(planes_of(frame, form.get("pixel_format", "BGR")))
    placement = None if image.resize == "stretch" else preprocessor.placement((width, height))
    return MaskMaker(head, input_hw=size_hw, threads=1).mask(scores, size_hw=(height, width), placement=placement)


class SessionLab(LabDriver):
    """The driver with a device that has our kernels, and the net as one more.

    Args:
        shim: the kernels.
        seed: of the schedule.
    """

    def __init__(self, shim: Shim, seed: int = 0, *, total: int = BYTES) -> None:
        super().__init__(seed, total=total)
        self._shim = shim
        self.context: CudaContext | None = None
        self.has_failed = False

    def fail(self, call: int, words: str, *, is_lost: bool = False) -> None:
        super().fail(call, words, is_lost=is_lost)
        self.has_failed = True

    def compute_capability(self) -> tuple[int, int]:
        return (8, 7)

    def get_driver_version(self) -> int:
        return 13000

    def module_from_buffer(self, image: bytes) -> LabModule:
        self.called("cuModuleLoadDataEx")
        return _ShimModule(self, self._shim)


class _ShimModule(LabModule):
    def __init__(self, lab: SessionLab, shim: Shim) -> None:
        super().__init__(lab, {})
        self._shim = shim

    def get_function(self, name: str) -> LabFunction:
        self._lab.called("cuModuleGetFunction")
        return _ShimFunction(self._lab, self, name, self._shim)


class _ShimFunction(LabFunction):
    def __init__(self, lab: LabDriver, module: LabModule, name: str, shim: Shim) -> None:
        super().__init__(lab, module, lambda *_: None)
        self._name, self._shim = name.removeprefix("edgeseg_"), shim

    def prepared_async_call(
        self, grid: tuple[int, ...], block: tuple[int, ...], stream: LabStream, params: bytes
    ) -> None:
        self._lab.called("cuLaunchKernel")
        assert len(params) == self._size
        if self._name == "net":
            stream.queue.give(lambda: _run_net(self._lab, params))
            return
        record = np.frombuffer(params, PARAMS_OF[self._name])
        stream.queue.give(lambda: self._shim.launch(self._name, grid, block, record))


def _run_net(lab: LabDriver, params: bytes) -> None:
    read = np.frombuffer(params, NET_PARAMS)[0]
    batch, height, width = (int(read[name]) for name in ("batch", "height", "width"))
    image = lab.view(int(read["source"]), np.float32, batch * 3 * height * width).reshape(batch, 3, height, width)
    scores = net(image)
    lab.view(int(read["target"]), np.float32, scores.size)[:] = scores.ravel()


class LabEngine(DeviceEngine):
    """The net as a plan of ``slots`` contexts; takes ``LARGEST`` with a profile, else its own shape alone."""

    def __init__(
        self, cuda: CudaContext, *, slots: int = 2, spec: EngineSpec | None = None, no_capture: str = ""
    ) -> None:
        super().__init__(spec or spec_of(), slots=slots, cuda=cuda)
        self.no_capture = no_capture
        batch, height, width = LARGEST
        with cuda.current():
            self._module = Module(cuda, NET)
            self._kernel = self._module.kernel("edgeseg_net", NET_PARAMS)
            self._inputs = [DeviceTensor.empty(cuda, (batch, 3, height, width), np.float32) for _ in range(slots)]
            scores = (batch, CLASSES, height // STEP, width // STEP)
            self._outputs = [DeviceTensor.empty(cuda, scores, np.float32) for _ in range(slots)]
        self._shapes = [(1, *self.spec.model.input.size_hw)] * slots

    def set_shape(self, slot: int, *, batch: int, size_hw: tuple[int, int]) -> tuple[int, int]:
        is_own = (batch, size_hw) == (1, self.spec.model.input.size_hw)
        if not is_own and not any(one.takes(batch, size_hw) for one in self.spec.profiles):
            raise EngineError(f"no profile takes {batch} x {size_hw}", "take another shape")
        self._shapes[slot] = (batch, *size_hw)
        return size_hw[0] // STEP, size_hw[1] // STEP

    def device_input(self, slot: int) -> DeviceTensor:
        batch, height, width = self._shapes[slot]
        return _shaped(self._inputs[slot], (batch, 3, height, width))

    def device_output(self, slot: int) -> DeviceTensor:
        batch, height, width = self._shapes[slot]
        return _shaped(self._outputs[slot], (batch, CLASSES, height // STEP, width // STEP))

    def enqueue(self, slot: int, stream: Stream) -> None:
        tensors = (int(self._inputs[slot]), int(self._outputs[slot]))
        params = np.array((*tensors, *self._shapes[slot]), NET_PARAMS)
        stream.launch(self._kernel, params, grid=(1, 1), block=(1, 1, 1))

    def close(self) -> None:
        if self._is_closed:
            return
        with self.cuda.current():
            self.finish_host()
        for one in (*self._inputs, *self._outputs, self._module):
            one.close()


def _shaped(tensor: DeviceTensor, shape: tuple[int, ...]) -> DeviceTensor:
    return replace(tensor, shape=shape, pitches=packed_strides(shape, tensor.dtype))


class LabCalls:
    """The driver's functions that PyCUDA has not, on the lab's streams and memory."""

    def __init__(self, lab: SessionLab) -> None:
        self._lab = lab

    def device_of(self, ptr: int) -> int | None:
        found = any(begin <= ptr < begin + block.nbytes for begin, block in self._lab.blocks.items())
        return 0 if found else None

    def let_wait(self, reader: int, foreign: int) -> None:
        queues = {0x5EED00 + one.number: one for one in self._lab.queues}
        mark = LabMark()
        queues[foreign].give(mark)
        queues[reader].give((mark,))


@dataclass
class ForeignArray:
    """What torch or CuPy would give: memory of the lab's device, and the stream that is still writing it."""

    tensor: DeviceTensor
    stream: Stream | None = None

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        told = self.tensor.__cuda_array_interface__
        return told | {"stream": None if self.stream is None else self.stream.handle}


@pytest.fixture
def session_lab(shim: Shim, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SessionLab]]:
    """``session_lab(seed)``: a device whose modules need no compiler.

    What the process holds already is left out of the collections that follow each run: beside torch and OpenVINO one of
    them takes half a second.
    """
    monkeypatch.setattr("edgeseg.runtime.kernels.loading.compiled", lambda source, **_: source.stem.encode())

    def make(seed: int = 0, **options: Any) -> SessionLab:
        lab = SessionLab(shim, seed, **options)
        for module in ("foreign", "streams"):
            monkeypatch.setattr(f"edgeseg.runtime.cuda.{module}.driver_calls", lambda: LabCalls(lab))
        return lab

    gc.freeze()
    yield make
    gc.unfreeze()


def engine_on(lab: SessionLab, **options: Any) -> LabEngine:
    """The net on a device."""
    if lab.context is None:
        lab.context = context_of(lab)
    return LabEngine(lab.context, **options)


def assert_nothing_is_left(lab: SessionLab) -> None:
    """Of all that was made on the device, after the sessions are closed."""
    gc.collect()
    if lab.context is not None:
        with contextlib.suppress(EngineError), lab.context.current():
            pass  # which frees what was dropped
        live = lab.context.counters().live
        with contextlib.suppress(EngineError):  # of a lost device, told a second time
            lab.context.release()
        assert live.total == 0 or lab.lost or lab.has_failed, live
    assert lab.living.total() == 0, lab.living
    assert lab.leaks == [] and lab.stack == [] and not lab.blocks and not lab.is_hung
