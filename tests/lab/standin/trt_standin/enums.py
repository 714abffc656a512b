"""Own TensorRT's enumerations with the numbers of each release. Know no class."""

from __future__ import annotations

import enum
from typing import Any

from trt_standin.releases import MAJOR, exists

__all__ = [
    "KINDS",
    "BuilderFlag",
    "DataType",
    "DeviceType",
    "ErrorCode",
    "HardwareCompatibilityLevel",
    "LayerInformationFormat",
    "LayerType",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "ProfilingVerbosity",
    "TensorFormat",
    "TensorIOMode",
    "TensorLocation",
]

NUMBERED = {
    "BuilderFlag": (
        "FP16=0 INT8=1 DEBUG=2 GPU_FALLBACK=3 REFIT=4 DISABLE_TIMING_CACHE=5 TF32=6 SPARSE_WEIGHTS=7 SAFETY_SCOPE=8 "
        "OBEY_PRECISION_CONSTRAINTS=9 PREFER_PRECISION_CONSTRAINTS=10 DIRECT_IO=11 REJECT_EMPTY_ALGORITHMS=12 "
        "VERSION_COMPATIBLE=13 EXCLUDE_LEAN_RUNTIME=14 FP8=15 ERROR_ON_TIMING_CACHE_MISS=16 BF16=17 "
        "DISABLE_COMPILATION_CACHE=18 WEIGHTLESS=19 STRIP_PLAN=19 REFIT_IDENTICAL=20 WEIGHT_STREAMING=21 INT4=22 "
        "REFIT_INDIVIDUAL=23 STRICT_NANS=24 MONITOR_MEMORY=25 FP4=26 EDITABLE_TIMING_CACHE=27 "
        "DISTRIBUTIVE_INDEPENDENCE=28"
    ),
    "DataType": "FLOAT=0 HALF=1 INT8=2 INT32=3 BOOL=4 UINT8=5 FP8=6 BF16=7 INT64=8 INT4=9 FP4=10 E8M0=11",
    "DeviceType": "GPU=0 DLA=1",
    "EngineStat": "TOTAL_WEIGHTS_SIZE=0 STRIPPED_WEIGHTS_SIZE=1",
    "ErrorCode": (
        "SUCCESS=0 INTERNAL_ERROR=1 MEM_ALLOC_FAILED=2 MODEL_DESERIALIZE_FAILED=3 INVALID_VALUE=4 INVALID_GRAPH=5 "
        "INVALID_NODE=6 UNSUPPORTED_GRAPH=7 UNSUPPORTED_NODE=8 UNSUPPORTED_NODE_ATTR=9 UNSUPPORTED_NODE_INPUT=10 "
        "UNSUPPORTED_NODE_DATATYPE=11 UNSUPPORTED_NODE_DYNAMIC=12 UNSUPPORTED_NODE_SHAPE=13 REFIT_FAILED=14"
    ),
    "ExecutionContextAllocationStrategy": "STATIC=0 ON_PROFILE_CHANGE=1 USER_MANAGED=2",
    "HardwareCompatibilityLevel": "NONE=0 AMPERE_PLUS=1 SAME_COMPUTE_CAPABILITY=2",
    "LayerInformationFormat": "ONELINE=0 JSON=1",
    "LayerType": (
        "CONVOLUTION=0 CAST=1 ACTIVATION=2 POOLING=3 LRN=4 SCALE=5 SOFTMAX=6 DECONVOLUTION=7 CONCATENATION=8 "
        "ELEMENTWISE=9 UNARY=11 PADDING=12 SHUFFLE=13 REDUCE=14 TOPK=15 GATHER=16 MATRIX_MULTIPLY=17 CONSTANT=19 "
        "IDENTITY=20 SLICE=22 SHAPE=23 PARAMETRIC_RELU=24 RESIZE=25 SELECT=30 FILL=31 QUANTIZE=32 DEQUANTIZE=33 "
        "NON_ZERO=41 NMS=43 NORMALIZATION=45 PLUGIN_V3=46"
    ),
    "MemoryPoolType": (
        "WORKSPACE=0 DLA_MANAGED_SRAM=1 DLA_LOCAL_DRAM=2 DLA_GLOBAL_DRAM=3 TACTIC_DRAM=4 TACTIC_SHARED_MEMORY=5"
    ),
    "NetworkDefinitionCreationFlag": (
        "EXPLICIT_BATCH=0 STRONGLY_TYPED=1 PREFER_JIT_PYTHON_PLUGINS=2 PREFER_AOT_PYTHON_PLUGINS=3"
    ),
    "PreviewFeature": "PROFILE_SHARING_0806=0 ALIASED_PLUGIN_IO_10_03=1 RUNTIME_ACTIVATION_RESIZE_10_10=2",
    "ProfilingVerbosity": "LAYER_NAMES_ONLY=0 NONE=1 DETAILED=2",
    "TacticSource": "CUBLAS=0 CUBLAS_LT=1 CUDNN=2 EDGE_MASK_CONVOLUTIONS=3 JIT_CONVOLUTIONS=4",
    "TensorFormat": (
        "LINEAR=0 CHW2=1 HWC8=2 CHW4=3 CHW16=4 CHW32=5 DHWC8=6 CDHW32=7 HWC=8 DLA_LINEAR=9 DLA_HWC4=10 HWC16=11 DHWC=12"
    ),
    "TensorIOMode": "NONE=0 INPUT=1 OUTPUT=2",
    "TensorLocation": "DEVICE=0 HOST=1",
    "TilingOptimizationLevel": "NONE=0 FAST=1 MODERATE=2 FULL=3",
}
#: numbers moved up where 11 took members out
NUMBERED_11 = {
    "BuilderFlag": (
        "DEBUG=2 GPU_FALLBACK=3 REFIT=4 DISABLE_TIMING_CACHE=5 TF32=6 SPARSE_WEIGHTS=7 SAFETY_SCOPE=8 DIRECT_IO=11 "
        "VERSION_COMPATIBLE=12 EXCLUDE_LEAN_RUNTIME=13 ERROR_ON_TIMING_CACHE_MISS=15 DISABLE_COMPILATION_CACHE=17 "
        "STRIP_PLAN=18 REFIT_IDENTICAL=19 WEIGHT_STREAMING=20 REFIT_INDIVIDUAL=22 STRICT_NANS=23 MONITOR_MEMORY=24 "
        "EDITABLE_TIMING_CACHE=26 DISTRIBUTIVE_INDEPENDENCE=27"
    ),
    "NetworkDefinitionCreationFlag": "STRONGLY_TYPED=0 PREFER_JIT_PYTHON_PLUGINS=1 PREFER_AOT_PYTHON_PLUGINS=2",
    "PreviewFeature": "ALIASED_PLUGIN_IO_10_03=0 RUNTIME_ACTIVATION_RESIZE_10_10=1",
    "TacticSource": "EDGE_MASK_CONVOLUTIONS=0 JIT_CONVOLUTIONS=1",
}


class _Member(enum.Enum):
    """As pybind's enumerations are: an index, equal to its own kind only."""

    def __int__(self) -> int:
        return int(self.value)

    __index__ = __int__


def make(name: str, text: str) -> Any:
    """An enumeration out of ``NAME=number`` words."""
    pairs = [word.split("=") for word in text.split()]
    members = {member: int(number) for member, number in pairs if exists(f"{name}.{member}")}
    return _Member(name, members)  # type: ignore[call-overload]


KINDS: dict[str, Any] = {
    name: make(name, NUMBERED_11.get(name, text) if MAJOR >= 11 else text) for name, text in NUMBERED.items()
}
BuilderFlag, DataType, DeviceType = KINDS["BuilderFlag"], KINDS["DataType"], KINDS["DeviceType"]
ErrorCode, LayerType, MemoryPoolType = KINDS["ErrorCode"], KINDS["LayerType"], KINDS["MemoryPoolType"]
HardwareCompatibilityLevel = KINDS["HardwareCompatibilityLevel"]
LayerInformationFormat = KINDS["LayerInformationFormat"]
NetworkDefinitionCreationFlag = KINDS["NetworkDefinitionCreationFlag"]
ProfilingVerbosity = KINDS["ProfilingVerbosity"]
TensorFormat, TensorIOMode, TensorLocation = KINDS["TensorFormat"], KINDS["TensorIOMode"], KINDS["TensorLocation"]
