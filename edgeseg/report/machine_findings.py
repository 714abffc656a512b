"""Own the warnings that follow from how the machine did while it was measured. Read and measure nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgeseg.machine.records import ClockUse, MachineFacts, MachineUse, TemperatureUse, ThrottleUse
from edgeseg.report.record import EngineRecord, Environment, Measurement

__all__ = ["machine_warnings"]

MOST_FALL = 0.05  # of a clock during the turns
MOST_MOVE = 0.01  # of a GPU's clock that is held, which NVML reads back to the MHz
MOST_OTHERS = 0.1  # of the usable cores
NEAR_C = 5.0  # below the temperature at which a machine slows down
STEADY = "performance"  # the governor that leaves a CPU at its highest clock


def machine_warnings(
    environment: Environment, engines: Sequence[EngineRecord], measurements: Sequence[Measurement]
) -> list[str]:
    """What the machine did that figures should not be believed for, each with what to do about it.

    Args:
        environment: of the run.
        engines: measured in it; where all run on the CPU, a GPU's clock is nobody's matter.
        measurements: with the use of the machine where it was told.
    """
    has_gpu = any(one.backend != "openvino" for one in engines)
    return [
        *_lost(measurements),
        *_throttled(measurements),
        *_fallen_clocks(measurements),
        *_hot(measurements),
        *_others(environment, measurements),
        *_free_clocks(environment.hardware),
        *(_moving_gpus(environment.hardware, measurements) if has_gpu else []),
    ]


def _listed(measurements: Sequence[Measurement], told: Callable[[MachineUse], list[str]]) -> str:
    """What each measurement has to tell, by its name; nothing where none has."""
    found = []
    for one in measurements:
        words = told(one.machine) if one.machine else []
        found += [f"{', '.join(words)} ({one.engine}, {one.scope})"] if words else []
    return "; ".join(found)


def _lost(measurements: Sequence[Measurement]) -> list[str]:
    lost = dict.fromkeys(one.machine.lost for one in measurements if one.machine and one.machine.lost)
    return [f"A device vanished: {what}. What was read of it before is all that is told." for what in lost]


def _throttled(measurements: Sequence[Measurement]) -> list[str]:
    listed = _listed(measurements, lambda use: [_throttle_text(one, use.seconds) for one in use.throttled])
    if not listed:
        return []
    return [
        f"The machine was throttled: {listed}. Cool it, give it more power (nvpmodel, `nvidia-smi -pl`, a stronger "
        "supply) or measure at a lower clock that it can hold."
    ]


def _throttle_text(one: ThrottleUse, of_s: float) -> str:
    if one.seconds is not None:
        return f"{one.reason} for {one.seconds:.1f} of {of_s:.1f} s"
    return f"{one.reason} {one.events} time(s)"


def _fallen_clocks(measurements: Sequence[Measurement]) -> list[str]:
    listed = _listed(measurements, lambda use: [_fall_text(one) for one in use.clocks if one.fell > MOST_FALL])
    if not listed:
        return []
    return [f"A clock fell by more than {MOST_FALL:.0%} during the turns: {listed}. Later rounds were slower for it."]


def _fall_text(one: ClockUse) -> str:
    return f"{one.name} by {one.fell:.0%}, {one.min_mhz:.0f} to {one.max_mhz:.0f} MHz"


def _hot(measurements: Sequence[Measurement]) -> list[str]:
    listed = _listed(measurements, lambda use: [_heat_text(one) for one in use.temperatures if _is_hot(one)])
    if not listed:
        return []
    return [f"It became hot, near where the machine slows down: {listed}. Cool it, or let it rest before measuring."]


def _is_hot(one: TemperatureUse) -> bool:
    return one.limit_c is not None and one.max_c >= one.limit_c - NEAR_C


def _heat_text(one: TemperatureUse) -> str:
    return f"{one.name} {one.start_c:.0f} to {one.max_c:.0f} \N{DEGREE SIGN}C of {one.limit_c:.0f}"


def _others(environment: Environment, measurements: Sequence[Measurement]) -> list[str]:
    bound = MOST_OTHERS * environment.usable_cores
    listed = _listed(
        measurements,
        lambda use: [f"{use.other_cores:.1f} cores"] if use.other_cores is not None and use.other_cores > bound else [],
    )
    if not listed:
        return []
    return [
        f"Others used the machine meanwhile, which has {environment.usable_cores} usable core(s): {listed}. End other "
        "work and measure again; the ratios suffer less than the milliseconds."
    ]


def _free_clocks(facts: MachineFacts | None) -> list[str]:
    """A Jetson's one command holds CPU and GPU; elsewhere each has its own."""
    if facts is None:
        return []
    if facts.board is not None and facts.board.has_held_clocks is not None:
        free = "The clocks follow the load. `sudo jetson_clocks` holds them at the highest of the power mode."
        return [] if facts.board.has_held_clocks else [free]
    cpu = facts.cpu
    if cpu is None or cpu.is_held or set(cpu.governors) <= {STEADY}:
        return []
    others = ", ".join(name for name in cpu.governors if name != STEADY)
    return [
        f"The CPU's clocks follow the load, by the governor {others}. `sudo cpupower frequency-set -g {STEADY}` keeps "
        "them at the highest."
    ]


def _moving_gpus(facts: MachineFacts | None, measurements: Sequence[Measurement]) -> list[str]:
    """NVML does not tell whether a clock is held; whether it moved is seen."""
    if facts is None or not facts.gpus:
        return []
    listed = _listed(measurements, lambda use: [_move_text(one) for one in use.clocks if _has_moved(one)])
    if not listed:
        return []
    highest = facts.gpus[0].sm_max_mhz
    clock = f"{highest},{highest}" if highest else "MHz,MHz"
    return [
        f"A GPU's clock moved: {listed}. Hold it with `sudo nvidia-smi -lgc {clock}`, or lower where that throttles; "
        "`sudo nvidia-smi -rgc` lets it go."
    ]


def _has_moved(one: ClockUse) -> bool:
    return one.name.startswith("GPU") and one.min_mhz < (1 - MOST_MOVE) * one.max_mhz


def _move_text(one: ClockUse) -> str:
    return f"{one.name} {one.min_mhz:.0f} to {one.max_mhz:.0f} MHz"
