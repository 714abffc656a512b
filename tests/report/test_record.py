from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from edgeseg.errors import InputError
from edgeseg.report.record import Report, Settings, read_report, report_json, write_json


def changed(report: Report, path: Path, change: dict[str, object]) -> Path:
    content = json.loads(report_json(report))
    content.update(change)
    path.write_text(json.dumps(content))
    return path


def test_a_written_report_reads_back_equal(report: Report, tmp_path: Path) -> None:
    write_json(report, tmp_path / "out.json")
    assert read_report(tmp_path / "out.json") == report


def test_the_json_holds_a_list_of_numbers_on_one_line(report: Report) -> None:
    lines = report_json(report).decode().splitlines()
    assert sum('"samples_ms": [' in line and line.rstrip(",").endswith("]") for line in lines) == 2 * (2 + 4)


def test_names_that_look_like_lists_survive_the_json(report: Report, tmp_path: Path) -> None:
    named = msgspec.structs.replace(report, warnings=("[ 1,  2 ]", "[\n 1,  2\n]"))
    write_json(named, tmp_path / "out.json")
    assert read_report(tmp_path / "out.json") == named


def test_the_json_says_schema_1(report: Report) -> None:
    assert json.loads(report_json(report))["schema"] == 1


@pytest.mark.parametrize("change", [{"schema": 2}, {"surprise": 1}, {"settings": {"rounds": "ten"}}, {"source": None}])
def test_reading_refuses_what_is_not_of_schema_1(report: Report, tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="not a benchmark report of schema 1"):
        read_report(changed(report, tmp_path / "out.json", change))


def test_reading_refuses_samples_that_do_not_fit_their_count(report: Report, tmp_path: Path) -> None:
    content = json.loads(report_json(report))
    content["measurements"][0]["stages"]["engine"]["samples_ms"].pop()
    with pytest.raises(InputError, match="samples where the statistics count"):
        read_report(changed(report, tmp_path / "out.json", content))


def test_reading_refuses_rounds_that_do_not_add_up(report: Report, tmp_path: Path) -> None:
    content = json.loads(report_json(report))
    content["measurements"][0]["round_counts"][0] += 1
    with pytest.raises(InputError, match="differ in their counts"):
        read_report(changed(report, tmp_path / "out.json", content))


def test_reading_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        read_report(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"warm_up_ms": -1.0}, "warm-up is -1 ms"),
        ({"duration_s": float("nan")}, "duration is nan s"),
        ({"duration_s": float("inf")}, "duration is inf s"),
        ({"iterations": 0}, "iterations is 0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"scopes": ()}, "give one or more"),
        ({"scopes": ("engine", "engine")}, "each once"),
    ],
)
def test_settings_refuse_what_cannot_be_measured(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**given)  # type: ignore[arg-type]


def test_the_rounds_of_a_measurement_are_its_samples_in_order(report: Report) -> None:
    for one in report.measurements:
        assert tuple(len(part) for part in one.rounds_ms) == one.round_counts
        assert sum(one.rounds_ms, ()) == one.headline.samples_ms


def test_a_measurement_without_its_headline_stage_is_refused(report: Report) -> None:
    one = report.of_scope("frame-to-mask")[0]
    stages = {name: stage for name, stage in one.stages.items() if name != "total"}
    with pytest.raises(ValueError, match="has no stage 'total'"):
        msgspec.structs.replace(one, stages=stages)
