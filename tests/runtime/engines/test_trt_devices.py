"""How TensorRT engines open and run on devices: stand-ins of the packages that compute through OpenVINO."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from device_lab import Device
from engine_lab import BUILT_IN, MODEL, SIZE_HW, Build, expected_of, net

from edgeseg.errors import EngineError, MissingPackageError, SpecError
from edgeseg.runtime.engine_facts import ask_engine, facts_of
from edgeseg.runtime.engines import load_engine
from edgeseg.runtime.engines.tensorrt import TensorRTEngine
from edgeseg.runtime.session import Session
from edgeseg.sidecars import read_engine_spec, weights_path, write_with_sidecar
from edgeseg.spec import DlaShare, EngineSpec, IOTensor, ProfileSpec

pytest.importorskip("openvino", exc_type=ImportError)

HALF = 2**-10  # float16 keeps 11 bits of the fraction
TOLERANCE = 1e-4  # two float32 convolutions of 27 products, summed in another order
PROFILES = (
    ProfileSpec(minimum=(1, 64, 64), optimum=(1, 64, 128), maximum=(1, 128, 256)),
    ProfileSpec(minimum=(1, 32, 32), optimum=(1, 32, 64), maximum=(1, 64, 64)),
)


def frame(seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=(1, 3, *SIZE_HW)).astype(np.float32)


def assert_computes(path: Path) -> TensorRTEngine:
    """The engine gives the net's logits in both slots; returns it, closed."""
    with load_engine(path, slots=2) as engine:
        assert isinstance(engine, TensorRTEngine)
        for slot in range(2):
            engine.host_input(slot)[:] = frame(slot)
            engine.start(slot)
        for slot in range(2):
            assert engine.wait(slot) >= 0
            np.testing.assert_allclose(engine.host_output(slot), expected_of(frame(slot)), atol=TOLERANCE)
    return engine


def test_an_engine_computes_the_net_in_every_slot_until_it_is_closed(device: Device, build: Build) -> None:
    with device.inside(version=BUILT_IN):
        engine = assert_computes(build())
        with pytest.raises(EngineError, match="the engine is closed"):
            engine.start(0)


@pytest.mark.parametrize(
    ("options", "version", "device_name", "cc", "words"),
    [
        ({}, "10.3.0", "Orin", "8.7", "installed is tensorrt 10.3.0"),
        ({}, "11.4.0.106", "Orin", "8.7", "or there with 'edgeseg build-engine NET.onnx --backend tensorrt --version-"),
        ({"is_version_compatible": True}, "10.3.0", "Orin", "8.7", "loads in newer versions"),
        ({"is_version_compatible": True}, "11.4.0.106", "Orin", "8.7", None),
        ({"is_version_compatible": True, "has_lean_runtime": False}, "11.4.0.106", "Orin", "8.7", "tensorrt-lean==10"),
        ({"is_version_compatible": True, "has_lean_runtime": False}, BUILT_IN, "Orin", "8.7", None),
        ({}, BUILT_IN, "Orin", "8.9", "here is Orin (8.9)"),
        ({}, BUILT_IN, "Orin Nano", "8.7", "here is Orin Nano (8.7)"),
        ({"hardware_compatibility": "same-compute-capability"}, BUILT_IN, "Orin Nano", "8.7", None),
        ({"hardware_compatibility": "ampere-plus"}, BUILT_IN, "L4", "8.9", None),
        ({"hardware_compatibility": "ampere-plus"}, BUILT_IN, "T4", "7.5", "built for Ampere and newer on Orin"),
    ],
)
def test_an_engine_opens_where_it_was_built_for_and_is_refused_elsewhere(
    device: Device, build: Build, options: dict[str, Any], version: str, device_name: str, cc: str, words: str | None
) -> None:
    path = build(**options)
    with device.inside(version=version, device=device_name, cc=cc):
        if words is None:
            assert_computes(path)
            return
        with pytest.raises(EngineError) as caught:
            load_engine(path)
    assert words in str(caught.value)


def test_an_older_driver_is_refused(device: Device, build: Build) -> None:
    path, words = build(), r"driver of CUDA 13\.0, here is one of CUDA 12\.6"
    with device.inside(version=BUILT_IN, driver=12060), pytest.raises(EngineError, match=words):
        load_engine(path)


@pytest.mark.parametrize("version", [BUILT_IN, "11.4.0.106"])
def test_the_lean_runtime_runs_a_version_compatible_engine_where_tensorrt_is_absent(
    device: Device, build: Build, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    path = build(is_version_compatible=True)
    with device.inside(version=version):
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        assert_computes(path)
        found = ask_engine(*read_engine_spec(path))
        assert found.library == f"tensorrt-lean {version}"
        assert found.plan.layers == 1 and found.layers == () and found.plan.by_precision == {}
        with pytest.raises(MissingPackageError, match=r"edgeseg\[tensorrt\]"):
            load_engine(build())


def test_without_either_package_a_version_compatible_engine_names_both(
    device: Device, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(is_version_compatible=True)
    with device.inside(version=BUILT_IN):
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        monkeypatch.setitem(sys.modules, "tensorrt_lean", None)
        with pytest.raises(MissingPackageError, match=r"edgeseg\[tensorrt\]', or 'edgeseg\[lean\]'"):
            load_engine(path)


def test_tensorrt_is_taken_before_the_lean_runtime(device: Device, build: Build) -> None:
    with device.inside(version=BUILT_IN):
        assert ask_engine(*read_engine_spec(build(is_version_compatible=True))).library == f"tensorrt {BUILT_IN}"


PROGRAM = """
import sys
sys.modules["tensorrt"] = None
from edgeseg.cli.main import main
sys.exit(main(["run", sys.argv[1], sys.argv[2], "none"]))
"""


@pytest.mark.parametrize("settings", [{"has_driver": False}, {"cuinit": 100}, {"count": 0}])
def test_without_a_driver_the_lean_runtime_ends_in_one_line_and_by_no_signal(
    device: Device, build: Build, settings: dict[str, Any]
) -> None:
    path, pictures = build(is_version_compatible=True), device.folder / "frames"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "0.png"), np.zeros((*SIZE_HW, 3), np.uint8))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path, pictures],
        capture_output=True,
        text=True,
        check=False,
        cwd=device.folder,
        env=device.environment(version=BUILT_IN, **settings),
    )
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "needs an NVIDIA GPU, and" in done.stderr


def test_an_engine_with_profiles_opens_at_its_models_size_on_the_first_profile_that_takes_it(
    device: Device, build: Build
) -> None:
    path = build(profiles=PROFILES)
    with device.inside(version=BUILT_IN):
        assert_computes(path)
        asked = ask_engine(*read_engine_spec(path))
    assert len(asked.activation_bytes) == len(PROFILES)


def test_a_size_that_no_profile_takes_is_refused_with_what_they_take(device: Device, build: Build) -> None:
    spec, plan = read_engine_spec(build(profiles=PROFILES))
    words = r"'image' is \(1, 32, 64\).*, the profiles take \(1, 64, 64\) to"
    with device.inside(version=BUILT_IN), pytest.raises(EngineError, match=words):
        TensorRTEngine(msgspec.structs.replace(spec, profiles=PROFILES[:1]), plan)


@pytest.mark.parametrize("version", [BUILT_IN, "11.4.0.106"])
def test_a_stripped_engine_gets_its_weights_from_the_file_beside_it(device: Device, build: Build, version: str) -> None:
    path = build(is_stripped=True, is_version_compatible=True)
    with device.inside(version=version):
        assert_computes(path)


def copied(path: Path, folder: Path) -> Path:
    spec, plan = read_engine_spec(path)
    copy = folder / "net.engine"
    write_with_sidecar(copy, plan, spec, weights=weights_path(path).read_bytes())
    return copy


def test_a_stripped_engine_without_its_weights_is_refused(device: Device, build: Build, tmp_path: Path) -> None:
    path = copied(build(is_stripped=True), tmp_path)
    weights_path(path).unlink()
    with device.inside(version=BUILT_IN), pytest.raises(SpecError, match=r"net\.engine\.onnx is not beside it: copy"):
        load_engine(path)


def test_a_stripped_engine_with_other_weights_is_refused(device: Device, build: Build, tmp_path: Path) -> None:
    path = copied(build(is_stripped=True), tmp_path)
    weights_path(path).write_bytes(net(seed=7).SerializeToString())
    with device.inside(version=BUILT_IN), pytest.raises(SpecError, match="changed or exchanged: copy it along"):
        load_engine(path)


def test_a_file_that_does_not_fill_a_stripped_engine_is_refused_with_tensorrts_words(
    device: Device, build: Build, tmp_path: Path
) -> None:
    spec, plan = read_engine_spec(build(is_stripped=True))
    (tmp_path / "net.onnx").write_bytes(b"no net")
    with device.inside(version=BUILT_IN):
        with pytest.raises(EngineError, match=r"tensorrt 10\.13\.3\.9 does not take the weights of .*net\.onnx"):
            TensorRTEngine(spec, plan, onnx_path=tmp_path / "net.onnx")
        with pytest.raises(EngineError, match="no file has them: open it by its path"):
            TensorRTEngine(spec, plan)


def test_the_lean_runtime_says_that_it_cannot_put_weights_back(
    device: Device, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(is_stripped=True, is_version_compatible=True)
    with device.inside(version=BUILT_IN):
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        with pytest.raises(EngineError, match=r"tensorrt-lean .* reads no ONNX to put them back: pip install"):
            load_engine(path)


@pytest.mark.parametrize(("cores", "words"), [(0, "this device has none"), (1, r"this device has 1 \(0 to 0\)")])
def test_an_engine_for_a_dla_core_that_is_not_here_is_refused(
    device: Device, build: Build, cores: int, words: str
) -> None:
    spec, plan = read_engine_spec(build())
    other = msgspec.structs.replace(spec, dla=DlaShare(core=1, layers=1, dla_layers=1))
    refusal = pytest.raises(EngineError, match=f"built for DLA core 1, {words}: build it here with")
    with device.inside(version=BUILT_IN, dla=cores), refusal:
        TensorRTEngine(other, plan)


def test_an_engine_for_a_dla_core_that_is_here_runs_on_it(device: Device, build: Build) -> None:
    spec, plan = read_engine_spec(build())
    other = msgspec.structs.replace(spec, dla=DlaShare(core=1, layers=1, dla_layers=1))
    with device.inside(version=BUILT_IN, dla=2), TensorRTEngine(other, plan) as engine:
        assert engine._runtime.DLA_core == 1


@pytest.mark.parametrize("layout", ["hwc8", "hwc16"])
def test_scores_in_padded_channels_are_read_without_the_padding(device: Device, build: Build, layout: Any) -> None:
    path = build(is_half=True, output_format=layout)
    with device.inside(version=BUILT_IN), load_engine(path) as engine:
        engine.host_input(0)[:] = frame()
        engine.infer()
        assert engine.host_output(0).shape == MODEL.head.shape
        np.testing.assert_allclose(engine.host_output(0), expected_of(frame()), rtol=HALF, atol=HALF)


def sidecar_with(spec: EngineSpec, **fields: Any) -> EngineSpec:
    return msgspec.structs.replace(spec, **fields)


def test_a_sidecar_with_other_tensors_is_refused_with_both(device: Device, build: Build) -> None:
    spec, plan = read_engine_spec(build())
    other = IOTensor(name="scores", mode="output", shape=MODEL.head.shape)
    half = tuple(msgspec.structs.replace(one, dtype="float16") for one in spec.io)
    with device.inside(version=BUILT_IN):
        with pytest.raises(EngineError, match=r"engine has .* where its sidecar says .*'scores'"):
            TensorRTEngine(sidecar_with(spec, io=(*spec.io, other)), plan)
        with pytest.raises(EngineError, match=r"engine has input 'image' float32 .* says input 'image' float16"):
            TensorRTEngine(sidecar_with(spec, io=half), plan)
        with pytest.raises(EngineError, match=r"the sidecar's model has 'image' float32 1x3x32x64, its tensors are"):
            TensorRTEngine(sidecar_with(spec, io=spec.io[1:]), plan)


@pytest.mark.parametrize("version", [BUILT_IN, "11.4.0.106"])
def test_both_majors_tell_the_layers_with_their_types(device: Device, build: Build, version: str) -> None:
    spec, plan = read_engine_spec(build(is_version_compatible=True))
    with device.inside(version=version):
        found = ask_engine(spec, plan)
    assert [one.precision for one in found.layers] == ["FP32"] and found.plan.by_precision == {"FP32": 1}
    assert (found.plan.weight_bytes is None) == (version == BUILT_IN)  # get_engine_stat came with 10.16
    assert found.plan.activation_bytes == found.activation_bytes[0] > 0


@pytest.mark.parametrize(("verbosity", "layers"), [("none", 0), ("layer-names", 1), ("detailed", 1)])
def test_an_engine_tells_what_its_verbosity_kept(device: Device, build: Build, verbosity: Any, layers: int) -> None:
    spec, plan = read_engine_spec(build(profiling_verbosity=verbosity))
    with device.inside(version=BUILT_IN):
        found = ask_engine(spec, plan)
    assert len(found.layers) == layers and found.plan.layers == 1
    assert bool(found.plan.by_precision) == (verbosity == "detailed")


def test_a_plan_for_another_machine_has_no_facts_here(device: Device, build: Build) -> None:
    spec, plan = read_engine_spec(build())
    with device.inside(version=BUILT_IN):
        assert facts_of(spec, plan) == ask_engine(spec, plan).plan
    with device.inside(version=BUILT_IN, cc="8.9"):
        assert facts_of(spec, plan) is None


def test_an_altered_plan_never_reaches_tensorrt(device: Device, build: Build, tmp_path: Path) -> None:
    spec, plan = read_engine_spec(build())
    path = tmp_path / "net.engine"
    write_with_sidecar(path, plan, spec)
    path.write_bytes(plan[:-1] + bytes([plan[-1] ^ 1]))
    with device.inside(version=BUILT_IN), pytest.raises(SpecError, match="changed or exchanged"):
        load_engine(path)


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        ("context", r"gives no execution context \(.*OutOfMemory"),
        ("execute", r"did not run the engine \(.*out of memory"),
    ],
)
def test_what_fails_on_the_device_is_raised_with_the_last_words(
    device: Device, build: Build, fails: str, words: str
) -> None:
    path = build()
    refusal = pytest.raises(EngineError, match=words)
    with device.inside(version=BUILT_IN, fails=fails), refusal, load_engine(path) as engine:
        engine.infer()


UNTIDY = """
import gc
import sys
from pathlib import Path

from edgeseg.errors import EngineError
from edgeseg.runtime.engines.tensorrt import TensorRTEngine
from edgeseg.runtime.engines import load_engine
from edgeseg.sidecars import read_engine_spec
import msgspec

spec, plan = read_engine_spec(Path(sys.argv[1]))
head = msgspec.structs.replace(spec.model.head, size_hw=(16, 32))
other = msgspec.structs.replace(spec, model=msgspec.structs.replace(spec.model, head=head))
kept = []
try:
    TensorRTEngine(other, plan)
except EngineError as error:
    kept.append(error)
try:
    with load_engine(Path(sys.argv[1])) as engine:
        engine.start(0)
        engine.start(0)
except EngineError as error:
    kept.append(error)
print(len(kept), *kept)
kept.clear()  # what the errors had is dropped now, where no context is current
gc.collect()
"""


def test_a_kept_error_keeps_nothing_of_the_device(device: Device, build: Build) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNTIDY, build(profiles=PROFILES[1:])],
        capture_output=True,
        text=True,
        check=False,
        env=device.environment(version=BUILT_IN),
    )
    assert done.returncode == 0, done.stderr
    assert "(1, 4, 32, 64) where its sidecar says (1, 4, 16, 32)" in done.stdout and "started already" in done.stdout
    assert "clean-up operation failed" not in done.stderr


def mask_of(path: Path, picture: Any) -> Any:
    with Session(path) as session:
        return session.segment(picture, pixel_format="RGB")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"profiles": PROFILES},
        {"is_stripped": True},
        {"input_format": "hwc"},
        {"is_half": True},
        {"is_half": True, "output_format": "hwc8"},
    ],
    ids=lambda one: "+".join(one) or "plain",
)
def test_a_session_gives_the_nets_masks_whatever_the_engine_is_like(
    device: Device, build: Build, options: dict[str, Any]
) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    path = build(**options)
    with device.inside(version=BUILT_IN):
        mask = mask_of(path, picture)
    scores = expected_of(np.moveaxis(picture.astype(np.float32) / 255, -1, 0)[None])[0]
    ranked = np.sort(scores, axis=0)
    is_clear = ranked[-1] - ranked[-2] > 8 * HALF  # scores of up to 8 are rounded to float16
    assert is_clear.mean() > 0.98
    assert np.array_equal(mask[is_clear], scores.argmax(axis=0)[is_clear])
