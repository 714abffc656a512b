"""What a report tells and warns of the machine, on made-up machines and of made-up uses."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from machine_lab import CORES, OVER_CURRENT, cores, jetson, put
from msgspec.structs import replace
from rich.console import Console

from edgeseg.machine.records import (
    BoardFacts,
    ClockUse,
    CpuClocks,
    GpuFacts,
    MachineFacts,
    MachineUse,
    RailUse,
    TemperatureUse,
    ThrottleUse,
)
from edgeseg.report.benchmark import run_benchmark
from edgeseg.report.frames import FrameSet
from edgeseg.report.html import html
from edgeseg.report.machine_findings import machine_warnings
from edgeseg.report.markdown import markdown
from edgeseg.report.record import EngineRecord, Report, Settings, read_report, write_json
from edgeseg.report.terminal import print_report
from edgeseg.report.text import machine_facts

SETTINGS = Settings(warm_up_ms=1, duration_s=0.8, iterations=8, rounds=8, scopes=("engine",))
GPU = GpuFacts(
    name="A GPU",
    driver="570.86",
    cuda="12.8",
    power_w=90.4,
    power_limit_w=150.0,
    sm_mhz=1980,
    sm_max_mhz=2100,
    memory_mhz=9001,
    memory_max_mhz=9001,
    application_mhz=None,
    has_asked_clocks=False,
    temperature_c=51,
    slowdown_c=92,
    throttled_by=("power cap (software)",),
    share_percent=3,
    is_persistent=True,
)


def held(root: Path) -> Path:
    """A Jetson after jetson_clocks."""
    cores(jetson(root), low_mhz=1728)
    put(root, "sys/class/devfreq/17000000.gpu/min_freq", 1_020_000_000)
    return root


def measured(engines: list[Path], frames: FrameSet, root: Path, at_half: Callable[[], None]) -> Report:
    """The report of a machine that changes after half the turns."""

    def on_turn(done: int, total: int, what: str) -> None:
        if done == total // 2:
            at_half()

    return run_benchmark(engines[1:], frames, SETTINGS, on_turn=on_turn, root=root)


@pytest.fixture(scope="module")
def even(engines: list[Path], frames: FrameSet, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A machine that stays as it is."""
    return measured(engines, frames, held(tmp_path_factory.mktemp("even")), lambda: None)


def test_injected_throttling_is_flagged(engines: list[Path], frames: FrameSet, tmp_path: Path) -> None:
    def throttle() -> None:
        cores(tmp_path, mhz=1200, low_mhz=1728)
        put(tmp_path, f"{OVER_CURRENT}/oc3_event_cnt", 12)

    warnings = measured(engines, frames, held(tmp_path), throttle).warnings
    (throttled,) = (one for one in warnings if "throttled" in one)
    assert "over-current (OC3) 5 time(s) (narrow.engine, engine)" in throttled
    (fell,) = (one for one in warnings if "fell" in one)
    assert "CPU by 31%, 1200 to 1728 MHz (narrow.engine, engine)" in fell


def test_a_machine_that_stays_as_it_is_is_not_flagged(even: Report) -> None:
    told = [
        one for one in even.warnings if any(word in one for word in ("throttled", "fell", "vanished", "hot", "held"))
    ]
    assert told == []


def test_the_watts_of_a_steady_supply_are_recovered_per_frame(even: Report) -> None:
    (one,) = even.measurements
    assert one.machine is not None and one.joules_per_frame is not None
    assert one.machine.mean_w == pytest.approx(12.0, rel=0.01)
    assert one.joules_per_frame * one.rate_hz == pytest.approx(12.0, rel=0.01)


def test_every_form_shows_watts_and_joules_where_they_are_known(even: Report, report: Report) -> None:
    output = io.StringIO()
    print_report(even, Console(file=output, width=200))
    for form in (output.getvalue(), markdown(even), html(even)):
        assert "J/frame" in form and "12.0" in form and "VDD" in form
    assert "J/frame" not in markdown(report), "no column where nothing is told"


def test_what_the_machine_did_stands_in_the_file(even: Report, tmp_path: Path) -> None:
    write_json(even, tmp_path / "report.json")
    assert read_report(tmp_path / "report.json") == even


def test_a_rail_that_vanishes_is_flagged_and_no_joules_are_told(
    engines: list[Path], frames: FrameSet, tmp_path: Path
) -> None:
    def vanish() -> None:
        (tmp_path / "sys/class/hwmon/hwmon1/curr1_input").unlink()

    report = measured(engines, frames, held(tmp_path), vanish)
    (warning,) = (one for one in report.warnings if "vanished" in one)
    assert "VDD_IN" in warning
    assert report.measurements[0].joules_per_frame is None


def test_the_machines_facts_are_told_by_name(even: Report) -> None:
    facts = dict(machine_facts(even.environment))
    assert facts["Machine"] == "NVIDIA Jetson Orin Nano Developer Kit"
    assert facts["Jetson"] == (
        "Jetson Linux 36.4.3, JetPack 6.2+b77, power mode 2 (MAXN_SUPER), GPU 1020 MHz, clocks held"
    )
    assert facts["CPU clocks"] == "schedutil (4 cores), 1728 MHz"
    assert facts["Power of"] == "VDD_IN, VDD_CPU_GPU_CV, VDD_SOC"


def test_a_gpu_is_told_in_one_line(report: Report) -> None:
    hardware = MachineFacts(gpus=(GPU,), hypervisor="QEMU", container="docker", untold=("the reason",))
    facts = dict(machine_facts(replace(report.environment, hardware=hardware)))
    assert facts["GPU 0"] == (
        "A GPU, driver 570.86 (CUDA 12.8), SM 1980 of 2100 MHz, memory 9001 of 9001 MHz, 90 of 150 W, "
        "51 \N{DEGREE SIGN}C, 3% busy, persistence on, throttled: power cap (software)"
    )
    assert facts["Runs in"] == "a virtual machine (QEMU), a container (docker)"
    assert facts["Not told"] == "the reason"


def warned(report: Report, use: MachineUse, *, hardware: MachineFacts | None = None, on_gpu: bool = False) -> list[str]:
    """Of one measurement on a machine of two cores."""
    environment = replace(report.environment, usable_cores=2, hardware=hardware)
    engines: list[EngineRecord] = [replace(report.engines[0], backend="tensorrt" if on_gpu else "openvino")]
    return machine_warnings(environment, engines, [replace(report.measurements[0], machine=use)])


USE = MachineUse(seconds=3.0, samples=30, rails=(RailUse(name="a", mean_w=1, max_w=1, joules=3, is_total=True),))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"throttled": (ThrottleUse(reason="power cap", seconds=1.24, events=None),)}, "power cap for 1.2 of 3.0 s"),
        ({"throttled": (ThrottleUse(reason="too hot", seconds=None, events=4),)}, "too hot 4 time(s)"),
        ({"clocks": (ClockUse(name="CPU", min_mhz=900, mean_mhz=950, max_mhz=1000, fell=0.0501),)}, "CPU by 5%"),
        ({"temperatures": (TemperatureUse(name="cpu", start_c=60, max_c=95, limit_c=100),)}, "cpu 60 to 95"),
        ({"other_cores": 0.25}, "0.2 cores"),
        ({"lost": "GPU 0 (gone)"}, "GPU 0 (gone)"),
    ],
)
def test_what_harms_the_figures_is_warned_of(report: Report, change: dict[str, object], told: str) -> None:
    (warning,) = warned(report, replace(USE, **change))
    assert told in warning


@pytest.mark.parametrize(
    "change",
    [
        {"clocks": (ClockUse(name="CPU", min_mhz=900, mean_mhz=950, max_mhz=1000, fell=0.05),)},
        {"temperatures": (TemperatureUse(name="cpu", start_c=60, max_c=94.9, limit_c=100),)},
        {"temperatures": (TemperatureUse(name="cpu", start_c=60, max_c=150, limit_c=None),)},
        {"other_cores": 0.2},
        {},
    ],
)
def test_what_does_no_harm_is_not_warned_of(report: Report, change: dict[str, object]) -> None:
    assert warned(report, replace(USE, **change)) == []


def test_free_clocks_are_warned_of_with_the_command_that_holds_them(report: Report) -> None:
    cpu = CpuClocks(governors={"schedutil": 3, "performance": 1}, min_mhz=1, max_mhz=2, boost=None, is_held=False)
    (warning,) = warned(report, USE, hardware=MachineFacts(cpu=cpu))
    assert "schedutil" in warning and "sudo cpupower frequency-set -g performance" in warning
    for quiet in (replace(cpu, is_held=True), replace(cpu, governors={"performance": 4})):
        assert warned(report, USE, hardware=MachineFacts(cpu=quiet)) == []


def test_a_jetson_is_told_of_its_own_command(report: Report) -> None:
    board = BoardFacts(l4t="36.4", jetpack=None, power_mode=None, gpu_min_mhz=1, gpu_max_mhz=2, has_held_clocks=False)
    (warning,) = warned(report, USE, hardware=MachineFacts(board=board))
    assert "sudo jetson_clocks" in warning
    assert warned(report, USE, hardware=MachineFacts(board=replace(board, has_held_clocks=True))) == []


def test_a_gpu_whose_clock_moved_is_warned_of_where_engines_run_on_it(report: Report) -> None:
    moved = ClockUse(name="GPU 0 SM", min_mhz=1900, mean_mhz=1950, max_mhz=1980, fell=0.0)
    use, facts = replace(USE, clocks=(moved,)), MachineFacts(gpus=(GPU,))
    (warning,) = warned(report, use, hardware=facts, on_gpu=True)
    assert "1900 to 1980 MHz" in warning and "sudo nvidia-smi -lgc 2100,2100" in warning
    assert warned(report, use, hardware=facts) == []
    still = replace(use, clocks=(replace(moved, min_mhz=1965),))
    assert warned(report, still, hardware=facts, on_gpu=True) == []


def test_the_governor_of_cores_that_differ_is_told_with_their_number(report: Report, tmp_path: Path) -> None:
    from edgeseg.report.environment import read_environment

    cores(tmp_path, governor="powersave")
    put(tmp_path, f"{CORES}/cpu3/cpufreq/scaling_governor", "performance")
    assert read_environment(tmp_path).governor == "powersave (3 cores), performance (1 cores)"
