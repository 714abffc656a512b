"""What memory is like, who keeps it, and which foreign memory is taken."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from stream_lab import LabDriver, context_of
from stream_objects import LabMark

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda import (
    CudaContext,
    DeviceMemory,
    DeviceTensor,
    Kernel,
    Module,
    PinnedRing,
    Stream,
    adopt,
    adopt_pointer,
)
from edgeseg.runtime.cuda.calls import driver_calls

PARAMS = np.dtype([("target", "u8")])


def fill(lab: LabDriver, params: bytes) -> None:
    lab.view(int(np.frombuffer(params, PARAMS)[0]["target"]), np.uint8, 4)[:] = 7


@pytest.fixture
def lab() -> LabDriver:
    return LabDriver(seed=1, images={b"cubin": {"fill": fill}})


class Calls:
    """The driver's functions: memory of device 0 and 1, and of the host from 1 MB on."""

    def __init__(self) -> None:
        self.waited: list[tuple[int, int]] = []

    def device_of(self, ptr: int) -> int | None:
        return None if ptr >= 1 << 20 else int(ptr >= 1 << 16)

    def let_wait(self, reader: int, foreign: int) -> None:
        self.waited.append((reader, foreign))


def array(**changes: Any) -> SimpleNamespace:
    told = {"shape": (2, 3), "typestr": "<f4", "data": (4096, False), "version": 3, "strides": None, "stream": None}
    return SimpleNamespace(__cuda_array_interface__=told | changes)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (1, 3, 7, 11)])
def test_a_tensor_is_aligned_contiguous_and_told_as_the_interface_says(
    context: CudaContext, shape: tuple[int, ...]
) -> None:
    tensor = DeviceTensor.empty(context, shape, "float16")
    assert tensor.ptr % 256 == 0 and tensor.is_contiguous and tensor.nbytes == 2 * np.prod(shape)
    assert tensor.pitches == np.empty(shape, np.float16).strides
    told = tensor.written_on(0x77).__cuda_array_interface__
    assert told == {
        "shape": shape, "typestr": "<f2", "data": (tensor.ptr, False), "version": 3, "strides": None, "stream": 0x77,
    }  # fmt: skip
    tensor.close()
    tensor.close()
    with pytest.raises(EngineError, match="was freed"):
        tensor.__cuda_array_interface__  # noqa: B018  reading it is the use
    with pytest.raises(EngineError, match="was freed"):
        int(tensor)


def test_a_tensor_with_a_pitch_tells_it(context: CudaContext) -> None:
    rows = adopt_pointer(context, 512, shape=(4, 5), dtype="uint8", pitches=(8, 1), calls=Calls())
    assert not rows.is_contiguous and rows.nbytes == 20
    assert rows.__cuda_array_interface__["strides"] == (8, 1)
    assert adopt_pointer(context, 512, shape=(1, 5), dtype="uint8", pitches=(8, 1), calls=Calls()).is_contiguous


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (-1,)])
def test_a_tensor_without_elements_is_refused(context: CudaContext, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="sides of 1 or more"):
        DeviceTensor.empty(context, shape, "uint8")


def test_a_pinned_array_is_zeroed(context: CudaContext) -> None:
    array = context.pinned((3, 5), "float32")
    assert array.shape == (3, 5) and array.dtype == np.float32 and not array.any()


def test_a_view_of_a_ring_outlives_it_and_then_lets_its_memory_go(lab: LabDriver, context: CudaContext) -> None:
    with PinnedRing(context, slots=3, shape=(2, 4), dtype="int16") as ring:
        assert len(ring) == 3 and not ring.host(1).any() and ring.host(1).dtype == np.int16
        ring.host(1)[:] = 5
        view = ring.host(1)[1:, ::2]
    context.sweep()
    assert context.counters().live.pinned == 1 == lab.living["pinned"]
    assert view.tolist() == [[5, 5]]
    del view
    context.sweep()
    assert context.counters().live.pinned == 0 == lab.living["pinned"]
    with pytest.raises(EngineError, match="this ring is closed"):
        ring.host(0)


def test_a_kernel_writes_a_mapped_ring_without_a_copy(context: CudaContext) -> None:
    with PinnedRing(context, slots=2, shape=(2, 2), dtype="uint8", is_mapped=True) as ring, Stream(context) as stream:
        target = ring.device(1)
        with Module(context, b"cubin") as module:
            kernel = module.kernel("fill", PARAMS)
            stream.launch(kernel, np.array((int(target),), PARAMS), grid=(1,), block=(4, 1, 1))
            stream.synchronize()
        assert ring.host(1).tolist() == [[7, 7], [7, 7]] and not ring.host(0).any()
        assert context.counters().copies_in == context.counters().copies_out == 0
        del target


def test_a_ring_that_is_not_mapped_has_no_device_side(context: CudaContext) -> None:
    with PinnedRing(context, slots=1, shape=(2,), dtype="uint8") as ring, pytest.raises(EngineError, match="is_mapped"):
        ring.device(0)


def test_a_ring_that_gets_no_room_keeps_nothing(lab: LabDriver, context: CudaContext) -> None:
    lab.fail(len(lab.calls) + 3, "out of memory")
    with pytest.raises(EngineError, match=r"no room for page-locked host memory of 64 bytes") as caught:
        PinnedRing(context, slots=4, shape=(64,), dtype="uint8")
    context.sweep()
    assert context.counters().live.total == 0, caught  # also while the error is kept


@pytest.mark.parametrize("is_integrated", [False, True])
def test_a_context_knows_whether_its_device_shares_the_hosts_memory(
    lab: LabDriver, context: CudaContext, is_integrated: bool
) -> None:
    lab.is_integrated = is_integrated
    assert context.is_integrated is is_integrated


def test_copies_of_another_size_or_layout_are_refused(context: CudaContext) -> None:
    tensor, host = DeviceTensor.empty(context, (2, 4), "uint8"), context.pinned((2, 4), "float32")
    with Stream(context) as stream:
        with pytest.raises(ShapeError, match="32 bytes does not fit the device's 8"):
            stream.copy_in(tensor, host)
        with pytest.raises(ShapeError, match="not C-contiguous"):
            stream.copy_out(host[:, ::2], tensor)
        with pytest.raises(ShapeError, match="32 bytes does not fit the device's 16"):
            stream.copy_out(host, DeviceMemory(context, 16))
        assert context.counters().copies_in == context.counters().copies_out == 0


@pytest.mark.parametrize("count", [1, 7, 8])
def test_memory_of_the_device_is_filled_and_copied_across(context: CudaContext, count: int) -> None:
    host = context.pinned((count,), "uint8")
    first, second = DeviceTensor.empty(context, (count,), "uint8"), DeviceMemory(context, count)
    with Stream(context) as stream:
        stream.fill(first)
        stream.fill(second, 201)
        stream.copy_across(first, second)
        stream.fill(second, 0)
        stream.copy_out(host, first)
        stream.synchronize()
        assert host.tolist() == [201] * count
        stream.copy_out(host, second)
        stream.synchronize()
        assert not host.any()


def test_fills_and_copies_across_that_do_not_fit_are_refused(context: CudaContext) -> None:
    rows = adopt_pointer(context, 512, shape=(4, 5), dtype="uint8", pitches=(8, 1), calls=Calls())
    with Stream(context) as stream, DeviceMemory(context, 20) as memory, DeviceMemory(context, 21) as larger:
        for byte in (-1, 256):
            with pytest.raises(ShapeError, match=f"filling with {byte}: give a byte"):
                stream.fill(memory, byte)
        with pytest.raises(ShapeError, match=r"pitches \(8, 1\) is not contiguous"):
            stream.fill(rows)
        with pytest.raises(ShapeError, match=r"pitches \(8, 1\) is not contiguous"):
            stream.copy_across(memory, rows)
        with pytest.raises(ShapeError, match="a copy of 20 bytes to 21"):
            stream.copy_across(larger, memory)
        assert context.counters().fills == context.counters().copies_across == 0


def test_a_bound_launch_is_launched_often_and_keeps_what_it_was_given(context: CudaContext) -> None:
    host = context.pinned((4,), "uint8")
    with Stream(context) as stream, DeviceMemory(context, 4) as memory, Module(context, b"cubin") as module:
        params = np.array((int(memory),), PARAMS)
        bound = module.kernel("fill", PARAMS).bound(params, grid=(1,), block=(4, 1, 1))
        params["target"] = 0
        for _ in range(2):
            stream.fill(memory)
            stream.launch(bound)
            stream.copy_out(host, memory)
            stream.synchronize()
            assert host.tolist() == [7] * 4
        assert context.counters().launches == 2
        module.close()
        with pytest.raises(EngineError, match="this Module is closed"):
            stream.launch(bound)


def test_a_foreign_array_is_taken_without_a_copy_and_kept(context: CudaContext) -> None:
    source, calls = array(), Calls()
    tensor = adopt(context, source, shape=(2, 3), dtype="float32", calls=calls)
    assert (tensor.ptr, tensor.shape, tensor.dtype, tensor.owner) == (4096, (2, 3), np.dtype("f4"), source)
    tensor.close()  # which is not ours to free
    assert int(tensor) == 4096 and calls.waited == [] and tensor.stream_handle is None


@pytest.mark.parametrize("handle", [1, 2, 0x7FFF00001230])
def test_the_readers_stream_waits_for_the_foreign_one_and_the_host_does_not(context: CudaContext, handle: int) -> None:
    calls = Calls()
    tensor = adopt(context, array(stream=handle), calls=calls)
    assert tensor.stream_handle == handle and calls.waited == []
    with Stream(context) as stream:
        stream.wait_for_foreign(handle, calls=calls)
        stream.wait_for_foreign(stream.handle, calls=calls)  # which has its order already
        assert calls.waited == [(stream.handle, handle)]
    assert (context.counters().stream_waits, context.counters().synchronisations) == (1, 0)


class LabCalls(Calls):
    """``let_wait`` on the lab's streams."""

    def __init__(self, lab: LabDriver) -> None:
        super().__init__()
        self._lab = lab

    def device_of(self, ptr: int) -> int | None:
        return 0

    def let_wait(self, reader: int, foreign: int) -> None:
        queues = {0x5EED00 + one.number: one.work for one in self._lab.queues}
        mark = LabMark()
        queues[foreign].append(mark)
        queues[reader].append((mark,))


@pytest.mark.parametrize("is_waiting", [True, False])
def test_what_a_foreign_stream_writes_is_there_when_we_read(is_waiting: bool) -> None:
    stale = 0
    for seed in range(40):
        lab = LabDriver(seed=seed, images={b"cubin": {"fill": fill}})
        context = context_of(lab)
        with context.current(), Stream(context) as theirs, Stream(context) as ours, Module(context, b"cubin") as module:
            tensor, host = DeviceTensor.empty(context, (4,), "uint8"), context.pinned((4,), "uint8")
            params = np.array((int(tensor),), PARAMS)
            theirs.launch(module.kernel("fill", PARAMS), params, grid=(1,), block=(4, 1, 1))
            foreign = array(shape=(4,), typestr="|u1", data=(tensor.ptr, False), stream=theirs.handle)
            taken = adopt(context, foreign, calls=LabCalls(lab))
            assert taken.stream_handle is not None
            if is_waiting:
                ours.wait_for_foreign(taken.stream_handle, calls=LabCalls(lab))
            ours.copy_out(host, taken)
            ours.synchronize()
            stale += host.tolist() != [7] * 4
        context.release()
    assert (stale == 0) is is_waiting  # without the wait the lab shows it


def test_our_own_tensor_goes_through_the_interface_unchanged(context: CudaContext) -> None:
    ours = DeviceTensor.empty(context, (3, 4), "int32")
    calls = Calls()
    calls.device_of = lambda ptr: 0  # type: ignore[method-assign]
    again = adopt(context, ours, calls=calls)
    assert (again.ptr, again.shape, again.pitches) == (ours.ptr, ours.shape, ours.pitches)


def test_a_tensor_of_another_device_is_refused_without_asking_the_driver(context: CudaContext) -> None:
    ours = DeviceTensor.empty(context, (3, 4), "int32")
    assert ours.ordinal == context.ordinal == 0
    with pytest.raises(EngineError, match="the tensor is on device 1, expected device 0"):
        adopt(context, replace(ours, ordinal=1))


@pytest.mark.parametrize(
    ("changes", "options", "error", "words"),
    [
        ({"shape": (2, 4)}, {"shape": (2, 3)}, ShapeError, r"float32 \(2, 4\), expected any type \(2, 3\)"),
        ({"typestr": "<i4"}, {"dtype": "float32"}, ShapeError, r"int32 \(2, 3\), expected float32 any shape"),
        ({"typestr": ">f4"}, {}, ShapeError, "native order"),
        ({"shape": (0, 3)}, {}, ShapeError, "sides from 1 on"),
        ({"strides": (24, 8)}, {}, ShapeError, r"pitches \(24, 8\): make it C-contiguous"),
        ({"data": (4096, True)}, {"is_written": True}, ShapeError, "read-only"),
        ({"stream": 0}, {}, ShapeError, "a stream other than 0"),
        ({"version": 1}, {}, ShapeError, "version 1"),
        ({"mask": object()}, {}, ShapeError, "a mask"),
        ({"data": (1 << 16, False)}, {}, EngineError, "is on device 1, expected device 0"),
        ({"data": (1 << 20, False)}, {}, EngineError, "not in device memory"),
    ],
)
def test_a_foreign_array_that_does_not_fit_is_refused_with_the_reason(
    context: CudaContext, changes: dict[str, Any], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        adopt(context, array(**changes), calls=Calls(), **options)


def test_what_has_no_interface_is_refused(context: CudaContext) -> None:
    with pytest.raises(ShapeError, match="ndarray has no __cuda_array_interface__"):
        adopt(context, np.zeros(3), calls=Calls())


def test_a_strided_read_only_array_is_taken_where_that_is_allowed(context: CudaContext) -> None:
    tensor = adopt(context, array(strides=(24, 8), data=(4096, True)), is_contiguous=False, calls=Calls())
    assert tensor.pitches == (24, 8)


@pytest.mark.parametrize(
    ("ptr", "options", "error", "words"),
    [
        (1 << 16, {"shape": (2,)}, EngineError, "on device 1"),
        (512, {"shape": (0,)}, ShapeError, "from 1 on"),
        (512, {"shape": (2, 2), "pitches": (2,)}, ShapeError, "a pitch for each side"),
    ],
)
def test_a_raw_address_is_checked(
    context: CudaContext, ptr: int, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        adopt_pointer(context, ptr, dtype="uint8", calls=Calls(), **options)


LIBRARY = """
#include <stdio.h>
#include <string.h>
typedef unsigned long long ptr_t;
int cuPointerGetAttribute(int *value, int attribute, ptr_t ptr) {
    if (ptr == 0x1234567890abull) { *value = attribute == 2 ? 2 : 3; return attribute == 2 || attribute == 9 ? 0 : 1; }
    if (ptr == 0x2000) { *value = attribute == 2 ? 1 : 0; return 0; }  /* page-locked host memory */
    return 1;
}
static char said[400];
const char *calls(void) { return said; }
static int note(const char *name, void *a, unsigned long long b, int code) {
    char line[80];
    snprintf(line, sizeof line, "%s %p %llx;", name, a, b);
    strcat(said, line);
    return code;
}
#define EVENT ((void *)0x7fffeeee0010ull)
int cuEventCreate(void **event, unsigned flags) { *event = EVENT; return note("create", 0, flags, 0); }
int cuEventRecord(void *event, void *stream) {
    return note("record", event, (ptr_t)stream, stream == (void *)9 ? 400 : 0);
}
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
    return note("wait", stream, (ptr_t)event + flags, 0);
}
int cuEventDestroy_v2(void *event) { return note("destroy", event, 0, 0); }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the stand-in of CUDA's driver")
    folder = tmp_path_factory.mktemp("cuda")
    source, library = folder / "cuda.c", folder / "cuda.so"
    source.write_text(LIBRARY)
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return library


def test_the_drivers_library_is_asked_as_cuda_h_has_it(library: Path) -> None:
    calls = driver_calls(str(library))
    assert [calls.device_of(ptr) for ptr in (0x1234567890AB, 0x2000, 0x3000)] == [3, None, None]
    with pytest.raises(EngineError, match="cannot be loaded"):
        driver_calls(str(library.with_name("absent.so")))


def test_a_stream_is_let_wait_by_an_event_that_is_destroyed_also_where_the_driver_refuses(library: Path) -> None:
    said = ctypes.CDLL(str(library)).calls
    said.restype = ctypes.c_char_p
    calls = driver_calls(str(library))
    calls.let_wait(0x7FFFFFFF0008, 0x7FFF12340000)
    with pytest.raises(EngineError, match=r"0x5 cannot wait for the foreign stream 0x9 \(CUDA error 400\)"):
        calls.let_wait(5, 9)
    event = "0x7fffeeee0010"
    assert said().decode().replace("(nil)", "0").split(";") == [
        "create 0 2", f"record {event} 7fff12340000", "wait 0x7fffffff0008 7fffeeee0010", f"destroy {event} 0",
        "create 0 2", f"record {event} 9", f"destroy {event} 0", "",
    ]  # fmt: skip


def test_a_module_says_what_it_does_not_take(context: CudaContext) -> None:
    with pytest.raises(EngineError, match=r"does not load the compiled kernels .*: update the driver, or remove"):
        Module(context, b"for another device")
    with Module(context, b"cubin") as module, Stream(context) as stream:
        with pytest.raises(EngineError, match="no 'absent'"):
            module.kernel("absent", PARAMS)
        kernel = module.kernel("fill", PARAMS)
        assert isinstance(kernel, Kernel)
        with pytest.raises(ShapeError, match="fill got 2 x"):
            stream.launch(kernel, np.zeros(2, PARAMS), grid=(1,), block=(1, 1, 1))
        with pytest.raises(ShapeError, match="fill got 1 x int64, expected one"):
            stream.launch(kernel, np.zeros(1, np.int64), grid=(1,), block=(1, 1, 1))
    with pytest.raises(EngineError, match="this Module is closed"):
        module.kernel("fill", PARAMS)
