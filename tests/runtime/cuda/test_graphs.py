"""Graphs of a stream's work: right under every schedule, refused with the reason, and nothing left after any error."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_lab import ERRORS, LAUNCH_FAILED, LabDriver, context_of

from edgeseg.errors import EngineError, MissingPackageError
from edgeseg.runtime.cuda import (
    CapturedMarks,
    CaptureRefused,
    Counters,
    CudaContext,
    DeviceMemory,
    DeviceTensor,
    Event,
    Live,
    Module,
    PinnedRing,
    Stream,
    capture,
)

COUNT = 8  # elements of a frame
PARAMS = np.dtype([("source", "u8"), ("target", "u8"), ("count", "i4")], align=True)
CUBIN = b"of the lab"
SEEDS = st.integers(0, 2**32 - 1)


def triple(lab: LabDriver, params: bytes) -> None:
    """Three times the frame and one; bytes wrap."""
    read = np.frombuffer(params, PARAMS)[0]
    source = lab.view(int(read["source"]), np.uint8, int(read["count"]))
    lab.view(int(read["target"]), np.uint8, int(read["count"]))[:] = source * 3 + 1


def make_lab(seed: int = 7) -> LabDriver:
    return LabDriver(seed, {CUBIN: {"triple": triple}})


def frames(number: int) -> Any:
    return np.random.default_rng(number).integers(0, 256, (number, COUNT), np.uint8)


class Slot:
    """One frame's place: a stream, buffers, and the graph of copy in, kernel, fill, copy out, with times."""

    def __init__(self, context: CudaContext, stack: contextlib.ExitStack) -> None:
        self.context = context
        self.stream = stack.enter_context(Stream(context))
        self.marks = stack.enter_context(CapturedMarks(context, 3))
        self.ring = stack.enter_context(PinnedRing(context, slots=2, shape=(COUNT,), dtype="uint8"))
        self.source, self.target = (DeviceTensor.empty(context, (COUNT,), "uint8") for _ in range(2))
        stack.callback(self.source.close)
        stack.callback(self.target.close)
        kernel = stack.enter_context(Module(context, CUBIN)).kernel("triple", PARAMS)
        params = np.array((int(self.source), int(self.target), COUNT), PARAMS)
        self.kernel = kernel.bound(params, grid=(1, 1), block=(COUNT, 1, 1))
        self.graph = stack.enter_context(capture(self.stream, self.work))

    def work(self) -> None:
        self.marks.reach(0, self.stream)
        self.stream.copy_in(self.source, self.ring.host(0))
        self.marks.reach(1, self.stream)
        self.stream.launch(self.kernel)
        self.stream.fill(self.source)
        self.stream.copy_out(self.ring.host(1), self.target)
        self.marks.reach(2, self.stream)

    def start(self, frame: Any) -> None:
        self.ring.host(0)[:] = frame
        self.graph.launch(self.stream)

    def finish(self) -> Any:
        self.marks.synchronize()
        assert min(self.marks.ms()) >= 1  # steps of the lab's scheduler
        return self.ring.host(1).copy()


def run(context: CudaContext, sent: Any, *, slots: int) -> list[Any]:
    """Every frame's result, through the graphs of ``slots`` places."""
    results: list[Any] = []
    with context.current(), contextlib.ExitStack() as stack:
        places = [Slot(context, stack) for _ in range(slots)]
        for index, frame in enumerate(sent):
            if index >= slots:
                results.append(places[index % slots].finish())
            places[index % slots].start(frame)
        for index in range(max(len(sent) - slots, 0), len(sent)):
            results.append(places[index % slots].finish())
    return results


def assert_nothing_is_left(context: CudaContext, lab: LabDriver) -> None:
    with contextlib.suppress(EngineError):  # of a lost device, told a second time
        context.release()
    assert context.counters().live.total == 0, context.counters()
    assert lab.living.total() == 0, lab.living
    assert lab.leaks == [] and lab.stack == [] and not lab.blocks and not lab.is_hung and lab.capturing is None


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, number=st.integers(0, 7), slots=st.integers(1, 3))
def test_every_frame_gets_its_own_result_under_every_schedule(seed: int, number: int, slots: int) -> None:
    lab = make_lab(seed)
    context, sent = context_of(lab), frames(number)
    assert np.array_equal(np.reshape(run(context, sent, slots=slots), (-1, COUNT)), sent * 3 + 1)
    assert context.counters().graph_launches == number
    assert_nothing_is_left(context, lab)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_threads_capture_and_launch_beside_each_other(seed: int) -> None:
    lab = make_lab(seed)
    context, sent = context_of(lab), [frames(number) for number in (3, 4, 5)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda one: run(context, one, slots=2), sent))
    for results, one in zip(found, sent, strict=True):
        assert np.array_equal(results, one * 3 + 1)
    assert_nothing_is_left(context, lab)


def test_each_call_in_turn_may_fail_and_nothing_is_left() -> None:
    lab = make_lab()
    run(context_of(lab), frames(3), slots=2)
    calls = len(lab.calls)
    failed = 0
    for call in range(1, calls + 1):
        lab = make_lab()
        context = context_of(lab)
        lab.fail(call, "unknown error")
        try:
            run(context, frames(3), slots=2)
        except EngineError as error:
            assert "unknown error" in str(error)
            failed += 1
        assert_nothing_is_left(context, lab)
    assert failed > 0.6 * calls  # what destructors are told is told to nobody


@pytest.mark.parametrize("words", [LAUNCH_FAILED, "an illegal memory access was encountered"])
def test_a_device_lost_at_any_call_is_told_as_that_and_nothing_is_left(words: str) -> None:
    lab = make_lab()
    run(context_of(lab), frames(2), slots=2)
    for call in range(1, len(lab.calls) + 1):
        lab_then = make_lab()
        context = context_of(lab_then)
        lab_then.fail(call, words, is_lost=True)
        with pytest.raises(EngineError, match=words) as caught:
            run(context, frames(2), slots=2)
            context.release()
        assert not isinstance(caught.value, CaptureRefused), lab.calls[call - 1]
        assert_nothing_is_left(context, lab_then)


@pytest.fixture
def lab() -> LabDriver:
    return make_lab()


def assert_usable(context: CudaContext, stream: Stream) -> None:
    """The stream does work, and captures."""
    host = context.pinned((4,), "uint8")
    with DeviceMemory(context, 4) as memory, capture(stream, lambda: stream.fill(memory, 9)) as graph:
        stream.fill(memory, 3)
        stream.copy_out(host, memory)
        stream.synchronize()
        assert host.tolist() == [3] * 4
        graph.launch(stream)
        stream.copy_out(host, memory)
        stream.synchronize()
        assert host.tolist() == [9] * 4


def waits_for_the_stream(context: CudaContext, stream: Stream) -> None:
    stream.synchronize()


def allocates(context: CudaContext, stream: Stream) -> None:
    DeviceMemory(context, 8)


def waits_for_work_outside(context: CudaContext, stream: Stream) -> None:
    event, other = Event(context), Stream(context)
    other.record(event)
    stream.wait_for(event)


def asks_for_a_captured_event(context: CudaContext, stream: Stream) -> None:
    event = Event(context)
    stream.record(event)
    event.is_reached  # noqa: B018  asking is the fault


def refuses_by_itself(context: CudaContext, stream: Stream) -> None:
    raise EngineError("the engine has shapes that depend on data", "run it plainly")


def goes_on_after_a_fault(context: CudaContext, stream: Stream) -> None:
    with contextlib.suppress(ERRORS["unknown error"]):
        stream.synchronize()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (waits_for_the_stream, "cuStreamSynchronize failed: operation not permitted when stream is capturing"),
        (allocates, "cuMemAlloc failed: operation not permitted when stream is capturing"),
        (waits_for_work_outside, "dependency created on uncaptured work in another stream"),
        (asks_for_a_captured_event, "cuEventQuery failed: operation not permitted"),
        (refuses_by_itself, "shapes that depend on data"),
        (goes_on_after_a_fault, "cuStreamEndCapture failed: operation failed due to a previous error during capture"),
    ],
)
def test_what_cannot_be_captured_is_refused_with_the_reason_and_the_stream_works_on(
    context: CudaContext, fault: Callable[[CudaContext, Stream], None], words: str
) -> None:
    with Stream(context) as stream, DeviceMemory(context, 4) as memory:

        def work() -> None:
            stream.fill(memory)
            fault(context, stream)

        with pytest.raises(CaptureRefused, match=f"does not become a CUDA graph .*{words}.*: run it without graphs"):
            capture(stream, work)
        assert_usable(context, stream)


@pytest.mark.parametrize("function", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"])
def test_no_memory_for_a_graph_refuses_the_capture(lab: LabDriver, context: CudaContext, function: str) -> None:
    with Stream(context) as stream, DeviceMemory(context, 4) as memory:
        place = ["cuStreamBeginCapture", "cuMemsetD8Async", "cuStreamEndCapture", "cuGraphInstantiate"].index(function)
        lab.fail(len(lab.calls) + 1 + place, "out of memory")
        with pytest.raises(CaptureRefused, match=f"{function} failed: out of memory"):
            capture(stream, lambda: stream.fill(memory))
        assert context.counters().live == Live(stream=1, device=1)
        assert_usable(context, stream)


def test_another_error_of_the_work_ends_the_capture_and_goes_through(context: CudaContext) -> None:
    def work() -> None:
        raise KeyboardInterrupt

    with Stream(context) as stream:
        with pytest.raises(KeyboardInterrupt):
            capture(stream, work)
        assert_usable(context, stream)


def test_captured_work_is_not_done_before_the_launch_and_counts_with_each(context: CudaContext) -> None:
    host = context.pinned((4,), "uint8")
    with Stream(context) as stream, DeviceMemory(context, 4) as memory:
        stream.fill(memory, 1)
        part = context.part()
        graph = capture(stream, lambda: stream.fill(memory, 2))
        stream.copy_out(host, memory)
        stream.synchronize()
        assert host.tolist() == [1] * 4
        context.reset_counters()
        for _ in range(3):
            graph.launch(stream)
        alive = Live(stream=1, device=1, pinned=1, graph=1)
        assert context.counters() == Counters(graph_launches=3, fills=3, live=alive) and part.counters() == Counters()
        stream.copy_out(host, memory)
        stream.synchronize()
        assert host.tolist() == [2] * 4
        graph.close()
        with pytest.raises(EngineError, match="this Graph is closed"):
            graph.launch(stream)


@pytest.mark.parametrize("seed", range(30))
def test_launches_of_one_graph_in_two_streams_keep_their_order(seed: int) -> None:
    """The second stream's work comes behind the first's launch, which its own launch waits for."""
    lab = make_lab(seed)
    context = context_of(lab)
    with context.current(), Stream(context) as one, Stream(context) as other, DeviceMemory(context, 8) as memory:
        host = context.pinned((8,), "uint8")
        graph = capture(one, lambda: one.fill(memory, 5))
        one.fill(memory, 1)
        graph.launch(one)
        graph.launch(other)
        other.copy_out(host, memory)
        other.synchronize()
        assert host.tolist() == [5] * 8
    del host, graph
    assert_nothing_is_left(context, lab)


def test_what_is_dropped_while_work_is_captured_is_freed_behind_it(lab: LabDriver, context: CudaContext) -> None:
    with Stream(context) as stream, DeviceMemory(context, 4) as memory:
        kept = [DeviceMemory(context, 8), DeviceMemory(context, 8)]
        kept.pop()  # dropped, not swept yet

        def work() -> None:
            kept.pop().close()
            with context.current():  # which sweeps elsewhere
                stream.fill(memory)
            assert lab.living["device"] == 2

        with capture(stream, work):
            assert lab.living["device"] == 1


def test_other_threads_free_what_they_close_while_one_captures(lab: LabDriver, context: CudaContext) -> None:
    with Stream(context) as stream, DeviceMemory(context, 4) as memory:
        other = DeviceMemory(context, 8)

        def work() -> None:
            thread = threading.Thread(target=other.close)
            thread.start()
            thread.join()
            assert lab.living["device"] == 1
            stream.fill(memory)

        with capture(stream, work):
            pass


def test_a_graph_is_freed_before_its_stream_and_also_where_it_was_dropped(lab: LabDriver) -> None:
    context = context_of(lab)
    with context.current():
        stream, memory = Stream(context), DeviceMemory(context, 4)
        kept = capture(stream, lambda: stream.fill(memory)), CapturedMarks(context, 2)
        dropped = capture(stream, lambda: stream.fill(memory))
        dropped.launch(stream)
    del dropped
    assert context.counters().live.graph == 2 and lab.living["graph"] == 2
    with context.current():
        assert context.counters().live.graph == 1 == lab.living["graph"]
    context.release()
    assert [one for one in lab.freed if one != "template"] == ["graph", "graph", "event", "event", "stream", "device"]
    assert kept[0].is_closed and lab.leaks == []


def test_graphs_without_cuda_bindings_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(make_lab())
    del context.bindings
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    with context.current(), Stream(context) as stream:
        with pytest.raises(MissingPackageError, match=r"pip install 'edgeseg\[cuda\]'"):
            capture(stream, lambda: None)
        with pytest.raises(MissingPackageError, match=r"pip install 'edgeseg\[cuda\]'"):
            CapturedMarks(context, 2)


def test_a_function_that_the_driver_has_not_refuses_the_capture(context: CudaContext) -> None:
    def absent(*_: object) -> None:
        raise RuntimeError('Function "cuStreamBeginCapture" not found')

    with Stream(context) as stream:
        context.bindings.cuStreamBeginCapture = absent  # type: ignore[attr-defined]
        with pytest.raises(CaptureRefused, match=r"not found\): install the cuda-bindings of the driver"):
            capture(stream, lambda: None)
