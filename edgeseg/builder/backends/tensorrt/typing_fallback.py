"""Own the precision flags of TensorRT 10's builder, for nets that it does not build strongly typed. Build nothing."""

from __future__ import annotations

import re

from edgeseg.spec import PrecisionKind
from edgeseg.trt_api import TrtApi
from edgeseg.trt_types import IBuilderConfig

__all__ = ["is_fallback_offered", "set_flags"]

#: strong typing is "fully available" from here on, so a failure there is the graph's (TensorRT's release notes)
FULLY_STRONG = (10, 12)
FLAGS: dict[PrecisionKind, tuple[str, ...]] = {
    "fp32": (),
    "fp16": ("FP16",),
    "bf16": ("BF16",),
    "int8": ("INT8", "FP16"),
    "fp8": ("FP8", "FP16"),
}


def is_fallback_offered(api: TrtApi) -> bool:
    """Whether a net that fails strongly typed may be built by flags: TensorRT 10.3 to 10.11 alone."""
    major, minor = re.findall(r"\d+", api.version)[:2]
    return (
        api.name == "tensorrt" and (int(major), int(minor)) < FULLY_STRONG and hasattr(api.module.BuilderFlag, "FP16")
    )


def set_flags(api: TrtApi, config: IBuilderConfig, precision: PrecisionKind) -> tuple[str, ...]:
    """Allow the types that the graph has; returns the flags' names."""
    for name in FLAGS[precision]:
        config.set_flag(getattr(api.module.BuilderFlag, name))
    return FLAGS[precision]
