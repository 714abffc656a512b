from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from page_check import checked
from rich.console import Console

from edgeseg.errors import InputError
from edgeseg.report.record import Report
from edgeseg.report.side_by_side import Accuracies, SideBySide, read_accuracies, side_by_side
from edgeseg.report.side_by_side_forms import print_side_by_side, write_side_by_side

DATA = {"folder": "val", "layout": "plain", "split": None, "frames": 24, "ignore": 255, "skipped": []}


def accuracies(report: Report, *miou: float) -> Accuracies:
    plans = [one.plan_sha256 for one in report.engines]
    return Accuracies(dict(zip(plans, miou, strict=False)), "24 frames of val")


def timed(report: Report, *p50_ms: float) -> Report:
    """The report with these medians of the scope frame-to-mask."""
    times = dict(zip([one.name for one in report.engines], p50_ms, strict=True))
    lanes = []
    for one in report.of_scope("frame-to-mask"):
        stage = replace(one.headline, stats=replace(one.headline.stats, p50_ms=times[one.engine]))
        lanes.append(replace(one, stages={**one.stages, "total": stage}))
    return replace(report, measurements=tuple(lanes))


def evaluation(path: Path, scores: dict[str, float | None], **data: object) -> Path:
    engines = [{"plan_sha256": plan, "accuracy": {"miou": miou}, "name": "x"} for plan, miou in scores.items()]
    path.write_text(json.dumps({"schema": 1, "data": DATA | data, "engines": engines, "verdicts": []}))
    return path


def written(compared: SideBySide, path: Path) -> str:
    write_side_by_side(compared, path)
    return path.read_text()


def on_other_machine(report: Report) -> Report:
    return replace(report, environment=replace(report.environment, cpu="another CPU"))


def test_what_is_slower_and_less_accurate_is_beaten_by_name(report: Report) -> None:
    compared = side_by_side([("a", timed(report, 10.0, 20.0))], accuracies(report, 0.9, 0.8))
    assert [one.beaten_by for one in compared.contenders] == [(), ("wide.engine",)]


@pytest.mark.parametrize("miou", [(0.8, 0.9), (0.9, 0.9)])
def test_the_front_holds_whoever_is_ahead_in_something(report: Report, miou: tuple[float, float]) -> None:
    times = (10.0, 20.0) if miou[0] < miou[1] else (10.0, 10.0)
    compared = side_by_side([("a", timed(report, *times))], accuracies(report, *miou))
    assert [one.beaten_by for one in compared.contenders] == [(), ()]


def test_accuracy_is_matched_by_the_plans_hash(report: Report, tmp_path: Path) -> None:
    plans = [one.plan_sha256 for one in report.engines]
    found = read_accuracies([evaluation(tmp_path / "e.json", {plans[1]: 0.5, "0" * 64: 0.1})])
    compared = side_by_side([("a", report)], found)
    assert [one.miou for one in compared.contenders] == [None, 0.5]
    assert any("no accuracy was given for wide.engine" in note for note in compared.notes)
    assert "24 frames of val" in compared.judged_on


def test_without_accuracy_there_is_a_table_and_no_plot(report: Report, tmp_path: Path) -> None:
    compared = side_by_side([("a", report)], Accuracies())
    assert "svg" not in checked(written(compared, tmp_path / "out.html")).tags
    assert any("--accuracy" in note for note in compared.notes)


def test_the_fullest_scope_that_all_have_is_taken(report: Report) -> None:
    engine = replace(report, measurements=tuple(report.of_scope("engine")))
    assert side_by_side([("a", report)], Accuracies()).scope == "frame-to-mask"
    assert side_by_side([("a", report), ("b", engine)], Accuracies()).scope == "engine"
    with pytest.raises(InputError, match="b has no scope frame-to-mask"):
        side_by_side([("a", report), ("b", engine)], Accuracies(), scope="frame-to-mask")


def test_reports_without_a_common_scope_are_refused(report: Report) -> None:
    parts = [(scope, replace(report, measurements=tuple(report.of_scope(scope)))) for scope in report.settings.scopes]
    with pytest.raises(InputError, match="no scope is in all the reports"):
        side_by_side(parts, Accuracies())


def test_one_engine_in_two_reports_gets_two_names(report: Report) -> None:
    names = [one.name for one in side_by_side([("a", report), ("b", report), ("b", report)], Accuracies()).contenders]
    assert names[::2] == ["a: wide.engine", "b: wide.engine", "b: wide.engine #2"]


def test_machines_are_not_mixed_unless_allowed_and_have_fronts_of_their_own(report: Report) -> None:
    reports = [("a", timed(report, 10.0, 20.0)), ("b", on_other_machine(timed(report, 1.0, 2.0)))]
    with pytest.raises(InputError, match=r"machine: cpu is 'another CPU'.*--allow-different machine"):
        side_by_side(reports, Accuracies())
    compared = side_by_side(reports, accuracies(report, 0.9, 0.8), allowed=("machine",))
    assert [one.machine for one in compared.contenders] == ["A", "A", "B", "B"]
    assert [one.beaten_by for one in compared.contenders] == [(), ("a: wide.engine",), (), ("b: wide.engine",)]
    assert list(compared.machines) == ["A", "B"]


def test_frames_of_another_size_are_refused(report: Report) -> None:
    other = replace(report, source=replace(report.source, size_wh=(7, 7)))
    with pytest.raises(InputError, match="scope: frames: size_wh"):
        side_by_side([("a", report), ("b", other)], Accuracies())


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"schema": 2}', b"\xff", b'{"schema": 1, "engines": []}'])
def test_what_is_no_evaluation_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "e.json").write_bytes(content)
    with pytest.raises(InputError, match="is no JSON of 'edgeseg evaluate'"):
        read_accuracies([tmp_path / "e.json"])


def test_evaluations_on_other_data_are_refused(tmp_path: Path) -> None:
    paths = [evaluation(tmp_path / name, {"0": 0.5}, frames=count) for name, count in (("a", 24), ("b", 12))]
    with pytest.raises(InputError, match="judges on other data"):
        read_accuracies(paths)


def test_two_scores_of_one_plan_are_refused(tmp_path: Path) -> None:
    paths = [evaluation(tmp_path / name, {"0": miou}) for name, miou in (("a", 0.5), ("b", 0.6))]
    with pytest.raises(InputError, match="another mIoU"):
        read_accuracies(paths)


@pytest.fixture
def compared(report: Report) -> SideBySide:
    return side_by_side([("<b>|a_[red].json", timed(report, 10.0, 50.0))] * 2, accuracies(report, 0.9, 0.8))


def test_every_form_has_every_engine_and_who_beats_it(compared: SideBySide, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=300)
    print_side_by_side(compared, console)
    page = "".join(checked(written(compared, tmp_path / "out.html")).words)
    text: Any = console.file
    for form in (text.getvalue(), page):
        assert all(one.name in form for one in compared.contenders)
        assert "beaten by <b>|a_[red].json: wide.engine" in form
    markdown = written(compared, tmp_path / "out.md")
    assert r"\<b\>\|a\_\[red\].json: narrow.engine" in markdown
    assert json.loads(written(compared, tmp_path / "out.json"))["contenders"][1]["beaten_by"]


def test_the_page_is_whole_and_needs_nothing_else(compared: SideBySide, tmp_path: Path) -> None:
    page = written(compared, tmp_path / "out.html")
    assert checked(page).tags.count("svg") == 1
    assert len(set(checked(page).ids)) == len(checked(page).ids)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not {"script", "link", "img"} & set(checked(page).tags)
