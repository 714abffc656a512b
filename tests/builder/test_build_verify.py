"""The comparison of a fresh engine with float32, before it is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg import Session
from edgeseg.builder.build import BuildOptions, VerifyOptions, build_engine
from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.data import CalibrationSet
from edgeseg.errors import BuildError, DataError, OptionsError
from edgeseg.metrics import agreement
from edgeseg.sidecars import read_engine_spec


def int8(chain: Any, folder: Path, verify: VerifyOptions | None) -> BuildOptions:
    calibration = CalibrationOptions(source=chain.images, file=folder / "ranges.json")
    return BuildOptions(backend="openvino", precision="int8", calibration=calibration, verify=verify)


def test_the_agreement_is_that_of_the_masks_of_the_two_engines(chain: Any, tmp_path: Path) -> None:
    told: list[str] = []
    options = int8(chain, tmp_path, VerifyOptions(source=chain.images, min_agreement=0.5))
    spec = build_engine(chain.onnx, tmp_path / "net.engine", options, note=told.append)
    shares = []
    with Session(tmp_path / "net.engine", depth=1) as quantised, Session(chain.fp32, depth=1) as exact:
        for frame in CalibrationSet(chain.images):
            shares.append(agreement(quantised.segment(frame), exact.segment(frame)))
    assert 0.5 < np.mean(shares) < 1.0  # the small net has random weights; were it 1, the test would show nothing
    assert spec.verified is not None
    assert spec.verified.agreement == pytest.approx(np.mean(shares))
    assert spec.verified.worst == min(shares)
    assert spec.verified.frames == len(shares)
    assert spec.verified.data_sha256 == CalibrationSet(chain.images).sha256
    assert read_engine_spec(tmp_path / "net.engine")[0].verified == spec.verified
    worst = sorted(chain.images.iterdir())[int(np.argmin(shares))]
    assert [one for one in told if f"least on {worst}" in one] != []


def test_too_little_agreement_fails_the_build_and_leaves_the_old_engine(chain: Any, tmp_path: Path) -> None:
    target = tmp_path / "net.engine"
    build_engine(chain.onnx, target, int8(chain, tmp_path, None))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(BuildError, match=r"agree with float32 on \d\d\.\d\d % of .* 8 frames, asked for is 100\.00 %"):
        build_engine(chain.onnx, target, int8(chain, tmp_path, VerifyOptions(source=chain.images, min_agreement=1.0)))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_float32_agrees_with_itself(chain: Any, tmp_path: Path) -> None:
    options = BuildOptions(backend="openvino", verify=VerifyOptions(source=chain.images, every=4, min_agreement=1.0))
    spec = build_engine(chain.onnx, tmp_path / "net.engine", options)
    assert spec.verified is not None
    assert (spec.verified.frames, spec.verified.worst) == (2, 1.0)


def test_a_promise_of_frames_that_are_not_there_is_refused_before_the_build(chain: Any, tmp_path: Path) -> None:
    steps: list[str] = []
    options = BuildOptions(backend="openvino", verify=VerifyOptions(source=tmp_path / "none"))
    with pytest.raises(DataError, match="none is not there"):
        build_engine(chain.onnx, tmp_path / "net.engine", options, progress=lambda _, step: steps.append(step))
    assert steps == []


def test_frames_that_cannot_be_read_are_passed_over_only_when_told(chain: Any, tmp_path: Path) -> None:
    shutil.copytree(chain.images, tmp_path / "images")
    (tmp_path / "images" / "000.png").write_bytes(b"no picture")
    for skip_bad in (False, True):
        verify = VerifyOptions(source=tmp_path / "images", skip_bad=skip_bad)
        options = BuildOptions(backend="openvino", verify=verify)
        if skip_bad:
            spec = build_engine(chain.onnx, tmp_path / "net.engine", options)
            assert spec.verified is not None
            assert spec.verified.frames == 7
        else:
            with pytest.raises(DataError, match=r"000\.png"):
                build_engine(chain.onnx, tmp_path / "net.engine", options)
            assert not (tmp_path / "net.engine").exists()


def test_a_back_end_without_its_device_is_refused_before_anything_is_done(chain: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from edgeseg.trt_api import driver_state

    if driver_state().is_working:
        pytest.skip("there is a device")
    options = BuildOptions(backend="tensorrt-rtx", verify=VerifyOptions(source=chain.images))
    with pytest.raises(BuildError, match=r"tensorrt-rtx builds cannot be compared with float32 here .*driver"):
        build_engine(chain.onnx, tmp_path / "net.engine", options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_an_agreement_that_is_no_share_is_refused(chain: Any, share: float) -> None:
    with pytest.raises(OptionsError, match="is no share"):
        VerifyOptions(source=chain.images, min_agreement=share)
