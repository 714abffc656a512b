"""The file that a host quantises, and the engines that a device makes of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeseg import Session
from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.builder.quantizing import quantize_file
from edgeseg.builder.source import SourceOptions, open_source
from edgeseg.data import CalibrationSet
from edgeseg.errors import BuildError, OutputError, SpecError
from edgeseg.graph.preparing import PrepareOptions
from edgeseg.graph.qdq_rules import violations
from edgeseg.sidecars import sidecar_path
from edgeseg.spec import BackendName, ModelSpec

OPTIONS = SourceOptions()


@pytest.fixture(scope="module")
def quantised(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelSpec]:
    folder = tmp_path_factory.mktemp("quantised")
    target = folder / "net.int8.onnx"
    calibration = CalibrationOptions(source=chain.images, file=folder / "ranges.json")
    return target, quantize_file(chain.onnx, target, "int8", calibration, OPTIONS)


def test_the_file_is_valid_onnx_whose_quantisation_breaks_no_rule(quantised: tuple[Path, ModelSpec]) -> None:
    path, spec = quantised
    onnx.checker.check_model(str(path), full_check=True)
    source = open_source(path, OPTIONS)
    assert source.precision == spec.precision
    assert source.quantisation is not None
    assert source.quantisation.nodes == ("node_conv2d",)
    assert spec.precision is not None
    assert (spec.precision.kind, spec.precision.quantised_layers, spec.precision.layers) == ("int8", 1, 2)
    import onnx_ir as ir

    assert list(violations(ir.load(path))) == []


def test_its_engine_is_the_one_that_is_built_at_once(
    quantised: tuple[Path, ModelSpec], chain: Any, tmp_path: Path
) -> None:
    engines = [tmp_path / "two-steps.engine", chain.int8]
    spec = build_engine(quantised[0], engines[0], BuildOptions(backend="openvino"))
    assert spec.precision.kind == "int8"
    assert spec.precision.calibration_sha256 == CalibrationSet(chain.images).sha256
    masks = []
    for engine in engines:
        with Session(engine, depth=1) as session:
            masks.append([session.segment(frame) for frame in CalibrationSet(chain.images)])
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize(("backend", "high"), [("openvino", "fp32"), ("tensorrt-rtx", "fp16")])
def test_every_back_end_builds_from_one_file(
    quantised: tuple[Path, ModelSpec], tmp_path: Path, backend: BackendName, high: str
) -> None:
    pytest.importorskip(backend.replace("-", "_"))
    spec = build_engine(quantised[0], tmp_path / "net.engine", BuildOptions(backend=backend))
    assert (spec.precision.kind, spec.precision.high_precision) == ("int8", high)


def test_it_still_gives_float32_where_that_is_asked_for(
    quantised: tuple[Path, ModelSpec], chain: Any, tmp_path: Path
) -> None:
    engines = [tmp_path / "net.engine", chain.fp32]
    build_engine(quantised[0], engines[0], BuildOptions(backend="openvino", precision="fp32"))
    logits = []
    for engine in engines:
        with Session(engine, depth=1) as session:
            session.segment(next(iter(CalibrationSet(chain.images))))
            logits.append(session.engine.host_output(0).copy())
    np.testing.assert_allclose(*logits, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backend", "openvino"], "1 of 2 layers in int8, the rest in fp32"),
        (["--backend", "tensorrt-rtx"], "1 of 2 layers in int8, the rest in fp16"),
        (["--backend", "tensorrt-rtx", "--precision", "fp16"], "fp16, tensorrt-rtx"),
    ],
)
def test_a_device_needs_neither_torch_nor_model_optimizer(
    quantised: tuple[Path, ModelSpec], tmp_path: Path, words: list[str], said: str
) -> None:
    pytest.importorskip(words[1].replace("-", "_"))
    program = f"""
import sys
for name in ("torch", "modelopt", "onnxruntime", "onnxslim", "onnxscript", "onnx_graphsurgeon"):
    sys.modules[name] = None
from edgeseg.cli.main import main
sys.exit(main(["build-engine", {str(quantised[0])!r}, "-o", "net.engine", *sys.argv[1:]]))
"""
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert said in done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (BuildOptions(backend="openvino", precision="fp8"), "not in fp8"),
        (
            BuildOptions(backend="openvino", source=SourceOptions(prepare=PrepareOptions(keep_tail=True))),
            "was prepared when it was quantised: give the options",
        ),
    ],
)
def test_what_was_decided_on_the_host_is_not_asked_again(
    quantised: tuple[Path, ModelSpec], tmp_path: Path, options: BuildOptions, words: str
) -> None:
    with pytest.raises(BuildError, match=words):
        build_engine(quantised[0], tmp_path / "net.engine", options)


def test_images_have_no_use_for_a_net_that_is_quantised(
    quantised: tuple[Path, ModelSpec], chain: Any, tmp_path: Path
) -> None:
    options = BuildOptions(backend="openvino", calibration=CalibrationOptions(source=chain.images))
    with pytest.raises(BuildError, match="is quantised already: leave --calib-data out"):
        build_engine(quantised[0], tmp_path / "net.engine", options)
    with pytest.raises(BuildError, match="is quantised already"):
        quantize_file(quantised[0], tmp_path / "a.onnx", "int8", CalibrationOptions(source=chain.images), OPTIONS)


def test_a_changed_file_is_refused(quantised: tuple[Path, ModelSpec], tmp_path: Path) -> None:
    path = tmp_path / "net.int8.onnx"
    model = onnx.load(quantised[0])
    model.producer_name = "another"
    onnx.save(model, path)
    shutil.copy(sidecar_path(quantised[0]), sidecar_path(path))
    with pytest.raises(SpecError, match="changed or exchanged"):
        build_engine(path, tmp_path / "net.engine", BuildOptions(backend="openvino"))


def test_the_sidecar_names_what_float16_cannot_hold(quantised: tuple[Path, ModelSpec], tmp_path: Path) -> None:
    """TensorRT's engine takes it from there, since no range is measured on the device."""
    pytest.importorskip("tensorrt_rtx")
    path = tmp_path / "net.int8.onnx"
    shutil.copy(quantised[0], path)
    told = json.loads(sidecar_path(quantised[0]).read_text())
    told["precision"]["wide"] = ["node_conv2d_1"]
    sidecar_path(path).write_text(json.dumps(told))
    spec = build_engine(path, tmp_path / "net.engine", BuildOptions(backend="tensorrt-rtx"))
    assert spec.precision.wide == ("node_conv2d_1",)


def test_nothing_is_left_where_the_place_cannot_be_written(chain: Any, tmp_path: Path) -> None:
    (tmp_path / "net.int8.json").mkdir()
    calibration = CalibrationOptions(source=chain.images, file=tmp_path / "ranges.json")
    with pytest.raises(OutputError, match="a folder is there"):
        quantize_file(chain.onnx, tmp_path / "net.int8.onnx", "int8", calibration, OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.int8.json", "ranges.json"]
