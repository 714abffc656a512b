"""Pre-processing, post-processing and overlay against the ways that people use, in one run: ``make bench``."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.rounds import IS_QUICK, versions_of
from edgeseg.runtime.copy_bandwidth import host_copy_bytes_per_s

_spec = importlib.util.spec_from_file_location("imaging_cases", Path(__file__).with_name("cases.py"))
assert _spec is not None
assert _spec.loader is not None
cases = importlib.util.module_from_spec(_spec)
sys.modules["imaging_cases"] = cases
_spec.loader.exec_module(cases)

THREADS = len(os.sched_getaffinity(0))
OURS = "edgeseg"
TURNS = 1 if IS_QUICK else 3
PEERS = {
    "1080p BGR -> 1x3x512x1024": ("cv2.dnn", "torch", "OpenVINO"),
    "1080p NV12 -> 1x3x512x1024": ("cvtColor + cv2.dnn",),
    "19x64x128 smooth -> 1080x1920 mask": ("torch", "OpenVINO FP32", "OpenVINO BF16", "numpy argmax at 512x1024"),
    "19x64x128 noise -> 1080x1920 mask": ("torch", "OpenVINO FP32", "OpenVINO BF16", "numpy argmax at 512x1024"),
    "overlay at 1080p": ("cv2.LUT + addWeighted",),
}
# turns of ours and its peers alternate, so that a drift of the machine meets all of them
RUNS = [(case, turn, who) for case, peers in PEERS.items() for turn in range(TURNS) for who in (OURS, *peers)]


@functools.cache
def made(case: str) -> Any:
    """A case, set up once for the run."""
    cv2.setNumThreads(THREADS)
    found = cases.CASES[case](THREADS)
    assert tuple(found.peers) == PEERS[case]
    return found


@functools.cache
def copy_bytes_per_s() -> float:
    """The machine's copy bandwidth with as many threads as the kernels have."""
    return host_copy_bytes_per_s(threads=THREADS)


@pytest.mark.parametrize(("case", "turn", "who"), RUNS)
def test_imaging(benchmark: Any, case: str, turn: int, who: str) -> None:
    """Time one way of one case; its result is held against ours after the timing."""
    pytest.importorskip("torch").set_num_threads(THREADS)
    found = made(case)
    run = found.ours if who == OURS else found.peers[who]
    benchmark.group = f"{case}, turn {turn}"
    benchmark.extra_info["goal"] = found.goals.get(who)
    benchmark.extra_info["threads"] = THREADS
    benchmark.extra_info["bound_ms"] = found.moved_bytes / copy_bytes_per_s() * 1e3
    benchmark.extra_info["versions"] = versions_of("opencv-python-headless", "torch", "openvino", "numpy")
    benchmark.pedantic(run, rounds=31 if who == OURS else 9, warmup_rounds=3)
    assert found.agree(found.ours(), np.asarray(run()))
