"""Own what one may ask of TensorRT's builder. Know no package and what it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeseg.errors import OptionsError
from edgeseg.spec import HardwareCompatibility, TensorLayout

__all__ = ["OPTION_OF", "PoolName", "TensorRTOptions", "option_words"]

PoolName = Literal[
    "workspace", "tactic-dram", "tactic-shared-memory", "dla-managed-sram", "dla-local-dram", "dla-global-dram"
]
#: fields that one option sets, and its name on the command line
OPTION_OF = {
    "optimization_level": "--optimization-level",
    "timing_cache": "--timing-cache",
    "is_timing_cache_editable": "--editable-timing-cache",
    "hardware_compatibility": "--hardware-compatibility",
    "is_version_compatible": "--version-compatible",
    "is_stripped": "--strip-plan",
    "is_refittable": "--refit",
    "is_tf32_allowed": "--tf32",
    "is_sparse": "--sparsity",
    "aux_streams": "--aux-streams",
    "tiling_level": "--tiling-level",
    "profiling_verbosity": "--profiling-verbosity",
    "dla_core": "--dla-core",
    "is_gpu_fallback_allowed": "--gpu-fallback",
    "targets": "--target",
    "input_format": "--input-format",
    "output_format": "--output-format",
}
HIGHEST_LEVEL = 5
DLA_POOLS = ("dla-managed-sram", "dla-local-dram", "dla-global-dram")


@dataclass(frozen=True, kw_only=True)
class TensorRTOptions:
    """What TensorRT's builder is told; None and empty leave its own choice.

    Attributes:
        pools: limits in bytes, each pool once.
        optimization_level: 0 builds fastest, 5 looks longest.
        timing_cache: folder of timing caches, one file a version and device; what was measured is used again.
        is_timing_cache_editable: keep what choosing a tactic by hand needs in that file.
        hardware_compatibility: which devices beside the one that is there.
        is_version_compatible: newer versions load the plan.
        has_lean_runtime: the plan brings the runtime for that.
        is_stripped: leave the weights out of the plan; they lie in ``net.engine.onnx`` beside it.
        is_refittable: the weights can be exchanged later.
        is_tf32_allowed: float32 products of convolutions in 19 bits, on GPUs that have them.
        is_sparse: use 2:4 sparse weights where the net has them.
        aux_streams: most streams beside the one that the engine runs on; 0 is one stream.
        tiling_level: how hard to look for tiles that stay in the L2 cache.
        profiling_verbosity: what the plan keeps for ``edgeseg inspect`` and profilers.
        dla_core: run what it can on that deep-learning accelerator.
        is_gpu_fallback_allowed: let the GPU run what DLA cannot.
        targets: compute capabilities to build for, as in ``8.6``; TensorRT-RTX only.
        input_format: how the image lies in memory.
        output_format: how the scores lie in memory.
    Raises:
        OptionsError: a value is out of its range, or two do not go together.
    """

    pools: tuple[tuple[PoolName, int], ...] = ()
    optimization_level: int | None = None
    timing_cache: Path | None = None
    is_timing_cache_editable: bool = False
    hardware_compatibility: HardwareCompatibility | None = None
    is_version_compatible: bool = False
    has_lean_runtime: bool = True
    is_stripped: bool = False
    is_refittable: bool = False
    is_tf32_allowed: bool | None = None
    is_sparse: bool = False
    aux_streams: int | None = None
    tiling_level: Literal["none", "fast", "moderate", "full"] | None = None
    profiling_verbosity: Literal["none", "layer-names", "detailed"] = "detailed"
    dla_core: int | None = None
    is_gpu_fallback_allowed: bool = True
    targets: tuple[str, ...] = ()
    input_format: TensorLayout = "linear"
    output_format: TensorLayout = "linear"

    def __post_init__(self) -> None:
        for pool, size in self.pools:
            _check(size >= 1, f"memory pool {pool} is {size} bytes", "give at least 1, or leave it out")
        names = [pool for pool, _ in self.pools]
        _check(len(names) == len(set(names)), f"a memory pool is given twice ({', '.join(names)})", "give each once")
        level, streams = self.optimization_level, self.aux_streams
        _check(level is None or 0 <= level <= HIGHEST_LEVEL, f"optimisation level {level}", "give 0 to 5")
        _check(streams is None or streams >= 0, f"{streams} auxiliary streams", "give 0 or more")
        _check(self.dla_core is None or self.dla_core >= 0, f"DLA core {self.dla_core}", "give 0 or 1")
        self._check_pairs(names)

    def _check_pairs(self, pools: list[PoolName]) -> None:
        """What would be without effect is refused."""
        _check(
            self.has_lean_runtime or self.is_version_compatible,
            "only a version-compatible plan has a lean runtime to leave out",
            "add --version-compatible",
        )
        _check(
            not self.is_timing_cache_editable or self.timing_cache is not None,
            "there is no timing cache to be editable",
            "add --timing-cache DIR",
        )
        if self.dla_core is not None:
            return
        _check(self.is_gpu_fallback_allowed, "there is no DLA core to fall back from", "add --dla-core 0")
        idle = [pool for pool in pools if pool in DLA_POOLS]
        _check(not idle, f"memory pool {', '.join(idle)} is DLA's", "add --dla-core 0")


def _check(is_right: bool, what: str, hint: str) -> None:
    if not is_right:
        raise OptionsError(what, hint)


def option_words(options: TensorRTOptions) -> str:
    """What was asked for, as on the command line; what is left to TensorRT is left out.

    Example:
        >>> option_words(TensorRTOptions(pools=(("workspace", 1 << 20),), is_refittable=True, is_tf32_allowed=False))
        '--memory-pool workspace:1048576B --refit --no-tf32'
        >>> option_words(TensorRTOptions())
        ''
    """
    default = TensorRTOptions()
    words = [f"--memory-pool {pool}:{size}B" for pool, size in options.pools]
    for field, option in OPTION_OF.items():
        value = getattr(options, field)
        if value != getattr(default, field):
            words += _words(option, value)
    return " ".join(words if options.has_lean_runtime else [*words, "--exclude-lean-runtime"])


def _words(option: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-")]
    return [f"{option} {one}" for one in (value if isinstance(value, tuple) else (value,))]
