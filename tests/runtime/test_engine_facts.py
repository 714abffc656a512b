"""What an engine says of itself where it loads, and how it is refused where it does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgeseg.errors import EngineError
from edgeseg.runtime.engine_facts import ask_engine, facts_of
from edgeseg.sidecars import read_engine_spec
from edgeseg.trt_api import driver_state

#: of the shared chain's net: a 3x3 convolution 3 -> 8 and one 8 -> 3, each with a bias
WEIGHTS = 3 * 8 * 9 + 8 * 3 * 9
BIASES = 8 + 3


def test_a_float32_engine_computes_in_float32_alone(chain: Any) -> None:
    found = ask_engine(*read_engine_spec(chain.fp32))
    assert set(found.plan.by_precision) == {"FP32"}
    assert sum(one.kind == "Convolution" for one in found.layers) == 2
    assert found.plan.layers == len(found.layers)
    assert found.plan.weight_bytes == 4 * (WEIGHTS + BIASES)
    assert found.library.startswith("openvino ")


def test_an_int8_engine_shows_its_convolutions_in_int8(chain: Any) -> None:
    spec, plan = read_engine_spec(chain.int8)
    found = ask_engine(spec, plan)
    quantised = [one for one in found.layers if one.kind == "Convolution" and one.precision == "INT8"]
    assert len(quantised) == spec.precision.quantised_layers
    assert found.plan.by_precision["INT8"] >= len(quantised)
    assert facts_of(spec, plan) == found.plan


def test_what_moves_data_counts_in_no_type(chain: Any) -> None:
    found = ask_engine(*read_engine_spec(chain.int8))
    assert {one.precision for one in found.layers if one.kind == "Reorder"} <= {None}
    assert sum(found.plan.by_precision.values()) < found.plan.layers


def test_an_engine_of_another_version_is_not_asked(chain: Any) -> None:
    spec, plan = read_engine_spec(chain.fp32)
    with pytest.raises(EngineError, match=r"built by OpenVINO 2020\.1, installed is"):
        ask_engine(msgspec.structs.replace(spec, backend_version="2020.1"), plan)


@pytest.mark.skipif(driver_state().is_working, reason="is about machines without a CUDA driver")
def test_without_a_driver_a_plan_never_reaches_tensorrt(chain: Any) -> None:
    rtx = pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    spec, _ = read_engine_spec(chain.fp32)
    other = msgspec.structs.replace(spec, backend="tensorrt-rtx", backend_version=rtx.__version__)
    with pytest.raises(EngineError, match="needs an NVIDIA GPU, and the CUDA driver cannot be loaded"):
        ask_engine(other, b"no plan at all")
