"""Own the words for a machine: what it is, and the power that it took. Judge nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgeseg.machine.records import BoardFacts, CpuClocks, GpuFacts, MachineFacts
from edgeseg.report.record import Measurement

__all__ = ["hardware_facts", "joules_text", "power_text", "watts_text"]

NOT_TOLD = "not told"


def watts_text(one: Measurement) -> str:
    """Mean watts of all that is known; a dash where nothing is."""
    watts = one.machine.mean_w if one.machine else None
    return "-" if watts is None else f"{watts:.1f}"


def joules_text(one: Measurement) -> str:
    """Joules per frame with three digits that count; a dash likewise."""
    joules = one.joules_per_frame
    return "-" if joules is None else f"{joules:#.3g}".rstrip(".")


def power_text(measurements: Sequence[Measurement]) -> list[str]:
    """What the watts are of, and what reading them cost, as one sentence; none where no power is told."""
    uses = [one.machine for one in measurements if one.machine is not None and one.machine.total_rails]
    if not uses:
        return []
    rails = _unique(one.name for use in uses for one in use.total_rails)
    cost = max((use.sampler_percent or 0.0 for use in uses), default=0.0)
    return [
        f"W is the mean power during the turns and J/frame their energy over their frames, of {' + '.join(rails)}; "
        f"reading the machine meanwhile took {cost:.1f}% of one core."
    ]


def hardware_facts(facts: MachineFacts | None) -> list[tuple[str, str]]:
    """Name and value of what a machine told; nothing of what it has not."""
    if facts is None:
        return []
    found = [("Runs in", ", ".join(_place(facts)))] if _place(facts) else []
    found += [("Jetson", _board(facts.board))] if facts.board else []
    found += [("CPU clocks", _cpu(facts.cpu))] if facts.cpu else []
    found += [(f"GPU {index}", _gpu(gpu)) for index, gpu in enumerate(facts.gpus)]
    found += [("Power of", ", ".join(facts.rails))] if facts.rails else []
    return found + [("Not told", why) for why in facts.untold]


def _place(facts: MachineFacts) -> list[str]:
    found = [f"a virtual machine ({facts.hypervisor})"] if facts.hypervisor else []
    return found + ([f"a container ({facts.container})"] if facts.container else [])


def _board(board: BoardFacts) -> str:
    held = {True: "held", False: "free", None: NOT_TOLD}[board.has_held_clocks]
    return (
        f"Jetson Linux {board.l4t or NOT_TOLD}, JetPack {board.jetpack or NOT_TOLD}, power mode "
        f"{board.power_mode or NOT_TOLD}, GPU {_range(board.gpu_min_mhz, board.gpu_max_mhz)}, clocks {held}"
    )


def _cpu(cpu: CpuClocks) -> str:
    boost = {True: ", boost allowed", False: ", no boost", None: ""}[cpu.boost]
    governors = ", ".join(f"{name} ({count} cores)" for name, count in cpu.governors.items())
    return f"{governors or NOT_TOLD}, {_range(cpu.min_mhz, cpu.max_mhz)}{boost}"


def _gpu(gpu: GpuFacts) -> str:
    parts = [gpu.name, f"driver {gpu.driver or NOT_TOLD} (CUDA {gpu.cuda or NOT_TOLD})"]
    parts += [f"SM {gpu.sm_mhz} of {gpu.sm_max_mhz or '?'} MHz"] if gpu.sm_mhz is not None else []
    parts += [f"memory {gpu.memory_mhz} of {gpu.memory_max_mhz or '?'} MHz"] if gpu.memory_mhz is not None else []
    if gpu.power_w is not None:
        limit = "" if gpu.power_limit_w is None else f" of {gpu.power_limit_w:.0f}"
        parts.append(f"{gpu.power_w:.0f}{limit} W")
    parts += [f"{gpu.temperature_c} \N{DEGREE SIGN}C"] if gpu.temperature_c is not None else []
    parts += [f"{gpu.share_percent}% busy"] if gpu.share_percent is not None else []
    if gpu.is_persistent is not None:
        parts.append(f"persistence {'on' if gpu.is_persistent else 'off'}")
    if gpu.has_asked_clocks:
        parts.append("at clocks that were asked for")
    parts += [f"throttled: {', '.join(gpu.throttled_by)}"] if gpu.throttled_by else []
    return ", ".join(parts)


def _range(low_mhz: float | None, high_mhz: float | None) -> str:
    if low_mhz is None or high_mhz is None:
        return f"clock {NOT_TOLD}"
    return f"{high_mhz:.0f} MHz" if low_mhz == high_mhz else f"{low_mhz:.0f} to {high_mhz:.0f} MHz"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
