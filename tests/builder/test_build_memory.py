"""What the memory plan counts, against what is known of the net, and against what builds of TensorRT-RTX took."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeseg.builder.backends import open_backend
from edgeseg.builder.memory_plan import MemoryPlan, memory_plan
from edgeseg.builder.source import Source, SourceOptions, open_source
from edgeseg.graph.saving import save_graph
from edgeseg.memory import FreeMemory
from edgeseg.spec import HighPrecision, PrecisionKind, ProfileSpec

#: SmallNet: 3*8*3*3 + 8 and 8*3*3*3 + 3
PARAMETERS = 224 + 219
#: the image, 1x3x32x64, and what the first convolution makes of it, 1x8x16x32
PEAK_BYTES = 4 * (3 * 32 * 64 + 8 * 16 * 32)
IO_BYTES = 4 * (3 * 32 * 64 + 3 * 16 * 32)
#: measured 2 to 10 % on nets of 0.5 to 134 million parameters, and 20 % on this one in an environment installed anew:
#: of the libraries 92 or 168 MB are resident, by how the file system holds their pages
HOST_TOLERANCE = 0.3
#: a process that is small itself: what a child takes is at least what its parent had when it was made
BUILD = """
import resource, sys
from pathlib import Path
from edgeseg.builder.backends import open_backend
open_backend("tensorrt-rtx").build(Path(sys.argv[1]), precision="fp32", progress=lambda fraction, step: None)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.fixture(scope="module")
def source(chain: Any) -> Source:
    return open_source(chain.onnx, SourceOptions())


@pytest.mark.parametrize(
    ("kind", "high", "weight_bytes", "activation_bytes"),
    [
        ("fp32", "fp32", 4 * PARAMETERS, PEAK_BYTES),
        ("bf16", "bf16", 2 * PARAMETERS, PEAK_BYTES // 2),
        ("int8", "fp32", PARAMETERS, PEAK_BYTES),
    ],
)
def test_weights_and_activations_are_those_of_the_net_in_their_types(
    source: Source, kind: PrecisionKind, high: HighPrecision, weight_bytes: int, activation_bytes: int
) -> None:
    plan = memory_plan(source, kind, high, open_backend("openvino"))
    assert plan.weights_bytes == weight_bytes
    assert plan.activation_bytes == activation_bytes
    assert plan.io_bytes == IO_BYTES


def test_a_profile_takes_what_its_largest_shape_takes(source: Source) -> None:
    small = ProfileSpec(minimum=(1, 32, 64), optimum=(1, 32, 64), maximum=(1, 32, 64))
    large = ProfileSpec(minimum=(1, 32, 64), optimum=(2, 32, 64), maximum=(4, 64, 64))
    plan = memory_plan(source, "fp32", "fp32", open_backend("openvino"), profiles=(small, large))
    assert (plan.activation_bytes, plan.io_bytes) == (8 * PEAK_BYTES, 8 * IO_BYTES)
    assert plan.weights_bytes == 4 * PARAMETERS


def planned(**words: Any) -> MemoryPlan:
    given: dict[str, Any] = {
        "weights_bytes": 100 << 20,
        "activation_bytes": 200 << 20,
        "io_bytes": 0,
        "workspace_bytes": None,
        "builder_bytes": 600 << 20,
        "engine_memory": free(8000),
        "builder_memory": free(8000),
        "hints": ("--workspace 256MiB", "a smaller --input-size"),
    }
    return MemoryPlan(**(given | words))


def free(mib: int, **words: Any) -> FreeMemory:
    return FreeMemory(total_bytes=8000 << 20, free_bytes=mib << 20, place="the memory", **words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, ""),
        ({"engine_memory": free(370)}, "300 MiB wanted where 370 MiB of the memory are free"),
        ({"engine_memory": free(380)}, ""),
        ({"engine_memory": free(380), "workspace_bytes": 100 << 20}, "400 MiB wanted where 380 MiB"),
        ({"builder_memory": free(700)}, "600 MiB wanted where 700 MiB"),
        ({"engine_memory": free(1000, is_shared=True), "builder_memory": free(1000)}, "900 MiB wanted where 1000 MiB"),
        ({"engine_memory": None, "builder_memory": None}, ""),
        ({"engine_memory": None, "builder_bytes": None}, ""),
    ],
)
def test_what_is_short_is_told_with_both_numbers(words: dict[str, Any], expected: str) -> None:
    plan = planned(**words)
    assert expected in plan.shortage
    assert bool(plan.shortage) == bool(expected)
    warnings = [line for line in plan.words() if line.startswith("warning")]
    assert len(warnings) == bool(expected)
    if expected:
        assert "in order of effect: --workspace 256MiB; a smaller --input-size" in warnings[0]


def test_the_process_that_builds_takes_what_was_predicted(source: Source, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    plan = memory_plan(source, "fp32", "fp32", open_backend("tensorrt-rtx"))
    save_graph(source.model, tmp_path / "net.onnx")
    command = [sys.executable, "-c", BUILD, "net.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    peak_bytes = int(done.stdout) << 10
    assert plan.builder_bytes == pytest.approx(peak_bytes, rel=HOST_TOLERANCE)
