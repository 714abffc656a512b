"""Which shapes a TensorRT engine's slots take, one after the other and side by side, on the stand-in's device."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_lab import Device
from engine_lab import BUILT_IN, CLASSES, MODEL, SIZE_HW, Build, expected_of

from edgeseg.errors import EngineError
from edgeseg.runtime.cuda import Event, Stream
from edgeseg.runtime.engines import load_engine
from edgeseg.runtime.engines.tensorrt import TensorRTEngine
from edgeseg.runtime.engines.trt_slot import Slot
from edgeseg.spec import ProfileSpec

pytest.importorskip("openvino", exc_type=ImportError)

TOLERANCE = 1e-4  # two float32 convolutions of 27 products, summed in another order
SLOW_S = 0.2
HALF = 2**-10  # float16 keeps 11 bits of the fraction
SMALL = ProfileSpec(minimum=(1, 32, 32), optimum=(1, 32, 64), maximum=(1, 64, 64))
LARGE = ProfileSpec(minimum=(1, 48, 64), optimum=(2, 64, 128), maximum=(3, 96, 160), step_hw=(16, 32))
WIDE = ProfileSpec(minimum=(1, 32, 32), optimum=(1, 32, 64), maximum=(1, 32, 96))
#: of the first profile, the second, and both
SHAPES = [(1, (32, 64)), (3, (96, 160)), (1, (33, 41)), (2, (48, 128)), (1, (64, 64)), (1, (32, 64))]
Open = Callable[..., TensorRTEngine]


@pytest.fixture
def opened(device: Device, build: Build) -> Iterator[Open]:
    """``opened(slots=..., **build's)`` -> the engine, on a device and closed at the end."""
    with device.inside(version=BUILT_IN):
        engines = []

        def open_engine(*, slots: int = 1, graphs: bool = False, **options: Any) -> TensorRTEngine:
            path: Path = build(**options)
            engine = load_engine(path, slots=slots, graphs=graphs)
            assert isinstance(engine, TensorRTEngine)
            engines.append(engine)
            return engine

        yield open_engine
        for one in engines:
            one.close()


def picture(seed: int, batch: int, size_hw: tuple[int, int]) -> Any:
    return np.random.default_rng(seed).normal(size=(batch, 3, *size_hw)).astype(np.float32)


def enqueue(engine: TensorRTEngine, slot: int, stream: Stream, image: Any) -> Any:
    """Copy in, run, copy out, without waiting; the array is filled when the stream is done."""
    source, target = engine.device_input(slot), engine.device_output(slot)
    pinned = engine.cuda.pinned(source.shape, source.dtype.str)
    pinned[:] = image
    scores = engine.cuda.pinned(target.shape, target.dtype.str)
    stream.copy_in(source, pinned)
    engine.enqueue(slot, stream)
    stream.copy_out(scores, target)
    return scores


@pytest.mark.parametrize("profiles", [(SMALL, LARGE), (LARGE, SMALL)], ids=["larger", "smaller"])
def test_a_slot_gives_the_nets_results_at_every_batch_and_size_of_every_profile(
    opened: Open, profiles: tuple[ProfileSpec, ...]
) -> None:
    engine = opened(profiles=profiles)
    with engine.cuda.current(), Stream(engine.cuda) as stream:
        for seed, (batch, size_hw) in enumerate(SHAPES):
            assert engine.set_shape(0, batch=batch, size_hw=size_hw) == size_hw
            image = picture(seed, batch, size_hw)
            scores = enqueue(engine, 0, stream, image)
            stream.synchronize()
            np.testing.assert_allclose(scores, expected_of(image), atol=TOLERANCE)


def test_slots_of_different_shapes_run_side_by_side(opened: Open) -> None:
    engine = opened(slots=3, profiles=(SMALL, LARGE))
    with engine.cuda.current():
        streams = [Stream(engine.cuda) for _ in range(3)]
        shapes = SHAPES[:3]
        for slot, (batch, size_hw) in enumerate(shapes):
            engine.set_shape(slot, batch=batch, size_hw=size_hw)
        images = [picture(slot, *shape) for slot, shape in enumerate(shapes)]
        found = [enqueue(engine, slot, streams[slot], image) for slot, image in enumerate(images)]
        for stream in streams:
            stream.synchronize()
    for scores, image in zip(found, images, strict=True):
        np.testing.assert_allclose(scores, expected_of(image), atol=TOLERANCE)


def test_another_shape_allocates_nothing_and_leaves_the_addresses(opened: Open) -> None:
    engine = opened(slots=2, profiles=(SMALL, LARGE))
    before, places = engine.cuda.counters().live, {int(engine.device_input(0)), int(engine.device_output(0))}
    with engine.cuda.current():
        for batch, size_hw in SHAPES:
            engine.set_shape(0, batch=batch, size_hw=size_hw)
            assert {int(engine.device_input(0)), int(engine.device_output(0))} == places
    assert engine.cuda.counters().live == before


def test_padded_channels_are_told_at_every_shape(opened: Open) -> None:
    engine = opened(profiles=(SMALL, LARGE), is_half=True, output_format="hwc8")
    with engine.cuda.current(), Stream(engine.cuda) as stream:
        for batch, size_hw in SHAPES:
            assert engine.set_shape(0, batch=batch, size_hw=size_hw) == size_hw
            assert engine.device_output(0).shape == (batch, *size_hw, 8)
        image = picture(0, batch, size_hw)
        scores = enqueue(engine, 0, stream, image)
        stream.synchronize()
    found = np.moveaxis(scores[..., :CLASSES], -1, 1)
    np.testing.assert_allclose(found, expected_of(image), rtol=HALF, atol=HALF)


class Spy:
    """Counts the calls of a method of TensorRT's execution contexts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        from trt_standin.engine import IExecutionContext

        self.calls: list[tuple[Any, ...]] = []
        real = getattr(IExecutionContext, name)

        def spied(context: Any, *words: Any) -> Any:
            self.calls.append(words)
            return real(context, *words)

        monkeypatch.setattr(IExecutionContext, name, spied)


def test_the_same_shape_again_asks_tensorrt_nothing(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = opened(profiles=(SMALL, LARGE))
    spies = [Spy(monkeypatch, name) for name in ("set_input_shape", "set_tensor_address", "get_tensor_shape")]
    with engine.cuda.current():
        for _ in range(2):
            engine.set_shape(0, batch=1, size_hw=SIZE_HW)
        assert [spy.calls for spy in spies] == [[], [], []]
        engine.set_shape(0, batch=1, size_hw=(64, 64))
    assert len(spies[0].calls) == 1


def test_the_profile_stays_as_long_as_it_takes_the_shape(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = opened(profiles=(SMALL, LARGE))
    spy = Spy(monkeypatch, "set_optimization_profile_async")
    both = (64, 64)
    with engine.cuda.current():
        for size_hw in (both, (96, 160), both, (96, 64), both, (32, 32), both):
            engine.set_shape(0, batch=1, size_hw=size_hw)
    assert [words[0] for words in spy.calls] == [1, 0]


def test_a_slot_begins_in_the_first_profile_that_takes_the_models_size(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(profiles=(SMALL, WIDE))  # which builds it, elsewhere
    spy = Spy(monkeypatch, "set_optimization_profile_async")
    opened(slots=2, profiles=(SMALL, WIDE))
    looked_at, begun = [0, 1], [0, 0]  # the first slot asks every profile how large tensors get
    assert [words[0] for words in spy.calls] == looked_at + begun


@pytest.mark.parametrize(
    ("batch", "size_hw"), [(1, (31, 64)), (2, (32, 64)), (4, (64, 128)), (1, (96, 176)), (1, (72, 128))]
)
def test_a_shape_that_no_profile_takes_is_refused_with_what_they_take_and_the_slot_stays(
    opened: Open, batch: int, size_hw: tuple[int, int]
) -> None:
    engine = opened(profiles=(SMALL, LARGE))
    words = (
        rf"'image' is \({batch}, {size_hw[0]}, {size_hw[1]}\) \(batch, height, width\), the profiles take "
        r"\(1, 32, 32\) to \(1, 64, 64\), \(1, 48, 64\) to \(3, 96, 160\) in steps of 16x32: build it"
    )
    with engine.cuda.current():
        with pytest.raises(EngineError, match=words):
            engine.set_shape(0, batch=batch, size_hw=size_hw)
        assert engine.device_input(0).shape == MODEL.input.shape
        assert engine.set_shape(0, batch=1, size_hw=SIZE_HW) == SIZE_HW
    engine.infer()


def test_an_engine_without_profiles_takes_its_own_shape_alone(opened: Open) -> None:
    engine = opened()
    with engine.cuda.current():
        assert engine.set_shape(0, batch=1, size_hw=SIZE_HW) == SIZE_HW
        for batch, size_hw in ((2, SIZE_HW), (1, (64, 64))):
            with pytest.raises(EngineError, match=r"the engine takes \(1, 32, 64\) alone: build it for that shape"):
                engine.set_shape(0, batch=batch, size_hw=size_hw)


def test_the_host_interface_is_for_the_models_own_shape(opened: Open) -> None:
    engine = opened(profiles=(SMALL, LARGE))
    words = r"slot 0 has an input of \(2, 3, 64, 128\) where the host's buffers have the model's \(1, 3, 32, 64\)"
    with engine.cuda.current():
        engine.set_shape(0, batch=2, size_hw=(64, 128))
    for refused in (engine.host_input, engine.host_output, engine.start):
        with pytest.raises(EngineError, match=words):
            refused(0)
    with engine.cuda.current():
        engine.set_shape(0, batch=1, size_hw=SIZE_HW)
    engine.host_input(0)[:] = image = picture(5, 1, SIZE_HW)
    engine.infer()
    np.testing.assert_allclose(engine.host_output(0), expected_of(image), atol=TOLERANCE)


def test_the_host_interface_costs_nothing_until_it_is_used(opened: Open) -> None:
    engine = opened(slots=2)
    before = engine.cuda.counters().live
    engine.host_input(1)
    made = engine.cuda.counters().live - before
    assert (made.pinned, made.stream, made.event, made.device) == (2, 1, 4, 0)


def test_a_slot_is_waited_for_once_a_start_and_by_its_number(opened: Open) -> None:
    engine = opened(slots=2)
    for wrong in (-1, 2):
        with pytest.raises(EngineError, match=f"slot {wrong} of 2: take 0 to 1"):
            engine.device_input(wrong)
    with pytest.raises(EngineError, match="slot 1 is not started"):
        engine.wait(1)
    engine.infer(1)
    with pytest.raises(EngineError, match="slot 1 is not started"):
        engine.wait(1)


def test_closing_waits_for_what_is_enqueued_and_leaves_nothing_alive(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(slots=2, profiles=(SMALL, LARGE))
    cuda = engine.cuda
    image = picture(1, 1, SIZE_HW)
    with cuda.current():
        stream, done = Stream(cuda), Event(cuda)
        importlib.import_module("standin_device").Stream.living[stream.handle].submit(lambda: time.sleep(SLOW_S))
        scores = enqueue(engine, 0, stream, image)
        stream.record(done)
        engine.start(1)
    was_done, release = [], Slot.release

    def watched(slot: Slot) -> None:
        was_done.append(done.is_reached)
        release(slot)

    monkeypatch.setattr(Slot, "release", watched)
    engine.close()
    assert was_done == [True, True]
    done.close()
    np.testing.assert_allclose(scores, expected_of(image), atol=TOLERANCE)
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.set_shape(0, batch=1, size_hw=SIZE_HW)
    stream.close()
    left = cuda.counters().live
    assert (left.device, left.stream, left.event) == (0, 0, 0)


@pytest.mark.parametrize(("found", "name", "profiles"), [("beside", "where", ()), ("logits", "logits", (WIDE,))])
def test_an_output_of_a_size_that_the_picture_decides_is_refused(
    opened: Open, found: str, name: str, profiles: tuple[ProfileSpec, ...]
) -> None:
    words = rf"output '{name}' is \(.*-1\), of a size that is known only after .*NonZero"
    with pytest.raises(EngineError, match=words):
        opened(found=found, profiles=profiles)


def test_graphs_of_tensorrts_own_are_asked_of_none_that_has_them_not(opened: Open) -> None:
    engine = opened(graphs=True)
    assert engine.no_capture == ""
    engine.infer()


def test_streamed_weights_speak_against_a_graph(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from trt_standin.engine import ICudaEngine

    for size, budget, words in ((1000, 400, "the engine streams its weights"), (1000, 1000, "")):
        monkeypatch.setattr(ICudaEngine, "streamable_weights_size", property(lambda _, size=size: size))
        monkeypatch.setattr(ICudaEngine, "weight_streaming_budget_v2", property(lambda _, budget=budget: budget))
        assert opened().no_capture == words
