"""Own for which devices a plan is built, and which precisions these have. Build nothing."""

from __future__ import annotations

from dataclasses import dataclass

from edgeseg.errors import BuildError
from edgeseg.spec import PrecisionKind
from edgeseg.trt_api import DriverState, TrtApi

__all__ = ["Target", "refuse_precision", "target_of"]

#: the first compute capability with products in these types: bfloat16 came with Ampere, 8-bit floating point with Ada
OLDEST: dict[PrecisionKind, tuple[int, int]] = {"bf16": (8, 0), "fp8": (8, 9)}
# TensorRT-RTX 1.7.1 builds INT8 for SM 7.5 with weights in floating point (measured on a U-Net: 7.2 MB of weights
# against 2.5 MB for SM 8.9), and one plan for 7.5 and newer gets them for all.
OLDEST_RTX_INT8 = (8, 0)

Version = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Target:
    """For whom a plan is built; without ``members`` it is the library's own choice, the device that is there.

    ``members`` are names of TensorRT-RTX's ``ComputeCapability``.
    """

    device: str
    compute_capability: str | None
    is_here: bool
    members: tuple[str, ...] = ()


def refuse_precision(api: TrtApi, driver: DriverState, precision: PrecisionKind, targets: tuple[str, ...]) -> None:
    """Raise BuildError where a device that is built for has no products of a type."""
    if targets:
        known = _known(api)
        for one in targets:
            if one not in known:
                raise BuildError(
                    f"{api.name} {api.version} does not build for {one}", f"it knows {', '.join(known)}: take of these"
                )
    devices = [(f"target {one}", one) for one in targets]
    if not targets and driver.compute_capability is not None:
        devices = [(driver.device_name or "the device", driver.compute_capability)]
    for device, capability in devices:
        _refuse(api, device, capability, precision)


def _refuse(api: TrtApi, device: str, capability: str, precision: PrecisionKind) -> None:
    found, oldest = _pair(capability), OLDEST.get(precision)
    if oldest is not None and found < oldest:
        raise BuildError(
            f"{device} has compute capability {capability}, {precision} needs {oldest[0]}.{oldest[1]}",
            "take fp16 or int8",
        )
    if precision == "int8" and api.name == "tensorrt-rtx" and found < OLDEST_RTX_INT8:
        raise BuildError(
            f"tensorrt-rtx keeps INT8 weights in floating point on {device} "
            f"(compute capability {capability}, INT8 needs 8.0)",
            "take fp16, or --backend tensorrt",
        )


def target_of(api: TrtApi, driver: DriverState, precision: PrecisionKind, targets: tuple[str, ...]) -> Target:
    """The device that is there; TensorRT-RTX builds for named ones too, and where none is there for all that fit."""
    if not targets and driver.is_working:
        return Target(
            device=driver.device_name or "unknown",
            compute_capability=driver.compute_capability,
            is_here=True,
            members=("CURRENT",) if api.name == "tensorrt-rtx" else (),
        )
    known = _known(api)
    oldest = max(OLDEST.get(precision, OLDEST_RTX_INT8), OLDEST_RTX_INT8)
    chosen = targets or tuple(one for one in known if _pair(one) >= oldest)
    text = ", ".join(sorted(chosen, key=_pair))
    return Target(
        device=f"any RTX (SM {text})",
        compute_capability=text,
        is_here=driver.is_working and driver.compute_capability in chosen,
        members=tuple(known[one] for one in sorted(chosen, key=_pair)),
    )


def _known(api: TrtApi) -> dict[str, str]:
    """The numbered members of the enum (SM86, SM120, ...), oldest first; the last digit is the minor version."""
    kind = getattr(api.module, "ComputeCapability", None)
    names = [name for name in getattr(kind, "__members__", {}) if name.startswith("SM")]
    found = {f"{int(name[2:-1])}.{name[-1]}": name for name in names}
    return dict(sorted(found.items(), key=lambda item: _pair(item[0])))


def _pair(text: str) -> Version:
    major, minor = text.split(".")
    return int(major), int(minor)
