"""Shapes as a user writes them against what a net takes, and a build with profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.builder.build import BuildOptions, build_engine
from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.builder.shapes import AskedProfile, AskedShape, asked_profiles, checked_profiles, resolved_profiles
from edgeseg.builder.source import SourceOptions
from edgeseg.errors import BuildError, OptionsError
from edgeseg.spec import FrameOptions, PrecisionKind, ProfileSpec

FILE = ProfileSpec(minimum=(1, 32, 64), optimum=(1, 64, 128), maximum=(4, 128, 256), step_hw=(32, 64))
IMAGE = FrameOptions().input_spec(name="image", size_hw=(64, 128), profile=FILE)


def shape(height: int, width: int, **more: Any) -> AskedShape:
    return AskedShape(size_hw=(height, width), **more)


def profile(low: AskedShape, high: AskedShape, best: AskedShape | None = None) -> AskedProfile:
    return AskedProfile(minimum=low, optimum=best, maximum=high)


def test_without_an_optimum_the_nets_own_size_is_it_and_the_file_says_the_steps() -> None:
    (found,) = checked_profiles(IMAGE, [profile(shape(32, 64), shape(128, 256, batch=2))], FILE)
    assert found == ProfileSpec(minimum=(1, 32, 64), optimum=(1, 64, 128), maximum=(2, 128, 256), step_hw=(32, 64))


def test_a_net_without_a_sidecar_goes_in_the_steps_that_were_asked_for() -> None:
    asked = [
        profile(shape(96, 128), shape(192, 512), shape(96, 128)),
        profile(shape(64, 64), shape(64, 64), shape(64, 64)),
    ]
    assert [one.step_hw for one in checked_profiles(IMAGE, asked, None)] == [(32, 64)] * 2


REFUSED = {
    "minimum above optimum": (
        profile(shape(96, 64), shape(128, 256)),
        "the minimum's height 96 is above the optimum's 64: give --opt-shapes",
    ),
    "optimum above maximum": (
        profile(shape(32, 64), shape(96, 128), shape(96, 192)),
        "the optimum's width 192 is above the maximum's 128: exchange them",
    ),
    "batch": (
        profile(shape(32, 64, batch=4), shape(128, 256, batch=2), shape(64, 128, batch=4)),
        "the optimum's batch 4 is above the maximum's 2: exchange them",
    ),
    "channels": (profile(shape(32, 64, channels=1), shape(128, 256)), "'image' has 3 channel(s), 1 are asked for"),
    "name": (profile(shape(32, 64, name="data"), shape(128, 256)), "no input 'data', it takes 'image'"),
    "steps": (
        profile(shape(32, 96), shape(128, 256)),
        "the minimum 1 x 32x96 is none of the shapes that the net was exported for: batches 1-4, heights 32-128 in "
        "steps of 32, widths 64-256 in steps of 64",
    ),
    "too many": (profile(shape(32, 64), shape(128, 256, batch=5)), "the maximum 5 x 128x256 is none of the shapes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_profile_that_is_not_the_nets_is_refused(what: str) -> None:
    asked, told = REFUSED[what]
    with pytest.raises(OptionsError) as caught:
        checked_profiles(IMAGE, [asked], FILE)
    assert told in str(caught.value)


@pytest.mark.parametrize(("lows", "bests", "highs"), [(1, 0, 0), (2, 1, 2), (0, 1, 0)])
def test_shapes_are_given_as_often_as_each_other(lows: int, bests: int, highs: int) -> None:
    given = ([shape(32, 64)] * count for count in (lows, bests, highs))
    with pytest.raises(
        OptionsError, match=f"the minimum {lows} times, the optimum {bests} times, the maximum {highs} times"
    ):
        asked_profiles(*given)


def test_a_net_of_one_size_is_to_be_exported_anew(chain: Any) -> None:
    asked = [profile(shape(32, 64), shape(64, 128))]
    with pytest.raises(OptionsError, match=r"its height fixed at 32, .* 64: export it with --min-size and --max-size"):
        resolved_profiles(chain.onnx, asked, SourceOptions())


def test_nothing_is_read_where_nothing_is_asked_for(tmp_path: Path) -> None:
    assert resolved_profiles(tmp_path / "absent.onnx", (), SourceOptions()) == ()


def written(folder: Path, body: str) -> Path:
    """A net of any size without a sidecar: a convolution that halves the image, and ``body`` behind it."""
    onnx = pytest.importorskip("onnx")
    proto = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 19]> g (float[n, 3, h, w] image) => (float[n, 4, p, q] scores) '
        "<int64[1] two = {2}, int64[1] three = {3}, int64[1] four = {4}> "
        f"{{ small = Conv<strides=[2, 2]>(image, kernel) {body} }}"
    )
    kernel = np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "kernel"))
    for node in proto.graph.node:
        node.name = node.op_type.lower()
    path = folder / "model" / "net.onnx"
    path.parent.mkdir()
    onnx.save(proto, path)
    return path


@pytest.fixture
def open_onnx(tmp_path: Path) -> Path:
    """The mean of the scores, enlarged to their size, is added to them."""
    return written(
        tmp_path,
        "s = Shape(small) hw = Slice(s, two, four) p = GlobalAveragePool(small) nc = Shape<end=2>(p) "
        'z = Concat<axis=0>(nc, hw) up = Resize<mode="nearest">(p, , , z) scores = Add(up, small)',
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_engine_with_two_profiles_says_their_shapes_and_leaves_open_sides_open(
    chain: Any, open_onnx: Path, tmp_path: Path, precision: PrecisionKind
) -> None:
    pytest.importorskip("tensorrt_rtx")
    asked = [
        profile(shape(16, 32), shape(64, 128, batch=2), shape(32, 64)),
        profile(shape(16, 32), shape(16, 32, batch=4), shape(16, 32)),
    ]
    profiles = resolved_profiles(open_onnx, asked, SourceOptions())
    images = CalibrationOptions(source=chain.images, file=tmp_path / "ranges.json") if precision == "int8" else None
    options = BuildOptions(
        backend="tensorrt-rtx", precision=precision, calibration=images, profiles=profiles, scores="float16"
    )
    spec = build_engine(open_onnx, tmp_path / "net.engine", options)
    assert spec.profiles == profiles
    assert (spec.model.input.size_hw, spec.model.head.size_hw) == ((32, 64), (16, 32))
    assert [(one.dtype, one.shape) for one in spec.io] == [
        ("float32", (-1, 3, -1, -1)),
        ("float16", (-1, 4, -1, -1)),
    ]


def test_a_net_that_cannot_be_opened_is_refused_before_images_are_read(chain: Any, tmp_path: Path) -> None:
    """A width that is counted out in numbers."""
    pytest.importorskip("tensorrt_rtx")
    path = written(
        tmp_path,
        "s = Shape(small) w = Slice(s, three, four) q = Squeeze(w) z = Constant<value_int=0>() "
        "o = Constant<value_int=1>() r = Range(z, q, o) f = Cast<to=1>(r) scores = Add(small, f)",
    )
    profiles = (ProfileSpec(minimum=(1, 16, 32), optimum=(1, 32, 64), maximum=(1, 64, 128), step_hw=(16, 32)),)
    options = BuildOptions(
        backend="tensorrt-rtx",
        precision="int8",
        calibration=CalibrationOptions(source=chain.images, file=tmp_path / "ranges.json"),
        profiles=profiles,
    )
    told: list[str] = []
    with pytest.raises(BuildError, match=r"Add 'add' has .*: build one engine a size, with --input-size"):
        build_engine(path, tmp_path / "net.engine", options, progress=lambda done, step: told.append(step))
    assert told == []


def test_the_cpu_takes_one_shape_and_says_so_before_it_reads_the_net(tmp_path: Path) -> None:
    options = BuildOptions(backend="openvino", profiles=(FILE,))
    with pytest.raises(OptionsError, match=r"takes one shape.*: leave the shapes out, or use --input-size"):
        build_engine(tmp_path / "absent.onnx", tmp_path / "net.engine", options)
