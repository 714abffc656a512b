"""Profiles of measured engines: their layers, modules and roofs, and the forms of that."""

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

from edgeseg.errors import OptionsError
from edgeseg.report import profile_plots, profile_text
from edgeseg.report.benchmark import run_benchmark
from edgeseg.report.frames import FrameSet
from edgeseg.report.html import html
from edgeseg.report.markdown import markdown
from edgeseg.report.profile_record import Bound, LayerTime, Profile, Roofs
from edgeseg.report.profiling import check_nets, with_profiles
from edgeseg.report.record import Report, Settings, read_report, write_json
from edgeseg.report.roofline import ridge, under_roofs
from edgeseg.report.roofs import RoofMeter
from edgeseg.report.terminal import print_report
from edgeseg.report.trtexec_profile import trtexec_profile, write_trtexec_profile
from edgeseg.sidecars import read_engine_spec

QUICK = Settings(warm_up_ms=0, duration_s=0, iterations=4, rounds=2)
SUM = 1e-9  # of shares, by rounding
NASTY = "<b>|`$x$ _[red]&amp;\"'"
#: a gigabyte and a teraoperation a second in float32, four in INT8
ROOFS = Roofs(copy_bytes_per_s=1e9, operations_per_s={"FP32": 1e12, "INT8": 4e12})


@pytest.fixture(scope="module")
def quick_roofs() -> Any:
    """Known roofs instead of a second of measuring; runtime/test_layer_times.py measures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgeseg.report.roofs.host_copy_bytes_per_s", lambda **_: 1e10)
        patch.setattr(
            "edgeseg.report.roofs.peak_operations_per_s", lambda precision, **_: {"FP32": 1e11}.get(precision)
        )
        yield


@pytest.fixture(scope="module")
def report(chain: Any, frames: FrameSet, quick_roofs: None) -> Report:
    """The chain's INT8 engine with its net, and its float32 engine of the same net."""
    paths = [chain.int8, chain.fp32]
    return with_profiles(run_benchmark(paths, frames, QUICK), paths, frames, nets=[chain.onnx])


@pytest.fixture(scope="module")
def bare(chain: Any, frames: FrameSet) -> Report:
    """Without its net."""
    return with_profiles(run_benchmark([chain.fp32], frames, QUICK), [chain.fp32], frames)


def layer(name: str = "conv", **fields: Any) -> LayerTime:
    return LayerTime(**({"name": name, "median_ms": 1.0, "mean_ms": 1.0, "share": 0.5, "precision": "FP32"} | fields))


def printed(report: Report) -> str:
    output = io.StringIO()
    print_report(report, Console(file=output, width=120))
    return output.getvalue()


def test_a_profile_has_every_engine_of_the_report_in_its_order(report: Report) -> None:
    assert [one.engine for one in report.profiles] == [one.name for one in report.engines]
    assert {one.runs for one in report.profiles} == {QUICK.iterations}


def test_shares_of_all_layers_are_the_whole(report: Report) -> None:
    for profile in report.profiles:
        assert sum(one.share for one in profile.layers) == pytest.approx(1.0, abs=SUM)
        assert profile.layers_ms == pytest.approx(sum(one.median_ms for one in profile.layers))
        assert profile.layers_ms > 0 and profile.profiled_p50_ms > 0


def test_the_unprofiled_time_is_that_of_the_reports_own_measurement(report: Report) -> None:
    for profile in report.profiles:
        own = next(one for one in report.of_scope("engine") if one.engine == profile.engine)
        assert profile.unprofiled_p50_ms == own.headline.stats.p50_ms
        assert profile.overhead == profile.profiled_p50_ms / own.headline.stats.p50_ms - 1


def test_the_nets_convolutions_are_found_in_every_precision(report: Report, chain: Any) -> None:
    for profile in report.profiles:
        found = [one for one in profile.layers if one.macs]
        assert [one.kind for one in found] == ["Convolution"] * 2
        assert profile.net == chain.onnx.name
        assert all(one.nodes and one.module for one in found)
    assert len({sum(one.macs or 0 for one in profile.layers) for profile in report.profiles}) == 1
    assert "INT8" in {one.precision for one in report.profiles[0].layers if one.macs}


def test_layers_stand_under_the_roofs_that_were_measured(report: Report) -> None:
    int8, fp32 = report.profiles
    assert fp32.roofs is not None and fp32.roofs.operations_per_s == {"FP32": 1e11}
    assert {one.bound for one in fp32.layers if one.macs} <= {"compute", "memory", "overhead"}
    unmeasured = [one for one in int8.layers if one.precision == "INT8" and one.macs]
    assert unmeasured and {(one.bound, one.roof_ms) for one in unmeasured} == {("unknown", None)}
    assert int8.roofs is not None and "INT8" in int8.roofs.missing


def test_pre_and_postprocessing_stand_against_a_copy(report: Report, chain: Any) -> None:
    image, head = (getattr(read_engine_spec(chain.fp32)[0].model, part) for part in ("input", "head"))
    assert report.profiles[1].roofs is not None
    pre, post = report.profiles[1].roofs.steps
    height, width = report.source.size_wh[::-1]
    assert (pre.name, post.name) == ("pre", "post")
    assert post.moved_bytes == 4 * head.channels * head.size_hw[0] * head.size_hw[1] + height * width
    assert pre.moved_bytes > 4 * 3 * image.size_hw[0] * image.size_hw[1]
    assert post.copy_ms == pytest.approx(post.moved_bytes / 1e10 * 1e3)


def test_a_roof_is_measured_once_for_all_engines(monkeypatch: pytest.MonkeyPatch, report: Report, chain: Any) -> None:
    calls: list[str] = []
    monkeypatch.setattr("edgeseg.report.roofs.host_copy_bytes_per_s", lambda **_: calls.append("copy") or 1.0)
    monkeypatch.setattr("edgeseg.report.roofs.peak_operations_per_s", lambda one, **_: calls.append(one) or 1.0)
    meter, spec = RoofMeter(threads=None), read_engine_spec(chain.fp32)[0]
    for _ in range(2):
        meter.roofs(report, report.engines[1].name, spec, [layer(macs=1)])
    assert calls == ["copy", "FP32"]


def test_no_peak_is_told_of_a_device_and_the_reason_is(
    monkeypatch: pytest.MonkeyPatch, report: Report, chain: Any
) -> None:
    monkeypatch.setattr("edgeseg.report.roofs._device_copy", lambda: 1e12)
    spec = replace(read_engine_spec(chain.fp32)[0], backend="tensorrt")
    roofs = RoofMeter(threads=None).roofs(report, report.engines[1].name, spec, [layer(macs=1)])
    assert (roofs.copy_bytes_per_s, roofs.operations_per_s) == (1e12, {})
    assert roofs.missing == {"FP32": "edgeseg measures no arithmetic on this back end"}


def test_without_the_net_layers_have_names_alone_and_the_report_says_what_to_add(bare: Report) -> None:
    (profile,) = bare.profiles
    assert (profile.net, profile.roofs) == (None, None)
    assert {(one.nodes, one.module, one.macs, one.bound) for one in profile.layers} == {((), "", None, None)}
    assert "add --net NET.onnx" in markdown(bare).replace("\\", "")
    assert [one.title for one in profile_text.tables(profile)] == ["Layers, the slowest first", "Share by type"]


def test_a_net_of_no_engine_is_refused(chain: Any, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(chain.onnx)
    model.doc_string = "another"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(OptionsError, match=r"other\.onnx .* is another net than the engines were built of"):
        check_nets([chain.fp32], [tmp_path / "other.onnx"])


def test_a_profile_survives_its_json(report: Report, tmp_path: Path) -> None:
    write_json(report, tmp_path / "out.json")
    assert read_report(tmp_path / "out.json").profiles == report.profiles


@pytest.mark.parametrize(
    ("fields", "bound", "roof_ms"),
    [
        ({"macs": 500_000_000, "moved_bytes": 1000, "median_ms": 1.5}, "compute", 1.0),
        ({"macs": 500_000_000, "moved_bytes": 1000, "median_ms": 4.1}, "overhead", 1.0),
        ({"macs": 1000, "moved_bytes": 2_000_000, "median_ms": 2.5}, "memory", 2.0),
        ({"macs": 1000, "moved_bytes": 2_000_000, "median_ms": 0.5}, "memory", 2.0),  # kept by a cache
        ({"macs": 500_000_000, "moved_bytes": 1000, "median_ms": 0.3, "precision": "INT8"}, "compute", 0.25),
        ({"macs": None, "moved_bytes": 3_000_000, "median_ms": 4.0, "is_moving": True}, "memory", 3.0),
        ({"macs": 0, "moved_bytes": 1000, "median_ms": 4.0, "precision": None}, "overhead", 0.001),
        ({"macs": None, "moved_bytes": 1000}, "unknown", None),
        ({"macs": 1000, "moved_bytes": None}, "unknown", None),
        ({"macs": 1000, "moved_bytes": 1000, "precision": "FP16"}, "unknown", None),
    ],
)
def test_a_layer_is_bound_by_the_roof_that_takes_longer(
    fields: dict[str, Any], bound: Bound, roof_ms: float | None
) -> None:
    found = under_roofs(layer(**fields), ROOFS)
    assert found[0] == bound
    assert found[1] == (None if roof_ms is None else pytest.approx(roof_ms))


def test_the_ridge_is_where_both_roofs_meet() -> None:
    assert (ridge("FP32", ROOFS), ridge("INT8", ROOFS), ridge("FP16", ROOFS)) == (1000.0, 4000.0, None)


def of(*layers: LayerTime, **fields: Any) -> Profile:
    known = {"engine": "a.engine", "runs": 10, "net": "a.onnx", "layers_ms": sum(one.median_ms for one in layers)}
    return Profile(**(known | {"layers": layers, "profiled_p50_ms": 3.0, "unprofiled_p50_ms": 2.0} | fields))


def test_types_and_moving_layers_are_told_with_their_share() -> None:
    profile = of(
        layer("conv", precision="INT8", share=0.7, median_ms=7.0),
        layer("cast", precision=None, is_moving=True, share=0.25, median_ms=2.5, kind="Reformat"),
        layer("odd", precision=None, share=0.05, median_ms=0.5),
    )
    types = next(one for one in profile_text.tables(profile) if one.title == "Share by type")
    assert types.rows == (
        ("INT8", "1", "7.00", "70%"),
        ("moving", "1", "2.50", "25%"),
        ("not told", "1", "0.500", "5.0%"),
    )
    assert "1 layer(s) only move or convert data, 25% of the time: cast (Reformat, 25%)." in profile_text.notes(profile)
    assert "(+50%)" in profile_text.summary(profile)


def test_the_slowest_layers_come_first_and_no_more_than_fifteen() -> None:
    profile = of(*(layer(f"l{index}", median_ms=float(index)) for index in range(1, 21)))
    table = profile_text.tables(profile)[0]
    assert table.title == "Slowest layers (15 of 20)"
    assert [row[0] for row in table.rows] == [f"l{index}" for index in range(20, 5, -1)]


@pytest.mark.parametrize("fields", [{"runs": 0}, {"layers": ()}, {"layers_ms": 0.0}])
def test_a_profile_of_nothing_is_no_record(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"1 or more|took 0 ms"):
        of(layer(), **fields)


def test_every_form_tells_modules_and_bounds(report: Report) -> None:
    page, lines, console = html(report), markdown(report), printed(report)
    module = next(one.group for one in report.profiles[0].layers if one.group)
    for form in (checked(page).words, lines.replace("\\", ""), console):
        told = " ".join(form) if isinstance(form, list) else form
        assert module in told and "Share by type" in told and "Bound by" in told


def test_the_page_with_profiles_refers_to_nothing_outside_and_its_ids_are_unique(report: Report) -> None:
    page = html(report)
    found = checked(page)
    assert len(found.ids) == len(set(found.ids))
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)


def test_an_engines_name_is_no_markup(report: Report) -> None:
    named = replace(report, profiles=tuple(replace(one, engine=NASTY) for one in report.profiles))
    page = html(named)
    assert "<b>|" not in page and "&lt;b&gt;|" in page
    assert NASTY in printed(named).replace("\n", "")
    assert NASTY not in markdown(named)


def test_both_plots_are_drawn_of_layers_without_modules_too() -> None:
    profile = of(layer("conv", macs=1000, moved_bytes=10), layer("cast", is_moving=True), roofs=ROOFS)
    assert "cast" in profile_plots.time_bars(profile, name="bars")
    assert profile_plots.roofline(profile, name="roof").startswith("<svg")
    with pytest.raises(ValueError, match="has no roofs"):
        profile_plots.roofline(of(layer()), name="roof")


def test_the_form_of_trtexec_has_its_keys_and_sums() -> None:
    profile = of(layer("conv", median_ms=2.0, mean_ms=3.0), layer("cast", median_ms=1.0, mean_ms=1.0))
    assert trtexec_profile(profile) == [
        {"count": 10},
        {"name": "conv", "timeMs": 30.0, "averageMs": 3.0, "medianMs": 2.0, "percentage": 75.0},
        {"name": "cast", "timeMs": 10.0, "averageMs": 1.0, "medianMs": 1.0, "percentage": 25.0},
    ]


def test_the_file_in_trtexecs_form_is_json(tmp_path: Path) -> None:
    profile = of(layer('a "name"'))
    write_trtexec_profile(profile, tmp_path / "profile.json")
    assert json.loads((tmp_path / "profile.json").read_text()) == trtexec_profile(profile)
