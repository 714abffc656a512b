"""The tests for a real device run on the stand-in, so that they are not wrong when a device comes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from device_lab import Device

ROOT = Path(__file__).parents[2]
SOME = "not rtx and (test_engine or small-fp32 or dla)"
SECONDS = 120


def run_gpu_tests(
    environment: dict[str, str], *words: str, where: str = "tests/gpu"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", where, *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS)


def test_tests_for_a_device_pass_on_the_stand_in(device: Device) -> None:
    done = run_gpu_tests(device.environment(cc="8.9", device="RTX 4090"), "-k", SOME)
    counts = re.search(r"(\d+) passed, (\d+) skipped", done.stdout)
    assert done.returncode == 0 and counts is not None, done.stdout
    assert int(counts[1]) >= 4
    assert "DLA" in done.stdout  # what this device has not is passed over with a reason


def test_rules_of_the_kernels_for_a_device_pass_on_the_stand_in(device: Device) -> None:
    choice = "pitch or batch or matrix or lie or mean or threshold or confidence or finished or overlay or leaves"
    where = "tests/gpu/test_kernels.py"
    done = run_gpu_tests(device.environment(cc="8.9", device="RTX 4090"), "-k", choice, where=where)
    counts = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0 and counts is not None, done.stdout
    assert int(counts[1]) >= 150


def test_sessions_for_a_device_pass_on_the_stand_in(device: Device) -> None:
    pytest.importorskip("torch")
    done = run_gpu_tests(device.environment(cc="8.9", device="RTX 4090"), where="tests/gpu/test_session.py")
    counts = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0 and counts is not None, done.stdout
    assert int(counts[1]) >= 40


def test_tests_for_a_device_are_skipped_with_a_reason_where_there_is_none(device: Device) -> None:
    done = run_gpu_tests(device.environment(has_driver=False), "-k", "small-fp32 or one_class or thread")
    assert done.returncode == 0 and "passed" not in done.stdout, done.stdout
    assert "no GPU: the CUDA driver cannot be loaded" in done.stdout
