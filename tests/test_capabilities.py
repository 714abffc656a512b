"""What this machine can do, where that depends on which of TensorRT's packages is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from device_lab import Device

from edgeseg.capabilities import Capability, capabilities
from edgeseg.runtime.kernels import nvcc

TITLE = "tensorrt: run"


def running() -> Capability:
    (found,) = [one for one in capabilities() if one.name == TITLE]
    return found


def test_tensorrt_runs_engines_where_it_is_installed(device: Device) -> None:
    with device.inside(version="10.13.3.9"):
        found = running()
    assert found.works and found.detail == "tensorrt 10.13.3.9 on Orin, driver 13.0"


def test_the_lean_runtime_stands_in_for_it_and_says_what_it_runs(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    with device.inside(version="11.4.0.106"):
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        found = running()
    assert found.works
    assert found.detail == "tensorrt-lean 11.4.0.106 on Orin, driver 13.0, version-compatible engines only"


def test_without_both_the_extra_of_tensorrt_is_named(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    with device.inside():
        for name in ("tensorrt", "tensorrt_lean"):
            monkeypatch.setitem(sys.modules, name, None)
        found = running()
    assert not found.works and "edgeseg[tensorrt]" in found.detail


def test_without_a_driver_nothing_runs_whatever_is_installed(device: Device) -> None:
    with device.inside(has_driver=False):
        found = running()
    assert not found.works and "cannot be loaded" in found.detail


def kernels() -> Capability:
    (found,) = [one for one in capabilities() if one.name == "cuda kernels"]
    return found


def test_without_compiler_and_cubins_the_kernels_cannot_be_had(
    device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(nvcc, "USUAL_HOME", str(tmp_path))
    with device.inside(has_nvcc=False):
        found = kernels()
    assert not found.works and not found.is_backend
    assert "for sm_87: a cubin of it is not in this installation, and there is no nvcc on PATH" in found.detail
    assert "install CUDA's compiler" in found.detail


def test_a_driver_that_is_older_than_the_compiler_is_said(device: Device) -> None:
    with device.inside(driver=9020, nvcc="13.0"):
        found = kernels()
    assert not found.works and "the driver is made for CUDA 9.2" in found.detail
