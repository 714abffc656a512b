"""Own the command: soak, freshness and recovery, docs/soak.md, and exit status 1 where a goal is missed.

make soak [SOAK="--frames 300000 --seed 9"]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stream_servers import HttpSender, RtspServer, UdpSender, has_ffmpeg, has_rtsp

from edgeseg.runtime.heap import few_arenas
from soak.checks import checks_of
from soak.freshness import freshness
from soak.page import page
from soak.recovery import recovery_of
from soak.running import Plan, soak

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "soak.md"
NET = "edgeseg.export.nets.demo_unet:demo_unet"
INPUT = "32x64"
REHEARSAL = 3000


def main(words: list[str] | None = None) -> int:
    """Run it all; 1 where something that must hold does not."""
    parser = argparse.ArgumentParser(prog="make soak", description=main.__doc__)
    parser.add_argument("--frames", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--fresh-s", type=float, default=60.0, help="how long the source twice as fast runs")
    parser.add_argument("--out", type=Path, default=PAGE)
    asked = parser.parse_args(words)
    few_arenas()  # as the command does
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        plan = Plan(
            engine=built(place), folder=place, frames=asked.frames, seed=asked.seed,
            rtsp=RtspServer if has_rtsp() else None,
        )  # fmt: skip
        print(f"seed {plan.seed}, {plan.frames:,} frames", flush=True)
        soak(rehearsal(plan))
        outcome = soak(plan)
        checks = checks_of(outcome, plan)
        for one in checks:
            print(f"{one.what}: {one.figure} {one.goal} {'' if one.is_met is None else one.is_met}", flush=True)
        fresh = freshness(plan.engine, seconds=asked.fresh_s)
        recoveries = recovery_of(plan.engine, servers())
    given = f'make soak SOAK="--frames {asked.frames} --seed {asked.seed}"'
    asked.out.write_text(page(plan, outcome, checks, command=given, fresh=fresh, fresh_s=asked.fresh_s,
                              recoveries=recoveries))  # fmt: skip
    print(asked.out)
    is_missed = any(one.is_met is False for one in checks)
    return int(is_missed or not all(one.is_met for one in [*fresh, *recoveries]))


def rehearsal(plan: Plan) -> Plan:
    """A short run with many forms of frames and engines: what libraries and caches hold for good, they then hold."""
    return replace(plan, frames=REHEARSAL, needs_all=False, every_s=2.0, rates=replace(plan.rates, changes=0.05))


def servers() -> list[Callable[[], Any]]:
    """Those that this machine has."""
    return [*([RtspServer] if has_rtsp() else []), *([HttpSender, UdpSender] if has_ffmpeg() else [])]


def built(folder: Path) -> Path:
    """The demo net as a small engine, through the commands of a user."""
    checkpoint = ROOT / "edgeseg" / "export" / "nets" / "demo_unet.safetensors"
    labels = ROOT / "edgeseg" / "calib_data" / "labels.json"
    onnx, engine = folder / "net.onnx", folder / "net.engine"
    for command in (
        ["export", NET, "-o", onnx, "--input-size", INPUT, "--checkpoint", checkpoint, "--labels", labels],
        ["build-engine", onnx, "-o", engine, "--backend", "openvino", "--precision", "fp32"],
    ):
        subprocess.run([sys.executable, "-m", "edgeseg", *map(str, command)], check=True)
    return engine


if __name__ == "__main__":
    sys.exit(main())
