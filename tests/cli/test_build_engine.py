"""`edgeseg build-engine` beyond the net: its plan, what it skips, and how its engine is compared with float32."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from device_lab import Device

from edgeseg.sidecars import read_engine_spec

FAILURE, USAGE = 1, 2
OPENVINO = ("--backend", "openvino")
BACKENDS = ("openvino", "tensorrt-rtx")
#: the command line, many times in one process, which spares the start of Python
MANY = """
import contextlib, io, json, sys
from edgeseg.cli.main import main
found = []
for words in json.load(sys.stdin):
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main(words)
    found.append((code, out.getvalue(), errors.getvalue()))
print(json.dumps(found))
"""


def needs(backend: str) -> None:
    pytest.importorskip(backend.replace("-", "_"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def call_many(lines: Sequence[Sequence[object]], cwd: Path) -> list[tuple[int, str, str]]:
    """Exit code, standard output and standard error of each."""
    given = json.dumps([["build-engine", *map(str, words)] for words in lines])
    done = subprocess.run(
        [sys.executable, "-c", MANY], input=given, cwd=cwd, capture_output=True, text=True, check=True
    )
    return [(code, out, errors) for code, out, errors in json.loads(done.stdout)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    chain_copy: Path, call_in: Any, chain: Any, backend: str
) -> None:
    needs(backend)
    before = contents(chain_copy)
    words = ("build-engine", "net.onnx", "--backend", backend, "--precision", "int8", "--calib-data", chain.images)
    done = call_in((*words, "--dry-run"), chain_copy)
    assert done.returncode == 0, done.stderr
    assert contents(chain_copy) == before
    high = {"openvino": "fp32", "tensorrt-rtx": "fp16"}[backend]
    for line in (
        "net: net.onnx, float32 (1, 3, 32, 64) -> float32 (1, 3, 16, 32)",
        f"precision: int8, the rest in {high}",
        f"ranges: measured on 8 images of {chain.images} (max), kept in net.calibration.json",
        f"back end: {backend} ",
        "memory: engine, estimated: ",
        "would write: net.engine, net.engine.json, net.calibration.json",
        "would be built",
    ):
        assert line in done.stdout


def test_a_dry_run_knows_the_ranges_and_the_engine_that_are_there(chain_copy: Path, chain: Any) -> None:
    words = ("net.onnx", *OPENVINO, "--precision", "int8", "--calib-data", chain.images)
    more = ((), ("--dry-run",), ("--dry-run", "--force"), ("--dry-run", "--calib-method", "entropy"))
    built, same, forced, other = call_many([(*words, *one) for one in more], chain_copy)
    assert [one[0] for one in (built, same, forced, other)] == [0, 0, 0, 0]
    assert "ranges: taken from net.calibration.json (8 images, max)" in same[1]
    assert "would be skipped: net.engine is of the same inputs; --force builds it again" in same[1]
    assert "would be built over net.engine" in forced[1]
    assert "measured anew on 8 images" in other[1]
    assert "in net.calibration.json differs the method (max against entropy)" in other[1]


def test_a_dry_run_names_profiles_options_and_what_the_scores_leave_in(chain_copy: Path, chain: Any) -> None:
    needs("tensorrt-rtx")
    shapes = ("--min-shapes", "32x64", "--max-shapes", "32x64", "--workspace", "256MiB")
    words = ("net.onnx", "--backend", "tensorrt-rtx", *shapes, "--logits-dtype", "int8", "--calib-data", chain.images)
    ((code, out, errors),) = call_many([(*words, "--dry-run")], chain_copy)
    assert code == 0, errors
    for line in (
        "-> int8 (1, 3, 16, 32)",
        "range of the scores: measured on 8 images",
        "profile 0: min 1x32x64, opt 1x32x64, max 1x32x64",
        f"options: --memory-pool workspace:{256 << 20}B",
        "workspace up to 256 MiB",
    ):
        assert line in out


REFUSED = (
    (("--precision", "fp8"), FAILURE, "computes in fp32, bf16 and int8, not in fp8"),
    (("--precision", "int8"), USAGE, "int8 needs images to calibrate on"),
    (("--calib-data", "IMAGES"), USAGE, "calibration images do nothing for fp32"),
    (("--keep", "conv"), USAGE, "nothing is quantised in fp32"),
    (("--precision", "int8", "--calib-data", "IMAGES", "--keep", "zzz"), USAGE, "'zzz' is no node"),
    (("--precision", "int8", "--calib-data", "none"), FAILURE, "none is not there"),
    (("--max-miou-drop", "1", "--eval-data", "none"), USAGE, "is kept by int8 and fp8, not by fp32"),
    (("--workspace", "64"), USAGE, "is TensorRT's, the back end is openvino"),
    (("--min-shapes", "32x64", "--max-shapes", "32x64"), USAGE, "profiles are TensorRT's"),
    (("--logits-dtype", "int8"), USAGE, "int8 scores need images"),
    (("--input-size", "33x65"), FAILURE, "is asked to be 33x65"),
    (("--verify", "none"), FAILURE, "none is not there"),
    (("--verify",), USAGE, "--verify needs frames"),
    (("--min-agreement", "0.9"), USAGE, "--min-agreement does nothing without --verify"),
    (("-o", "net.onnx/net.engine"), FAILURE, "cannot be written"),
)


def test_a_dry_run_refuses_what_a_build_would(chain_copy: Path, chain: Any) -> None:
    before = contents(chain_copy)
    filled = [[chain.images if word == "IMAGES" else word for word in words] for words, _, _ in REFUSED]
    found = call_many([("net.onnx", *OPENVINO, "--dry-run", *words) for words in filled], chain_copy)
    for (words, code, told), (got, _, errors) in zip(REFUSED, found, strict=True):
        assert (got, told in errors) == (code, True), f"{words}: {got}, {errors}"
    assert contents(chain_copy) == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unchanged_build_is_skipped_and_a_forced_one_is_not(chain_copy: Path, backend: str) -> None:
    needs(backend)
    words = ("net.onnx", "--backend", backend)
    first, second, forced = call_many([words, words, (*words, "--force")], chain_copy)
    told = "net.engine is of the same inputs already, nothing is built; --force builds it again"
    assert [told in one[1] for one in (first, second, forced)] == [False, True, False]
    assert [one[0] for one in (first, second, forced)] == [0, 0, 0]


def test_verify_without_a_value_takes_the_calibration_images(chain_copy: Path, call_in: Any, chain: Any) -> None:
    words = ("build-engine", "net.onnx", *OPENVINO, "--precision", "int8", "--calib-data", chain.images, "--verify")
    done = call_in(words, chain_copy)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"masks agree with float32 on \d\d\.\d\d % of the pixels of 8 frames, least on .*\.png", done.stdout
    )
    found = read_engine_spec(chain_copy / "net.engine")[0].verified
    assert found is not None
    assert 0.5 < found.worst <= found.agreement < 1.0


def test_too_little_agreement_is_a_failure_that_leaves_the_old_engine(
    chain_copy: Path, call_in: Any, chain: Any
) -> None:
    before = contents(chain_copy)
    words = ("build-engine", "net.onnx", "-o", "net.fp32.engine", *OPENVINO, "--precision", "int8")
    data = ("--calib-data", chain.images, "--verify", chain.images, "--min-agreement", "1.0")
    done = call_in((*words, *data), chain_copy)
    assert done.returncode == FAILURE
    assert "asked for is 100.00 %" in done.stderr
    after = contents(chain_copy)
    assert after.pop("net.calibration.json")
    assert after == before


def test_an_engine_for_a_gpu_is_compared_on_that_gpu(chain_copy: Path, chain: Any, device: Device) -> None:
    words = ("build-engine", "net.onnx", "--backend", "tensorrt", "--precision", "fp32", "--no-timing-cache")
    done = device.run(*words, "--verify", chain.images, cwd=chain_copy)
    assert done.returncode == 0, done.stderr
    found = read_engine_spec(chain_copy / "net.engine")[0].verified
    assert found is not None
    assert (found.frames, found.agreement) == (8, 1.0)


def test_a_small_gpu_is_told_what_to_lower(chain_copy: Path, device: Device) -> None:
    words = ("build-engine", "net.onnx", "--backend", "tensorrt", "--timing-cache", "timings", "--dry-run")
    done = device.run(*words, cwd=chain_copy, integrated=0, total=1 << 20, free=40 << 10)
    assert done.returncode == 0, done.stderr
    assert "would write: net.engine, net.engine.json, timings" in done.stdout
    assert "warning: memory is short: " in done.stdout
    assert "of the GPU's memory are free; in order of effect: --workspace 256MiB; --optimization-level 2" in done.stdout
