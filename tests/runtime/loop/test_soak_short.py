"""`make soak` in short: the same parts and checks over 3,000 frames, and its arithmetic on known figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from soak.checks import checks_of, leaks_of
from soak.faults import Rates
from soak.freshness import Fresh
from soak.measuring import Sample, growth_bytes, step_bytes
from soak.page import page
from soak.recovery import Recovery, recovery_of
from soak.running import Plan, is_balanced, soak
from stream_servers import HttpSender, RtspServer, UdpSender, has_ffmpeg, has_rtsp

from edgeseg.runtime.sources import SourceOptions

MIB = 2**20
#: each fault some times in 3,000 frames; hangs are longer than ``stall_s``
OFTEN = Rates(
    opening_refused=0.2, opening_hangs=0.2, pulled=0.006, hangs=0.002, hangs_until_closed=0.002, corrupt=0.05,
    empty=0.03, stale=0.05, clock_jump=0.02, changes=0.02, hang_s=0.4, fps=250,
)  # fmt: skip


def test_a_short_soak_accounts_for_every_frame_and_leaves_nothing_behind(chain: Any, tmp_path: Path) -> None:
    """No claim on memory and on native threads: 3,000 frames are all warm-up, caches and libraries still fill."""
    for package in ("av", "aiohttp"):
        pytest.importorskip(package)
    plan = Plan(
        engine=chain.fp32, folder=tmp_path, frames=3000, seed=3, rates=OFTEN, stall_s=0.3, every_s=4.0, sample_s=0.5
    )
    soak(replace(plan, frames=100, needs_all=False))
    outcome = soak(plan)
    missed = [one for one in checks_of(outcome, plan) if one.is_met is False and not is_no_claim(one.what)]
    assert missed == []
    assert outcome.seen.frames_in >= 3000
    assert is_balanced(outcome.seen)
    assert min(outcome.faults.values()) > 0
    assert {name for name, left in leaks_of(outcome).items() if left} <= {"native threads"}
    text = page(plan, outcome, checks_of(outcome, plan), command="make soak")
    assert all(f"| {kind} |" in text for kind in outcome.faults)


def is_no_claim(what: str) -> bool:
    return what.startswith(("resident memory", "native threads", "frame to mask"))


def test_masks_come_again_after_every_restart_of_a_sender(chain: Any) -> None:
    pytest.importorskip("av")
    servers = [*([RtspServer] if has_rtsp() else []), *([HttpSender, UdpSender] if has_ffmpeg() else [])]
    if not servers:
        pytest.skip("GStreamer's RTSP server and ffmpeg: scripts/install_servers.sh")
    options = SourceOptions(open_timeout_s=15.0, read_timeout_s=1.0)  # a busy machine starts a server slowly
    away_s = (0.1, 1.2)  # below and above the read timeout
    for one in recovery_of(chain.fp32, servers, away_s=away_s, options=options):
        assert len(one.back_s) == len(away_s)


def samples_of(*resident_mib: float) -> list[Sample]:
    return [
        Sample(frames=1000 * index, at_s=index, resident_bytes=int(mib * MIB), anonymous_bytes=0)
        for index, mib in enumerate(resident_mib)
    ]


def test_growth_is_that_of_most_samples_and_not_of_an_outlier() -> None:
    level = [100.0] * 20
    level[7] = 180.0
    assert growth_bytes(samples_of(*level)) == step_bytes(samples_of(*level)) == 0
    rising = samples_of(*(100 + 0.1 * index for index in range(20)))
    assert step_bytes(rising) == pytest.approx(1.8 * MIB, rel=1e-4)
    assert growth_bytes(rising) == pytest.approx(1.9 * MIB, rel=1e-4)


def test_a_goal_is_missed_by_the_first_figure_beyond_it() -> None:
    fresh = Fresh(policy="latest", frames=1, masks=1, period_ms=40, start_ms=50, end_ms=130)
    assert fresh.is_met
    assert not replace(fresh, end_ms=131).is_met
    back = Recovery(server="RTSP", away_s=(1, 2), back_s=(0.5, 3.0))
    assert back.is_met
    assert not replace(back, back_s=(3.1, 0.5)).is_met
