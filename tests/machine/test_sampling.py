"""Power, clocks, temperatures and throttling over time, of made-up machines that change while they are looked at."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from machine_lab import CORES, OVER_CURRENT, MadeUpGpus, cores, desktop, jetson, put, rails, zone

from edgeseg.machine.records import ThrottleUse
from edgeseg.machine.sampling import MachineSampler
from edgeseg.machine.table import Table

NEVER_S = 3600.0  # the test takes the samples itself


class Clock:
    """Stands still until it is told to go on."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def sampler_of(root: Path, *, nvml: str = "none.so", every_s: float = NEVER_S) -> tuple[MachineSampler, Clock]:
    clock = Clock()
    return MachineSampler(every_s, root=root, nvml=nvml, clock=clock), clock


def go_on(sampler: MachineSampler, clock: Clock, seconds: float) -> None:
    clock.now_s += seconds
    sampler.sample()


def test_joules_are_the_area_under_the_watts(tmp_path: Path) -> None:
    sampler, clock = sampler_of(jetson(tmp_path))
    with sampler:
        rails(tmp_path, VDD_IN=4.8, VDD_CPU_GPU_CV=0.8, VDD_SOC=0.4)
        go_on(sampler, clock, 2.0)  # from 12 W to 24 W
        go_on(sampler, clock, 1.0)
    use = sampler.window([(100.0, 103.0)])
    whole = use.rails[0]
    assert (whole.name, whole.is_total, whole.max_w) == ("VDD_IN", True, 24.0)
    assert whole.joules == pytest.approx(2 * 18 + 24)
    assert whole.mean_w == pytest.approx(60 / 3)
    assert (use.joules, use.mean_w) == (whole.joules, whole.mean_w), "the other rails are parts of the whole"
    assert sampler.window([(102.0, 102.5)]).joules == pytest.approx(12), "edges lie between samples"


def test_two_turns_are_added_without_what_lies_between(tmp_path: Path) -> None:
    sampler, clock = sampler_of(jetson(tmp_path))
    with sampler:
        for amperes in (2.4, 4.8, 4.8, 2.4, 2.4):
            rails(tmp_path, VDD_IN=amperes, VDD_CPU_GPU_CV=0.8, VDD_SOC=0.4)
            go_on(sampler, clock, 1.0)
    use = sampler.window([(100.0, 101.0), (104.0, 105.0)])
    assert use.seconds == 2
    assert use.joules == pytest.approx(12 + 12)


def test_rails_of_a_board_without_a_whole_one_add_up(tmp_path: Path) -> None:
    rails(tmp_path, VDD_GPU_SOC=2.0, VDD_CPU_CV=1.0, VIN_SYS_5V0=1.0)
    sampler, clock = sampler_of(tmp_path)
    with sampler:
        go_on(sampler, clock, 1.0)
    assert sampler.window([(100.0, 101.0)]).mean_w == pytest.approx(20.0)


def test_an_energy_counter_that_begins_again_goes_on(tmp_path: Path) -> None:
    sampler, clock = sampler_of(desktop(tmp_path))
    with sampler:
        for zone_folder in (tmp_path / "sys/class/powercap").iterdir():
            put(zone_folder, "energy_uj", 5_000_000)  # after 90 J of 100 J
        go_on(sampler, clock, 3.0)
    use = sampler.window([(100.0, 103.0)])
    assert [one.joules for one in use.rails] == [15.0] * 4
    assert [one.name for one in use.total_rails] == ["package-0", "package-0 dram"], "the cores are in the package"
    assert use.joules == 30.0


def test_a_gpus_own_counter_is_believed_before_its_watts(tmp_path: Path) -> None:
    gpus = MadeUpGpus(tmp_path)
    gpus.say(joules=1000, watts=90)
    sampler, clock = sampler_of(tmp_path, nvml=gpus.library)
    with sampler:
        gpus.say(joules=1300, watts=90)
        go_on(sampler, clock, 2.0)
    (rail,) = sampler.window([(100.0, 102.0)]).rails
    assert (rail.name, rail.joules, rail.mean_w, rail.is_total) == ("GPU 0", 300.0, 150.0, True)


def test_clocks_and_temperatures_of_a_time_are_told(tmp_path: Path) -> None:
    sampler, clock = sampler_of(jetson(tmp_path))
    with sampler:
        for mhz, celsius in ((1728, 50.0), (1728, 70.0), (1200, 97.0), (1500, 90.0)):
            cores(tmp_path, mhz=mhz)
            zone(tmp_path, 0, "cpu-thermal", celsius)
            go_on(sampler, clock, 1.0)
        clock.now_s += 1.0  # the last sample, of the block's end, lies outside
    use = sampler.window([(100.5, 104.5)])
    cpu = next(one for one in use.clocks if one.name == "CPU")
    assert (cpu.min_mhz, cpu.mean_mhz, cpu.max_mhz) == (1200, 1539, 1728)
    assert cpu.fell == pytest.approx(1 - 1200 / 1728, abs=1e-4)
    (temperature,) = use.temperatures
    assert (temperature.start_c, temperature.max_c) == (50.0, 97.0), "a zone that sleeps tells nothing"
    assert temperature.limit_c == 99.0, "where the kernel takes speed away; the fan begins before"


def test_a_clock_that_rises_did_not_fall(tmp_path: Path) -> None:
    sampler, clock = sampler_of(jetson(tmp_path))
    with sampler:
        for mhz in (800, 1200, 1728, 1728):
            cores(tmp_path, mhz=mhz)
            go_on(sampler, clock, 1.0)
        clock.now_s += 1.0  # the last sample, of the block's end, lies outside
    assert next(one for one in sampler.window([(100.5, 104.5)]).clocks if one.name == "CPU").fell == 0


def test_events_are_counted_where_they_happened(tmp_path: Path) -> None:
    sampler, clock = sampler_of(jetson(tmp_path))
    with sampler:
        go_on(sampler, clock, 1.0)
        put(tmp_path, f"{OVER_CURRENT}/oc3_event_cnt", 11)
        go_on(sampler, clock, 1.0)
        go_on(sampler, clock, 1.0)
    assert sampler.window([(100.0, 103.0)]).throttled == (
        ThrottleUse(reason="over-current (OC3)", seconds=None, events=4),
    )
    assert sampler.window([(100.0, 101.0), (102.0, 103.0)]).throttled == ()


def test_a_cooling_device_that_slows_is_timed_and_a_fan_is_not(tmp_path: Path) -> None:
    sampler, clock = sampler_of(jetson(tmp_path))
    with sampler:
        for state in (0, 1, 1, 0):
            put(tmp_path, "sys/class/thermal/cooling_device1/cur_state", state)
            go_on(sampler, clock, 1.0)
        clock.now_s += 1.0  # the last sample, of the block's end, lies outside
    (slowed,) = sampler.window([(100.5, 104.5)]).throttled
    assert slowed == ThrottleUse(reason="cooling by cpu-throttle-alert", seconds=2.0, events=None)


def test_a_gpus_reasons_are_timed_by_their_names(tmp_path: Path) -> None:
    gpus = MadeUpGpus(tmp_path)
    sampler, clock = sampler_of(tmp_path, nvml=gpus.library)
    with sampler:
        for reasons in (0x1, 0x24, 0x20, 0x0):
            gpus.say(reasons=reasons)
            go_on(sampler, clock, 1.0)
        clock.now_s += 1.0  # the last sample, of the block's end, lies outside
    assert {(one.reason, one.seconds) for one in sampler.window([(100.5, 104.5)]).throttled} == {
        ("GPU 0 power cap (software)", 1.0),
        ("GPU 0 thermal slowdown (software)", 2.0),
    }


def test_a_gpu_that_vanishes_is_told_and_the_rest_read_on(tmp_path: Path) -> None:
    gpus = MadeUpGpus(tmp_path)
    sampler, clock = sampler_of(desktop(tmp_path), nvml=gpus.library)
    with sampler:
        go_on(sampler, clock, 1.0)
        gpus.say(lost=True)
        go_on(sampler, clock, 1.0)
        go_on(sampler, clock, 1.0)
    before, after = sampler.window([(100.0, 101.0)]), sampler.window([(100.0, 103.0)])
    assert before.lost is None
    assert "GPU 0" in {one.name for one in before.rails}
    assert after.lost is not None and "GPU is lost" in after.lost and "2.0 s after the start" in after.lost
    assert "GPU 0" not in {one.name for one in after.rails}, "its energy over all that time is not known"
    assert "package-0" in {one.name for one in after.rails}


def test_a_file_that_vanishes_is_told(tmp_path: Path) -> None:
    sampler, clock = sampler_of(jetson(tmp_path))
    with sampler:
        shutil.rmtree(tmp_path / "sys/class/hwmon/hwmon1")
        go_on(sampler, clock, 1.0)
    use = sampler.window([(100.0, 101.0)])
    assert use.lost is not None and "VDD_IN" in use.lost and "No such file" in use.lost
    assert (use.rails, use.joules) == ((), None)


def test_a_gpu_that_was_lost_before_is_told(tmp_path: Path) -> None:
    gpus = MadeUpGpus(tmp_path)
    gpus.say(lost=True)
    sampler, clock = sampler_of(tmp_path, nvml=gpus.library)
    with sampler:
        go_on(sampler, clock, 1.0)
    lost = sampler.window([(100.0, 101.0)]).lost
    assert lost is not None and "GPU is lost" in lost


@pytest.mark.parametrize(("busy_ticks", "cores_busy"), [(800, 2.0), (0, 0.0)])
def test_other_load_is_all_work_but_our_own(tmp_path: Path, busy_ticks: int, cores_busy: float) -> None:
    """Two cores and more of other work in 4 s, which take this test no time of its own."""
    put(tmp_path, "proc/stat", "cpu  100 0 100 500 0 0 0 0 0 0")
    sampler, clock = sampler_of(tmp_path)
    with sampler:
        put(tmp_path, "proc/stat", f"cpu  {100 + busy_ticks} 0 100 {1300 - busy_ticks} 0 0 0 0 0 0")
        go_on(sampler, clock, 4.0)
    assert sampler.window([(100.0, 104.0)]).other_cores == pytest.approx(cores_busy, abs=0.1)
    assert sampler.window([(100.0, 100.5)]).other_cores is None, "the kernel's ticks are too coarse for it"


def test_a_kernel_that_does_not_count_tells_no_load(tmp_path: Path) -> None:
    put(tmp_path, "proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0")
    sampler, clock = sampler_of(tmp_path)
    with sampler:
        go_on(sampler, clock, 4.0)
    assert sampler.window([(100.0, 104.0)]).other_cores is None


def test_a_machine_that_tells_nothing_has_an_empty_use(tmp_path: Path) -> None:
    sampler, clock = sampler_of(tmp_path)
    with sampler:
        clock.now_s += 1.0
    use = sampler.window([(100.0, 101.0)])
    assert (use.rails, use.clocks, use.throttled, use.other_cores, use.lost) == ((), (), (), None, None)


def test_the_thread_samples_by_itself_and_tells_its_cost(tmp_path: Path) -> None:
    with MachineSampler(0.005, root=jetson(tmp_path), nvml="none.so") as sampler:
        begin_s = time.perf_counter()
        time.sleep(0.2)
        end_s = time.perf_counter()
    use = sampler.window([(begin_s, end_s)])
    assert use.samples > 5
    assert use.mean_w == pytest.approx(12.0, rel=0.01)
    assert use.sampler_percent is not None and use.sampler_percent > 0


def test_an_error_of_the_work_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="of the work"), MachineSampler(0.01, root=tmp_path, nvml="none.so"):
        raise KeyError("of the work")


def test_a_days_samples_stay_in_the_same_memory_and_keep_their_extremes() -> None:
    table, samples = Table(["last", "min", "mean", "max"], capacity=64), 5000
    values = np.random.default_rng(1).normal(size=samples)
    for place, value in enumerate(values):
        table.add(float(place), [float(place * 2), value, value, value])
    rows = table.rows()
    assert len(rows) <= 64 + 2
    assert (rows[:, 3].min(), rows[:, 5].max()) == (values.min(), values.max())
    assert rows[-1, :3].tolist() == [rows[-1, 0], samples - 1, 2 * (samples - 1)]
    begins, ends = rows[1:, 0], rows[1:, 1]
    assert (begins[1:] == ends[:-1] + 1).all(), "no sample is left out"
    counts = ends - begins + 1
    assert (rows[1:, 4] * counts).sum() / counts.sum() == pytest.approx(values.mean())


def test_what_is_not_told_leaves_the_other_value() -> None:
    table, nan = Table(["last", "min", "mean", "max"], capacity=2), float("nan")
    table.add(0.0, [1.0, 1.0, 1.0, 1.0])
    table.add(1.0, [nan, nan, nan, nan])
    assert table.rows()[1].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_a_pc_that_gets_too_hot_is_flagged_by_its_counter(tmp_path: Path) -> None:
    sampler, clock = sampler_of(desktop(tmp_path))
    with sampler:
        put(tmp_path, f"{CORES}/cpu1/thermal_throttle/core_throttle_count", 5)
        put(tmp_path, f"{CORES}/cpu0/thermal_throttle/package_throttle_count", 6)
        go_on(sampler, clock, 1.0)
    assert {(one.reason, one.events) for one in sampler.window([(100.0, 101.0)]).throttled} == {
        ("CPU cores too hot", 2),
        ("CPU package too hot", 1),
    }
