"""Own the builder's configuration with the limits and silences of the real one. Build nothing."""

from __future__ import annotations

from typing import Any

from trt_standin.bound import Bound
from trt_standin.enums import KINDS, BuilderFlag, DeviceType, LayerType, MemoryPoolType
from trt_standin.logs import ILogger, IProgressMonitor, derived, error, warning
from trt_standin.profiles import IOptimizationProfile
from trt_standin.releases import exists, setting
from trt_standin.timing import ITimingCache, here, read_cache

__all__ = ["IBuilderConfig"]

GIB = 1 << 30
LEAST_DLA_BYTES = 4096
TACTIC_DEFAULT_SHARE = 0.75  # of the memory, on embedded devices
#: measured and documented defaults; settable without a check
PLAIN = {
    "DLA_core": -1,
    "avg_timing_iterations": 1,
    "default_device_type": DeviceType.GPU,
    "hardware_compatibility_level": KINDS["HardwareCompatibilityLevel"].NONE,
    "profiling_verbosity": KINDS["ProfilingVerbosity"].LAYER_NAMES_ONLY,
    "tiling_optimization_level": KINDS["TilingOptimizationLevel"].__members__.get("NONE"),
    "l2_limit_for_tiling": 0,
    "max_num_tactics": -1,
}
#: what DLA takes of a net, as far as a list of types can say it; deconvolutions fall back as on the device
ON_DLA = ("CONVOLUTION", "ACTIVATION", "POOLING", "ELEMENTWISE", "CONCATENATION", "SCALE", "SOFTMAX", "LRN")


class IBuilderConfig(Bound):
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger
        self._flags = 1 << int(BuilderFlag.TF32)
        self._values: dict[str, Any] = dict(PLAIN)
        self._level, self._aux_streams = 3, -1
        total = int(setting("TOTAL", str(8 * GIB)))
        self._pools = {
            "WORKSPACE": total,
            "DLA_MANAGED_SRAM": 0,
            "DLA_LOCAL_DRAM": GIB,
            "DLA_GLOBAL_DRAM": GIB // 2,
            "TACTIC_DRAM": int(total * TACTIC_DEFAULT_SHARE),
            "TACTIC_SHARED_MEMORY": GIB,
        }
        self._profiles: list[IOptimizationProfile] = []
        self._monitor: IProgressMonitor | None = None
        self._cache: ITimingCache | None = None

    @property
    def flags(self) -> int:
        return self._flags

    @flags.setter
    def flags(self, value: int) -> None:
        self._flags = int(value)

    def set_flag(self, flag: Any) -> None:
        self._flags |= 1 << int(derived_member(flag, BuilderFlag))

    def clear_flag(self, flag: Any) -> None:
        self._flags &= ~(1 << int(derived_member(flag, BuilderFlag)))

    def get_flag(self, flag: Any) -> bool:
        return bool(self._flags >> int(derived_member(flag, BuilderFlag)) & 1)

    @property
    def builder_optimization_level(self) -> int:
        return self._level

    @builder_optimization_level.setter
    def builder_optimization_level(self, value: int) -> None:
        self._level = min(int(value), 5)  # silently, as measured

    @property
    def max_aux_streams(self) -> int:
        return self._aux_streams

    @max_aux_streams.setter
    def max_aux_streams(self, value: int) -> None:
        if value < 0:
            warning(self._logger, f"nbStreams {value} should not be negative, setMaxAuxStreams({value}) has no effect.")
            return
        self._aux_streams = int(value)

    @property
    def progress_monitor(self) -> IProgressMonitor | None:
        return self._monitor

    @progress_monitor.setter
    def progress_monitor(self, value: IProgressMonitor | None) -> None:
        self._monitor = None if value is None else derived(value, IProgressMonitor)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        reason = self._pool_misfit(derived_member(pool, MemoryPoolType).name, pool_size)
        if reason:
            error(
                self._logger,
                f"IBuilderConfig::setMemoryPoolLimit: Error Code 3: API Usage Error (Parameter check failed, {reason})",
            )
            return
        self._pools[pool.name] = int(pool_size)

    def _pool_misfit(self, name: str, size: int) -> str:
        if name.startswith("DLA") and int(setting("DLA", "0")) == 0:
            return "condition: false. Setting DLA memory pool size on TensorRT build with DLA disabled."
        is_power = size >= LEAST_DLA_BYTES and size & (size - 1) == 0
        if (name.startswith("DLA") or name == "TACTIC_DRAM") and not is_power:
            return "condition: std::has_single_bit(poolSize)."
        if name == "TACTIC_SHARED_MEMORY" and size > GIB:
            return "condition: poolSize <= kTACTIC_MAX_SHMEM_DEFAULT_SIZE."
        return ""

    def get_memory_pool_limit(self, pool: Any) -> int:
        return self._pools[derived_member(pool, MemoryPoolType).name]

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        if not profile:
            error(
                self._logger, "IBuilderConfig::addOptimizationProfile: Error Code 3: (condition: profile->isValid().)"
            )
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._profiles)

    def create_timing_cache(self, serialized_timing_cache: Any) -> ITimingCache:
        return read_cache(self._logger, bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if cache._header != here() and not ignore_mismatch:
            warning(self._logger, "The provided timing cache was created on another device or by another version.")
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self._cache

    def can_run_on_DLA(self, layer: Any) -> bool:
        return int(setting("DLA", "0")) > 0 and layer.type.name in ON_DLA

    def set_device_type(self, layer: Any, device_type: Any) -> None:
        layer._device = derived_member(device_type, DeviceType)

    def get_device_type(self, layer: Any) -> Any:
        return getattr(layer, "_device", self._values["default_device_type"])

    def set_preview_feature(self, feature: Any, enable: bool) -> None:
        self._values[feature.name] = enable

    def get_preview_feature(self, feature: Any) -> bool:
        return bool(self._values.get(feature.name))


def derived_member(value: Any, kind: Any) -> Any:
    """``value``, or the TypeError of a binding that is given something else."""
    if not isinstance(value, kind):
        raise TypeError(f"incompatible function arguments: {kind.__name__} is expected, {value!r} is given")
    return value


def _plain(name: str) -> property:
    def get(self: IBuilderConfig) -> Any:
        return self._values[name]

    def put(self: IBuilderConfig, value: Any) -> None:
        if isinstance(PLAIN[name], int) != isinstance(value, int):
            raise TypeError(f"incompatible function arguments: {name} is given {value!r}")
        self._values[name] = value

    return property(get, put)


for _name in PLAIN:
    setattr(IBuilderConfig, _name, _plain(_name))
assert exists("LayerType") and all(hasattr(LayerType, one) for one in ON_DLA)
