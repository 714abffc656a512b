"""A pipeline of two streams on the floor: right under every schedule, and nothing left after any error."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_lab import ERRORS, LAUNCH_FAILED, Deadlock, LabDriver, Stuck, context_of

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import CudaContext, DeviceTensor, Event, Module, PinnedRing, Stream

COUNT = 8  # elements of a frame
PARAMS = np.dtype([("source", "u8"), ("target", "u8"), ("count", "i4")], align=True)
CUBIN = b"of the lab"
SEEDS = st.integers(0, 2**32 - 1)
WAITS = ("copied", "computed", "drained")  # input before kernel, kernel before output, output before reuse


def triple(lab: LabDriver, params: bytes) -> None:
    """Three times the frame and one; bytes wrap."""
    read = np.frombuffer(params, PARAMS)[0]
    source = lab.view(int(read["source"]), np.uint8, int(read["count"]))
    lab.view(int(read["target"]), np.uint8, int(read["count"]))[:] = source * 3 + 1


def stuck(lab: LabDriver, params: bytes) -> None:
    raise Stuck


def make_lab(seed: int, kernel: Any = triple) -> LabDriver:
    return LabDriver(seed, {CUBIN: {"triple": kernel}})


def frames(number: int) -> Any:
    return np.random.default_rng(number).integers(0, 256, (number, COUNT), np.uint8)


def run(context: CudaContext, sent: Any, *, slots: int, without: str = "") -> list[Any]:
    """Every frame's result, taken through ``slots`` places by one stream that copies and one that computes."""
    results: list[Any] = []
    with context.current(), contextlib.ExitStack() as stack:
        copying, computing = stack.enter_context(Stream(context)), stack.enter_context(Stream(context))
        marks = {name: [stack.enter_context(Event(context)) for _ in range(slots)] for name in WAITS}
        inputs = stack.enter_context(PinnedRing(context, slots=slots, shape=(COUNT,), dtype="uint8"))
        outputs = stack.enter_context(PinnedRing(context, slots=slots, shape=(COUNT,), dtype="uint8"))
        tensors = [DeviceTensor.empty(context, (COUNT,), "uint8") for _ in range(2 * slots)]
        for tensor in tensors:
            stack.callback(tensor.close)
        kernel = stack.enter_context(Module(context, CUBIN)).kernel("triple", PARAMS)

        def take(slot: int) -> None:
            if without != "drained":
                marks["drained"][slot].synchronize()
            results.append(outputs.host(slot).copy())

        for index, frame in enumerate(sent):
            slot = index % slots
            if index >= slots:
                take(slot)
            device_in, device_out = tensors[2 * slot : 2 * slot + 2]
            inputs.host(slot)[:] = frame
            copying.copy_in(device_in, inputs.host(slot))
            copying.record(marks["copied"][slot])
            if without != "copied":
                computing.wait_for(marks["copied"][slot])
            params = np.array((int(device_in), int(device_out), COUNT), PARAMS)
            computing.launch(kernel, params, grid=(1, 1), block=(COUNT, 1, 1))
            computing.record(marks["computed"][slot])
            if without != "computed":
                copying.wait_for(marks["computed"][slot])
            copying.copy_out(outputs.host(slot), device_out)
            copying.record(marks["drained"][slot])
        for index in range(max(len(sent) - slots, 0), len(sent)):
            take(index % slots)
    return results


def assert_nothing_is_left(context: CudaContext, lab: LabDriver) -> None:
    with contextlib.suppress(EngineError):  # of a lost device, told a second time
        context.release()
    assert context.counters().live.total == 0, context.counters()
    assert lab.living.total() == 0 and lab.leaks == [] and lab.stack == [] and not lab.blocks and not lab.is_hung


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, number=st.integers(0, 7), slots=st.integers(1, 3))
def test_every_frame_gets_its_own_result_under_every_schedule(seed: int, number: int, slots: int) -> None:
    lab = make_lab(seed)
    context, sent = context_of(lab), frames(number)
    results = run(context, sent, slots=slots)
    assert np.array_equal(np.reshape(results, (-1, COUNT)), sent * 3 + 1)
    assert_nothing_is_left(context, lab)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_several_pipelines_in_threads_of_one_context_keep_apart(seed: int) -> None:
    lab = make_lab(seed)
    context, sent = context_of(lab), [frames(number) for number in (3, 4, 5)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda one: run(context, one, slots=2), sent))
    for results, one in zip(found, sent, strict=True):
        assert np.array_equal(results, one * 3 + 1)
    assert_nothing_is_left(context, lab)


@pytest.mark.parametrize("without", WAITS)
def test_a_wait_that_is_left_out_is_seen_under_some_schedule(without: str) -> None:
    sent, wrong = frames(5), 0
    for seed in range(40):
        results = run(context_of(make_lab(seed)), sent, slots=2, without=without)
        wrong += not np.array_equal(results, sent * 3 + 1)
    assert wrong > 0


def test_the_same_seed_is_the_same_schedule_and_another_is_another() -> None:
    def calls_until_done(seed: int) -> list[int]:
        lab, seen = make_lab(seed), []
        lab.called_before = lab.called  # type: ignore[attr-defined]
        lab.called = lambda *words, **options: (  # type: ignore[method-assign]
            lab.called_before(*words, **options),  # type: ignore[attr-defined]
            seen.append(lab.steps),
        )
        run(context_of(lab), frames(4), slots=2)
        return seen

    assert calls_until_done(3) == calls_until_done(3)
    assert len({tuple(calls_until_done(seed)) for seed in range(12)}) > 6


def calls_of_a_run(seed: int) -> tuple[int, int]:
    """Calls and pieces of work of an undisturbed run, with its release."""
    lab = make_lab(seed)
    context = context_of(lab)
    run(context, frames(4), slots=2)
    context.release()
    return len(lab.calls), lab.steps


@settings(max_examples=250, deadline=None)
@given(
    seed=SEEDS,
    share=st.floats(0, 1, exclude_max=True),
    words=st.sampled_from(sorted(ERRORS)),
    is_lost=st.booleans(),
)
def test_an_error_at_any_call_leaves_nothing_and_does_not_hang(
    seed: int, share: float, words: str, is_lost: bool
) -> None:
    lab = make_lab(seed)
    context = context_of(lab)
    lab.fail(1 + int(share * calls_of_a_run(seed)[0]), words, is_lost=is_lost)
    with pytest.raises(EngineError) as caught:
        run(context, frames(4), slots=2)
        context.release()
    assert words in str(caught.value)
    del caught
    assert_nothing_is_left(context, lab)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_call_in_turn_may_fail(seed: int) -> None:
    for call in range(1, calls_of_a_run(seed)[0] + 1):
        lab = make_lab(seed)
        context = context_of(lab)
        lab.fail(call, "out of memory")
        with contextlib.suppress(EngineError):
            run(context, frames(4), slots=2)
        assert_nothing_is_left(context, lab)


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, share=st.floats(0, 1, exclude_max=True))
def test_a_device_lost_in_flight_is_told_and_leaves_nothing(seed: int, share: float) -> None:
    lab = make_lab(seed)
    context = context_of(lab)
    lab.lose_at(1 + int(share * calls_of_a_run(seed)[1]))
    with pytest.raises(EngineError, match=LAUNCH_FAILED):
        run(context, frames(4), slots=2)
        context.release()
    assert_nothing_is_left(context, lab)


def test_a_kernel_that_never_ends_is_found_by_the_lab() -> None:
    with pytest.raises(Deadlock, match="pieces are left"):
        run(context_of(make_lab(0, stuck)), frames(1), slots=1)


def test_the_counters_of_a_run_are_what_it_asked_for() -> None:
    context = context_of(make_lab(0))
    run(context, frames(5), slots=2)
    found = context.counters()
    assert (found.copies_in, found.copies_out, found.launches) == (5, 5, 5)
    assert found.bytes_in == found.bytes_out == 5 * COUNT
    assert (found.stream_waits, found.synchronisations, found.live.total) == (10, 5, 0)
