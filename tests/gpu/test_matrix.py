"""Nets, precisions and options on a real device: what is built runs there and gives OpenVINO's masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg.runtime.session import Session

pytestmark = pytest.mark.gpu

#: of masks with OpenVINO's in float32: TF32 keeps 10 bits, as float16 does; INT8 and FP8 move what is near a border
LEAST_AGREEMENT = {"fp32": 0.99, "fp16": 0.98, "bf16": 0.95, "int8": 0.90, "fp8": 0.90}
NETS = ("small", "unet-mini", "fcn2s-slim", "mobilenet-unet")
OPTIONS: dict[str, tuple[str, ...]] = {
    "level": ("--optimization-level", "0"),
    "workspace": ("--workspace", "64M"),
    "streams": ("--aux-streams", "0"),
    "tf32-off": ("--no-tf32",),
    "sparse": ("--sparsity",),
    "tiling": ("--tiling-level", "fast"),
    "refit": ("--refit",),
    "stripped": ("--strip-plan",),
    "ampere": ("--hardware-compatibility", "ampere-plus"),
    "same-cc": ("--hardware-compatibility", "same-compute-capability"),
    "lean": ("--version-compatible",),
    "uncached": ("--no-timing-cache",),
    "names": ("--profiling-verbosity", "layer-names"),
    "half-out": ("--logits-dtype", "float16"),
    "int8-out": ("--logits-dtype", "int8"),
    "hwc-in": ("--input-format", "hwc"),
    "hwc8-out": ("--logits-dtype", "float16", "--output-format", "hwc8"),
    "hwc16-out": ("--logits-dtype", "float16", "--output-format", "hwc16"),
    "dla": ("--dla-core", "0"),
}
Mask = NDArray[np.uint8]


@pytest.fixture(scope="session")
def frames(backend: str, chain: Any) -> list[NDArray[np.uint8]]:
    return [np.asarray(cv2.imread(str(path)), np.uint8) for path in sorted(chain.images.glob("*.png"))[:4]]


@pytest.fixture(scope="session")
def masks_on_cpu(
    frames: list[NDArray[np.uint8]], onnx_of: Any, call_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[Mask]]:
    """``masks_on_cpu(net)``: of OpenVINO's float32 engine."""
    folder, known = tmp_path_factory.mktemp("cpu"), {}

    def masks_on_cpu(net: str) -> list[Mask]:
        if net not in known:
            path = folder / f"{net}.engine"
            done = call_in(["build-engine", onnx_of(net), "-o", path, "--backend", "openvino"], folder)
            assert done.returncode == 0, done.stderr
            known[net] = masks_of(path, frames)
        return known[net]

    return masks_on_cpu


def masks_of(engine: Path, frames: list[NDArray[np.uint8]]) -> list[Mask]:
    """Two frames are in flight all the while."""
    with Session(engine, depth=2) as session:
        masks: list[Mask] = []
        for frame in frames:
            session.submit(frame)
            if session.pending == session.depth:
                masks.append(session.result().copy())
        return masks + [session.result().copy() for _ in range(session.pending)]


def agreement(one: list[Mask], other: list[Mask]) -> float:
    return float(np.mean(np.array(one) == np.array(other)))


@pytest.mark.parametrize("precision", LEAST_AGREEMENT)
@pytest.mark.parametrize("net", NETS)
def test_a_net_in_a_precision_gives_the_masks_of_the_cpu(
    net: str, precision: str, build: Any, frames: list[NDArray[np.uint8]], masks_on_cpu: Any
) -> None:
    masks = masks_of(build(net, precision), frames)
    assert agreement(masks, masks_on_cpu(net)) >= LEAST_AGREEMENT[precision]


@pytest.mark.parametrize("words", OPTIONS.values(), ids=OPTIONS)
def test_an_option_changes_how_a_net_runs_and_not_its_masks(
    words: tuple[str, ...], build: Any, frames: list[NDArray[np.uint8]], masks_on_cpu: Any
) -> None:
    masks = masks_of(build("small", "fp16", *words), frames)
    least = LEAST_AGREEMENT["int8" if "int8" in words else "fp16"]
    assert agreement(masks, masks_on_cpu("small")) >= least
