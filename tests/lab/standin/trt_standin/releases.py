"""Own which release the stand-in is, and the one table of what a release has not. Build nothing, run nothing.

``STANDIN_TENSORRT`` names the release. tests/contract/test_standin_surface.py holds the table against the real
bindings of 10.3.0, 10.13.3.9 and 11.4.0.106.
"""

from __future__ import annotations

import os

__all__ = ["MAJOR", "NUMBERS", "VERSION", "exists", "fails", "prune", "setting"]

VERSION = os.environ.get("STANDIN_TENSORRT", "11.4.0.106")
NUMBERS = tuple(int(part) for part in VERSION.split(".post")[0].split("."))
MAJOR = NUMBERS[0]

#: classes and members that came later than 10.3, with a release that has them
SINCE: dict[str, tuple[int, ...]] = {
    "BuilderFlag.DISTRIBUTIVE_INDEPENDENCE": (10, 13),
    "BuilderFlag.EDITABLE_TIMING_CACHE": (10, 13),
    "BuilderFlag.FP4": (10, 13),
    "BuilderFlag.MONITOR_MEMORY": (10, 13),
    "BuilderFlag.STRICT_NANS": (10, 13),
    "DataType.E8M0": (10, 13),
    "DataType.FP4": (10, 13),
    "EngineStat": (10, 16),
    "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY": (10, 13),
    "IBuilderConfig.l2_limit_for_tiling": (10, 13),
    "IBuilderConfig.max_num_tactics": (10, 13),
    "IBuilderConfig.tiling_optimization_level": (10, 13),
    "ICudaEngine.get_engine_stat": (10, 16),
    "NetworkDefinitionCreationFlag.PREFER_AOT_PYTHON_PLUGINS": (10, 13),
    "NetworkDefinitionCreationFlag.PREFER_JIT_PYTHON_PLUGINS": (10, 13),
    "PreviewFeature.RUNTIME_ACTIVATION_RESIZE_10_10": (10, 13),
    "TilingOptimizationLevel": (10, 13),
}
#: what is gone, with a release that has it no more
GONE: dict[str, tuple[int, ...]] = {
    "Builder.platform_has_fast_fp16": (11,),
    "Builder.platform_has_fast_int8": (11,),
    "Builder.platform_has_tf32": (11,),
    "BuilderFlag.BF16": (11,),
    "BuilderFlag.FP16": (11,),
    "BuilderFlag.FP4": (11,),
    "BuilderFlag.FP8": (11,),
    "BuilderFlag.INT4": (11,),
    "BuilderFlag.INT8": (11,),
    "BuilderFlag.OBEY_PRECISION_CONSTRAINTS": (11,),
    "BuilderFlag.PREFER_PRECISION_CONSTRAINTS": (11,),
    "BuilderFlag.REJECT_EMPTY_ALGORITHMS": (11,),
    "BuilderFlag.WEIGHTLESS": (11,),
    "ICudaEngine.create_execution_context_without_device_memory": (11,),
    "ICudaEngine.device_memory_size": (11,),
    "ICudaEngine.get_device_memory_size_for_profile": (11,),
    "ICudaEngine.has_implicit_batch_dimension": (11,),
    "IExecutionContext.all_shape_inputs_specified": (11,),
    "ILayer.precision": (11,),
    "ITensor.dynamic_range": (11,),
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH": (11,),
    "PreviewFeature.PROFILE_SHARING_0806": (11,),
    "TacticSource.CUBLAS": (11,),
    "TacticSource.CUBLAS_LT": (11,),
    "TacticSource.CUDNN": (11,),
}
#: properties that can be set no more
SEALED: dict[str, tuple[int, ...]] = {"ITensor.dtype": (11,)}


def exists(name: str) -> bool:
    """Whether this release has a class, or a ``Class.member``."""
    return SINCE.get(name, (0,)) <= NUMBERS and not (name in GONE and GONE[name] <= NUMBERS)


def prune(kind: type) -> None:
    """Take from a class what this release has not."""
    for member in [name for name in vars(kind) if not name.startswith("_")]:
        name = f"{kind.__name__}.{member}"
        if not exists(name):
            delattr(kind, member)
        elif name in SEALED and SEALED[name] <= NUMBERS:
            setattr(kind, member, property(vars(kind)[member].fget))


def setting(name: str, default: str) -> str:
    """A setting of the stand-in's device: ``STANDIN_<name>`` of the environment."""
    return os.environ.get(f"STANDIN_{name}", default)


def fails(what: str) -> bool:
    """Whether ``STANDIN_FAILS``, words with commas between, has a word."""
    return what in setting("FAILS", "").split(",")
