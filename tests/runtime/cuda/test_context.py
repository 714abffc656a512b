"""How one context serves threads, ends with the process, and refuses a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from device_lab import Device
from stream_lab import LabDriver, context_of

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import CudaContext, DeviceMemory, Event, PinnedRing, Stream, primary_context

LAB = Path(__file__).resolve().parents[2] / "lab"


@pytest.fixture
def lab() -> LabDriver:
    return LabDriver(seed=5)


@pytest.fixture
def context(lab: LabDriver) -> CudaContext:
    return context_of(lab)


def test_blocks_nest_and_leave_the_stack_as_it_was(lab: LabDriver, context: CudaContext) -> None:
    with context.current():
        with context.current():
            assert len(lab.stack) == 2
        assert len(lab.stack) == 1
    with pytest.raises(KeyError), context.current():
        raise KeyError
    assert lab.stack == []


def test_every_thread_has_a_stack_of_its_own(lab: LabDriver, context: CudaContext) -> None:
    both = threading.Barrier(4)

    def work(_: int) -> int:
        with context.current():
            both.wait(10)
            with Stream(context) as stream:
                stream.synchronize()
            return len(lab.stack)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [1] * 4
    assert context.counters().live.total == 0 and lab.leaks == []


def test_a_handle_dropped_where_no_context_is_current_is_freed_by_the_next_block(
    lab: LabDriver, context: CudaContext
) -> None:
    with context.current():
        kept = [DeviceMemory(context, 8), Event(context)]
    thread = threading.Thread(target=kept.clear)
    thread.start()
    thread.join()
    assert context.counters().live.total == 2 and lab.leaks == []
    with context.current():
        assert context.counters().live.total == 0 == lab.living.total()
    assert lab.leaks == []


def test_a_handle_may_be_closed_twice_and_in_any_thread(lab: LabDriver, context: CudaContext) -> None:
    with context.current():
        stream = Stream(context)
    thread = threading.Thread(target=stream.close)
    thread.start()
    thread.join()
    stream.close()
    assert context.counters().live.total == 0 == lab.living.total()
    with context.current(), pytest.raises(EngineError, match="this Stream is closed"):
        stream.synchronize()


def test_a_kept_error_keeps_nothing_of_the_device(lab: LabDriver, context: CudaContext) -> None:
    def work() -> None:
        event = Event(context)
        lab.fail(len(lab.calls) + 1, "unknown error")
        Stream(context).record(event)

    with pytest.raises(EngineError, match="unknown error") as caught, context.current():
        work()
    assert caught.value.__cause__ is not None
    assert context.counters().live.total == 0 == lab.living.total() and lab.leaks == []


def test_no_room_says_what_was_asked_what_was_free_and_what_to_lower(context: CudaContext) -> None:
    words = r"no room for device memory of 1048577 bytes, of the device's 1048576 are 1048320 free .*: lower the frames"
    with context.current():
        kept = DeviceMemory(context, 256)
        with pytest.raises(EngineError, match=words):
            DeviceMemory(context, (1 << 20) + 1)
        assert context.counters().live.device == 1
        kept.close()


def test_the_memory_of_a_dropped_handle_is_there_for_the_next(context: CudaContext) -> None:
    with context.current():
        for _ in range(3):
            DeviceMemory(context, 1 << 20)  # each is all that there is


def test_release_frees_in_order_once_and_refuses_later_use(lab: LabDriver, context: CudaContext) -> None:
    with context.current():
        kept = (DeviceMemory(context, 8), PinnedRing(context, slots=1, shape=(2,), dtype="uint8"), Stream(context))
    context.release()
    context.release()
    assert lab.calls.count("cuCtxSynchronize") == 1 and not lab.stack
    assert lab.freed == ["stream", "device"]  # the ring's arrays may be in use
    assert context.counters().live.pinned == 1 == context.counters().live.total
    kept[0].close()
    with pytest.raises(EngineError, match="has been released"), context.current():
        pass


def test_a_release_whose_work_failed_says_so_and_frees_nevertheless(lab: LabDriver, context: CudaContext) -> None:
    with context.current():
        kept = DeviceMemory(context, 8)
    lab.fail(len(lab.calls) + 2, "unknown error", is_lost=True)
    with pytest.raises(EngineError, match="unknown error"):
        context.release()
    assert kept.is_closed and context.counters().live.total == 0 == lab.living.total()


ENDS = """
import atexit
from stream_lab import LabDriver, context_of
from edgeseg.runtime.cuda import DeviceMemory, Stream
from edgeseg.runtime.cuda.context import release_at_exit

lab = LabDriver()
atexit.register(lambda: print(lab.freed, lab.leaks))
context = context_of(lab)
release_at_exit(context)
with context.current():
    kept = DeviceMemory(context, 8), Stream(context)
raise KeyError("of the program")
"""

FORKS = """
import os
import sys
from stream_lab import LabDriver, context_of
from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import Stream
from edgeseg.runtime.cuda.context import release_at_exit

lab = LabDriver()
context = context_of(lab)
release_at_exit(context)
with context.current():
    stream = Stream(context)
calls = len(lab.calls)
child = os.fork()
if child == 0:
    stream.close()
    context.release()
    try:
        with context.current():
            pass
    except EngineError as error:
        print(error, flush=True)
    sys.exit(len(lab.calls) - calls)
print(os.waitpid(child, 0)[1], flush=True)
with context.current():
    stream.synchronize()
"""


def output_of(program: str, *, code: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(LAB)},
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_a_process_that_ends_by_an_exception_frees_in_order_first() -> None:
    assert output_of(ENDS, code=1).strip() == "['stream', 'device'] []"


def test_a_fork_is_refused_with_the_reason_and_touches_nothing() -> None:
    said = output_of(FORKS, code=0).splitlines()
    assert "and this is its fork" in said[0] and "multiprocessing's 'spawn'" in said[0]
    assert said[1] == "0"  # the child made no call of CUDA's, nor at its end


PRIMARY = """
import atexit
atexit.register(lambda: print(context.is_usable, context.counters().live.total))
from edgeseg.runtime.cuda import Stream, primary_context
context = primary_context()
assert context is primary_context()
with context.current():
    kept = Stream(context), context.device_bytes(8), context.pinned((2, 3), "float32")
assert context.counters().live.total == 3
raise SystemExit(3)
"""


def test_the_primary_context_ends_without_pycudas_complaints(device: Device) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRIMARY], capture_output=True, text=True, check=False, env=device.environment()
    )
    assert (done.returncode, done.stderr, done.stdout) == (3, "", "False 1\n")  # the array is in use


def test_a_device_that_cannot_be_used_is_named(device: Device) -> None:
    with device.inside(), pytest.raises(EngineError, match=r"CUDA device 1 cannot be used .*: check the driver"):
        primary_context(1)
