"""Which engines a machine takes by their sidecar, and how the others are refused: both sides, and the way out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgeseg.errors import EngineError
from edgeseg.runtime.preflight import check_fits, loads_in, mismatches
from edgeseg.spec import (
    ClassSpec,
    EngineSpec,
    HeadSpec,
    InputSpec,
    LabelSpec,
    ModelSpec,
    Portability,
    PrecisionSpec,
)
from edgeseg.trt_api import DriverState

ORIN = DriverState(is_working=True, device_name="Orin", compute_capability="8.7", driver_version="12.6")
RTX_4090 = DriverState(is_working=True, device_name="RTX 4090", compute_capability="8.9", driver_version="13.0")
L4 = DriverState(is_working=True, device_name="L4", compute_capability="8.9", driver_version="13.0")
T4 = DriverState(is_working=True, device_name="T4", compute_capability="7.5", driver_version="13.0")
NO_DRIVER = DriverState(is_working=False, reason="the CUDA driver cannot be loaded (no libcuda)")
INSIDE, OUTSIDE = Portability(lean="inside"), Portability(lean="outside")
SAME_CAPABILITY = Portability(hardware="same-compute-capability")
AMPERE_PLUS = Portability(hardware="ampere-plus")
VERSION = "10.13.3.9"

MODEL = ModelSpec(
    onnx_sha256="0" * 64,
    input=InputSpec(name="image", size_hw=(32, 64), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    head=HeadSpec(output="logits", channels=2, size_hw=(32, 64), decision="argmax"),
    labels=LabelSpec(classes=(ClassSpec(name="a", colour=(0, 0, 0)), ClassSpec(name="b", colour=(1, 1, 1)))),
)
BUILT_ON_4090 = EngineSpec(
    model=MODEL,
    backend="tensorrt",
    backend_version=VERSION,
    device="RTX 4090",
    compute_capability="8.9",
    driver="13.0",
    precision=PrecisionSpec(kind="fp32", high_precision="fp32"),
    io=(),
    plan_sha256="0" * 64,
    plan_bytes=1,
)
RTX = msgspec.structs.replace(
    BUILT_ON_4090, backend="tensorrt-rtx", backend_version="1.7.1.116", device="any RTX", compute_capability="8.6, 8.9"
)


def built(**fields: Any) -> EngineSpec:
    return msgspec.structs.replace(BUILT_ON_4090, **fields)


def refusal(spec: EngineSpec, *, version: str = VERSION, driver: DriverState = RTX_4090) -> str:
    with pytest.raises(EngineError) as caught:
        check_fits(spec, version=version, driver=driver)
    return str(caught.value)


@pytest.mark.parametrize(
    ("spec", "version", "is_taken"),
    [
        (built(), VERSION, True),
        (built(), "10.13.3.9.post1", True),
        (built(backend_version="10.13.3.9.post1"), VERSION, True),
        (built(), "10.13.2.6", False),
        (built(), "10.14.0", False),
        (built(portability=INSIDE), "10.13.2.6", False),
        (built(portability=INSIDE), "10.16.1", True),
        (built(portability=INSIDE), "11.4.0.106", True),
        (built(portability=INSIDE), "12.0.0", False),
        (built(portability=INSIDE, backend_version="11.0.0"), "10.16.1", False),
        (built(portability=INSIDE, backend_version="11.0.0"), "11.4.0.106", True),
        (built(portability=INSIDE, backend_version="10.9.0"), "10.13.3.9", True),  # numbers, not letters
        (built(portability=OUTSIDE), VERSION, True),
        (built(portability=OUTSIDE), "10.16.1", False),
        (RTX, "1.7.1.116", True),
        (RTX, "1.7.2", False),
        (msgspec.structs.replace(RTX, portability=INSIDE), "1.7.2", False),
    ],
)
def test_a_plan_loads_in_the_versions_that_its_build_allows(spec: EngineSpec, version: str, is_taken: bool) -> None:
    package = "tensorrt-rtx" if spec.backend == "tensorrt-rtx" else "tensorrt"
    assert loads_in(spec, package, version) is is_taken
    assert (mismatches(spec, version=version, driver=RTX_4090) == ()) is is_taken


@pytest.mark.parametrize(
    ("portability", "is_taken"), [(Portability(), False), (INSIDE, True), (OUTSIDE, True)], ids=("none", "in", "out")
)
def test_the_lean_runtime_takes_version_compatible_plans_alone(portability: Portability, is_taken: bool) -> None:
    assert loads_in(built(portability=portability), "tensorrt-lean", VERSION) is is_taken


@pytest.mark.parametrize(
    ("spec", "driver", "is_taken"),
    [
        (built(), RTX_4090, True),
        (built(), L4, False),  # another model of the same compute capability
        (built(), ORIN, False),
        (built(portability=SAME_CAPABILITY), L4, True),
        (built(portability=SAME_CAPABILITY), ORIN, False),
        (built(portability=AMPERE_PLUS, driver="12.4"), ORIN, True),
        (built(portability=AMPERE_PLUS), T4, False),
        (built(compute_capability=None), RTX_4090, False),
        (RTX, RTX_4090, True),
        (RTX, L4, True),  # the capabilities count, not the name
        (RTX, T4, False),
    ],
)
def test_a_plan_runs_on_the_devices_that_its_build_allows(
    spec: EngineSpec, driver: DriverState, is_taken: bool
) -> None:
    assert (mismatches(spec, version=spec.backend_version, driver=driver) == ()) is is_taken


@pytest.mark.parametrize(
    ("built_with", "here", "is_taken"),
    [
        ("13.0", "13.0", True),
        ("13.2", "13.0", True),
        ("12.6", "13.0", True),
        ("13.0", "12.9", False),
        (None, "12", True),
    ],
)
def test_an_older_major_of_the_driver_is_refused_and_an_older_minor_let_through(
    built_with: str | None, here: str, is_taken: bool
) -> None:
    driver = DriverState(is_working=True, device_name="RTX 4090", compute_capability="8.9", driver_version=here)
    assert (mismatches(built(driver=built_with), version=VERSION, driver=driver) == ()) is is_taken


@pytest.mark.parametrize(
    ("spec", "version", "driver", "words"),
    [
        (
            built(),
            "10.16.1",
            RTX_4090,
            (
                "engine was built by tensorrt 10.13.3.9, installed is tensorrt 10.16.1",
                "build it here with 'edgeseg build-engine NET.onnx --backend tensorrt'",
                "or there with 'edgeseg build-engine NET.onnx --backend tensorrt --version-compatible'",
            ),
        ),
        (
            built(portability=INSIDE),
            "10.3.0",
            RTX_4090,
            ("installed is tensorrt 10.3.0", "loads in newer versions, as far as the next major, and in no older one"),
        ),
        (
            built(portability=OUTSIDE),
            "11.4.0",
            RTX_4090,
            ("its lean runtime was left out of it", "pip install 'tensorrt-lean==10.13.3.9'"),
        ),
        (
            built(),
            VERSION,
            L4,
            (
                "engine was built for RTX 4090 (compute capability 8.9), here is L4 (8.9)",
                "--backend tensorrt --hardware-compatibility same-compute-capability'",
            ),
        ),
        (
            built(compute_capability="12.0"),
            VERSION,
            L4,
            ("(compute capability 12.0), here is L4 (8.9)", "--hardware-compatibility ampere-plus'"),
        ),
        (built(portability=AMPERE_PLUS), VERSION, T4, ("built for Ampere and newer on RTX 4090", "here is T4 (7.5)")),
        (built(portability=SAME_CAPABILITY), VERSION, T4, ("built for RTX 4090 and all of its kind",)),
        (RTX, "1.7.1.116", T4, ("any RTX (compute capability 8.6, 8.9), here is T4 (7.5)", "--backend tensorrt-rtx'")),
        (
            built(portability=AMPERE_PLUS),
            VERSION,
            ORIN,
            ("built with a driver of CUDA 13.0, here is one of CUDA 12.6", "install a driver of CUDA 13"),
        ),
        (built(), VERSION, NO_DRIVER, ("needs an NVIDIA GPU, and the CUDA driver cannot be loaded", "openvino")),
    ],
)
def test_a_refusal_names_both_sides_and_the_command_that_mends_it(
    spec: EngineSpec, version: str, driver: DriverState, words: tuple[str, ...]
) -> None:
    text = refusal(spec, version=version, driver=driver)
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(("spec", "driver"), [(built(), ORIN), (built(compute_capability="8.7", device="Orin"), T4)])
def test_no_plan_for_both_is_offered_where_there_is_none(spec: EngineSpec, driver: DriverState) -> None:
    text = refusal(msgspec.structs.replace(spec, driver=None), driver=driver)
    assert "here is" in text and "--hardware-compatibility" not in text


def test_all_that_does_not_fit_is_said_at_once_and_the_way_out_once() -> None:
    text = refusal(built(), version="10.13.9", driver=ORIN)
    for what in ("installed is tensorrt 10.13.9", "here is Orin (8.7)", "here is one of CUDA 12.6"):
        assert text.count(what) == 1
    assert len(mismatches(built(), version="10.13.9", driver=ORIN)) == 3
    rtx = refusal(RTX, version="1.7.0", driver=T4)
    assert rtx.count("edgeseg build-engine") == 1  # both are mended by the same command


def test_a_wrong_version_is_said_without_a_driver_too() -> None:
    text = refusal(built(), version="10.3.0", driver=NO_DRIVER)
    assert "installed is tensorrt 10.3.0" in text and "needs an NVIDIA GPU" in text
