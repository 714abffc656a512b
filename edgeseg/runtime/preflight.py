"""Own the comparison of an engine's sidecar with a machine, before any library sees the plan. Load nothing.

The rules are those of NVIDIA's documentation, "Engine Compatibility" and the support matrix of 11.4:

- A plan loads in the version that built it. One that brings its lean runtime loads in newer versions of that major too,
  and TensorRT 11 takes those of TensorRT 10; none loads in an older one. One whose lean runtime was left out needs the
  lean runtime of its own version. TensorRT-RTX promises nothing from release to release.
- A plan is for the model of GPU that built it, unless it was built for all of its compute capability or for Ampere and
  newer. A TensorRT-RTX plan is for the compute capabilities that it names.
- CUDA's libraries run on drivers of their own major version and newer ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeseg.errors import EngineError
from edgeseg.spec import EngineSpec
from edgeseg.trt_api import DriverState, PackageName

__all__ = ["Mismatch", "build_command", "check_fits", "loads_in", "mismatches", "rebuild"]

AMPERE = (8, 0)
#: a newer major that takes plans of an older one
NEXT_MAJOR = {10: 11}
#: compute capabilities of Jetson boards, for which hardware compatibility does not exist
JETSON = ("7.2", "8.7", "10.1", "11.0")


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """One thing that an engine needs and a machine has not: both sides, and what mends it."""

    what: str
    hint: str


def check_fits(spec: EngineSpec, *, version: str, driver: DriverState, package: PackageName | None = None) -> None:
    """Refuse an engine that this machine does not run.

    Args:
        spec: the engine's sidecar, of TensorRT or TensorRT-RTX.
        version: of the package that would load it.
        driver: what the CUDA driver says.
        package: which that is; that of the back end without it.
    Raises:
        EngineError: names all that does not fit, with both sides and the commands that mend it.
    """
    found = mismatches(spec, version=version, driver=driver, package=package)
    if found:
        hints = dict.fromkeys(one.hint for one in found)
        raise EngineError("; ".join(one.what for one in found), "; ".join(hints))


def mismatches(
    spec: EngineSpec, *, version: str, driver: DriverState, package: PackageName | None = None
) -> tuple[Mismatch, ...]:
    """All that keeps an engine from running here, the library first; see ``check_fits``."""
    checks = [_version(spec, package or _package(spec), version)]
    if driver.is_working:
        checks += [_device(spec, driver), _driver(spec, driver)]
    else:
        checks.append(_no_driver(spec, driver))
    return tuple(one for one in checks if one is not None)


def loads_in(spec: EngineSpec, package: PackageName, version: str) -> bool:
    """Whether that version of a package takes the plan, by the sidecar."""
    if package == "tensorrt-lean" and spec.portability.lean == "none":
        return False
    built, here = _numbers(spec.backend_version), _numbers(version)
    if built == here:
        return True
    if spec.backend != "tensorrt" or spec.portability.lean != "inside":
        return False
    return here > built and here[0] in (built[0], NEXT_MAJOR.get(built[0]))


def build_command(spec: EngineSpec, *options: str) -> str:
    """``'edgeseg build-engine NET.onnx --backend tensorrt ...'``, in quotes."""
    return f"'{' '.join(('edgeseg build-engine NET.onnx --backend', spec.backend, *options))}'"


def rebuild(spec: EngineSpec) -> str:
    """The next step where an engine is of no use here."""
    return f"build it here with {build_command(spec)}"


def _version(spec: EngineSpec, package: PackageName, version: str) -> Mismatch | None:
    if loads_in(spec, package, version):
        return None
    what = f"engine was built by {spec.backend} {spec.backend_version}, installed is {package} {version}"
    hint = rebuild(spec)
    if spec.backend != "tensorrt":
        return Mismatch(what=what, hint=hint)
    is_newer = _numbers(version) > _numbers(spec.backend_version)
    if spec.portability.lean == "outside":
        what += f"; its lean runtime was left out of it, so it needs {spec.backend_version} itself"
        hint += f", or pip install 'tensorrt-lean=={spec.backend_version}'"
    elif spec.portability.lean == "inside":
        what += "; a version-compatible engine loads in newer versions, as far as the next major, and in no older one"
    elif is_newer:
        hint += f", or there with {build_command(spec, '--version-compatible')}"
    return Mismatch(what=what, hint=hint)


def _no_driver(spec: EngineSpec, driver: DriverState) -> Mismatch:
    return Mismatch(
        what=f"a {spec.backend} engine needs an NVIDIA GPU, and {driver.reason}",
        hint="install the driver, or run 'edgeseg build-engine NET.onnx --backend openvino' for this machine",
    )


def _device(spec: EngineSpec, driver: DriverState) -> Mismatch | None:
    here = driver.compute_capability or "0.0"
    built_for = (spec.compute_capability or "").split(", ")
    is_same_kind = here in built_for
    compatible = spec.portability.hardware
    if spec.backend == "tensorrt-rtx" or compatible == "same-compute-capability":
        fits = is_same_kind
    elif compatible == "ampere-plus":
        fits = _numbers(here) >= AMPERE
    else:
        fits = is_same_kind and driver.device_name == spec.device
    if fits:
        return None
    what = (
        f"engine was built for {_whom(spec)} (compute capability {spec.compute_capability}), "
        f"here is {driver.device_name} ({here})"
    )
    return Mismatch(what=what, hint=rebuild(spec) + _portable(spec, here, is_same_kind=is_same_kind))


def _whom(spec: EngineSpec) -> str:
    if spec.portability.hardware == "ampere-plus":
        return f"Ampere and newer on {spec.device}"
    if spec.portability.hardware == "same-compute-capability":
        return f"{spec.device} and all of its kind"
    return spec.device


def _portable(spec: EngineSpec, here: str, *, is_same_kind: bool) -> str:
    """How one plan for both devices is built, if it can be."""
    built_for = spec.compute_capability
    if spec.backend == "tensorrt-rtx" or built_for is None or {here, built_for} & set(JETSON):
        return ""
    if is_same_kind:
        level = "same-compute-capability"
    elif min(_numbers(here), _numbers(built_for)) >= AMPERE:
        level = "ampere-plus"
    else:
        return ""
    return f", or for both with {build_command(spec, '--hardware-compatibility', level)}"


def _driver(spec: EngineSpec, driver: DriverState) -> Mismatch | None:
    if spec.driver is None or driver.driver_version is None:
        return None
    if _numbers(driver.driver_version)[0] >= _numbers(spec.driver)[0]:
        return None
    return Mismatch(
        what=f"engine was built with a driver of CUDA {spec.driver}, here is one of CUDA {driver.driver_version}",
        hint=f"install a driver of CUDA {_numbers(spec.driver)[0]}, or {rebuild(spec)}",
    )


def _package(spec: EngineSpec) -> PackageName:
    return "tensorrt-rtx" if spec.backend == "tensorrt-rtx" else "tensorrt"


def _numbers(version: str) -> tuple[int, ...]:
    """``10.13.3.9.post1`` -> (10, 13, 3, 9): a post release repacks the same library."""
    return tuple(int(one) for one in re.findall(r"\d+", version.partition(".post")[0])) or (0,)
