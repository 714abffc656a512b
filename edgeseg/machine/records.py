"""Own the form of what is told of a machine: as it stands, and as it was used. Read nothing."""

from __future__ import annotations

from edgeseg.records import Record

__all__ = [
    "BoardFacts",
    "ClockUse",
    "CpuClocks",
    "GpuFacts",
    "MachineFacts",
    "MachineUse",
    "RailUse",
    "TemperatureUse",
    "ThrottleUse",
]


class CpuClocks(Record, frozen=True, kw_only=True):
    """How the CPU's clock is governed.

    Attributes:
        governors: how many cores have which.
        min_mhz: lowest that the kernel may set, over all cores.
        max_mhz: highest.
        boost: whether clocks above the nominal one are allowed; None where the kernel does not tell.
        is_held: every core's lowest and highest are the same: the clock cannot move.
    """

    governors: dict[str, int]
    min_mhz: float | None
    max_mhz: float | None
    boost: bool | None
    is_held: bool


class GpuFacts(Record, frozen=True, kw_only=True):
    """One GPU as NVML tells it. NVML does not tell whether ``nvidia-smi -lgc`` holds the clock."""

    name: str
    driver: str | None
    cuda: str | None
    power_w: float | None
    power_limit_w: float | None
    sm_mhz: int | None
    sm_max_mhz: int | None
    memory_mhz: int | None
    memory_max_mhz: int | None
    application_mhz: int | None
    has_asked_clocks: bool | None
    temperature_c: int | None
    slowdown_c: int | None
    throttled_by: tuple[str, ...]
    share_percent: int | None
    is_persistent: bool | None


class BoardFacts(Record, frozen=True, kw_only=True):
    """A Jetson.

    Attributes:
        l4t: Jetson Linux' release, ``36.4.3``.
        jetpack: version of the package ``nvidia-jetpack``; None where it is not installed, as in most containers.
        power_mode: nvpmodel's, number and name.
        gpu_min_mhz: lowest that the GPU may take.
        gpu_max_mhz: highest.
        has_held_clocks: whether CPU and GPU clocks are held, as ``jetson_clocks`` leaves them.
    """

    l4t: str | None
    jetpack: str | None
    power_mode: str | None
    gpu_min_mhz: float | None
    gpu_max_mhz: float | None
    has_held_clocks: bool | None


class MachineFacts(Record, frozen=True, kw_only=True):
    """A machine at one moment.

    Attributes:
        hypervisor: whose virtual machine this is; None where nothing says that it is one.
        container: what kind of container this runs in; None where nothing says so.
        cpu: None where the kernel does not tell, as in most virtual machines.
        board: of a Jetson.
        gpus: of NVIDIA's, through NVML.
        rails: names of what tells its power.
        untold: what could be told but is not, why, and what to do.
    """

    hypervisor: str | None = None
    container: str | None = None
    cpu: CpuClocks | None = None
    board: BoardFacts | None = None
    gpus: tuple[GpuFacts, ...] = ()
    rails: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


class RailUse(Record, frozen=True, kw_only=True):
    """What one supply gave. ``is_total``: the rails so marked add up to all that is known of the machine."""

    name: str
    mean_w: float
    max_w: float | None
    joules: float
    is_total: bool


class ClockUse(Record, frozen=True, kw_only=True):
    """One clock. ``fell`` is the deepest fall from a tenth of the time to a later one, as a share of the higher."""

    name: str
    min_mhz: float
    mean_mhz: float
    max_mhz: float
    fell: float


class TemperatureUse(Record, frozen=True, kw_only=True):
    """One place's temperature; ``limit_c`` is where the machine begins to slow down or to end."""

    name: str
    start_c: float
    max_c: float
    limit_c: float | None


class ThrottleUse(Record, frozen=True, kw_only=True):
    """Something slowed the machine down: for how long, or, of what is only counted, how often."""

    reason: str
    seconds: float | None
    events: int | None


class MachineUse(Record, frozen=True, kw_only=True):
    """What the machine did during some time; what it did not tell is left out or None.

    Attributes:
        seconds: how long.
        samples: how often clocks and temperatures were read in it.
        rails: power.
        clocks: of the CPU's fastest core and of each GPU.
        temperatures: where they were told.
        throttled: empty where nothing slowed the machine down, as far as it tells.
        other_cores: how many cores were busy with other processes and, in a virtual machine, with other machines.
        sampler_percent: of one core, what reading all this has cost.
        lost: which devices vanished, and when.
    """

    seconds: float
    samples: int
    rails: tuple[RailUse, ...] = ()
    clocks: tuple[ClockUse, ...] = ()
    temperatures: tuple[TemperatureUse, ...] = ()
    throttled: tuple[ThrottleUse, ...] = ()
    other_cores: float | None = None
    sampler_percent: float | None = None
    lost: str | None = None

    @property
    def total_rails(self) -> list[RailUse]:
        """Those that add up to all that is known."""
        return [one for one in self.rails if one.is_total]

    @property
    def mean_w(self) -> float | None:
        """Of all that is known; None where no power is told."""
        return sum(one.mean_w for one in self.total_rails) if self.total_rails else None

    @property
    def joules(self) -> float | None:
        """Likewise."""
        return sum(one.joules for one in self.total_rails) if self.total_rails else None
