"""Own the runtime: which plans it loads on the device that is there. Run nothing."""

from __future__ import annotations

import os
import signal
from typing import Any

from standin_device import driver_works

from trt_standin.bound import Bound
from trt_standin.engine import ICudaEngine
from trt_standin.logs import ILogger, derived, error
from trt_standin.plan import Plan, unpack
from trt_standin.releases import MAJOR, NUMBERS, VERSION, setting

__all__ = ["LeanRuntime", "Runtime"]


class Runtime(Bound):
    _is_lean = False

    def __init__(self, logger: ILogger) -> None:
        self._logger = derived(logger, ILogger)
        self._is_host_code_allowed = False
        self._dla_core = -1
        self._threads = 1

    @property
    def logger(self) -> ILogger:
        return self._logger

    @property
    def engine_host_code_allowed(self) -> bool:
        return self._is_host_code_allowed

    @engine_host_code_allowed.setter
    def engine_host_code_allowed(self, value: bool) -> None:
        self._is_host_code_allowed = bool(value)

    @property
    def num_DLA_cores(self) -> int:
        return int(setting("DLA", "0"))

    @property
    def DLA_core(self) -> int:
        return self._dla_core

    @DLA_core.setter
    def DLA_core(self, value: int) -> None:
        self._dla_core = int(value)

    @property
    def max_threads(self) -> int:
        return self._threads

    @max_threads.setter
    def max_threads(self, value: int) -> None:
        self._threads = int(value)

    def deserialize_cuda_engine(self, serialized_engine: Any) -> ICudaEngine | None:
        """None with log lines for what does not load; without a driver the lean runtime ends the process (measured)."""
        if not driver_works():
            if self._is_lean:
                os.kill(os.getpid(), signal.SIGSEGV)
            error(
                self._logger,
                "Error Code 1: Cuda Runtime (CUDA driver version is insufficient for CUDA runtime version)",
            )
            return None
        try:
            plan, onnx_bytes = unpack(bytes(serialized_engine))
        except ValueError as reason:
            return self._refuse(f"IRuntime::deserializeCudaEngine: Error Code 1: Serialization ({reason})")
        reason = _version_misfit(plan, self._is_lean, self._is_host_code_allowed) or _device_misfit(plan)
        if reason:
            return self._refuse(f"IRuntime::deserializeCudaEngine: {reason}")
        return ICudaEngine(plan, onnx_bytes, self._logger, is_lean=self._is_lean)

    def _refuse(self, text: str) -> None:
        error(self._logger, text)
        error(self._logger, "Error Code 4: Internal Error (Engine deserialization failed.)")


class LeanRuntime(Runtime):
    """That of ``tensorrt_lean``, under the name that it has there."""

    _is_lean = True


LeanRuntime.__name__ = "Runtime"


def _version_misfit(plan: Plan, is_lean: bool, is_host_code_allowed: bool) -> str:
    built = tuple(int(part) for part in plan.version.split("."))
    if is_lean and not plan.is_version_compatible:
        return "Error Code 4: API Usage Error (the lean runtime loads version-compatible engines only)"
    if plan.has_lean_runtime and not is_lean and not is_host_code_allowed:
        return (
            "Error Code 4: API Usage Error (Cannot deserialize an engine with a lean runtime: "
            "engineHostCodeAllowed is false)"
        )
    is_same = built[:3] == NUMBERS[:3]
    if is_same or (plan.has_lean_runtime and built <= NUMBERS and MAJOR - built[0] <= 1):
        return ""
    return (
        "Error Code 1: Serialization (Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed. "
        f"Version tag does not match. Note: Current Version: {VERSION}, Serialized Engine Version: {plan.version})"
    )


def _device_misfit(plan: Plan) -> str:
    here = setting("CC", "8.7")
    is_newer = tuple(map(int, here.split("."))) >= (8, 0)
    if plan.compatibility == "AMPERE_PLUS" and is_newer:
        return ""
    if plan.compute_capability == here:
        return ""
    return (
        "Error Code 6: API Usage Error (The engine plan file is generated on an incompatible device, expecting compute "
        f"{here} got compute {plan.compute_capability}, please rebuild.)"
    )
