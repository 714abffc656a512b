"""What a build on a device says when the device, the version or the builder's process lets it down.

The device is a stand-in: the command, its child process and everything between are real.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from device_lab import Device
from process_lab import has_ended

from edgeseg.files import sha256_of_file

BUILD = ("build-engine", "--backend", "tensorrt", "--no-timing-cache")


@pytest.fixture
def net(chain_copy: Path) -> Path:
    """The chain's small net, in the device's own folder."""
    return chain_copy / "net.onnx"


def sidecar(net: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(net.with_suffix(".engine.json").read_text())
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_net_that_10_3_does_not_build_strongly_typed_is_built_by_flags_and_that_is_said(
    precision: str, device: Device, net: Path
) -> None:
    done = device.run(*BUILD, net, "--precision", precision, version="10.3.0", fails="strong")
    assert done.returncode == 0, done.stderr
    assert "strong typing failed (tensorrt 10.3.0 built no plan" in done.stdout
    flags = {"fp32": "none", "fp16": "FP16"}[precision]
    assert sidecar(net)["options"]["typing"] == f"builder flags {flags}"


@pytest.mark.parametrize("version", ["10.13.3.9", "11.4.0.106"])
def test_from_10_12_on_a_failure_of_strong_typing_is_a_failure(version: str, device: Device, net: Path) -> None:
    done = device.run(*BUILD, net, version=version, fails="strong")
    assert done.returncode == 1
    assert f"tensorrt {version} built no plan (IBuilder::buildSerializedNetwork" in done.stderr
    assert not net.with_suffix(".engine").exists()


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        ("killed", "the builder was killed, most likely for want of memory: lower --workspace"),
        ("segfault", "the builder crashed with SIGSEGV"),
        ("memory", "built no plan"),
    ],
)
def test_a_builder_that_dies_is_explained_and_the_old_engine_stays(
    fails: str, words: str, device: Device, net: Path
) -> None:
    engine = net.with_suffix(".engine")
    engine.write_bytes(b"the old engine")
    done = device.run(*BUILD, net, fails=fails)
    assert done.returncode == 1
    assert words in done.stderr and "Traceback" not in done.stderr
    assert engine.read_bytes() == b"the old engine"
    assert not list(net.parent.glob("*.part*"))


def test_ctrl_c_ends_a_build_whatever_the_library_does(device: Device, net: Path) -> None:
    command = [sys.executable, "-m", "edgeseg", *BUILD, str(net)]
    environment = device.environment(sleep=100) | {"COLUMNS": "150"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True) as build:
        while not (workers := workers_of(build.pid)):  # the suite's own time limit ends a wait in vain
            assert build.poll() is None
        os.killpg(build.pid, signal.SIGINT)
        _, errors = build.communicate(timeout=60)
    assert build.returncode == 1
    assert "interrupted; no unfinished file was left" in errors.decode()
    assert all(map(has_ended, workers))  # one that was just being started ends by itself, its input being closed
    assert not net.with_suffix(".engine").exists()


def workers_of(process: int) -> list[int]:
    """The children that build."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [int(one) for one in children if "tensorrt.worker" in Path(f"/proc/{one}/cmdline").read_text()]
    except FileNotFoundError:  # a child that has ended
        return []


def test_int8_is_refused_where_tensorrt_10_says_that_the_device_has_no_such_products(
    device: Device, net: Path, chain: Any
) -> None:
    words = ("--precision", "int8", "--calib-data", chain.images)
    done = device.run(*BUILD, net, *words, version="10.3.0", device="a Pascal", cc="6.0")
    assert done.returncode == 1
    assert "a Pascal has no INT8 products: take fp16" in done.stderr


@pytest.mark.parametrize(
    ("words", "cores", "error"),
    [
        (("--precision", "fp32"), 2, "DLA computes in fp16 and int8, not in fp32: use --precision fp16 or int8"),
        (("--precision", "fp16"), 0, "DLA core 0 is not there: this device has 0: leave --dla-core out"),
        (("--precision", "fp16", "--no-gpu-fallback"), 2, "DLA cannot run 2 of "),
    ],
)
def test_what_dla_does_not_do_is_refused(
    words: tuple[str, ...], cores: int, error: str, device: Device, net: Path
) -> None:
    done = device.run(*BUILD, net, "--dla-core", "0", *words, dla=cores)
    assert done.returncode == 1
    assert error in done.stderr


def test_the_share_of_dla_is_said_and_recorded(device: Device, net: Path) -> None:
    done = device.run(*BUILD, net, "--dla-core", "1", "--precision", "fp16", dla=2)
    assert done.returncode == 0, done.stderr
    share = sidecar(net)["dla"]
    assert (share["core"], share["dla_macs"]) == (1, share["macs"]) and share["macs"] > 0
    assert share["dla_layers"] == share["layers"] - len(share["on_gpu"])
    assert f"DLA 1 takes {share['dla_layers']} of {share['layers']} layers and 100% of the multiply" in done.stdout


@pytest.mark.parametrize(
    ("version", "words", "lacks"),
    [
        ("10.3.0", ("--tiling-level", "fast"), "--tiling-level fast (it has no TilingOptimizationLevel.FAST"),
        ("10.3.0", ("--hardware-compatibility", "same-compute-capability"), "HardwareCompatibilityLevel.SAME_"),
        ("11.4.0.106", ("--target", "8.6"), "--target (it has no ComputeCapability.CURRENT"),
    ],
)
def test_an_option_that_the_version_has_not_is_refused_by_name_and_version(
    version: str, words: tuple[str, ...], lacks: str, device: Device, net: Path
) -> None:
    done = device.run(*BUILD, net, *words, version=version)
    assert done.returncode == 1
    assert f"tensorrt {version} does not take " in done.stderr and lacks in done.stderr


def test_every_option_of_a_device_reaches_the_builder_and_the_sidecar(device: Device, net: Path) -> None:
    words = (
        "--workspace 1GiB --memory-pool tactic-dram:2G --optimization-level 4 --aux-streams 0 --no-tf32 --sparsity "
        "--refit --tiling-level moderate --profiling-verbosity layer-names --version-compatible "
        "--exclude-lean-runtime --hardware-compatibility ampere-plus --output-format hwc"
    )
    done = device.run(*BUILD, net, *words.split())
    assert done.returncode == 0, done.stderr
    found = sidecar(net)
    expected = {
        "workspace_bytes": 1 << 30,
        "tactic_dram_bytes": 2 << 30,
        "optimization_level": 4,
        "aux_streams": 0,
        "is_tf32_allowed": False,
        "is_sparse": True,
        "is_refittable": True,
        "tiling_level": "moderate",
        "profiling_verbosity": "layer-names",
        "typing": "strong",
    }
    assert {name: found["options"][name] for name in expected} == expected
    assert found["portability"] == {"lean": "outside", "hardware": "ampere-plus", "weights_sha256": None}
    assert [one["format"] for one in found["io"]] == ["linear", "hwc"]
    assert found["driver"] == "13.0" and found["facts"]["layers"] > 0


def test_the_weights_of_a_stripped_plan_go_when_a_whole_one_takes_its_place(device: Device, net: Path) -> None:
    weights = net.with_suffix(".engine.onnx")
    assert device.run(*BUILD, net, "--strip-plan").returncode == 0
    assert sidecar(net)["portability"]["weights_sha256"] == sha256_of_file(weights)
    assert device.run(*BUILD, net).returncode == 0
    assert not weights.exists()


def test_a_file_of_the_users_stays_where_weights_would_lie(device: Device, net: Path) -> None:
    weights = net.with_suffix(".engine.onnx")
    weights.write_bytes(b"the user's own")
    assert device.run(*BUILD, net).returncode == 0
    assert device.run(*BUILD, net, "--force").returncode == 0
    assert weights.read_bytes() == b"the user's own"
