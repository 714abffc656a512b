from __future__ import annotations

from msgspec.structs import replace

from edgeseg.report.findings import warnings_of
from edgeseg.report.record import Clock, EngineRecord, Environment, Measurement, Report

SAME_NET = "0" * 64


def quiet(report: Report) -> Environment:
    return replace(report.environment, load_1min=0.0, usable_cores=2, hardware=None)


def steady(one: Measurement, *, count: int = 100, last_ms: float | None = None, each_ms: float = 1.0) -> Measurement:
    """The measurement with other samples: all the same but for the last."""
    import numpy as np

    from edgeseg.report.lanes import stage_of

    stage = stage_of(np.array([each_ms] * (count - 1) + [each_ms if last_ms is None else last_ms]))
    starts = tuple(float(index) for index in range(count))
    return replace(
        one,
        stages=dict.fromkeys(one.stages, stage),
        started_s=starts,
        round_counts=(count,),
        round_s=(1.0,),
        machine=None,
    )


def test_steady_samples_on_a_quiet_machine_give_no_warning(report: Report) -> None:
    engines = [replace(one, onnx_sha256=SAME_NET) for one in report.engines]
    assert warnings_of(quiet(report), engines, [steady(one) for one in report.measurements]) == ()


def test_scattered_samples_are_warned_of_with_their_variation(report: Report) -> None:
    one = steady(report.measurements[0], last_ms=2.0)
    (warning,) = warnings_of(quiet(report), report.engines[:1], [one])
    assert "coefficient of variation is above 2.5%" in warning
    assert f"{one.engine} {one.variation:.1%} (engine)" in warning


def test_a_variation_at_the_bound_is_not_warned_of(report: Report) -> None:
    one = steady(report.measurements[0], last_ms=1.2)
    assert 0.019 < one.variation < 0.025
    assert warnings_of(quiet(report), report.engines[:1], [one]) == ()


def test_too_few_samples_for_p99_are_warned_of(report: Report) -> None:
    one = steady(report.measurements[0], count=99)
    (warning,) = warnings_of(quiet(report), report.engines[:1], [one])
    assert "p99 is the largest sample where there are fewer than 100" in warning
    assert f"{one.engine} 99 (engine)" in warning
    assert one.headline.stats.p99_ms == one.headline.stats.max_ms


def test_other_load_is_warned_of_against_the_usable_cores(report: Report) -> None:
    engines, samples = report.engines[:1], [steady(report.measurements[0])]
    busy = replace(quiet(report), load_1min=0.21)
    (warning,) = warnings_of(busy, engines, samples)
    assert "load 0.21 on 2 usable core(s)" in warning
    assert warnings_of(replace(busy, usable_cores=4), engines, samples) == ()


def test_a_machine_that_tells_no_load_gives_no_warning(report: Report) -> None:
    silent = replace(quiet(report), load_1min=None)
    assert warnings_of(silent, report.engines[:1], [steady(report.measurements[0])]) == ()


def test_a_mask_that_changed_during_the_timing_is_warned_of(report: Report) -> None:
    engine = replace(report.engines[0], changed_pixels=7)
    (warning,) = warnings_of(quiet(report), [engine], [steady(report.measurements[0])])
    assert warning.startswith(f"{engine.name}: 7 pixels of its mask differ")


def test_engines_of_different_nets_are_warned_of(report: Report) -> None:
    (warning,) = warnings_of(quiet(report), report.engines, [steady(report.measurements[0])])
    assert warning.startswith("narrow.engine is another net than wide.engine")


def precise(report: Report, int8_ms: float) -> tuple[list[EngineRecord], list[Measurement]]:
    """The report's engines as FP32 and INT8 of one net, 1 ms and ``int8_ms`` alone."""
    engines = [replace(one, onnx_sha256=SAME_NET) for one in report.engines]
    engines[1] = replace(engines[1], precision="int8")
    names = [one.name for one in engines]
    measured = [steady(one, each_ms=(1.0, int8_ms)[names.index(one.engine)]) for one in report.of_scope("engine")]
    return engines, measured


def test_int8_that_is_not_five_percent_faster_is_warned_of(report: Report) -> None:
    (warning,) = warnings_of(quiet(report), *precise(report, 0.98))
    assert warning == (
        "narrow.engine: INT8 is not worth it here: 0.980 ms against 1.00 ms of wide.engine on openvino, "
        "the engines alone; use the higher precision."
    )


def test_int8_that_is_worth_it_gives_no_warning(report: Report) -> None:
    assert warnings_of(quiet(report), *precise(report, 0.9)) == ()


def test_the_stage_engine_decides_where_the_engine_was_not_measured_alone(report: Report) -> None:
    engines, _ = precise(report, 0.98)
    measured = [steady(one) for one in report.of_scope("frame-to-mask")]
    (warning,) = warnings_of(quiet(report), engines, measured)
    assert "1.00 ms against 1.00 ms" in warning


def bound(report: Report, *, clock: Clock, **stages_ms: float) -> tuple[str, ...]:
    """What is warned of for one engine whose stages took so long."""
    one = steady(report.measurements[0])
    stages = {name.replace("_", "-"): steady(one, each_ms=ms).stages["engine"] for name, ms in stages_ms.items()}
    return warnings_of(quiet(report), report.engines[:1], [replace(one, stages=stages, clock=clock)])


def test_a_device_that_waits_for_the_host_is_warned_of(report: Report) -> None:
    (warning,) = bound(report, clock="cuda-events", engine=1.0, enqueue=0.81)
    assert "the host takes 0.810 ms to enqueue what the device computes in 1.00 ms" in warning
    assert bound(report, clock="cuda-events", engine=1.0, enqueue=0.8) == ()
    assert bound(report, clock="monotonic", engine=1.0, enqueue=0.9) == ()


def test_copies_as_long_as_the_engine_are_warned_of(report: Report) -> None:
    (warning,) = bound(report, clock="cuda-events", engine=1.0, copy_in=0.5, copy_out=1.0)
    assert "copy-out takes 1.00 ms, no less than the engine's 1.00 ms" in warning
    assert bound(report, clock="cuda-events", engine=1.0, copy_in=0.5, copy_out=0.99) == ()
