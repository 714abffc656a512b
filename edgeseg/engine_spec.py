"""Own what an engine's sidecar says beyond its model: its tensors, where it loads, what it holds. Read no engine."""

from __future__ import annotations

from typing import Literal

from edgeseg.records import Record

__all__ = [
    "DlaShare",
    "HardwareCompatibility",
    "IOTensor",
    "LeanRuntime",
    "PlanFacts",
    "Portability",
    "TensorLayout",
    "Verified",
]

#: TensorRT's formats that the runtime reads: rows of channels or channels last, the last padded to 8 or 16
TensorLayout = Literal["linear", "hwc", "hwc8", "hwc16"]
HardwareCompatibility = Literal["none", "ampere-plus", "same-compute-capability"]
#: of a version-compatible plan: none where it is not one; else whether the plan brings the lean runtime
LeanRuntime = Literal["none", "inside", "outside"]


class IOTensor(Record, frozen=True, kw_only=True):
    """One input or output of an engine.

    ``shape`` is what the engine takes, in the layout that the model says; -1 where a profile says how much.
    """

    name: str
    mode: Literal["input", "output"]
    dtype: Literal["float32", "float16", "int8", "uint8", "int32"] = "float32"
    shape: tuple[int, ...]
    format: TensorLayout = "linear"


class Portability(Record, frozen=True, kw_only=True):
    """Where a plan loads beside the machine that built it.

    Attributes:
        lean: a version-compatible plan loads in newer versions; ``inside`` brings what it needs for that.
        hardware: which other devices run it.
        weights_sha256: of the ONNX file beside a stripped plan, ``net.engine.onnx``, that has its weights; None for a
            whole plan.
    """

    lean: LeanRuntime = "none"
    hardware: HardwareCompatibility = "none"
    weights_sha256: str | None = None


class DlaShare(Record, frozen=True, kw_only=True):
    """What of a net the deep-learning accelerator takes; the GPU does the rest.

    Attributes:
        core: its number.
        layers: of TensorRT's network, without those that only shape or hold constants.
        dla_layers: how many of them DLA can run.
        macs: multiply-accumulates of the net; None where they are not known.
        dla_macs: of the layers that DLA can run.
        on_gpu: names of the layers that the GPU runs.
    """

    core: int
    layers: int
    dla_layers: int
    macs: int | None = None
    dla_macs: int | None = None
    on_gpu: tuple[str, ...] = ()


class PlanFacts(Record, frozen=True, kw_only=True):
    """What the back end says of a finished plan; ``edgeseg inspect`` shows it.

    Attributes:
        layers: how many layers the plan has after fusion.
        by_precision: how many of them compute in a type (``FP32``, ``FP16``, ``INT8``, ...), where it says.
        weight_bytes: of all weights; None where it does not say.
        activation_bytes: device memory of one execution context; None where it does not say.
    """

    layers: int
    by_precision: dict[str, int]
    weight_bytes: int | None = None
    activation_bytes: int | None = None


class Verified(Record, frozen=True, kw_only=True):
    """How the masks of a fresh engine compared with float32 on the same back end.

    Attributes:
        frames: how many.
        data_sha256: of them.
        agreement: mean share of pixels of the same class, 0 to 1.
        worst: that of the worst frame.
    """

    frames: int
    data_sha256: str
    agreement: float
    worst: float
