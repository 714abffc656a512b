"""Stand in for NVIDIA's package: the release of ``STANDIN_TENSORRT``, computing through OpenVINO."""

from trt_standin import namespace

globals().update(namespace("tensorrt"))
