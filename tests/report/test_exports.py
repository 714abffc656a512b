from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pytest_benchmark.stats import Stats

from edgeseg.errors import InputError
from edgeseg.report.benchmark import run_benchmark
from edgeseg.report.exports import FORMS, exported
from edgeseg.report.frames import FrameSet
from edgeseg.report.record import Report, Settings

TRTEXEC_KEYS = {
    "startEnqMs", "endEnqMs", "startH2dMs", "endH2dMs", "startComputeMs", "endComputeMs", "startD2hMs", "endD2hMs",
    "h2dMs", "computeMs", "d2hMs", "latencyMs",
}  # fmt: skip
ROUNDING_MS = 2e-4  # two values rounded to 0.1 us


def made(report: Report, form: Any, engine: str | None = None) -> Any:
    return json.loads(exported(report, form, engine=engine))


@pytest.fixture(scope="module")
def with_copies(engines: list[Path], frames: FrameSet) -> Report:
    """One engine measured with its copies."""
    settings = Settings(warm_up_ms=0, duration_s=0, iterations=6, rounds=2, scopes=("engine+copies",))
    return run_benchmark(engines[:1], frames, settings)


def test_trtexecs_times_have_its_keys_and_an_entry_an_iteration(report: Report) -> None:
    times = made(report, "trtexec-times", "wide.engine")
    (lane,) = (one for one in report.of_scope("engine") if one.engine == "wide.engine")
    assert {frozenset(one) for one in times} == {frozenset(TRTEXEC_KEYS)}
    assert [one["computeMs"] for one in times] == list(lane.headline.samples_ms)


@pytest.mark.parametrize("has_copies", [False, True])
def test_trtexecs_instants_agree_with_its_durations(report: Report, with_copies: Report, has_copies: bool) -> None:
    for one in made(with_copies if has_copies else report, "trtexec-times", "wide.engine"):
        for part, duration in (("H2d", "h2dMs"), ("Compute", "computeMs"), ("D2h", "d2hMs")):
            assert one[f"end{part}Ms"] - one[f"start{part}Ms"] == pytest.approx(one[duration], abs=ROUNDING_MS)
        assert one["endD2hMs"] - one["startH2dMs"] == pytest.approx(one["latencyMs"], abs=ROUNDING_MS)
        assert has_copies or (one["h2dMs"], one["d2hMs"]) == (0.0, 0.0)


def test_trtexecs_copies_and_latency_are_those_that_were_measured(with_copies: Report) -> None:
    (lane,) = with_copies.measurements
    times = made(with_copies, "trtexec-times")
    for key, stage in (("h2dMs", "copy-in"), ("computeMs", "engine"), ("d2hMs", "copy-out"), ("latencyMs", "total")):
        assert [one[key] for one in times] == pytest.approx(lane.stages[stage].samples_ms, abs=ROUNDING_MS)
        assert min(one[key] for one in times) > 0


def test_trtexecs_times_are_of_one_engine(report: Report) -> None:
    with pytest.raises(InputError, match="one engine, not of 2"):
        exported(report, "trtexec-times")


def test_trtexecs_times_need_a_scope_that_it_knows(report: Report) -> None:
    whole = replace(report, measurements=tuple(report.of_scope("frame-to-mask")))
    with pytest.raises(InputError, match=r"not of .*frame-to-mask.*--scope engine\+copies"):
        exported(whole, "trtexec-times", engine="wide.engine")


@pytest.mark.parametrize("form", FORMS)
def test_an_engine_that_is_not_there_is_refused_with_those_that_are(report: Report, form: Any) -> None:
    with pytest.raises(InputError, match=r"no engine 'x'.*wide.engine, narrow.engine"):
        exported(report, form, engine="x")


def test_pytest_benchmark_would_have_computed_the_same(report: Report) -> None:
    benchmarks = made(report, "pytest-benchmark")["benchmarks"]
    assert len(benchmarks) == len(report.measurements)
    for one in benchmarks:
        theirs = Stats()
        for sample in one["stats"]["data"]:
            theirs.update(sample)
        for field, value in theirs.as_dict().items():
            assert one["stats"][field] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), field


def test_pytest_benchmark_compares_what_is_written(report: Report, tmp_path: Path) -> None:
    (tmp_path / "0001_edgeseg.json").write_bytes(exported(report, "pytest-benchmark"))
    program = "from pytest_benchmark.cli import main; main()"
    words = [sys.executable, "-c", program, "compare", str(tmp_path / "0001_edgeseg.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "wide.engine frame-to-mask" in done.stdout


def test_github_action_gets_name_unit_value_range_and_extra(report: Report) -> None:
    entries = made(report, "github-action")
    assert [one["value"] for one in entries] == [one.headline.stats.p50_ms for one in report.measurements]
    assert {tuple(one) for one in entries} == {("name", "unit", "value", "range", "extra")}
    assert len({one["name"] for one in entries}) == len(entries)
    assert {one["unit"] for one in entries} == {"ms"}


@pytest.mark.parametrize(
    ("commit", "known"), [("a" * 40, ("a" * 40, False)), ("b" * 40 + "-dirty", ("b" * 40, True)), (None, (None, None))]
)
def test_pytest_benchmark_is_told_the_commit_that_was_measured(report: Report, commit: str, known: object) -> None:
    of_commit = replace(report, environment=replace(report.environment, commit=commit))
    told = json.loads(exported(of_commit, "pytest-benchmark"))["commit_info"]
    assert (told["id"], told["dirty"]) == known
