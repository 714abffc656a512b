from __future__ import annotations

import io

import numpy as np
import pytest
from msgspec.structs import replace
from rich.console import Console

from edgeseg.errors import InputError
from edgeseg.machine.records import BoardFacts, MachineFacts
from edgeseg.report.gate import Check, check_report
from edgeseg.report.gate_text import finding, print_check
from edgeseg.report.lanes import stage_of
from edgeseg.report.likeness import Kind
from edgeseg.report.record import Measurement, Report

LIMIT = 0.05
ROUNDS, SAMPLES = 10, 12


def steady(report: Report, *, slower: float = 0.0, stage: str | None = None) -> Report:
    """The report with made-up samples of 10 ms with a little noise, in ten rounds; one stage or all of them slower."""
    return replace(report, measurements=tuple(_steady(one, slower, stage) for one in report.measurements))


def _steady(one: Measurement, slower: float, stage: str | None) -> Measurement:
    noise = 10.0 * (1 + 0.005 * np.random.default_rng(7).normal(size=ROUNDS * SAMPLES))
    stages = {name: stage_of(noise * (1 + (slower if stage in (None, name) else 0.0))) for name in one.stages}
    started_s = tuple(float(index) for index in range(len(noise)))
    return replace(one, stages=stages, started_s=started_s, round_counts=(SAMPLES,) * ROUNDS, round_s=())


def checked(new: Report, *old: Report, allowed: tuple[Kind, ...] = (), each_stage: bool = False) -> Check:
    named = [(f"old{index}.json", one) for index, one in enumerate(old)]
    return check_report(new, named, limit=LIMIT, allowed=allowed, each_stage=each_stage)


def printed(check: Check) -> str:
    output = io.StringIO()
    print_check(check, Console(file=output, width=160))
    return output.getvalue()


def scoped(report: Report, *scopes: str) -> Report:
    return replace(report, measurements=tuple(one for one in report.measurements if one.scope in scopes))


def test_equal_reports_pass(report: Report) -> None:
    check = checked(steady(report), steady(report))
    assert check.regressions == check.unclear == ()
    assert finding(check) == "no regression above 5 % is shown in 4 row(s)"


def test_a_regression_fails_with_the_row_and_its_figures(report: Report) -> None:
    check = checked(steady(report, slower=0.12), steady(report))
    assert len(check.regressions) == 4
    text = finding(check)
    assert "wide.engine, frame-to-mask, total: 9.99 ms -> 11.2 ms, +12.0 % (interval +" in text
    assert "limit +5.0 %" in text
    assert printed(check).count("REGRESSION") == 4


def test_a_regression_below_the_limit_passes(report: Report) -> None:
    assert checked(steady(report, slower=0.03), steady(report)).regressions == ()


def test_the_whole_is_judged_and_every_stage_when_asked_to(report: Report) -> None:
    slow_post = steady(report, slower=0.5, stage="post")
    assert checked(slow_post, steady(report)).regressions == ()
    failed = checked(slow_post, steady(report), each_stage=True).regressions
    assert {(row.scope, row.stage) for row in failed} == {("frame-to-mask", "post")}


def test_more_rows_ask_for_more_confidence(report: Report) -> None:
    whole, each = (checked(steady(report), steady(report), each_stage=flag) for flag in (False, True))
    assert whole.confidence == pytest.approx(1 - 0.05 / 4)
    assert each.confidence > whole.confidence


def test_what_cannot_be_told_is_unclear_and_said(report: Report) -> None:
    apart = [steady(report, slower=share) for share in (-0.2, 0.0, 0.3)]
    check = checked(steady(report, slower=0.1), *apart)
    assert check.regressions == ()
    assert len(check.unclear) == 4
    assert "4 of them unclear" in finding(check)
    assert "would not be seen" in printed(check)


def test_few_baselines_are_said_to_tell_little(report: Report) -> None:
    assert "give" not in finding(checked(steady(report), steady(report)))
    assert "1 baseline(s) tell little" in printed(checked(steady(report), steady(report)))
    assert "tell little" not in printed(checked(steady(report), *[steady(report)] * 5))


@pytest.mark.parametrize(
    ("kind", "field", "value", "words"),
    [
        ("machine", "cpu", "another CPU", "cpu is"),
        ("machine", "usable_cores", 99, "usable_cores is"),
        ("machine", "governor", "powersave", "governor is"),
    ],
)
def test_another_machine_is_refused_unless_allowed(
    report: Report, kind: Kind, field: str, value: object, words: str
) -> None:
    new = steady(report)
    old = replace(new, environment=replace(new.environment, **{field: value}))
    with pytest.raises(InputError, match=f"{kind}: {words}") as caught:
        checked(new, old)
    assert f"--allow-different {kind}" in str(caught.value)
    assert len(checked(new, old, allowed=(kind,)).rows) > 0


def test_another_power_mode_is_another_machine(report: Report) -> None:
    new = steady(report)
    board = BoardFacts(
        l4t="36.4", jetpack=None, power_mode="0 MAXN", gpu_min_mhz=1.0, gpu_max_mhz=2.0, has_held_clocks=True
    )
    reports = [
        replace(new, environment=replace(new.environment, hardware=MachineFacts(board=replace(board, power_mode=mode))))
        for mode in ("0 MAXN", "1 15W", "1 15W")
    ]
    with pytest.raises(InputError, match="machine: power mode is '0 MAXN', was '1 15W'"):
        checked(*reports[:2])
    assert checked(*reports[1:]).regressions == ()


def test_other_threads_are_another_machine(report: Report) -> None:
    new = steady(report)
    with pytest.raises(InputError, match="machine: threads is '1', was not told"):
        checked(replace(new, settings=replace(new.settings, threads=1)), new)


@pytest.mark.parametrize(
    ("field", "value"),
    [("backend", "tensorrt"), ("precision", "int8"), ("size_hw", (8, 8)), ("classes", 99), ("onnx_sha256", "0" * 64)],
)
def test_another_engine_is_refused_unless_allowed(report: Report, field: str, value: object) -> None:
    new = steady(report)
    old = replace(new, engines=(replace(new.engines[0], **{field: value}), new.engines[1]))
    with pytest.raises(InputError, match=f"engine: wide.engine: {field}"):
        checked(new, old)
    assert len(checked(new, old, allowed=("engine",)).rows) > 0


def test_another_version_of_a_back_end_is_a_note(report: Report) -> None:
    new = steady(report)
    old = replace(new, engines=(replace(new.engines[0], backend_version="0.1"), new.engines[1]))
    assert any("backend_version" in note for note in checked(new, old).notes)


def test_other_scopes_are_refused_and_named_where_allowed(report: Report) -> None:
    new, old = steady(report), scoped(steady(report), "engine")
    with pytest.raises(InputError, match="scope: 'frame-to-mask' is new"):
        checked(new, old)
    check = checked(new, old, allowed=("scope",))
    assert {row.scope for row in check.rows} == {"engine"}
    assert "wide.engine, frame-to-mask: not in old0.json" in check.missing
    assert "not compared" in printed(check)


def test_frames_of_another_size_are_refused_where_they_matter(report: Report) -> None:
    new = steady(report)
    old = replace(new, source=replace(new.source, size_wh=(7, 7)))
    with pytest.raises(InputError, match="scope: frames: size_wh is 90 x 60, was 7 x 7"):
        checked(new, old)
    assert checked(scoped(new, "engine"), scoped(old, "engine")).regressions == ()


def test_an_engine_that_is_gone_is_refused_and_named_where_allowed(report: Report) -> None:
    new = steady(report)
    gone = new.engines[1].name
    alone = replace(
        new, engines=new.engines[:1], measurements=tuple(one for one in new.measurements if one.engine != gone)
    )
    with pytest.raises(InputError, match=f"engine: '{gone}' is gone"):
        checked(alone, new)
    assert f"{gone}, engine: in old0.json alone" in checked(alone, new, allowed=("engine",)).missing


def test_engines_of_other_names_are_taken_in_their_order_where_allowed(report: Report) -> None:
    new = steady(report, slower=0.2)
    names = {one.name: f"old-{one.name}" for one in new.engines}
    old = steady(report)
    old = replace(
        old,
        engines=tuple(replace(one, name=names[one.name]) for one in old.engines),
        measurements=tuple(replace(one, engine=names[one.engine]) for one in old.measurements),
    )
    check = checked(new, old, allowed=("engine",))
    assert len(check.regressions) == 4
    assert check.missing == ()


def test_no_row_in_common_is_refused(report: Report) -> None:
    new = steady(report)
    with pytest.raises(InputError, match="no engine is in all the reports in the same scope"):
        checked(scoped(new, "engine"), scoped(new, "frame-to-mask"), allowed=("scope",))


def test_too_few_samples_name_the_row_and_the_way_out(report: Report) -> None:
    few = replace(
        report,
        measurements=tuple(
            replace(
                one,
                stages={name: stage_of(np.full(3, 10.0)) for name in one.stages},
                started_s=(0.0, 1.0, 2.0),
                round_counts=(3,),
                round_s=(),
            )
            for one in report.measurements
        ),
    )
    with pytest.raises(InputError, match=r"wide.engine, engine: 3 samples in 1 round.*--iterations"):
        checked(few, few)
