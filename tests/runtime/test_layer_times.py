"""What an OpenVINO engine tells of its layers' times; see engines/test_trt_profiler.py for TensorRT's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeseg.errors import EngineError
from edgeseg.runtime.copy_bandwidth import host_copy_bytes_per_s
from edgeseg.runtime.engine_facts import ask_engine
from edgeseg.runtime.engines import load_engine
from edgeseg.runtime.layer_times import LayerTimes, time_layers
from edgeseg.runtime.openvino_peak import peak_operations_per_s
from edgeseg.sidecars import read_engine_spec

RUNS = 4


@pytest.fixture(scope="module")
def found(chain: Any) -> LayerTimes:
    shape = read_engine_spec(chain.int8)[0].model.input.shape
    return time_layers(chain.int8, [np.zeros(shape, np.float32)], runs=RUNS, warm_up_ms=0)


def test_every_layer_that_ran_is_one_that_the_engine_lists(found: LayerTimes, chain: Any) -> None:
    listed = {one.name: one for one in ask_engine(*read_engine_spec(chain.int8)).layers}
    assert [listed[one.name] for one in found.layers] == list(found.layers)
    assert sum(one.kind == "Convolution" for one in found.layers) == 2


def test_every_run_has_a_time_of_every_layer(found: LayerTimes) -> None:
    assert found.times_ms.shape == (RUNS, len(found.layers)) and found.run_ms.shape == (RUNS,)
    assert (found.times_ms >= 0).all() and found.times_ms.sum() > 0


def test_layers_know_their_bytes_and_what_was_fused_into_them(found: LayerTimes) -> None:
    first = next(one for one in found.layers if one.kind == "Convolution")
    assert first.moved_bytes is not None and first.moved_bytes > 0
    assert len(first.origins) > 1
    assert all(one.moved_bytes for one in found.layers)
    assert {one.is_moving for one in found.layers if one.kind == "Reorder"} <= {True}


def test_an_engine_that_is_not_profiled_tells_no_layers(chain: Any) -> None:
    with load_engine(chain.fp32) as engine:
        engine.infer()
        with pytest.raises(EngineError, match="layers are not timed"):
            engine.layer_times_ms(0)


def test_a_copy_and_a_convolution_are_timed_here() -> None:
    assert host_copy_bytes_per_s(threads=1, buffer_bytes=1 << 20) > 0
    peak = peak_operations_per_s("FP32", duration_s=0)
    assert peak is not None and peak > 1e6
