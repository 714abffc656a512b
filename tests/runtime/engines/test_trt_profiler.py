"""The times of layers as TensorRT reports them; see engine_lab and the stand-in's execution context."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from device_lab import Device
from engine_lab import BUILT_IN, SIZE_HW, Build

from edgeseg.errors import EngineError
from edgeseg.runtime.copy_bandwidth import device_copy_bytes_per_s
from edgeseg.runtime.engines import DeviceEngine, load_engine
from edgeseg.runtime.engines.trt_profiler import LayerClock
from edgeseg.runtime.layer_times import time_layers
from edgeseg.trt_api import LogTail, TrtApi

IMAGE = np.zeros((1, 3, *SIZE_HW), np.float32)


def api_of(module: Any) -> TrtApi:
    return TrtApi(module=module, name="tensorrt", version="10.0", logger=None, log=LogTail())


def test_the_layers_of_a_plan_are_timed_in_every_run(build: Build, builder_device: Device) -> None:
    path: Path = build()
    with builder_device.inside(version=BUILT_IN):
        found = time_layers(path, [IMAGE], runs=3, warm_up_ms=0)
    (layer,) = found.layers
    assert (layer.origins, layer.is_moving) == (("head",), False)
    assert found.times_ms == pytest.approx(np.array([[0.02], [0.03], [0.04]]))  # the first run warmed up
    assert found.run_ms.shape == (3,)


def test_a_layer_moves_its_tensors_and_is_of_the_type_that_the_inspector_tells(
    build: Build, builder_device: Device
) -> None:
    with builder_device.inside(version=BUILT_IN):
        (layer,) = time_layers(build(), [IMAGE], runs=1, warm_up_ms=0).layers
    height, width = SIZE_HW
    assert layer.precision == "FP32"
    assert layer.moved_bytes == (3 + 4) * height * width * 4


def test_an_engine_that_is_not_profiled_tells_no_layers(build: Build, builder_device: Device) -> None:
    path = build()
    with builder_device.inside(version=BUILT_IN), load_engine(path) as engine:
        engine.infer()
        with pytest.raises(EngineError, match="layers are not timed: load it with"):
            engine.layer_times_ms(0)


def test_a_layer_without_a_run_is_refused_with_the_last_words(build: Build, builder_device: Device) -> None:
    path = build()
    with (
        builder_device.inside(version=BUILT_IN),
        load_engine(path, profiled=True) as engine,
        pytest.raises(EngineError, match=r"does not tell the time of its layers .*no profiled run"),
    ):
        engine.layer_times_ms(0)


def test_a_name_that_comes_twice_is_summed() -> None:
    context = SimpleNamespace(profiler=None, enqueue_emits_profile=True)

    def report() -> bool:
        for name, ms in (("loop body", 1.0), ("other", 2.0), ("loop body", 0.5)):
            context.profiler.report_layer_time(name, ms)
        return True

    context.report_to_profiler = report
    clock = LayerClock(api_of(SimpleNamespace(IProfiler=type("IProfiler", (), {}))), context)
    assert clock.last_ms() == clock.last_ms() == {"loop body": 1.5, "other": 2.0}
    assert context.enqueue_emits_profile is False


def test_a_device_is_timed_copying_its_own_memory(build: Build, builder_device: Device) -> None:
    path = build()
    with builder_device.inside(version=BUILT_IN), load_engine(path) as engine:
        assert isinstance(engine, DeviceEngine)
        before = engine.cuda.counters().live.total
        assert device_copy_bytes_per_s(engine.cuda, buffer_bytes=1 << 20) > 0
        with engine.cuda.current():
            assert engine.cuda.counters().live.total == before
