"""`edgeseg run` on sources that go on by themselves: what it is told, how it ends, what it says meanwhile."""

from __future__ import annotations

import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

LIVE = "test://?size=64x48&fps=50"
PATIENCE_S = 60


def start(*words: object, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgeseg", "run", *map(str, words)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(is_there: Any, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_there():
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_live_run_cleanly_with_a_playable_recording(chain: Any, tmp_path: Path, number: int) -> None:
    import cv2

    process = start(chain.fp32, LIVE, "overlay.mp4", "masks", cwd=tmp_path)
    wait_for(lambda: len(list((tmp_path / "masks").glob("*.png"))) >= 5, process)
    os.kill(process.pid, number)
    out, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert " masks, " in out and "overlay.mp4" in out
    assert cv2.VideoCapture(str(tmp_path / "overlay.mp4")).read()[0]


def test_the_log_is_one_json_object_a_line_and_a_hangup_loads_the_engine_anew(chain: Any, tmp_path: Path) -> None:
    for suffix in ("", ".json"):
        (tmp_path / f"net.engine{suffix}").write_bytes(Path(f"{chain.fp32}{suffix}").read_bytes())
    process = start("net.engine", LIVE, "masks", "--log", "json", cwd=tmp_path)
    wait_for(lambda: list((tmp_path / "masks").glob("*.png")), process)
    os.kill(process.pid, signal.SIGHUP)
    before = len(list((tmp_path / "masks").glob("*.png")))
    wait_for(lambda: len(list((tmp_path / "masks").glob("*.png"))) > before + 60, process)
    (tmp_path / "net.engine").write_bytes(b"damaged")
    os.kill(process.pid, signal.SIGHUP)
    before = len(list((tmp_path / "masks").glob("*.png")))
    wait_for(lambda: len(list((tmp_path / "masks").glob("*.png"))) > before + 60, process)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    events = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    kinds = [one["event"] for one in events]
    assert kinds[0] == "started" and kinds[-1] == "ended"
    refused = [one for one in events if "7 bytes" in json.dumps(one)]
    assert len(refused) == 1 and refused[0]["level"] != "info", events
    assert sum("reload" in kind for kind in kinds) >= 2, kinds


def test_the_live_view_of_two_sources_is_served_with_metrics_and_health(chain: Any, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    process = start(chain.fp32, LIVE, "--source", "test://?size=96x32&fps=20", "--serve", ":0", cwd=tmp_path)
    assert process.stderr is not None
    url = process.stderr.readline().removeprefix("live view: ").strip()
    assert url.startswith("http://127.0.0.1:")

    def get(path: str) -> str:
        with urllib.request.urlopen(url.rstrip("/") + path, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    wait_for(lambda: "edgeseg_" in get("/metrics") and '"masks"' in get("/state"), process)
    assert json.loads(get("/health"))
    assert [one["name"] for one in json.loads(get("/state"))["sources"]] == [LIVE, "test://?size=96x32&fps=20"]
    for source, size_wh in ((0, (64, 48)), (1, (96, 32))):
        with urllib.request.urlopen(f"{url}snapshot.png?source={source}", timeout=10) as answer:
            assert struct.unpack(">II", answer.read()[16:24]) == size_wh  # of the PNG's header
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def test_several_sources_have_their_own_sinks_and_share_others_as_the_page_says(
    edgeseg: Any, chain: Any, tmp_path: Path
) -> None:
    pytest.importorskip("av")
    page = (Path(__file__).parents[2] / "docs" / "run.md").read_text().replace("\\\n", " ")
    words = shlex.split(next(line for line in page.splitlines() if "'overlay-{source}.mp4'" in line))
    for suffix in ("", ".json"):
        (tmp_path / f"net.engine{suffix}").write_bytes(Path(f"{chain.fp32}{suffix}").read_bytes())
    done = edgeseg(*words[1:], "--no-stats")
    assert done.returncode == 0, done.stderr
    assert "90 masks, 0 frames dropped" in done.stdout and "frames=60: 60 masks, 0 frames lost" in done.stdout
    assert {"overlay-0.mp4", "overlay-1.mp4"} < {path.name for path in tmp_path.iterdir()}
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 90


def test_frames_above_the_rate_are_dropped_and_counted(edgeseg: Any, chain: Any, clip: Path) -> None:
    done = edgeseg("run", chain.fp32, clip, "--rate", "10", "--no-stats")  # 40 frames, by the file's own 30 a second
    assert done.returncode == 0, done.stderr
    assert "14 masks, 26 frames dropped" in done.stdout


def test_a_recording_in_segments_leaves_what_is_to_be_kept(
    edgeseg: Any, chain: Any, clip: Path, tmp_path: Path
) -> None:
    target = tmp_path / "masks.jsonl"
    kept = ("--segment", "1", "--keep", "1B")  # no file before the newest fits
    done = edgeseg("run", chain.fp32, clip, target, "--repeat", "2", *kept, "--paced", "--no-stats")
    assert done.returncode == 0, done.stderr
    left = sorted(tmp_path.glob("masks.part-*.jsonl"))
    assert len(left) == 1 and "-0001" not in left[0].name  # 80 frames of a 30th of a second are three segments
    assert 0 < len(left[0].read_text().splitlines()) < 40


def test_a_file_may_be_played_again_and_its_masks_smoothed(edgeseg: Any, chain: Any, clip: Path) -> None:
    done = edgeseg("run", chain.fp32, clip, "none", "--repeat", "2", "--smooth", "0.5", "--no-stats")
    assert done.returncode == 0 and "80 masks, 0 frames dropped" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--max-age", "soon"), "'soon' is no time above 0; write 100ms"),
        (("--smooth", "1.0"), "--smooth"),
        (("overlay.mp4", "--source", LIVE), "write overlay-{source}.mp4 for one of each"),
        (("--segment", "1m"), "a recording is to be cut into files, and no sink is one"),
        (("m.jsonl", "--keep", "1GB"), "say when another begins: --segment 10m"),
        (("m.jsonl", "--segment", "1m", "--keep", "much"), "'much' is no size; write 256MiB"),
        (("--serve", "here"), "'here' is no address to serve on"),
        (("--serve", ":0", "--serve-token", "short"), "the live view's token has 5 characters"),
    ],
)
def test_what_makes_no_sense_is_a_wrong_use(edgeseg: Any, chain: Any, words: tuple[str, ...], says: str) -> None:
    done = edgeseg("run", chain.fp32, LIVE, *words)
    assert done.returncode == 2 and says in done.stderr, done.stderr
