"""A sweep over the demo's net: real builds, real timing, and what a stop leaves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseg.builder.build_options import BuildOptions
from edgeseg.errors import EngineError, OptionsError, OutputError
from edgeseg.report.frames import FrameSet
from edgeseg.report.record import Settings, read_report
from edgeseg.report.sweep_record import Sweep
from edgeseg.sweep import SweepRequest, run_sweep

FRAMES = FrameSet(name="grey", frames=(np.full((40, 60, 3), 90, np.uint8),))
QUICK = Settings(warm_up_ms=0, duration_s=0, iterations=4, rounds=2, scopes=("frame-to-mask",))
BUILD = BuildOptions(backend="openvino")


@pytest.fixture
def net(chain: Any, tmp_path: Path) -> Path:
    for suffix in (".onnx", ".json"):
        shutil.copy(chain.onnx.with_suffix(suffix), tmp_path / f"net{suffix}")
    return tmp_path / "net.onnx"


def request(net: Path, **more: Any) -> SweepRequest:
    return SweepRequest(nets=(net,), out=net.parent / "out", build=BUILD, settings=QUICK, **more)


def test_every_combination_is_built_timed_and_in_one_table(net: Path) -> None:
    found = run_sweep(request(net, precisions=("fp32", "bf16"), threads=(1, 2)), FRAMES)
    assert [(row.precision, row.threads) for row in found.rows] == [
        ("fp32", 1), ("bf16", 1), ("fp32", 2), ("bf16", 2)
    ]  # fmt: skip
    assert found.failures == ()
    for row in found.rows:
        report = read_report(net.parent / "out" / row.report)
        assert report.settings.threads == row.threads
        assert row.p50_ms in [one.headline.stats.p50_ms for one in report.measurements]
    assert [row.ratio for row in found.rows if row.precision == "fp32"] == [1.0, 1.0]
    written = msgspec.json.decode((net.parent / "out" / "sweep.json").read_bytes(), type=Sweep)
    assert written == found
    lines = (net.parent / "out" / "sweep.md").read_text().splitlines()
    assert sum(line.startswith("| net.onnx |") for line in lines) == 4


def test_after_a_stop_only_what_is_missing_is_done(net: Path) -> None:
    whole = request(net, threads=(1, 2))
    told: list[str] = []

    def stop(text: str) -> None:
        if text.startswith("timing net-b1-t2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(whole, FRAMES, tell=stop)
    first = (net.parent / "out" / "net-b1-t1.json").read_bytes()
    found = run_sweep(whole, FRAMES, tell=told.append)
    assert [text.split(":")[0] for text in told] == ["engine net-fp32", "net-b1-t1", "timing net-b1-t2"]
    assert (net.parent / "out" / "net-b1-t1.json").read_bytes() == first
    assert len(found.rows) == 2


def test_other_settings_are_timed_anew(net: Path) -> None:
    run_sweep(request(net), FRAMES)
    told: list[str] = []
    other = msgspec.structs.replace(QUICK, iterations=6)
    run_sweep(SweepRequest(nets=(net,), out=net.parent / "out", build=BUILD, settings=other), FRAMES, tell=told.append)
    assert "timing net-b1-tall: fp32" in told


def test_what_cannot_be_built_is_named_and_the_rest_goes_on(net: Path) -> None:
    found = run_sweep(request(net, precisions=("int8", "fp32")), FRAMES)
    (failure,) = found.failures
    assert failure.what == "net-int8" and "calib-data" in failure.reason
    assert [row.precision for row in found.rows] == ["fp32"]
    assert "net-int8" in (net.parent / "out" / "sweep.md").read_text().replace("\\", "")


def test_batches_are_refused_where_the_back_end_takes_one_image(net: Path) -> None:
    with pytest.raises(OptionsError, match="openvino, whose engines take one image: leave --batch out"):
        request(net, batches=(1, 4))


def test_nets_of_one_name_are_refused(net: Path) -> None:
    with pytest.raises(OptionsError, match="nets are called net, net: give each a name of its own"):
        SweepRequest(nets=(net, net), out=net.parent, build=BUILD, settings=QUICK)


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_built(net: Path) -> None:
    (net.parent / "out").write_bytes(b"")
    told: list[str] = []
    with pytest.raises(OutputError, match="out"):
        run_sweep(request(net), FRAMES, tell=told.append)
    assert told == []


def test_a_batch_that_the_engine_does_not_take_is_refused(net: Path) -> None:
    from edgeseg.report.benchmark import run_benchmark

    run_sweep(request(net), FRAMES)
    settings = msgspec.structs.replace(QUICK, batch=2)
    with pytest.raises(EngineError, match=r"takes 1 frame\(s\) at once, asked for is a batch of 2"):
        run_benchmark([net.parent / "out" / "net-fp32.engine"], FRAMES, settings)
