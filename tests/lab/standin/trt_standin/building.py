"""Own the builder: what it refuses, its phases, and the plan that it makes. Parse nothing, run nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from standin_device import driver_works

from trt_standin.bound import Bound, host_memory
from trt_standin.config import IBuilderConfig
from trt_standin.enums import BuilderFlag, DeviceType, NetworkDefinitionCreationFlag
from trt_standin.logs import ILogger, IProgressMonitor, derived, error
from trt_standin.network import INetworkDefinition
from trt_standin.planning import make_plan
from trt_standin.profiles import IOptimizationProfile, misfit
from trt_standin.releases import MAJOR, fails, setting

__all__ = ["Builder"]

#: measured with tensorrt_rtx 1.7.1, whose HWC takes no INT8 although its docstring says so; the last column: since 11
FORMAT_TYPES = {
    "LINEAR": ("FLOAT HALF BF16 INT8 UINT8 INT32 INT64 BOOL FP8", ""),
    "HWC": ("FLOAT UINT8", "HALF"),
    "HWC8": ("HALF BF16", ""),
    "HWC16": ("HALF", "INT8"),
}
FORMAT_NUMBERS = {0: "LINEAR", 8: "HWC", 2: "HWC8", 11: "HWC16"}
PHASES = (("Cloning network graph", 4), ("Preparing graph for optimization", 4), ("Optimizing graph", 10))


class Builder(Bound):
    def __init__(self, logger: ILogger) -> None:
        self._logger = derived(logger, ILogger)
        if not driver_works():
            error(self._logger, "CUDA initialization failure with error: 35. Please check your CUDA installation.")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    @property
    def logger(self) -> ILogger:
        return self._logger

    @property
    def num_DLA_cores(self) -> int:
        return int(setting("DLA", "0"))

    @property
    def max_DLA_batch_size(self) -> int:
        return 4096 if self.num_DLA_cores else 0

    @property
    def platform_has_tf32(self) -> bool:
        return _capability() >= (8, 0)

    @property
    def platform_has_fast_fp16(self) -> bool:
        return _capability() >= (5, 3)

    @property
    def platform_has_fast_int8(self) -> bool:
        return _capability() >= (6, 1)

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(self, int(flags))

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig(self._logger)

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile(self._logger)

    def is_network_supported(self, network: INetworkDefinition, config: IBuilderConfig) -> bool:
        return not _refusal(network, config)

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> Any:
        """Work in a thread of its own, as the library does; Ctrl-C is heard when this returns, never before."""
        found: list[Any] = []
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            thread = threading.Thread(target=lambda: found.append(self._build(network, config)), daemon=True)
            thread.start()
            thread.join()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        return found[0]

    def _build(self, network: INetworkDefinition, config: IBuilderConfig) -> Any:
        reason = _refusal(network, config)
        if reason:
            error(self._logger, f"IBuilder::buildSerializedNetwork: Error Code {reason}")
            return None
        if not _Phases(config.progress_monitor).run():
            error(
                self._logger, "IBuilder::buildSerializedNetwork: Error Code 7: BuildCanceled (Build canceled by user)"
            )
            return None
        return host_memory(make_plan(network, config))


class _Phases:
    """The phases of a build; an exception of the monitor's ends the process, as one in the library's threads does."""

    def __init__(self, monitor: IProgressMonitor | None) -> None:
        self._monitor = monitor
        self._pause_s = float(setting("SLEEP", "0")) / sum(steps for _, steps in PHASES)

    def run(self) -> bool:
        self._tell("phase_start", "Building engine", None, len(PHASES) + 1)
        is_wanted = all(self._phase(index, name, steps) for index, (name, steps) in enumerate(PHASES))
        self._tell("phase_finish", "Building engine")
        return is_wanted

    def _phase(self, index: int, name: str, steps: int) -> bool:
        self._tell("phase_start", name, "Building engine", steps)
        is_wanted = True
        for step in range(steps):
            time.sleep(self._pause_s)
            _die_if_told(name)
            is_wanted = self._tell("step_complete", name, step) is not False
            if not is_wanted:
                break
        self._tell("phase_finish", name)
        return is_wanted and self._tell("step_complete", "Building engine", index) is not False

    def _tell(self, method: str, *words: Any) -> Any:
        if self._monitor is None:
            return None
        try:
            return getattr(self._monitor, method)(*words)
        except BaseException as reason:  # noqa: BLE001  it must not get further
            os.write(2, f"terminate called after throwing an instance of '{type(reason).__name__}'\n".encode())
            os.abort()


def _die_if_told(phase: str) -> None:
    if phase == PHASES[-1][0] and fails("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if phase == PHASES[-1][0] and fails("segfault"):
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(1)


def _refusal(network: INetworkDefinition, config: IBuilderConfig) -> str:
    """What the builder says against a build; empty where it goes on. Texts as measured or documented."""
    if fails("build"):
        return "10: Internal Error (Could not find any implementation for node {ForeignNode[stem...head]}.)"
    if fails("memory"):
        return "2: OutOfMemory (Requested size was 4294967296 bytes.)"
    inputs = network._inputs
    if not network._outputs:
        return "4: API Usage Error (Network must have at least one output)"
    if not config._profiles and any(-1 in tuple(one.shape) for one in inputs):
        return (
            "4: API Usage Error (Network has dynamic or shape inputs, but no optimization profile has been defined. "
            "In validate at /_src/optimizer/api/network.cpp:4023)"
        )
    for profile in config._profiles:
        if misfit(profile, inputs):
            return f"4: API Usage Error ({misfit(profile, inputs)})"
    return _typing_refusal(network, config) or _format_refusal(network) or _device_refusal(network, config)


def _typing_refusal(network: INetworkDefinition, config: IBuilderConfig) -> str:
    kinds = {one._parsed for one in network._tensors.values()}
    is_quantized = any(one.type.name == "QUANTIZE" for one in network._layers)
    if network.get_flag(NetworkDefinitionCreationFlag.STRONGLY_TYPED):
        if fails("strong"):
            return (
                "9: Internal Error (head: could not find any supported formats consistent with input/output data types)"
            )
        for tensor in [*network._inputs, *network._outputs]:
            if tensor.dtype.name != tensor._parsed:
                return f"4: API Usage Error ({tensor.name}: setType() is not allowed in a strongly typed network)"
        return ""
    if "HALF" in kinds and not config.get_flag(BuilderFlag.FP16):
        return "4: API Usage Error (the network has tensors of kHALF, and BuilderFlag::kFP16 is not set)"
    if is_quantized and not config.get_flag(BuilderFlag.INT8):
        return "4: API Usage Error (Q/DQ layers need BuilderFlag::kINT8)"
    return ""


def _format_refusal(network: INetworkDefinition) -> str:
    for tensor in [*network._inputs, *network._outputs]:
        allowed = [name for number, name in FORMAT_NUMBERS.items() if tensor.allowed_formats >> number & 1]
        types = [" ".join(FORMAT_TYPES[name][: 2 if MAJOR >= 11 else 1]).split() for name in allowed]
        if not any(tensor.dtype.name in one for one in types):
            title = {"FLOAT": "Float", "HALF": "Half", "INT8": "Int8", "UINT8": "UInt8"}.get(tensor.dtype.name, "Int32")
            what = f"{tensor.name}: has dataType {title} unsupported by tensor's allowed TensorFormats."
            return f"3: API Usage Error ({what})"
    return ""


def _device_refusal(network: INetworkDefinition, config: IBuilderConfig) -> str:
    level = config.hardware_compatibility_level.name  # type: ignore[attr-defined]
    if level == "AMPERE_PLUS" and _capability() < (8, 0):
        return "4: API Usage Error (kAMPERE_PLUS needs a device of compute capability 8.0 or newer)"
    if any(one.type.name == "QUANTIZE" for one in network._layers) and _capability() < (6, 1):
        return "9: API Usage Error (Int8 is not supported on this device)"
    if config.default_device_type != DeviceType.DLA:  # type: ignore[attr-defined]
        return ""
    if not 0 <= config.DLA_core < int(setting("DLA", "0")):  # type: ignore[attr-defined]
        return f"4: API Usage Error (DLA core {config.DLA_core} is not there)"  # type: ignore[attr-defined]
    rest = [one.name for one in network._layers if not config.can_run_on_DLA(one)]
    if rest and not config.get_flag(BuilderFlag.GPU_FALLBACK):
        return f"9: Internal Error (Default DLA is enabled but layer {rest[0]} is not supported on DLA)"
    return ""


def _capability() -> tuple[int, int]:
    major, minor = setting("CC", "8.7").split(".")
    return int(major), int(minor)
