"""What our code takes for granted of TensorRT's releases, against the real bindings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import trt_derived
from trt_releases import RELEASES, Release, run_inside
from trt_stubs import split_arguments

pytestmark = pytest.mark.contract

OLD, MIDDLE, NEW, RTX, LEAN = (release.key for release in RELEASES)
BUILDING = {OLD, MIDDLE, NEW, RTX}
EVERY = {*BUILDING, LEAN}
#: members that our code asks for, or must not ask for, and who has them
HOLDERS = {
    "Runtime.get_engine_validity": {RTX},
    "EngineValidity.INVALID": {RTX},
    "EngineInvalidityDiagnostics.MALFORMED_ENGINE": {RTX},
    "ComputeCapability.CURRENT": {RTX},
    "IBuilderConfig.set_compute_capability": {RTX},
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED": BUILDING,
    "BuilderFlag.FP16": {OLD, MIDDLE},
    "BuilderFlag.BF16": {OLD, MIDDLE},
    "BuilderFlag.INT8": {OLD, MIDDLE},
    "BuilderFlag.FP8": {OLD, MIDDLE},
    "Builder.platform_has_fast_int8": {OLD, MIDDLE},
    "BuilderFlag.EDITABLE_TIMING_CACHE": EVERY - {OLD},
    "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY": EVERY - {OLD},
    "IBuilderConfig.tiling_optimization_level": BUILDING - {OLD},
    "ICudaEngine.get_engine_stat": {NEW, RTX, LEAN},
    "ICudaEngine.device_memory_size_v2": EVERY,
    "ICudaEngine.device_memory_size": {OLD, MIDDLE},
    "ICudaEngine.get_device_memory_size_for_profile_v2": EVERY,
    "Runtime.engine_host_code_allowed": EVERY,
    "Runtime.DLA_core": EVERY,
    "OnnxParserRefitter.refit_from_file": BUILDING,
}


@pytest.mark.parametrize("member", HOLDERS)
def test_a_member_is_where_we_think_it_is(member: str, pictures: dict[str, Any]) -> None:
    kind, _, name = member.partition(".")
    holders = {key for key, one in pictures.items() if name in one["classes"].get(kind, {"members": ()})["members"]}
    assert holders == HOLDERS[member]


def test_what_we_derive_takes_what_tensorrt_gives_and_works(release: Release, picture: dict[str, Any]) -> None:
    found = json.loads(run_inside(release, Path(trt_derived.__file__), [release.module]))
    assert found["log"] == ["an error", 1]
    assert given(picture, "ILogger", "log") == found["ILogger"]["log"]
    if release.builds:
        own = found["IProgressMonitor"]
        methods = ("phase_start", "step_complete", "phase_finish")
        assert {name: own[name] for name in methods} == {
            name: given(picture, "IProgressMonitor", name) for name in methods
        }
        assert found["steps"] == ["build 0.00", "build 0.50"]
        assert found["goes on"] is True


def given(picture: dict[str, Any], kind: str, name: str) -> int:
    """How many arguments TensorRT passes to a method that Python overrides, without self."""
    doc = picture["classes"][kind]["members"][name]["doc"]
    return len(split_arguments(re.findall(rf"^{name}\((.*)\) ->", doc, re.MULTILINE)[0])) - 1


@pytest.fixture(scope="module")
def config() -> Any:
    """A configuration of TensorRT-RTX, which needs no device for that."""
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    from edgeseg.builder.backends.tensorrt.network import make_builder
    from edgeseg.trt_api import load_api

    return make_builder(load_api("tensorrt-rtx")).create_builder_config()


def test_rtx_says_itself_that_its_timing_caches_do_nothing(config: Any) -> None:
    with pytest.warns(DeprecationWarning, match="Timing cache operations are no-ops in TensorRT-RTX"):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def test_host_memory_is_a_buffer_and_no_sequence(config: Any) -> None:
    with pytest.warns(DeprecationWarning):
        memory = config.create_timing_cache(b"").serialize()
    assert memoryview(memory).nbytes == memory.nbytes
    with pytest.raises(TypeError, match="len"):
        len(memory)


def test_shapes_are_taken_as_tuples_and_compared_with_tuples_alone() -> None:
    module = pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    shape = module.Dims((1, 3, 4, 4))
    assert shape == (1, 3, 4, 4)
    assert tuple(shape) == (1, 3, 4, 4)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        assert shape == module.Dims((1, 3, 4, 4))
