from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edgeseg.cli import gate_options, report
from edgeseg.cli.benchmark import benchmark
from edgeseg.cli.main import main
from edgeseg.report.exports import FORMS
from edgeseg.report.likeness import KINDS
from edgeseg.report.record import SCOPES

QUICK = ("--warm-up-ms", 0, "--duration-s", 0, "--iterations", 20, "--scope", "engine")
FAILURE, USAGE = 1, 2


def measure(*words: object) -> Result:
    return CliRunner().invoke(benchmark, [str(word) for word in words])


@pytest.fixture(scope="module")
def saved(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real report of one engine in the scope engine."""
    path = tmp_path_factory.mktemp("reports") / "saved.json"
    done = measure(chain.fp32, *QUICK, "--report", path)
    assert done.exit_code == 0, done.output
    return path


def scaled(saved: Path, to: Path, factor: float, **changes: object) -> Path:
    """The report with made-up steady samples, all slower by a factor, and other top-level keys."""
    found = json.loads(saved.read_bytes()) | changes
    for one in found["measurements"]:
        for stage in one["stages"].values():
            count = stage["stats"]["count"]
            stage["samples_ms"] = [factor * (10 + 0.01 * (index % 3)) for index in range(count)]
    to.write_text(json.dumps(found))
    return to


def failed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line of a command that fails."""
    assert main([str(word) for word in words]) == FAILURE
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_the_names_that_help_shows_are_those_of_the_package() -> None:
    assert report.SCOPE_NAMES == SCOPES
    assert report.FORM_NAMES == FORMS
    assert gate_options.KIND_NAMES == KINDS


def test_a_regression_exits_with_one_and_names_the_row(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = scaled(saved, tmp_path / "old.json", 1.0), scaled(saved, tmp_path / "new.json", 1.2)
    line = failed(capsys, "report", "check", new, "--baseline", old, "--max-regression", "5%")
    assert "net.fp32.engine, engine, engine: 10.0 ms -> 12.0 ms, +20.0 %" in line
    assert main(["report", "check", str(new), "--baseline", str(old), "--max-regression", "25%"]) == 0
    assert "no regression" in capsys.readouterr().out


def test_a_benchmark_against_a_faster_baseline_fails_once_its_report_is_written(
    chain: Any, saved: Path, tmp_path: Path
) -> None:
    old = scaled(saved, tmp_path / "old.json", 1e-6)
    done = measure(chain.fp32, *QUICK, "--baseline", old, "--report", tmp_path / "new.json")
    assert done.exit_code == FAILURE, done.output
    assert "regression: net.fp32.engine, engine, engine" in done.stderr
    assert (tmp_path / "new.json").exists()


def test_a_benchmark_against_a_slower_baseline_passes(chain: Any, saved: Path, tmp_path: Path) -> None:
    done = measure(chain.fp32, *QUICK, "--baseline", scaled(saved, tmp_path / "old.json", 1e4))
    assert done.exit_code == 0, done.output
    assert "no regression" in done.stdout


@pytest.mark.parametrize(
    "words",
    [("--max-regression", "5%"), ("--allow-different", "machine"), ("--each-stage",)],
    ids=lambda words: words[0],
)
def test_what_is_said_of_baselines_needs_one(words: tuple[str, ...]) -> None:
    done = measure("none.engine", *words)
    assert done.exit_code == USAGE
    assert "add --baseline" in done.output


@pytest.mark.parametrize("value", ["5", "0.05", "-1%", "nan%", "inf%", "x%", "%"])
def test_a_limit_is_a_percentage(value: str) -> None:
    done = measure("none.engine", "--baseline", "old.json", "--max-regression", value)
    assert done.exit_code == USAGE
    assert "write 5%" in done.output


def test_another_machine_and_other_scopes_are_refused_before_anything_is_measured(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = json.loads(saved.read_bytes())["environment"] | {"cpu": "another CPU"}
    old = scaled(saved, tmp_path / "old.json", 1.0, environment=environment)
    # the engine does not exist: whatever looked at it first would say so
    line = failed(capsys, "benchmark", "none.engine", "--baseline", old)
    assert "machine: cpu is" in line
    assert "scope: 'frame-to-mask' is new" in line
    assert "--allow-different machine --allow-different scope" in line


BAD = {
    "empty": (b"", "is empty"),
    "no JSON": (b"\x89PNG\r\n", "is not a benchmark report"),
    "foreign": (b'{"results": [1, 2]}', "is not a benchmark report"),
    "a list": (b"[]", "is not a benchmark report"),
    "another schema": (b"SCHEMA", "is not a benchmark report"),
    "an evaluation": (b'{"schema": 1, "data": {}, "engines": []}', "is not a benchmark report"),
    "zero samples": (b"ZERO", "is not a benchmark report"),
    "mixed counts": (b"MIXED", "is not a benchmark report"),
    "another scope's stages": (b"STAGES", "has no stage 'total'"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["check", "baseline", "compare", "show", "export", "benchmark"])
def test_a_bad_report_is_refused_in_one_line(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, command: str
) -> None:
    content, message = BAD[name]
    bad = tmp_path / "bad.json"
    bad.write_bytes(spoilt(saved, content.decode()) if content.isalpha() else content)
    words = {
        "check": ["report", "check", bad, "--baseline", saved],
        "baseline": ["report", "check", saved, "--baseline", bad],
        "compare": ["report", "compare", saved, bad],
        "show": ["report", "show", bad],
        "export": ["report", "export", bad, "--form", "github-action"],
        "benchmark": ["benchmark", "none.engine", "--baseline", bad],
    }
    line = failed(capsys, *words[command])
    assert str(bad) in line
    assert message in line


def spoilt(saved: Path, how: str) -> bytes:
    found = json.loads(saved.read_bytes())
    one = found["measurements"][0]
    if how == "SCHEMA":
        found["schema"] = 2
    elif how == "ZERO":
        one["stages"]["engine"]["samples_ms"], one["stages"]["engine"]["stats"]["count"] = [], 0
    elif how == "MIXED":
        one["started_s"].pop()
    else:
        one["scope"] = "frame-to-mask"
    return json.dumps(found).encode()


def test_a_missing_report_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot be read" in failed(capsys, "report", "show", tmp_path / "none.json")


@pytest.mark.parametrize(
    "command",
    [("benchmark", "none.engine", "--report"), ("report", "show", "SAVED", "-o"), ("report", "compare", "SAVED", "-o")],
    ids=lambda command: command[-3],
)
def test_a_place_that_is_no_folder_is_found_before_the_work(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    words = [saved if word == "SAVED" else word for word in command]
    line = failed(capsys, *words, tmp_path / "file" / "out.md")
    assert "cannot be written" in line
    assert "is no folder" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_found_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "no permission" in failed(capsys, "benchmark", "none.engine", "--report", tmp_path / "closed" / "out.json")


def test_a_baseline_is_not_replaced_by_the_report(saved: Path) -> None:
    done = measure("none.engine", "--baseline", saved, "--report", saved)
    assert done.exit_code == USAGE
    assert "choose another name" in " ".join(done.output.split())


def test_a_saved_report_is_shown_and_rendered_again(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for ending in ("html", "md"):
        assert main(["report", "show", str(saved), "-o", str(tmp_path / f"again.{ending}")]) == 0
        assert "net.fp32.engine" in capsys.readouterr().out
        assert "net.fp32.engine" in (tmp_path / f"again.{ending}").read_text()


def test_an_output_does_not_replace_what_is_read(saved: Path) -> None:
    before = saved.read_bytes()
    assert main(["report", "compare", str(saved), "-o", str(saved)]) == USAGE
    assert saved.read_bytes() == before


def test_an_export_goes_to_a_file_or_to_standard_output(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", "export", str(saved), "--form", "github-action"]
    assert main(words) == main([*words, "-o", str(tmp_path / "out.json")]) == 0
    assert capsys.readouterr().out == (tmp_path / "out.json").read_text()


@pytest.mark.parametrize("flag", ["--export-times", "--exportTimes"])
def test_a_benchmark_writes_trtexecs_times(chain: Any, tmp_path: Path, flag: str) -> None:
    done = measure(chain.fp32, *QUICK, flag, tmp_path / "times.json")
    assert done.exit_code == 0, done.output
    assert len(json.loads((tmp_path / "times.json").read_bytes())) >= 20


def test_trtexecs_times_of_two_engines_are_refused_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = failed(capsys, "benchmark", "a.engine", "b.engine", "--export-times", tmp_path / "times.json")
    assert "one engine, not of 2" in line
