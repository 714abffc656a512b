"""DLPack's structures, values and lifetimes, proved on host memory against NumPy and torch; then its rules on a device.

What is told of the device is a number in the structure, so all but reading the memory is the same on a CPU.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from stream_lab import LabDriver

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda import CudaContext, DeviceTensor, PinnedRing, adopt, adopt_pointer, buffers, dlpack
from edgeseg.runtime.device_frames import device_planes, is_on_device, pointers_of, streams_of

ON_CPU, ON_CUDA = (dlpack.CPU, 0), (dlpack.CUDA, 0)
DTYPES = (
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "?",
)
ROUNDS = 10_000


class Owner:
    """Counts those that live."""

    living = 0

    def __init__(self) -> None:
        Owner.living += 1

    def __del__(self) -> None:
        Owner.living -= 1


class Given:
    """A DLPack tensor of ours on host memory, told to be on ``place``."""

    def __init__(self, array: NDArray[Any], *, place: tuple[int, int] = ON_CPU, newest: bool = True) -> None:
        self.array, self.place, self.newest, self.owner = array, place, newest, Owner()
        self.asked: list[dict[str, Any]] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.place

    def __dlpack__(self, **asked: Any) -> Any:
        self.asked.append(asked)
        return dlpack.give(
            (self.owner, self.array), ptr=self.array.ctypes.data, shape=self.array.shape, dtype=self.array.dtype,
            pitches=self.array.strides, place=self.place, is_versioned=self.newest and "max_version" in asked,
        )  # fmt: skip


def array(dtype: str = "uint8", shape: tuple[int, ...] = (4, 6)) -> NDArray[Any]:
    return (np.arange(np.prod(shape)) % 2 if dtype == "?" else np.arange(np.prod(shape))).astype(dtype).reshape(shape)


def views(whole: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The whole, part of it, every other element, transposed."""
    yield from (whole, whole[1:3, 2:5], whole[::2, 1::2], whole.T)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = Owner.living
    yield
    if Owner.living != before:
        gc.collect()  # which takes long beside torch
    assert Owner.living == before


HEADER = """
#include <stddef.h>
#include <stdio.h>
#include <ATen/dlpack.h>
#define AT(form, field) printf("%zu %zu ", offsetof(form, field), sizeof(((form *)0)->field))
int main(void) {
    AT(DLTensor, data); AT(DLTensor, device); AT(DLTensor, ndim); AT(DLTensor, dtype); AT(DLTensor, shape);
    AT(DLTensor, strides); AT(DLTensor, byte_offset); printf("%zu\\n", sizeof(DLTensor));
    AT(DLManagedTensor, dl_tensor); AT(DLManagedTensor, manager_ctx); AT(DLManagedTensor, deleter);
    printf("%zu\\n", sizeof(DLManagedTensor));
    AT(DLManagedTensorVersioned, version.major); AT(DLManagedTensorVersioned, version.minor);
    AT(DLManagedTensorVersioned, manager_ctx); AT(DLManagedTensorVersioned, deleter);
    AT(DLManagedTensorVersioned, flags); AT(DLManagedTensorVersioned, dl_tensor);
    printf("%zu\\n", sizeof(DLManagedTensorVersioned));
    AT(DLDevice, device_type); AT(DLDevice, device_id); printf("%zu\\n", sizeof(DLDevice));
    AT(DLDataType, code); AT(DLDataType, bits); AT(DLDataType, lanes); printf("%zu\\n", sizeof(DLDataType));
    printf("%d %d %d %d %lu %d %d %d %d\\n", kDLCPU, kDLCUDA, kDLCUDAHost, kDLCUDAManaged,
           DLPACK_FLAG_BITMASK_READ_ONLY, kDLInt, kDLUInt, kDLFloat, kDLBool);
}
"""


def fields_of(form: type[ctypes.Structure]) -> list[int]:
    """Of each field where it begins and how long it is."""
    fields = [getattr(form, one[0]) for one in form._fields_]
    return [number for one in fields for number in (one.offset, one.size)]


def test_the_structures_and_numbers_are_those_of_the_header(tmp_path: Path) -> None:
    torch, compiler = importlib.util.find_spec("torch"), shutil.which("cc")
    if torch is None or torch.origin is None or compiler is None:
        pytest.skip("dlpack.h comes with torch, and a C compiler reads it")
    source, program = tmp_path / "offsets.c", tmp_path / "offsets"
    source.write_text(HEADER)
    subprocess.run(
        [compiler, f"-I{Path(torch.origin).parent / 'include'}", str(source), "-o", str(program)], check=True
    )
    *lines, numbers = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    forms = (dlpack.Tensor, dlpack.Managed, dlpack.ManagedVersioned, dlpack.Device, dlpack.DataType)
    ours = [[*fields_of(form), ctypes.sizeof(form)] for form in forms]
    assert [list(map(int, line.split())) for line in lines] == ours
    codes = {letter: code for code, letter in dlpack.KINDS.items()}
    assert list(map(int, numbers.split())) == [
        dlpack.CPU, dlpack.CUDA, dlpack.CUDA_HOST, dlpack.CUDA_MANAGED, dlpack.READ_ONLY,
        codes["i"], codes["u"], codes["f"], codes["b"],
    ]  # fmt: skip


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_and_torch_see_what_we_give(dtype: str, newest: bool) -> None:
    torch = pytest.importorskip("torch")
    for one in views(array(dtype)):
        seen = np.from_dlpack(Given(one, newest=newest))
        assert (seen.ctypes.data, seen.dtype, seen.strides) == (one.ctypes.data, one.dtype, one.strides)
        assert seen.tolist() == one.tolist()
        tensor = torch.from_dlpack(Given(one, newest=newest))
        assert tensor.data_ptr() == one.ctypes.data and tensor.tolist() == one.tolist()
        assert [step * tensor.element_size() for step in tensor.stride()] == list(one.strides)


@pytest.mark.parametrize("dtype", DTYPES)
def test_we_see_what_numpy_and_torch_give(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for one in views(array(dtype)):
        for source in (one, torch.from_numpy(one)):
            taken = dlpack.take(source)
            assert (taken.ptr, taken.shape, taken.dtype) == (one.ctypes.data, one.shape, one.dtype)
            assert (taken.pitches, taken.place, taken.is_read_only) == (one.strides, ON_CPU, False)


def test_what_we_give_comes_back_as_it_was() -> None:
    for shape in ((), (1,), (1, 1, 5), (2, 3, 4, 5)):
        one = array("float32", shape)
        taken = dlpack.take(Given(one, place=(dlpack.CUDA, 3)))
        assert (taken.ptr, taken.shape, taken.place) == (one.ctypes.data, shape, (dlpack.CUDA, 3))


def test_a_read_only_tensor_is_known_for_one() -> None:
    one = array()
    one.flags.writeable = False
    assert dlpack.take(one).is_read_only


def test_the_owner_lives_as_long_as_the_reader_does() -> None:
    before = Owner.living
    seen = np.from_dlpack(Given(array()))
    gc.collect()
    assert Owner.living == before + 1 and seen.tolist() == array().tolist()
    part = seen[1:]
    del seen
    assert Owner.living == before + 1
    del part
    assert Owner.living == before


@pytest.mark.parametrize("newest", [True, False])
def test_a_capsule_that_nobody_consumes_lets_the_owner_go(newest: bool) -> None:
    before = Owner.living
    capsule = Given(array(), newest=newest).__dlpack__(max_version=(1, 0))
    assert Owner.living == before + 1
    del capsule
    assert Owner.living == before


def test_a_capsule_is_consumed_once() -> None:
    class Once:
        def __init__(self, capsule: Any) -> None:
            self.capsule = capsule

        def __dlpack__(self, **asked: Any) -> Any:
            return self.capsule

    once = Once(Given(array()).__dlpack__())
    taken = dlpack.take(once)
    with pytest.raises(ShapeError, match=r'"used_dltensor".*is no DLPack capsule that nobody has consumed'):
        dlpack.take(once)
    del once
    assert taken.ptr


def test_what_is_dropped_with_an_error_on_its_way_keeps_the_error_and_frees_the_owner() -> None:
    before = Owner.living
    with pytest.raises((RuntimeError, BufferError), match=r"[Uu]nsupported device"):
        np.from_dlpack(Given(array(), place=ON_CUDA))
    gc.collect()
    assert Owner.living == before


def test_the_producers_memory_lives_as_long_as_our_lease() -> None:
    class Whole(np.ndarray[Any, Any]):
        """Takes a weak reference."""

    source = array().view(Whole)
    watch = weakref.ref(source)
    taken = dlpack.take(source)
    del source
    gc.collect()
    assert watch() is not None
    del taken
    gc.collect()
    assert watch() is None


class Counting:
    """A producer by hand, whose deleter counts; what it tells can be changed."""

    def __init__(self, *, major: int = 1, is_versioned: bool = True, **changes: Any) -> None:
        self.deleted: list[int] = []
        self._deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.deleted.append)
        self._sides, self._memory = (ctypes.c_int64 * 2)(2, 3), (ctypes.c_float * 6)()
        self.managed = (dlpack.ManagedVersioned if is_versioned else dlpack.Managed)()
        self.managed.deleter = ctypes.cast(self._deleter, ctypes.c_void_p).value
        if isinstance(self.managed, dlpack.ManagedVersioned):
            self.managed.major, self.managed.minor = major, 3
        tensor = self.managed.dl_tensor
        tensor.data, tensor.ndim, tensor.shape = ctypes.addressof(self._memory), 2, self._sides
        tensor.device, tensor.dtype = dlpack.Device(*ON_CPU), dlpack.DataType(2, 32, 1)
        for name, value in changes.items():
            setattr(tensor, name, value)
        self._name = b"dltensor_versioned" if is_versioned else b"dltensor"

    def __dlpack__(self, **asked: Any) -> Any:
        new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
            ("PyCapsule_New", ctypes.pythonapi)
        )
        return new(ctypes.addressof(self.managed), self._name, None)


@pytest.mark.parametrize("is_versioned", [True, False])
def test_the_deleter_is_called_once_in_whatever_thread_the_lease_ends(is_versioned: bool) -> None:
    producer = Counting(is_versioned=is_versioned)
    taken = [dlpack.take(producer)]
    assert taken[0].pitches == (12, 4) and producer.deleted == []  # without strides the tensor is packed
    thread = threading.Thread(target=taken.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert producer.deleted == [ctypes.addressof(producer.managed)]


def test_the_deleter_is_called_once_where_the_lease_ends_in_a_cycle() -> None:
    producer = Counting()
    cycle: list[Any] = [dlpack.take(producer)]
    cycle.append(cycle)
    del cycle
    assert producer.deleted == []
    gc.collect()
    gc.collect()
    assert len(producer.deleted) == 1


def test_a_tensor_begins_at_its_offset_and_may_have_no_deleter() -> None:
    producer = Counting(byte_offset=8)
    producer.managed.deleter = None
    taken = dlpack.take(producer)
    assert taken.ptr == producer.managed.dl_tensor.data + 8
    del taken
    assert producer.deleted == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dtype": dlpack.DataType(4, 16, 1)}, "type 4, 16 bits, 1 lanes"),  # bfloat16
        ({"dtype": dlpack.DataType(2, 32, 4)}, "type 2, 32 bits, 4 lanes"),
        ({"dtype": dlpack.DataType(0, 4, 1)}, "type 0, 4 bits"),
        ({"dtype": dlpack.DataType(2, 8, 1)}, "type 2, 8 bits"),
        ({"shape": (ctypes.c_int64 * 2)(2, 0)}, r"shape \(2, 0\): give sides from 1 on"),
        ({"shape": (ctypes.c_int64 * 2)(-1, 3)}, r"shape \(-1, 3\)"),
        ({"major": 2}, r"DLPack 2.3: give one of 1.x"),
    ],
)
def test_what_we_do_not_take_is_refused_and_left_to_its_capsule(changes: dict[str, Any], words: str) -> None:
    producer = Counting(**changes)
    with pytest.raises(ShapeError, match=f"Counting .*{words}"):
        dlpack.take(producer)
    gc.collect()
    assert producer.deleted == []  # the capsule is still named as nobody's, its own end cleans up


def test_ten_thousand_turns_leave_nothing_behind() -> None:
    torch = pytest.importorskip("torch")
    source, owners = array(), Owner.living

    def turn() -> None:
        dlpack.take(Given(source))
        dlpack.take(np.from_dlpack(Given(source)))
        torch.from_dlpack(Given(source))
        Given(source).__dlpack__()

    for _ in range(100):
        turn()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(ROUNDS // 4):
        turn()
    gc.collect()
    assert Owner.living == owners
    assert sys.getallocatedblocks() - before < ROUNDS // 100  # one block a turn would be 25 times that


def test_readers_in_many_threads_free_everything() -> None:
    def read() -> None:
        for _ in range(300):
            taken = dlpack.take(Given(array()))
            assert np.from_dlpack(Given(array()))[3, 5] == 23 and taken.shape == (4, 6)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_process_ends_well_with_capsules_and_leases_alive() -> None:
    pytest.importorskip("torch")
    program = """
import numpy as np, sys, torch
sys.path[:0] = PATHS
from test_dlpack import Counting, Given, array, dlpack
kept = [torch.from_dlpack(Given(array())), np.from_dlpack(Given(array())), dlpack.take(torch.zeros(3))]
kept += [dlpack.take(array()), Given(array()).__dlpack__(), dlpack.take(Counting())]
sys.kept = kept
""".replace("PATHS", repr([str(Path(__file__).parent), str(Path(__file__).parents[2] / "lab")]))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# on a device


class Calls:
    """The driver's functions: all memory is device 0's; who was let wait for whom, and with the context current?"""

    def __init__(self, lab: LabDriver | None = None) -> None:
        self.waited: list[tuple[int, int]] = []
        self._lab = lab

    def device_of(self, ptr: int) -> int | None:
        return 0

    def let_wait(self, reader: int, foreign: int) -> None:
        assert self._lab is None or self._lab.stack
        self.waited.append((reader, foreign))


class Only:
    """A DeviceTensor as another library's: nothing but DLPack."""

    def __init__(self, tensor: DeviceTensor) -> None:
        self.__dlpack__, self.__dlpack_device__ = tensor.__dlpack__, tensor.__dlpack_device__


def test_a_tensor_of_ours_comes_back_as_it_was_and_keeps_its_memory(context: CudaContext) -> None:
    ours = DeviceTensor.empty(context, (3, 4), "float16")
    ptr = ours.ptr
    back = adopt(context, Only(ours), calls=Calls())
    assert (back.ptr, back.shape, back.dtype, back.pitches) == (ptr, (3, 4), np.dtype("f2"), (8, 2))
    del ours
    gc.collect()
    context.sweep()
    assert context.counters().live.device == 1
    del back
    gc.collect()
    context.sweep()
    assert context.counters().live.device == 0


@pytest.mark.parametrize(("stream", "reader"), [(None, 1), (1, 1), (2, 2), (0x500, 0x500)])
def test_the_reader_waits_for_the_work_on_a_tensor(
    lab: LabDriver, context: CudaContext, monkeypatch: pytest.MonkeyPatch, stream: int | None, reader: int
) -> None:
    calls = Calls(lab)
    monkeypatch.setattr(buffers, "driver_calls", lambda: calls)
    tensor = DeviceTensor.empty(context, (3,), "uint8")
    tensor.__dlpack__(stream=stream)
    assert calls.waited == []  # nothing is under way
    lab.stack.pop()
    try:
        tensor.written_on(0x77).__dlpack__(stream=stream)  # in a thread that has no context
    finally:
        lab.stack.append(lab)
    tensor.written_on(0x77).__dlpack__(stream=-1)
    tensor.written_on(0x77).__dlpack__(stream=0x77)
    assert calls.waited == [(reader, 0x77)]


def test_what_dlpack_has_not_is_refused_as_it_wants(context: CudaContext) -> None:
    tensor = DeviceTensor.empty(context, (3, 4), "uint8")
    assert tensor.__dlpack_device__() == ON_CUDA
    for asked in ({"copy": True}, {"dl_device": ON_CPU}):
        with pytest.raises(BufferError, match="is given where it is"):
            tensor.__dlpack__(**asked)  # type: ignore[arg-type]
    with pytest.raises(BufferError, match="stream 0 may be one of two"):
        tensor.__dlpack__(stream=0)
    with pytest.raises(BufferError, match="below 0"):
        adopt_pointer(context, tensor.ptr + 8, shape=(3, 4), dtype="uint8", pitches=(-4, 1), calls=Calls()).__dlpack__()
    tensor.__dlpack__(dl_device=ON_CUDA, copy=False)
    tensor.close()
    with pytest.raises(EngineError, match="was freed"):
        tensor.__dlpack__()


def test_mapped_memory_is_given_as_page_locked_memory_of_the_host(context: CudaContext) -> None:
    with PinnedRing(context, slots=1, shape=(2, 3), dtype="uint8", is_mapped=True) as ring:
        ring.host(0)[:] = 9
        tensor = ring.device(0)
        assert tensor.__dlpack_device__() == (dlpack.CUDA_HOST, 0) and not is_on_device(Only(tensor))
        seen = np.from_dlpack(tensor)
        assert seen.ctypes.data == ring.host(0).ctypes.data and seen.tolist() == [[9] * 3] * 2
        with pytest.raises(BufferError, match="stream 0x77 may still write"):
            np.from_dlpack(tensor.written_on(0x77))


@pytest.mark.parametrize(("reader_handle", "stream", "handle"), [(None, 1, 1), (0x500, 0x500, None)])
def test_a_producer_lets_our_stream_wait_or_else_the_default_one(
    context: CudaContext, reader_handle: int | None, stream: int, handle: int | None
) -> None:
    source = Given(array(), place=ON_CUDA)
    tensor = adopt(context, source, reader_handle=reader_handle, calls=Calls())
    assert source.asked == [{"stream": stream, "max_version": (1, 0)}]
    assert tensor.stream_handle == handle and tensor.ptr == source.array.ctypes.data


def test_a_producer_from_before_versions_is_taken() -> None:
    class Old(Given):
        def __dlpack__(self, *, stream: int | None = None) -> Any:
            return super().__dlpack__(stream=stream)

    assert dlpack.take(Old(array())).shape == (4, 6)


def test_managed_memory_is_of_every_device_and_the_drivers_word_counts(context: CudaContext) -> None:
    calls = Calls()
    assert adopt(context, Given(array(), place=(dlpack.CUDA_MANAGED, 5)), calls=calls).shape == (4, 6)
    calls.device_of = lambda ptr: 1  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="on device 1"):
        adopt(context, Given(array(), place=ON_CUDA), calls=calls)


def test_what_is_elsewhere_is_refused_before_it_is_asked_for(context: CudaContext) -> None:
    other = Given(array(), place=(dlpack.CUDA, 1))
    with pytest.raises(EngineError, match="DLPack tensor is on device 1, expected device 0"):
        adopt(context, other, calls=Calls())
    for place in ((dlpack.CPU, 0), (dlpack.CUDA_HOST, 0), (10, 0)):
        other = Given(array(), place=place)
        with pytest.raises(ShapeError, match="nor is it a DLPack tensor on a CUDA device"):
            adopt(context, other, calls=Calls())
        assert other.asked == []


def test_a_read_only_tensor_is_not_written(context: CudaContext) -> None:
    class ReadOnly(Given):
        def __dlpack__(self, **asked: Any) -> Any:
            capsule = super().__dlpack__(**asked)
            _, managed = dlpack._opened(capsule)
            assert isinstance(managed, dlpack.ManagedVersioned)
            managed.flags |= dlpack.READ_ONLY
            return capsule

    source = ReadOnly(array(), place=ON_CUDA)
    assert adopt(context, source, calls=Calls()).shape == (4, 6)
    with pytest.raises(ShapeError, match="is read-only"):
        adopt(context, source, is_written=True, calls=Calls())


def test_a_tensor_that_torch_does_not_give_is_refused_in_our_words() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ShapeError, match=r"Tensor gives no DLPack tensor \(.*require.*\): detach it"):
        dlpack.take(torch.zeros(3, requires_grad=True))
    with pytest.raises(ShapeError, match=r"Tensor is no DLPack tensor \(.*meta"):
        is_on_device(torch.zeros(3, device="meta"))


def test_planes_of_dlpack_tensors_are_a_picture(context: CudaContext) -> None:
    luma, chroma = Given(array("uint8", (4, 6)), place=ON_CUDA), Given(array("uint8", (2, 3, 2)), place=ON_CUDA)
    assert is_on_device((luma, chroma))
    planes = device_planes(context, (luma, chroma), "NV12", reader_handle=0x500, calls=Calls())
    assert pointers_of(planes) == ((luma.array.ctypes.data, 6), (chroma.array.ctypes.data, 6))
    assert streams_of(planes) == () and luma.asked[0]["stream"] == chroma.asked[0]["stream"] == 0x500
