from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg import Session
from edgeseg.builder.backends.tensorrt import TensorRTOptions
from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.builder.source import SourceOptions
from edgeseg.data import CalibrationSet
from edgeseg.errors import BuildError
from edgeseg.files import sha256_of, sha256_of_file
from edgeseg.graph.preparing import PrepareOptions
from edgeseg.metrics import agreement
from edgeseg.sidecars import read_engine_spec, read_model_spec
from edgeseg.spec import BackendName, PrecisionKind

#: bfloat16 has 8 bits of precision, and the small net's scores lie close together
BFLOAT16_AGREEMENT = 0.98


def test_the_engines_sidecar_reads_back_and_says_what_was_built(chain: Any) -> None:
    spec, plan = read_engine_spec(chain.int8)
    assert (spec.backend, spec.precision.kind, spec.precision.high_precision) == ("openvino", "int8", "fp32")
    assert (spec.plan_bytes, spec.plan_sha256) == (len(plan), sha256_of(plan))
    assert spec.model == read_model_spec(chain.onnx, sha256=sha256_of_file(chain.onnx))
    assert spec.precision.calibration_sha256 == CalibrationSet(chain.images).sha256
    assert [(one.name, one.mode, one.shape) for one in spec.io] == [
        ("image", "input", (1, 3, 32, 64)),
        ("logits", "output", (1, 3, 16, 32)),
    ]


def test_progress_names_the_steps_and_ends_at_one(chain: Any, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    options = BuildOptions(
        backend="openvino",
        precision="int8",
        calibration=CalibrationOptions(source=chain.images, file=tmp_path / "ranges.json"),
    )
    build_engine(chain.onnx, tmp_path / "net.engine", options, progress=lambda *step: told.append(step))
    assert [step for _, step in told if step == "calibrate"]
    assert told[-1] == (1.0, "build")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.engine", "net.engine.json", "ranges.json"]


def test_a_tensorrt_rtx_plan_is_built_without_a_gpu(chain: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    options = BuildOptions(
        backend="tensorrt-rtx",
        precision="int8",
        calibration=CalibrationOptions(source=chain.images, file=tmp_path / "ranges.json"),
    )
    spec = build_engine(chain.onnx, tmp_path / "net.engine", options)
    assert (spec.backend, spec.precision.high_precision) == ("tensorrt-rtx", "fp16")
    assert (spec.precision.quantised_layers, spec.precision.layers) == (1, 2)
    assert read_engine_spec(tmp_path / "net.engine")[0] == spec


def needs_bfloat16() -> None:
    """Skip where OpenVINO's own word is that the CPU has none."""
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bfloat16")


def test_a_tensorrt_rtx_plan_takes_the_pixels_as_they_come(chain: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    options = BuildOptions(
        backend="tensorrt-rtx",
        source=SourceOptions(prepare=PrepareOptions(fold_normalisation=True)),
        tensorrt=TensorRTOptions(input_format="hwc"),
    )
    image, scores = build_engine(chain.onnx, tmp_path / "net.engine", options).io
    assert (image.dtype, image.format, image.shape) == ("uint8", "hwc", (1, 3, 32, 64))
    assert (scores.dtype, scores.format) == ("float32", "linear")


@pytest.mark.parametrize(
    ("backend", "precision", "high"),
    [("openvino", "bf16", "bf16"), ("tensorrt-rtx", "bf16", "bf16"), ("tensorrt-rtx", "fp8", "fp16")],
)
def test_every_precision_that_a_back_end_has_is_built(
    chain: Any, tmp_path: Path, backend: BackendName, precision: PrecisionKind, high: str
) -> None:
    pytest.importorskip(backend.replace("-", "_"))
    if backend == "openvino":
        needs_bfloat16()
    calibration = CalibrationOptions(source=chain.images, file=tmp_path / "ranges.json") if precision == "fp8" else None
    options = BuildOptions(backend=backend, precision=precision, calibration=calibration)
    spec = build_engine(chain.onnx, tmp_path / "net.engine", options)
    assert (spec.precision.kind, spec.precision.high_precision) == (precision, high)
    if precision == "fp8":
        assert spec.compute_capability == "8.9, 12.0, 12.1"


def test_a_bfloat16_engine_runs_in_bfloat16_and_gives_nearly_the_same_mask(chain: Any, tmp_path: Path) -> None:
    needs_bfloat16()
    build_engine(chain.onnx, tmp_path / "net.engine", BuildOptions(backend="openvino", precision="bf16"))
    frames = list(CalibrationSet(chain.images))
    logits, masks = [], []
    for path in (chain.fp32, tmp_path / "net.engine"):
        with Session(path, depth=1) as session:
            masks.append([session.segment(frame) for frame in frames])
            logits.append(session.engine.host_output(0).copy())
    assert not np.array_equal(*logits)
    assert np.mean(list(map(agreement, *masks))) > BFLOAT16_AGREEMENT


@pytest.mark.parametrize("precision", ["fp16", "fp8"])
def test_the_cpu_refuses_what_it_has_no_products_for(chain: Any, tmp_path: Path, precision: PrecisionKind) -> None:
    with pytest.raises(BuildError, match=f"not in {precision}: use --precision fp32 or int8"):
        build_engine(chain.onnx, tmp_path / "net.engine", BuildOptions(backend="openvino", precision=precision))
    assert not list(tmp_path.iterdir())
