from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edgeseg.cli.benchmark import benchmark
from edgeseg.report.record import Report, read_report
from edgeseg.sidecars import sidecar_path

QUICK = ("--warm-up-ms", 0, "--duration-s", 0, "--iterations", 10)
USAGE = 2


def run(*words: object) -> Result:
    return CliRunner().invoke(benchmark, [str(word) for word in words])


def measured(tmp_path: Path, *words: object) -> Report:
    done = run(*words, "--report", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    return read_report(tmp_path / "out.json")


def test_two_engines_are_compared_in_both_scopes(edgeseg: Any, chain: Any, tmp_path: Path) -> None:
    done = edgeseg("benchmark", chain.fp32, chain.int8, *QUICK, "--report", "a.json", "--report", "a.html")
    assert done.returncode == 0, done.stderr
    assert "net.int8.engine" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "a.html"}
    report = read_report(tmp_path / "a.json")
    assert [one.precision for one in report.engines] == ["fp32", "int8"]
    assert [one.scope for one in report.comparisons] == ["engine", "frame-to-mask"]


def test_the_three_forms_are_written_by_their_endings(chain: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"out{ending}" for ending in (".json", ".html", ".md")]
    done = run(chain.fp32, *QUICK, *(word for path in paths for word in ("--report", path)))
    assert done.exit_code == 0, done.output
    assert all(path.stat().st_size for path in paths)


@pytest.mark.parametrize("name", ["out.pdf", "out", "out.JSON", "out.json.gz"])
def test_an_unknown_ending_is_a_wrong_use_that_names_the_three(tmp_path: Path, name: str) -> None:
    # the engine does not exist: whatever looked at it first would say so
    done = run("none.engine", "--report", tmp_path / "out.json", "--report", tmp_path / name)
    assert done.exit_code == USAGE
    assert "must end in .json, .html or .md" in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []


def test_a_report_does_not_replace_an_engines_sidecar(chain_copy: Path) -> None:
    sidecar = sidecar_path(chain_copy / "net.fp32.engine")
    before = sidecar.read_bytes()
    os.symlink(chain_copy, chain_copy / "link")
    done = run(chain_copy / "net.fp32.engine", *QUICK, "--report", chain_copy / "link" / sidecar.name)
    assert done.exit_code == USAGE
    assert "is the sidecar of an engine" in " ".join(done.output.split())
    assert sidecar.read_bytes() == before


def test_one_scope_is_measured_alone(chain: Any, tmp_path: Path) -> None:
    report = measured(tmp_path, chain.fp32, *QUICK, "--scope", "engine")
    assert report.settings.scopes == ("engine",)
    assert [one.scope for one in report.measurements] == ["engine"]


def test_end_to_end_tells_how_its_frames_came(chain: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = run(chain.fp32, *QUICK, "--scope", "end-to-end", "--camera-hz", "100", "--report", out)
    assert "It begins at the frame's capture; frames come at 100 Hz, whether they are taken or not." in " ".join(
        done.stdout.split()
    )
    (one,) = read_report(out).measurements
    assert one.scope == "end-to-end" and one.stream is not None and one.stream.camera_hz == 100


def test_a_camera_rate_without_a_stream_is_a_wrong_use(chain: Any) -> None:
    done = run(chain.fp32, *QUICK, "--camera-hz", "30")
    assert done.exit_code == 2 and "add --scope end-to-end" in done.stderr


def test_trtexecs_names_mean_the_same(chain: Any, tmp_path: Path) -> None:
    report = measured(tmp_path, chain.fp32, "--warmUp=3", "--duration=0.01", "--iterations=11", "--threads=1")
    found = report.settings
    assert (found.warm_up_ms, found.duration_s, found.iterations, found.threads) == (3.0, 0.01, 11, 1)


def test_help_shows_our_names_alone() -> None:
    output = run("--help").output
    assert "--warm-up-ms" in output
    assert "warmUp" not in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--duration-s", "nan"), "duration is nan"),
        (("--duration-s", "inf"), "duration is inf"),
        (("--warm-up-ms", "-1"), "warm-up is -1"),
        (("--iterations", "0"), "iterations is 0"),
        (("--threads", "0"), "--threads"),
        (("--scope", "capture"), "capture"),
    ],
)
def test_a_value_out_of_range_is_a_wrong_use(words: tuple[str, ...], message: str) -> None:
    done = run("none.engine", *words)
    assert done.exit_code == USAGE
    assert message in done.output


def test_no_engine_is_a_wrong_use() -> None:
    assert run().exit_code == USAGE


def test_frames_come_from_the_source(chain: Any, tmp_path: Path) -> None:
    report = measured(tmp_path, chain.fp32, *QUICK, "--source", chain.images)
    assert (report.source.frames, report.source.size_wh) == (8, (160, 90))


@pytest.mark.parametrize("words", [("none.engine",), ("ENGINE", "--source", "none.mp4")])
def test_a_missing_file_fails_in_one_line_and_leaves_no_report(
    edgeseg: Any, chain: Any, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = edgeseg("benchmark", *(chain.fp32 if word == "ENGINE" else word for word in words), "--report", "out.md")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert words[-1] in done.stderr
    assert list(tmp_path.iterdir()) == []
