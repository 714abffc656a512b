"""Own the question which options an installed TensorRT has. Ask by attribute, never by a table of versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import get_args

from edgeseg.builder.backends.tensorrt.options import PoolName, TensorRTOptions
from edgeseg.errors import BuildError
from edgeseg.spec import TensorLayout
from edgeseg.trt_api import PackageName, TrtApi
from edgeseg.trt_types import TrtModule

__all__ = ["OFFERS", "Offer", "lacking", "member_of", "refuse_missing"]

NO_TIMING = "its timing caches do nothing since TensorRT-RTX 1.2"
ONE_RELEASE = "its plans load in the release that built them only"
NO_DLA = "RTX cards have no DLA"
BY_TARGET = "its plans say their compute capabilities, see --target"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One option, or one value of it.

    Attributes:
        option: as on the command line.
        needs: what the package must have, ``Class.member`` each.
        is_asked: whether options ask for it.
        rtx: why TensorRT-RTX does not do it although it has the member; empty where it does.
    """

    option: str
    needs: tuple[str, ...]
    is_asked: Callable[[TensorRTOptions], bool]
    rtx: str = ""


def member_of(kind: str, value: str) -> str:
    """TensorRT's name of a value of ours.

    Example:
        >>> member_of("MemoryPoolType", "tactic-dram"), member_of("TensorFormat", "hwc8")
        ('MemoryPoolType.TACTIC_DRAM', 'TensorFormat.HWC8')
    """
    words = value.upper().replace("-", "_")
    return f"{kind}.{'LAYER_NAMES_ONLY' if words == 'LAYER_NAMES' else words}"


def _has_pool(pool: PoolName, options: TensorRTOptions) -> bool:
    return any(name == pool for name, _ in options.pools)


def _is(field: str, value: object, options: TensorRTOptions) -> bool:
    return bool(getattr(options, field) == value)


def _is_set(field: str, options: TensorRTOptions) -> bool:
    return getattr(options, field) is not None


def _has_format(value: TensorLayout, options: TensorRTOptions) -> bool:
    return value in (options.input_format, options.output_format)


def _offers() -> Iterator[Offer]:
    for pool in get_args(PoolName):
        is_dla = pool.startswith("dla")
        needs = (member_of("MemoryPoolType", pool), "IBuilderConfig.set_memory_pool_limit")
        option = "--workspace" if pool == "workspace" else f"--memory-pool {pool}"
        yield Offer(option=option, needs=needs, is_asked=partial(_has_pool, pool), rtx=NO_DLA if is_dla else "")
    level = "IBuilderConfig.builder_optimization_level"
    yield Offer(option="--optimization-level", needs=(level,), is_asked=partial(_is_set, "optimization_level"))
    yield from _cache_offers()
    yield from _compatibility_offers()
    yield from _weight_offers()
    streams = "IBuilderConfig.max_aux_streams"
    yield Offer(option="--aux-streams", needs=(streams,), is_asked=partial(_is_set, "aux_streams"))
    for word in ("none", "fast", "moderate", "full"):
        needs = (member_of("TilingOptimizationLevel", word), "IBuilderConfig.tiling_optimization_level")
        yield Offer(option=f"--tiling-level {word}", needs=needs, is_asked=partial(_is, "tiling_level", word))
    for word in ("none", "layer-names", "detailed"):
        needs = (member_of("ProfilingVerbosity", word), "IBuilderConfig.profiling_verbosity")
        asked = partial(_is, "profiling_verbosity", word)
        yield Offer(option=f"--profiling-verbosity {word}", needs=needs, is_asked=asked)
    yield from _device_offers()
    for layout in get_args(TensorLayout):
        needs = (member_of("TensorFormat", layout), "ITensor.allowed_formats")
        yield Offer(
            option=f"--input-format, --output-format {layout}", needs=needs, is_asked=partial(_has_format, layout)
        )


def _cache_offers() -> Iterator[Offer]:
    needs = ("IBuilderConfig.create_timing_cache", "ITimingCache.combine")
    yield Offer(option="--timing-cache", needs=needs, is_asked=partial(_is_set, "timing_cache"), rtx=NO_TIMING)
    yield Offer(
        option="--editable-timing-cache",
        needs=("BuilderFlag.EDITABLE_TIMING_CACHE",),
        is_asked=partial(_is, "is_timing_cache_editable", True),
        rtx=NO_TIMING,
    )


def _compatibility_offers() -> Iterator[Offer]:
    for word in ("ampere-plus", "same-compute-capability"):
        needs = (member_of("HardwareCompatibilityLevel", word), "IBuilderConfig.hardware_compatibility_level")
        asked = partial(_is, "hardware_compatibility", word)
        yield Offer(option=f"--hardware-compatibility {word}", needs=needs, is_asked=asked, rtx=BY_TARGET)
    for option, flag, field, value in (
        ("--version-compatible", "VERSION_COMPATIBLE", "is_version_compatible", True),
        ("--exclude-lean-runtime", "EXCLUDE_LEAN_RUNTIME", "has_lean_runtime", False),
    ):
        yield Offer(option=option, needs=(f"BuilderFlag.{flag}",), is_asked=partial(_is, field, value), rtx=ONE_RELEASE)


def _weight_offers() -> Iterator[Offer]:
    for option, flag, field, value in (
        ("--strip-plan", "STRIP_PLAN", "is_stripped", True),
        ("--refit", "REFIT", "is_refittable", True),
        ("--tf32", "TF32", "is_tf32_allowed", True),
        ("--no-tf32", "TF32", "is_tf32_allowed", False),
        ("--sparsity", "SPARSE_WEIGHTS", "is_sparse", True),
    ):
        yield Offer(option=option, needs=(f"BuilderFlag.{flag}",), is_asked=partial(_is, field, value))


def _device_offers() -> Iterator[Offer]:
    needs = ("DeviceType.DLA", "IBuilderConfig.DLA_core", "IBuilderConfig.can_run_on_DLA", "Runtime.DLA_core")
    yield Offer(option="--dla-core", needs=needs, is_asked=partial(_is_set, "dla_core"), rtx=NO_DLA)
    yield Offer(
        option="--no-gpu-fallback",
        needs=("BuilderFlag.GPU_FALLBACK",),  # set without the option
        is_asked=partial(_is, "is_gpu_fallback_allowed", False),
        rtx=NO_DLA,
    )
    targets = ("ComputeCapability.CURRENT", "IBuilderConfig.set_compute_capability")
    yield Offer(option="--target", needs=targets, is_asked=lambda options: bool(options.targets))


OFFERS = tuple(_offers())


def lacking(module: TrtModule, name: PackageName, offer: Offer) -> str:
    """Why a package does not do what is offered; empty where it does."""
    if name == "tensorrt-rtx" and offer.rtx:
        return offer.rtx
    missing = [need for need in offer.needs if not _has(module, need)]
    return f"it has no {', '.join(missing)}" if missing else ""


def refuse_missing(api: TrtApi, options: TensorRTOptions) -> None:
    """Raise BuildError where options ask for what the installed package has not; names all of them."""
    asked = [(offer.option, lacking(api.module, api.name, offer)) for offer in OFFERS if offer.is_asked(options)]
    missing = [f"{option} ({reason})" for option, reason in asked if reason]
    if missing:
        raise BuildError(
            f"{api.name} {api.version} does not take {'; '.join(missing)}", "leave it out, see docs/tensorrt.md"
        )


def _has(module: TrtModule, need: str) -> bool:
    kind, _, member = need.partition(".")
    return hasattr(getattr(module, kind, None), member)
