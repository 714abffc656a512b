"""Own the names of TensorRT's classes in our annotations. Import no package.

Three packages have these classes (``tensorrt``, ``tensorrt_rtx``, ``tensorrt_lean``), in many versions, and none may be
there. So here every name stands for anything, and a test puts the real classes of each version in this module's place
and has all our code that uses them checked against these: whatever holds an object of TensorRT's is annotated so.
"""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = [
    "Builder",
    "EngineInspector",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "ILayer",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProfiler",
    "IProgressMonitor",
    "IRuntimeConfig",
    "ITensor",
    "ITimingCache",
    "OnnxParser",
    "OnnxParserRefitter",
    "ParserError",
    "Refitter",
    "Runtime",
    "TrtEnum",
    "TrtModule",
]

#: the package itself
TrtModule: TypeAlias = Any
#: a member of one of its enums, found by name
TrtEnum: TypeAlias = Any
Builder: TypeAlias = Any
EngineInspector: TypeAlias = Any
IBuilderConfig: TypeAlias = Any
ICudaEngine: TypeAlias = Any
IExecutionContext: TypeAlias = Any
ILayer: TypeAlias = Any
ILogger: TypeAlias = Any
INetworkDefinition: TypeAlias = Any
IOptimizationProfile: TypeAlias = Any
IProfiler: TypeAlias = Any
IProgressMonitor: TypeAlias = Any
IRuntimeConfig: TypeAlias = Any
ITensor: TypeAlias = Any
ITimingCache: TypeAlias = Any
OnnxParser: TypeAlias = Any
OnnxParserRefitter: TypeAlias = Any
ParserError: TypeAlias = Any
Refitter: TypeAlias = Any
Runtime: TypeAlias = Any
