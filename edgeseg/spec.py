"""Own what a model expects and means, and what an engine of it is. Read no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from edgeseg.engine_spec import (
    DlaShare,
    HardwareCompatibility,
    IOTensor,
    LeanRuntime,
    PlanFacts,
    Portability,
    TensorLayout,
    Verified,
)
from edgeseg.precision_spec import (
    CalibrationMethod,
    HighPrecision,
    PrecisionKind,
    PrecisionSpec,
    SearchSpec,
    TrialSpec,
)
from edgeseg.records import Record

__all__ = [
    "UNSEEN",
    "BackendName",
    "CalibrationMethod",
    "ClassSpec",
    "Colour",
    "DlaShare",
    "EngineSpec",
    "FrameOptions",
    "HardwareCompatibility",
    "HeadSpec",
    "HighPrecision",
    "IOTensor",
    "InputSpec",
    "Interpolation",
    "LabelSpec",
    "Layout",
    "LeanRuntime",
    "ModelSpec",
    "PlanFacts",
    "Portability",
    "PrecisionKind",
    "PrecisionSpec",
    "ProfileSpec",
    "ResizeRule",
    "SearchSpec",
    "TensorLayout",
    "TrialSpec",
    "UpsampleSpec",
    "Verified",
]

BackendName = Literal["openvino", "tensorrt", "tensorrt-rtx"]
Colour = Literal["RGB", "BGR", "GRAY"]
Layout = Literal["NCHW", "NHWC"]
ResizeRule = Literal["stretch", "letterbox", "crop"]
Interpolation = Literal["linear", "antialias"]
#: in a mask: a pixel that the net has not seen, where frames are cropped
UNSEEN = 255
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MAX_CLASSES = 255  # a mask is uint8 and 255 is the customary ignore label


class ClassSpec(Record, frozen=True, kw_only=True):
    """One class: its name and its RGB colour, each 0-255."""

    name: str
    colour: tuple[int, int, int]


class LabelSpec(Record, frozen=True, kw_only=True):
    """The classes in the order of their ids, and the label that counts as no class."""

    classes: tuple[ClassSpec, ...]
    ignore: int | None = None


class ProfileSpec(Record, frozen=True, kw_only=True):
    """The input shapes that a dynamic net takes, TensorRT's min, opt and max: (batch, height, width) each.

    Heights and widths go in steps of ``step_hw``.
    """

    minimum: tuple[int, int, int]
    optimum: tuple[int, int, int]
    maximum: tuple[int, int, int]
    step_hw: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        ordered = zip((1, 1, 1), self.minimum, self.optimum, self.maximum, strict=True)
        if not all(one <= low <= best <= high for one, low, best, high in ordered):
            raise ValueError(f"profile {self.minimum} {self.optimum} {self.maximum} must be 1 <= min <= opt <= max")
        if min(self.step_hw) < 1:
            raise ValueError(f"steps of {self.step_hw} must be at least 1")

    def takes(self, batch: int, size_hw: tuple[int, int]) -> bool:
        """Whether an input of that batch and size fits."""
        given = (batch, *size_hw)
        is_within = all(a <= b <= c for a, b, c in zip(self.minimum, given, self.maximum, strict=True))
        return is_within and all(side % step == 0 for side, step in zip(size_hw, self.step_hw, strict=True))


class InputSpec(Record, frozen=True, kw_only=True):
    """The image input of the net: a frame becomes ``(pixel / 255 - mean) / std`` at ``size_hw``.

    ``resize`` says where the frame goes: ``edgeseg.imaging.geometry.place``; letterbox fills the rest with the grey
    level ``pad_value`` (0-255). ``interpolation`` linear is cv2.INTER_LINEAR and torch's ``interpolate(mode="bilinear",
    align_corners=False)``: half-pixel centres, two neighbours an axis. antialias is Pillow's BILINEAR and torchvision's
    ``Resize(antialias=True)``: where the frame shrinks, all pixels under the output pixel count. Take the one that the
    training took.

    A uint8 input takes the pixels themselves, rounded: mean 0 and std 1/255. ``profile`` is what a dynamic net takes
    beside ``size_hw``, its optimum.
    """

    name: str
    size_hw: tuple[int, int]
    colour: Colour = "RGB"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: Layout = "NCHW"
    dtype: Literal["float32", "uint8"] = "float32"
    resize: ResizeRule = "stretch"
    interpolation: Interpolation = "linear"
    pad_value: float = 0.0
    profile: ProfileSpec | None = None

    def __post_init__(self) -> None:
        if min(self.size_hw) < 1:
            raise ValueError(f"input size {self.size_hw} must be at least 1x1")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"{self.colour} takes {self.channels} values of mean and std")
        if min(self.std) <= 0:
            raise ValueError(f"std {self.std} must be above 0")
        if not 0 <= self.pad_value <= 255:
            raise ValueError(f"pad value {self.pad_value} must be a grey level, 0 to 255")
        if self.dtype == "uint8" and (any(self.mean) or any(abs(one * 255 - 1) > 1e-6 for one in self.std)):
            raise ValueError("a uint8 input holds plain pixels: mean 0, std 1/255")
        if self.profile is not None and self.profile.optimum[1:] != self.size_hw:
            raise ValueError(f"input size {self.size_hw} is not the profile's optimum {self.profile.optimum[1:]}")

    @property
    def channels(self) -> int:
        """1 for grey, else 3."""
        return 1 if self.colour == "GRAY" else 3

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """In ``layout``, batch 1."""
        return _shape(self.layout, self.channels, self.size_hw)


@dataclass(frozen=True, kw_only=True)
class FrameOptions:
    """What training did to its pictures; see ``InputSpec``. ImageNet's mean and std unless told otherwise."""

    colour: Colour = "RGB"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize: ResizeRule = "stretch"
    interpolation: Interpolation = "linear"
    pad_value: float = 0.0

    def input_spec(
        self,
        *,
        name: str,
        size_hw: tuple[int, int],
        layout: Layout = "NCHW",
        dtype: Literal["float32", "uint8"] = "float32",
        profile: ProfileSpec | None = None,
    ) -> InputSpec:
        """The same of one net's input; ValueError where they do not go together."""
        return InputSpec(name=name, size_hw=size_hw, layout=layout, dtype=dtype, profile=profile, **vars(self))


class UpsampleSpec(Record, frozen=True, kw_only=True):
    """How scores are enlarged, in the words of ONNX's Resize.

    ``half_pixel`` bilinear is torch's ``align_corners=False``; ``asymmetric`` nearest with ``floor`` is torch's mode
    nearest. ``rounding`` says which of two neighbours ``nearest`` takes.
    """

    mode: Literal["bilinear", "nearest"] = "bilinear"
    coordinates: Literal["half_pixel", "align_corners", "asymmetric"] = "half_pixel"
    rounding: Literal["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"] | None = None

    def __post_init__(self) -> None:
        if (self.mode == "nearest") != (self.rounding is not None):
            raise ValueError(f"rounding {self.rounding} does not fit mode {self.mode}")


class HeadSpec(Record, frozen=True, kw_only=True):
    """What leaves the net, in ``layout``, and what the runtime makes of it.

    ``scores`` are enlarged as ``upsample`` says; then ``argmax`` takes the best class, lowest on a tie, and
    ``threshold`` (one channel) takes class 1 where the score is above ``threshold``. Scores are logits, or
    ``probabilities`` where a net's activation comes before its upsampling and so has to stay in the graph. ``ids``
    are finished class ids (int32, one channel); they are enlarged by nearest neighbour.

    ``cut`` names the nodes that were cut off the net's end and are done by the runtime instead, in their order, and
    ``uncut_hw`` the size of the mask that they made. ``scores_dtype`` is what the scores leave in; those of int8 are
    multiplied by ``scale``.
    """

    output: str
    channels: int
    size_hw: tuple[int, int]
    decision: Literal["argmax", "threshold", "ids"]
    scores: Literal["logits", "probabilities"] = "logits"
    threshold: float = 0.0
    upsample: UpsampleSpec = UpsampleSpec()
    layout: Layout = "NCHW"
    cut: tuple[str, ...] = ()
    uncut_hw: tuple[int, int] | None = None
    scores_dtype: Literal["float32", "float16", "int8"] = "float32"
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.scale <= 0.0 or (self.scale != 1.0 and self.scores_dtype != "int8"):
            raise ValueError(f"scale {self.scale} does not fit {self.scores_dtype} scores")
        if (self.channels == 1) == (self.decision == "argmax"):
            raise ValueError(f"decision {self.decision} does not fit {self.channels} channel(s)")
        if not 1 <= self.channels <= MAX_CLASSES:
            raise ValueError(f"{self.channels} channels: 1 to {MAX_CLASSES} fit a uint8 mask")

    @property
    def dtype(self) -> Literal["float32", "float16", "int8", "int32"]:
        """Of the output tensor."""
        return "int32" if self.decision == "ids" else self.scores_dtype

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """In ``layout``, batch 1."""
        return _shape(self.layout, self.channels, self.size_hw)


def _shape(layout: Layout, channels: int, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    return (1, channels, *size_hw) if layout == "NCHW" else (1, *size_hw, channels)


class ModelSpec(Record, frozen=True, kw_only=True):
    """What one ONNX file expects and means; ``net.json`` beside ``net.onnx``.

    ``weights_sha256`` is that of ``net.onnx.data``, where the weights are too large for the ONNX file. ``precision`` is
    there where 'edgeseg quantize' wrote the file: its graph is prepared and quantised, on float32.
    """

    schema: Literal[1] = 1
    onnx_sha256: str
    weights_sha256: str | None = None
    input: InputSpec
    head: HeadSpec
    labels: LabelSpec
    precision: PrecisionSpec | None = None

    def __post_init__(self) -> None:
        if self.head.decision == "ids":
            return
        expected = max(self.head.channels, 2)
        if len(self.labels.classes) != expected:
            raise ValueError(f"{len(self.labels.classes)} class names for a head of {expected} classes")


class EngineSpec(Record, frozen=True, kw_only=True):
    """What one engine file is, for whom it was built, and its model; ``net.engine.json`` beside ``net.engine``.

    Attributes:
        model: what it expects and means; the input's size is that of the first profile's optimum.
        backend_version: of the library that built it.
        device: that it was built for, by its name.
        compute_capability: of the devices that it was built for, as in ``8.6, 8.9``; None of a CPU.
        driver: the CUDA version of the driver that it was built with; None where there was none.
        precision: of its layers.
        options: what the builder used.
        io: its tensors.
        profiles: the shapes that it takes; without one that of its tensors.
        portability: where it loads beside.
        dla: what DLA takes of it; None where that was not asked for.
        facts: what the back end says of it; None where the machine that built it could not ask.
        verified: how its masks compared with float32; None where that was not asked for.
        build_key: hash of all that went into the build; the same key is the same build.
    """

    schema: Literal[1] = 1
    model: ModelSpec
    backend: BackendName
    backend_version: str
    device: str
    compute_capability: str | None = None
    driver: str | None = None
    precision: PrecisionSpec
    options: dict[str, str | int | float | bool | None] = msgspec.field(default_factory=dict)
    io: tuple[IOTensor, ...]
    profiles: tuple[ProfileSpec, ...] = ()
    portability: Portability = Portability()
    dla: DlaShare | None = None
    facts: PlanFacts | None = None
    verified: Verified | None = None
    build_key: str | None = None
    plan_sha256: str
    plan_bytes: int
