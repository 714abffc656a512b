"""Own the namespaces of the stand-in packages: `tensorrt` has all classes, `tensorrt_lean` those that run plans."""

from __future__ import annotations

from typing import Any

from trt_standin import (
    building,
    config,
    engine,
    enums,
    inspecting,
    logs,
    network,
    parsing,
    profiles,
    refitting,
    runtime,
    timing,
)
from trt_standin.bound import Dims, IHostMemory
from trt_standin.releases import NUMBERS, VERSION, exists, prune

__all__ = ["namespace"]

RUNNING: tuple[type, ...] = (
    Dims,
    IHostMemory,
    logs.ILogger,
    logs.IProfiler,
    logs.Logger,
    engine.ICudaEngine,
    engine.IExecutionContext,
    refitting.Refitter,
)
BUILDING: tuple[type, ...] = (
    logs.IProgressMonitor,
    building.Builder,
    config.IBuilderConfig,
    profiles.IOptimizationProfile,
    timing.ITimingCache,
    network.ILayer,
    network.INetworkDefinition,
    network.ITensor,
    parsing.OnnxParser,
    parsing.OnnxParserRefitter,
    inspecting.EngineInspector,
    parsing.ParserError,
)
RUNNING_ENUMS = (
    "DataType",
    "EngineStat",
    "ExecutionContextAllocationStrategy",
    "HardwareCompatibilityLevel",
    "LayerInformationFormat",
    "ProfilingVerbosity",
    "TensorIOMode",
    "TensorLocation",
)


def namespace(package: str) -> dict[str, Any]:
    """What ``import package`` gives in the release that the environment names."""
    is_lean = package == "tensorrt_lean"
    classes = (*RUNNING, runtime.LeanRuntime) if is_lean else (*RUNNING, runtime.Runtime, *BUILDING)
    kinds = RUNNING_ENUMS if is_lean else tuple(enums.KINDS)
    for one in classes:
        prune(one)
    found: dict[str, Any] = {one.__name__: one for one in classes}
    found |= {name: enums.KINDS[name] for name in kinds if exists(name)}
    found["__version__"] = VERSION
    found["__all__"] = [name for name in found if not name.startswith("_")]
    return found


assert len(NUMBERS) >= 3, f"STANDIN_TENSORRT={VERSION} is no version"
