"""The whole way through TensorRT as on a device: built by the command, run by Session and by the command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from device_lab import RELEASES, Device, make_device
from numpy.typing import NDArray

from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.report.record import SCOPES, read_report
from edgeseg.runtime.session import Session
from edgeseg.spec import PrecisionKind

LEAST_AGREEMENT = 0.98  # of masks: float16 and INT8 move scores by about 1%, and few pixels are that near to a border
PRECISIONS: tuple[PrecisionKind, ...] = ("fp32", "fp16", "int8")
Mask = NDArray[np.uint8]


class Shop(NamedTuple):
    """Engines of one release, by their precision."""

    device: Device
    release: str
    engines: dict[str, Path]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Device:
    return make_device(tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module")
def int8_onnx(machine: Device, chain: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain's net with quantisation in its graph, made where TensorRT is installed."""
    path = tmp_path_factory.mktemp("quantised") / "net.int8.onnx"
    done = machine.run("quantize", chain.onnx, "-o", path, "--precision", "int8", "--calib-data", chain.images)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module", params=RELEASES)
def shop(
    request: pytest.FixtureRequest,
    machine: Device,
    chain: Any,
    int8_onnx: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    engines = {precision: folder / f"{precision}.engine" for precision in PRECISIONS}
    with machine.inside(version=request.param):
        for precision in PRECISIONS:
            onnx_path = int8_onnx if precision == "int8" else chain.onnx
            build_engine(onnx_path, engines[precision], BuildOptions(backend="tensorrt", precision=precision))
    return Shop(machine, request.param, engines)


@pytest.fixture
def on_device(shop: Shop) -> Iterator[Shop]:
    with shop.device.inside(version=shop.release):
        yield shop


@pytest.fixture(scope="module")
def frames(chain: Any) -> list[NDArray[np.uint8]]:
    return [np.asarray(cv2.imread(str(path)), np.uint8) for path in sorted(chain.images.glob("*.png"))[:4]]


@pytest.fixture(scope="module")
def expected(chain: Any, frames: list[NDArray[np.uint8]]) -> list[Mask]:
    """What OpenVINO's float32 engine makes of the frames."""
    with Session(chain.fp32) as session:
        return [session.segment(frame).copy() for frame in frames]


def test_masks_of_a_float32_engine_are_those_of_openvino(
    on_device: Shop, frames: list[NDArray[np.uint8]], expected: list[Mask]
) -> None:
    with Session(on_device.engines["fp32"]) as session:
        masks = [session.segment(frame).copy() for frame in frames]
    np.testing.assert_array_equal(masks, expected)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_masks_of_a_lower_precision_are_near_those_of_float32(
    on_device: Shop, precision: str, frames: list[NDArray[np.uint8]], expected: list[Mask]
) -> None:
    with Session(on_device.engines[precision]) as session:
        assert session.spec.precision.kind == precision
        masks = [session.segment(frame).copy() for frame in frames]
    assert float(np.mean(np.array(masks) == np.array(expected))) >= LEAST_AGREEMENT


@pytest.mark.parametrize(
    "words",
    [
        "--fold-normalisation --input-format hwc",
        "--logits-dtype float16 --output-format hwc8",
        "--logits-dtype int8 --output-format hwc16 --calib-data IMAGES",
        "--strip-plan --input-format hwc",
    ],
)
def test_other_types_and_formats_of_image_and_scores_give_the_same_masks(
    words: str,
    machine: Device,
    chain: Any,
    frames: list[NDArray[np.uint8]],
    expected: list[Mask],
    tmp_path: Path,
) -> None:
    given = [str(chain.images) if word == "IMAGES" else word for word in words.split()]
    engine = tmp_path / "net.engine"
    done = machine.run("build-engine", chain.onnx, "-o", engine, "--backend", "tensorrt", *given)
    assert done.returncode == 0, done.stderr
    with machine.inside(), Session(engine) as session:
        masks = [session.segment(frame).copy() for frame in frames]
    assert float(np.mean(np.array(masks) == np.array(expected))) >= LEAST_AGREEMENT


def test_two_frames_in_flight_come_back_in_their_order(
    on_device: Shop, frames: list[NDArray[np.uint8]], expected: list[Mask]
) -> None:
    with Session(on_device.engines["fp32"], depth=2) as session:
        masks = []
        for frame in frames:
            session.submit(frame)
            if session.pending == 2:
                masks.append(session.result().copy())
        masks += [session.result().copy() for _ in range(session.pending)]
    np.testing.assert_array_equal(masks, expected)


def test_the_commands_run_and_time_an_engine_as_on_a_device(
    shop: Shop, chain: Any, expected: list[Mask], tmp_path: Path
) -> None:
    done = shop.device.run("run", shop.engines["fp32"], chain.images, tmp_path / "masks", version=shop.release)
    assert done.returncode == 0, done.stderr
    first = cv2.imread(str(sorted((tmp_path / "masks").glob("*.png"))[0]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(first, expected[0])
    assert re.search(r"CUDA, a frame: 0\.00 MB in, .* launches, .* waits; graphs: on$", done.stdout, re.MULTILINE)
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    report = tmp_path / "report.json"
    words = ("benchmark", shop.engines["fp32"], "--duration", "0.1", *scopes, "--report", report)
    timed = shop.device.run(*words, version=shop.release)
    assert timed.returncode == 0, timed.stderr
    assert [(one.scope, one.clock, one.has_transfers) for one in read_report(report).measurements] == [
        ("engine", "cuda-events", False),
        ("engine+copies", "cuda-events", True),
        ("frame-to-mask", "cuda-events", True),
        ("end-to-end", "cuda-events", True),
    ]
    assert "PyCUDA" not in done.stderr + timed.stderr  # its warnings of leaks


def test_cuda_graphs_can_be_left_out_of_a_run_and_not_asked_of_a_cpu(shop: Shop, chain: Any, tmp_path: Path) -> None:
    on_device = shop.device.run("run", shop.engines["fp32"], chain.images, "--no-cuda-graphs", version=shop.release)
    assert on_device.returncode == 0 and "graphs: off: not asked for" in on_device.stdout, on_device.stderr
    for word in ("--cuda-graphs", "--no-cuda-graphs"):
        done = shop.device.run("run", chain.fp32, chain.images, word, version=shop.release)
        assert done.returncode == 1 and "runs on the CPU, without CUDA: leave" in done.stderr


def test_a_driver_too_old_for_the_kernels_is_told_before_anything_is_written(
    shop: Shop, chain: Any, tmp_path: Path
) -> None:
    words = ("run", shop.engines["fp32"], chain.images, tmp_path / "masks")
    done = shop.device.run(*words, version=shop.release, nvcc="14.0")
    assert done.returncode == 1 and not (tmp_path / "masks").exists()
    assert (
        "the driver is made for CUDA 13.0 and does not load what CUDA 14.0 compiles: update the driver" in done.stderr
    )
