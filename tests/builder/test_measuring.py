"""What is measured of a net for a precision, and when a calibration is taken from its file."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeseg.builder.measuring import CalibrationOptions, calibration_path, measured
from edgeseg.builder.source import Source, SourceOptions, open_source
from edgeseg.data import CalibrationSet
from edgeseg.errors import BuildError, ModelError
from edgeseg.graph.preparing import PrepareOptions
from edgeseg.imaging.preprocess import Preprocessor

OPTIONS = SourceOptions()


@pytest.fixture
def net(chain: Any, tmp_path: Path) -> Path:
    """The small net in a folder of its own."""
    for path in (chain.onnx, chain.onnx.with_suffix(".json")):
        shutil.copy(path, tmp_path / path.name)
    return tmp_path / chain.onnx.name


def opened(net: Path, options: SourceOptions = OPTIONS) -> Source:
    return open_source(net, options)


def test_int8_takes_the_range_of_the_brightest_pixel_for_the_image(chain: Any, net: Path) -> None:
    source, seen = opened(net), list[tuple[int, int]]()
    found = measured(
        source,
        "int8",
        CalibrationOptions(source=chain.images),
        OPTIONS,
        on_image=lambda *count: seen.append(count),
    )
    quantisation = found.master.quantisation
    assert quantisation is not None
    maker, images = Preprocessor(source.spec.input), CalibrationSet(chain.images)
    largest = max(float(np.abs(maker.tensor(frame)).max()) for frame in images)
    assert float(quantisation.scales["image"]) == pytest.approx(largest / 127, rel=1e-6)
    assert seen[-1] == (len(images), len(images))
    assert found.calibration.calibration_sha256 == images.sha256
    assert found.calibration.calibration_images == len(images)


def test_a_calibration_is_used_again_only_where_all_of_it_agrees(chain: Any, net: Path, tmp_path: Path) -> None:
    told: list[str] = []

    def again(calibration: CalibrationOptions, options: SourceOptions = OPTIONS) -> str:
        told.clear()
        measured(opened(net, options), "int8", calibration, options, note=told.append)
        return " ".join(told)

    first = CalibrationOptions(source=chain.images)
    assert "ranges are kept in" in again(first)
    assert calibration_path(net).exists()
    assert "ranges are taken from" in again(first)
    assert "the method (max against entropy)" in again(replace(first, method="entropy"))
    assert "the method (entropy against max)" in again(first)
    assert "the images (" in again(replace(first, every=2))
    other = SourceOptions(prepare=PrepareOptions(keep_tail=True))
    assert "the graph (" in again(replace(first, every=2), other)


def test_ranges_are_told_apart_by_precision(chain: Any, net: Path) -> None:
    told: list[str] = []
    calibration = CalibrationOptions(source=chain.images)
    measured(opened(net), "int8", calibration, OPTIONS)
    measured(opened(net), "fp8", calibration, OPTIONS, note=told.append)
    assert "the precision (int8 against fp8)" in " ".join(told)


@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_images_are_of_no_use_for_what_needs_no_ranges(chain: Any, net: Path, kind: Any) -> None:
    with pytest.raises(BuildError, match=f"do nothing for {kind}: leave --calib-data out"):
        measured(opened(net), kind, CalibrationOptions(source=chain.images), OPTIONS)


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_quantising_needs_images(net: Path, kind: Any) -> None:
    with pytest.raises(BuildError, match=f"{kind} needs images to calibrate on: give --calib-data"):
        measured(opened(net), kind, None, OPTIONS)


def enlarged(net: Path, factor: float) -> Path:
    """The same net but for an untouched sidecar's sake: without one, and with weights that make large numbers."""
    model = onnx.load(net)
    for tensor in model.graph.initializer:
        if tensor.name.endswith("weight"):
            array = onnx.numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    onnx.save(model, net)
    net.with_suffix(".json").unlink()
    return net


def test_float16_keeps_in_float32_what_reaches_too_far(net: Path) -> None:
    told: list[str] = []
    fits = measured(opened(net), "fp16", None, OPTIONS)
    assert fits.master.wide == frozenset()
    wide = measured(opened(enlarged(net, 1e3)), "fp16", None, OPTIONS, note=told.append)
    assert wide.master.wide
    assert any("float16 cannot hold Conv" in text for text in told)


def test_weights_that_are_nan_are_refused_with_the_layer_s_name(chain: Any, net: Path) -> None:
    broken = enlarged(net, float("nan"))
    with pytest.raises(ModelError, match=r"Conv 'node_conv2d' in stem \(Conv2d\) has weights that are NaN"):
        measured(opened(broken), "int8", CalibrationOptions(source=chain.images), OPTIONS)


@pytest.mark.parametrize("kind", ["int8", "fp16"])
def test_a_layer_that_makes_infinity_is_named_with_the_image_s_file(chain: Any, net: Path, kind: Any) -> None:
    """Each weight is a float32, their sum is none."""
    broken = enlarged(net, 3e38)
    with pytest.raises(ModelError, match=r"Conv 'node_conv2d' in stem \(Conv2d\) gives infinity on .*000.png"):
        measured(opened(broken), kind, CalibrationOptions(source=chain.images), OPTIONS)


def test_too_few_images_are_warned_about(chain: Any, net: Path) -> None:
    told: list[str] = []
    measured(opened(net), "int8", CalibrationOptions(source=chain.images), OPTIONS, note=told.append)
    assert any(text.startswith("warning: ") and "32" in text for text in told)


def test_float16_without_images_warns_of_no_images_of_the_user_s(net: Path) -> None:
    told: list[str] = []
    measured(opened(net), "fp16", None, OPTIONS, note=told.append)
    assert told == ["what float16 cannot hold is looked for with edgeseg's own pictures; --calib-data takes yours"]
