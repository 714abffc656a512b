"""The benchmarks for a real device run on the stand-in, and what they report is told truly."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from device_lab import Device, make_device

ROOT = Path(__file__).parents[2]
SECONDS = 120


def bench(device: Device, *words: object, **machine: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *map(str, words)],
        cwd=ROOT,
        env=device.environment(cc="8.9", device="RTX 4090", integrated=0, **machine),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report of small pictures."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("made")
    device = make_device(tmp_path_factory.mktemp("machine"))
    done = bench(device, "--small", "--runs", 2, "--turns", 1, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def report(made: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((made / "gpu-rtx-4090.json").read_text())
    return told


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``benchmarks.gpu.report``."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.gpu import report

    return report


def test_every_case_is_timed_checked_and_held_against_its_peers(report: dict[str, Any]) -> None:
    kinds = [case["kind"] for case in report["kernels"]]
    assert (kinds.count("pre"), kinds.count("tail"), kinds.count("extra")) == (6, 8, 7)
    for case in report["kernels"]:
        assert case["median_ms"] > 0 and case["moved_bytes"] > 0 and case["differing"] == 0
        peers = {peer["name"]: peer for peer in case["peers"]}
        assert set(peers) == (set() if case["kind"] == "extra" else {"torch", "numpy"})
        assert all(peer["agreement"] > 0.98 for peer in peers.values())
    assert [row["graph_launches"] > 0 for row in report["session"]["host"]] == [False, True]


def test_the_bytes_of_a_case_are_those_of_its_shapes(report: dict[str, Any]) -> None:
    moved = {case["name"]: case["moved_bytes"] for case in report["kernels"]}
    assert moved["19x8x16 float32, smooth -> 72x128 mask"] == 19 * 8 * 16 * 4 + 72 * 128
    assert moved["19x8x16 float16, smooth -> 72x128 mask + areas"] == 19 * 8 * 16 * 2 + 2 * 72 * 128
    assert moved["overlay at 72x128"] == 7 * 72 * 128
    # 72 rows become 32, each of two neighbours: 2.25 i + 0.625 takes 64 of them, and every row of chroma
    assert moved["72x128 NV12 -> 1x3x32x64 float16"] == 64 * 128 + 36 * 128 + 3 * 32 * 64 * 2


def test_figures_of_a_stand_in_are_called_that_and_never_results(made: Path, device: Device) -> None:
    assert "no figure here means anything" in (made / "gpu-rtx-4090.md").read_text()
    done = bench(device)
    assert done.returncode == 1
    assert "are no results" in done.stderr


def test_without_a_driver_there_is_nothing_to_measure(device: Device, tmp_path: Path) -> None:
    done = bench(device, "--out", tmp_path, has_driver=False)
    assert done.returncode == 1
    assert "no device to measure on: the CUDA driver cannot be loaded" in done.stderr
    assert list(tmp_path.glob("gpu-*")) == []


def test_a_goal_is_met_by_the_figure_alone(report: dict[str, Any], reports: Any) -> None:
    fast = copy.deepcopy(report)
    for case in fast["kernels"]:
        case["of_copy"] = reports.COPY_GOAL
        for peer in case["peers"]:
            peer["ratio"] = reports.TAIL_GOAL
    fast["session"]["host"][1]["median_us"] = reports.HOST_GOAL_US
    assert [one["is_met"] for one in reports.goals_of(fast)] == [True] * (len(fast["kernels"]) + 8 + 1)
    slow = copy.deepcopy(fast)
    next(case for case in slow["kernels"] if case["kind"] == "tail")["peers"][0]["ratio"] = 19.99
    slow["session"]["host"][1]["graph_launches"] = 0  # a figure without a graph is none of a graph
    missed = [one for one in reports.goals_of(slow) if not one["is_met"]]
    assert [one["found"] for one in missed] == [19.99, None]
    assert all("MISSED" in reports.goal_line(one) for one in missed)
    assert reports.markdown(slow | {"goals": missed}).count("MISSED") == 2


def test_the_page_tells_what_reports_there_are(report: dict[str, Any], reports: Any, tmp_path: Path) -> None:
    from benchmarks.gpu.page import NOTHING, with_results

    page = (ROOT / "docs" / "gpu.md").read_text()
    assert with_results(page, ROOT / "benchmarks" / "results") == page
    assert NOTHING in with_results(page, tmp_path)
    reports.write(report, tmp_path)
    told = with_results(page, tmp_path)
    assert NOTHING not in told
    assert "[RTX 4090](../benchmarks/results/gpu-rtx-4090.md)" in told
    with pytest.raises(ValueError, match="no part"):
        with_results("nothing", tmp_path)
