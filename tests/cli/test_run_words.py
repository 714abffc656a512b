"""What `edgeseg run` says on stderr for machines, and which words it refuses together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FRAMES = "test://?size=64x48&frames=3"


def test_the_log_is_json_and_nothing_else_though_a_page_is_served(edgeseg: Any, chain: Any) -> None:
    pytest.importorskip("aiohttp")
    done = edgeseg("run", chain.fp32, FRAMES, "--log", "json", "--serve", ":0")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [one["event"] for one in events][:2] == ["serving", "started"]
    assert events[0]["url"].startswith("http://127.0.0.1:")
    accounts = {name: events[-1][name] for name in ("masks", "dropped", "stale", "corrupt")}
    assert accounts == {"masks": 3, "dropped": 0, "stale": 0, "corrupt": 0}


def test_a_net_in_an_engines_place_is_to_be_built(edgeseg: Any, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"any")
    done = edgeseg("run", "net.onnx", FRAMES)
    assert done.returncode == 1 and "edgeseg build-engine net.onnx" in done.stderr, done.stderr


def test_a_token_without_a_page_is_a_wrong_use_where_it_is_typed(edgeseg: Any, chain: Any) -> None:
    done = edgeseg("run", chain.fp32, FRAMES, "--serve-token", "0123456789abcdef")
    assert done.returncode == 2 and "add --serve :8080" in done.stderr, done.stderr


def test_a_run_that_lost_a_sink_says_so_and_is_no_success(edgeseg: Any, chain: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def fail(frame, mask):\n    raise RuntimeError('no room')\n")
    live = f"{FRAMES}&fps=20"
    done = edgeseg("run", chain.fp32, live, "py:mine:fail", "m.jsonl", "--no-reconnect")
    assert done.returncode == 1, done.stderr
    assert "1 of 2 sinks did not last" in done.stderr and "no room" in done.stderr
