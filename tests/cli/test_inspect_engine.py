"""What `edgeseg inspect` says of engines: what they are, what they answer, and why they were not asked."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from device_lab import Device
from engine_lab import BUILT_IN, Build

from edgeseg.cli.inspect import inspect
from edgeseg.errors import SpecError
from edgeseg.sidecars import read_engine_spec, write_with_sidecar
from edgeseg.spec import DlaShare, EngineSpec, IOTensor, PlanFacts, Portability, ProfileSpec, Verified
from edgeseg.trt_api import driver_state

without_driver = pytest.mark.skipif(driver_state().is_working, reason="is about machines without a CUDA driver")


def told(*words: object) -> str:
    """What the command prints."""
    done = CliRunner().invoke(inspect, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.output)


def as_json(*words: object) -> Any:
    return json.loads(told(*words, "--json"))


def written(chain: Any, path: Path, **fields: Any) -> Path:
    """The chain's float32 engine with another sidecar."""
    spec, plan = read_engine_spec(chain.fp32)
    write_with_sidecar(path, plan, msgspec.structs.replace(spec, **fields))
    return path


@pytest.fixture
def orin(chain: Any, tmp_path: Path) -> Path:
    """The sidecar of an engine that was built on a Jetson, with all that a sidecar can say."""
    spec, _ = read_engine_spec(chain.fp32)
    image, head = spec.model.input, spec.model.head
    return written(
        chain,
        tmp_path / "net.engine",
        backend="tensorrt",
        backend_version="10.3.0",
        device="Orin",
        compute_capability="8.7",
        driver="12.6",
        io=(
            IOTensor(name=image.name, mode="input", dtype="uint8", format="hwc", shape=(-1, 3, -1, -1)),
            IOTensor(name=head.output, mode="output", dtype="float16", shape=(-1, 3, -1, -1)),
        ),
        profiles=(ProfileSpec(minimum=(1, 32, 32), optimum=(1, 32, 64), maximum=(4, 64, 128), step_hw=(32, 32)),),
        portability=Portability(lean="inside", hardware="same-compute-capability"),
        dla=DlaShare(core=1, layers=8, dla_layers=6, macs=1000, dla_macs=900, on_gpu=("up", "head")),
        facts=PlanFacts(layers=9, by_precision={"INT8": 6, "FP16": 2}, weight_bytes=1000, activation_bytes=2_500_000),
        verified=Verified(frames=8, data_sha256="0" * 64, agreement=0.9991, worst=0.998),
    )


def test_an_engine_shows_its_sidecar_and_what_it_answers(chain: Any) -> None:
    text = told(chain.fp32)
    assert "openvino engine" in text and "sidecar fits" in text
    assert "input        image float32 1x3x32x64" in text
    assert "of the engine loaded here" in text and "compute: FP32 " in text and "(100%)" in text
    assert "model.input.name  image" in text


def test_the_share_of_int8_is_shown_with_how_it_is_counted(chain: Any) -> None:
    text = told(chain.int8)
    (line,) = [line for line in text.splitlines() if line.startswith("layers  ")]
    assert "INT8 1 (" in line and "FP32 " in line and "by the type of their arithmetic" in text
    assert "calibrated on 8 images" in text


def test_layers_are_listed_on_demand(chain: Any) -> None:
    assert "Convolution" not in told(chain.int8)
    rows = [line.split() for line in told(chain.int8, "--layers").splitlines()]
    quantised = read_engine_spec(chain.int8)[0].precision.quantised_layers
    assert sum(row[:2] == ["INT8", "Convolution"] for row in rows) == quantised == 1


def test_json_holds_the_sidecar_and_the_answer_exactly(chain: Any) -> None:
    found, spec = as_json(chain.int8), read_engine_spec(chain.int8)[0]
    assert found["backend"] == "openvino" and found["plan_sha256"] == spec.plan_sha256
    asked = found["asked"]
    assert asked["reason"] == "" and asked["layer_list"] == []
    layers = as_json(chain.int8, "--layers")["asked"]["layer_list"]
    assert len(layers) == asked["facts"]["layers"]
    counted = sum(one["precision"] == "INT8" for one in layers)
    assert counted == asked["facts"]["by_precision"]["INT8"] > 0
    del found["asked"]
    assert msgspec.convert(found, EngineSpec) == spec


@without_driver
def test_without_the_device_all_that_the_builder_recorded_is_shown_with_the_reason(orin: Path) -> None:
    text = told(orin, "--layers")
    for line in (
        "built by     tensorrt 10.3.0 for Orin (compute capability 8.7), driver of CUDA 12.6",
        "loads        in that version and newer ones, as far as the next major, on every device of that compute",
        "input        image uint8 hwc ?x3x?x?",
        "output       logits float16 ?x3x?x?",
        "profile 0    1 of 32x32 to 4 of 64x128, fastest at 1 of 32x64, in steps of 32x32",
        "verified     99.9100% of the pixels as in float32 on 8 frames, worst 99.8000%",
        "DLA core 1   6 of 8 layers, 90.0% of the MACs; on the GPU: up, head",
        "its layers are known where it loads; its builder recorded:",
        "layers       9, 8 of them compute: INT8 6 (75%), FP16 2 (25%)",
        "weights      1.00 kB",
        "activations  2.50 MB a frame in flight",
    ):
        assert line in text
    assert "not asked    " in text


@without_driver
def test_json_says_why_an_engine_was_not_asked(orin: Path) -> None:
    found = as_json(orin)
    assert set(found["asked"]) == {"reason"} and "tensorrt" in found["asked"]["reason"]
    assert found["facts"]["by_precision"] == {"INT8": 6, "FP16": 2}


def test_a_stripped_engine_says_where_its_weights_are(chain: Any, tmp_path: Path) -> None:
    portability = Portability(weights_sha256="0" * 64)
    path = written(chain, tmp_path / "net.engine", backend="tensorrt", backend_version="1", portability=portability)
    assert "weights are  in the ONNX file beside it" in told(path)


def test_an_engine_of_another_openvino_is_shown_with_both_versions(chain: Any, tmp_path: Path) -> None:
    text = told(written(chain, tmp_path / "net.engine", backend_version="2020.1"))
    assert "not asked    engine was built by OpenVINO 2020.1, installed is" in text


def test_on_its_device_an_engine_tells_the_memory_of_every_profile(device: Device, build: Build) -> None:
    profiles = tuple(ProfileSpec(minimum=(1, 32, 32), optimum=(1, 32, 64), maximum=(1, 64, side)) for side in (64, 128))
    path = build(profiles=profiles)
    with device.inside(version=BUILT_IN):
        text = told(path, "--layers")
    assert f"says         tensorrt {BUILT_IN}, of the engine loaded here:" in text
    assert re.search(
        r"^activations  \S+ \S+ of profile 0, \S+ \S+ of profile 1; a frame in flight takes one$", text, re.M
    )
    assert re.search(r"^FP32  CaskConvolution  head", text, re.M)


def test_what_the_lean_runtime_cannot_tell_is_shown_as_the_builder_recorded_it(
    device: Device, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, plan = read_engine_spec(build(is_version_compatible=True))
    facts = PlanFacts(layers=1, by_precision={"FP32": 1})
    for name, recorded in (("told", facts), ("untold", None)):
        write_with_sidecar(tmp_path / f"{name}.engine", plan, msgspec.structs.replace(spec, facts=recorded))
    with device.inside(version="11.4.0.106"):
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        text, untold = told(tmp_path / "told.engine"), told(tmp_path / "untold.engine")
    assert "says         tensorrt-lean 11.4.0.106, of the engine loaded here:" in text
    assert "layers       1, 1 of them compute: FP32 1 (100%); as its builder recorded" in text
    assert "layers       1; their types are not told (the lean runtime, or profiling verbosity)" in untold


@pytest.mark.parametrize("damage", [lambda plan: plan[:-9], lambda plan: plan[:-1] + bytes([plan[-1] ^ 1])])
def test_a_truncated_or_altered_engine_is_refused_before_it_is_asked(chain_copy: Path, damage: Any) -> None:
    path = chain_copy / "net.fp32.engine"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SpecError, match=r"changed or exchanged|cut short or exchanged"):
        told(path)


def test_options_for_onnx_are_refused_for_an_engine(chain: Any) -> None:
    done = CliRunner().invoke(inspect, [str(chain.fp32), "--input-size", "32x64"])
    assert done.exit_code == 2 and "for ONNX files" in done.output
