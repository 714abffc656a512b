"""Stand in for NVIDIA's lean runtime: it loads version-compatible plans, and dies without a driver as the real one."""

from trt_standin import namespace

globals().update(namespace("tensorrt_lean"))
