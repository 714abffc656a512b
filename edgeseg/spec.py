"""Own what a model expects and means, and its JSON sidecars. Read no graph and no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from edgeseg.errors import SpecError
from edgeseg.files import atomic_path, read_file, sha256_of

__all__ = [
    "UNSEEN",
    "BackendName",
    "ClassSpec",
    "EngineSpec",
    "HeadSpec",
    "IOTensor",
    "InputSpec",
    "Interpolation",
    "LabelSpec",
    "ModelSpec",
    "PrecisionKind",
    "PrecisionSpec",
    "ResizeRule",
    "read_engine_spec",
    "read_labels",
    "read_model_spec",
    "sidecar_path",
    "write_with_sidecar",
]

BackendName = Literal["openvino", "tensorrt", "tensorrt-rtx"]
PrecisionKind = Literal["fp32", "fp16", "int8"]
ResizeRule = Literal["stretch", "letterbox", "crop"]
Interpolation = Literal["linear", "antialias"]
#: in a mask: a pixel that the net has not seen, where frames are cropped
UNSEEN = 255
MAX_CLASSES = 255  # a mask is uint8 and 255 is the customary ignore label


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Strict on reading; frozen and keyword-only are said again by each kind, for type checkers and for msgspec."""


class ClassSpec(_Record, frozen=True, kw_only=True):
    """One class: its name and its RGB colour, each 0-255."""

    name: str
    colour: tuple[int, int, int]


class LabelSpec(_Record, frozen=True, kw_only=True):
    """The classes in the order of their ids, and the label that counts as no class."""

    classes: tuple[ClassSpec, ...]
    ignore: int | None = None


class InputSpec(_Record, frozen=True, kw_only=True):
    """The image input of the net: a frame becomes ``(pixel / 255 - mean) / std`` at ``size_hw``.

    ``resize`` says where the frame goes: ``edgeseg.imaging.geometry.place``; letterbox fills the rest with the grey
    level ``pad_value`` (0-255). ``interpolation`` linear is cv2.INTER_LINEAR and torch's ``interpolate(mode="bilinear",
    align_corners=False)``: half-pixel centres, two neighbours an axis. antialias is Pillow's BILINEAR and torchvision's
    ``Resize(antialias=True)``: where the frame shrinks, all pixels under the output pixel count. Take the one that the
    training took.
    """

    name: str
    size_hw: tuple[int, int]
    colour: Literal["RGB", "BGR", "GRAY"] = "RGB"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: Literal["NCHW"] = "NCHW"
    dtype: Literal["float32"] = "float32"
    resize: ResizeRule = "stretch"
    interpolation: Interpolation = "linear"
    pad_value: float = 0.0

    def __post_init__(self) -> None:
        if min(self.size_hw) < 1:
            raise ValueError(f"input size {self.size_hw} must be at least 1x1")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"{self.colour} takes {self.channels} values of mean and std")
        if min(self.std) <= 0:
            raise ValueError(f"std {self.std} must be above 0")
        if not 0 <= self.pad_value <= 255:
            raise ValueError(f"pad value {self.pad_value} must be a grey level, 0 to 255")

    @property
    def channels(self) -> int:
        """1 for grey, else 3."""
        return 1 if self.colour == "GRAY" else 3

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """NCHW, batch 1."""
        return (1, self.channels, *self.size_hw)


class HeadSpec(_Record, frozen=True, kw_only=True):
    """The logits that leave the net, float32 NCHW, and what the runtime makes of them.

    They are upsampled bilinearly with half-pixel centres; then ``argmax`` takes the best class, lowest on a tie, and
    ``threshold`` (one channel) takes class 1 where the logit is above 0.
    """

    output: str
    channels: int
    size_hw: tuple[int, int]
    decision: Literal["argmax", "threshold"]
    upsample: Literal["bilinear"] = "bilinear"

    def __post_init__(self) -> None:
        if (self.channels == 1) != (self.decision == "threshold"):
            raise ValueError(f"decision {self.decision} does not fit {self.channels} channel(s)")
        if not 1 <= self.channels <= MAX_CLASSES:
            raise ValueError(f"{self.channels} channels: 1 to {MAX_CLASSES} fit a uint8 mask")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """NCHW, batch 1."""
        return (1, self.channels, *self.size_hw)


class ModelSpec(_Record, frozen=True, kw_only=True):
    """What one ONNX file expects and means; ``net.json`` beside ``net.onnx``."""

    schema: Literal[1] = 1
    onnx_sha256: str
    input: InputSpec
    head: HeadSpec
    labels: LabelSpec

    def __post_init__(self) -> None:
        expected = max(self.head.channels, 2)
        if len(self.labels.classes) != expected:
            raise ValueError(f"{len(self.labels.classes)} class names for a head of {expected} classes")


class PrecisionSpec(_Record, frozen=True, kw_only=True):
    """How the numbers of an engine are held, and on what INT8 was calibrated."""

    kind: PrecisionKind
    high_precision: Literal["fp32", "fp16"]
    calibration_method: Literal["max", "entropy"] | None = None
    calibration_sha256: str | None = None
    calibration_images: int = 0


class IOTensor(_Record, frozen=True, kw_only=True):
    """One input or output of an engine; ``shape`` is what the engine takes, NCHW."""

    name: str
    mode: Literal["input", "output"]
    dtype: Literal["float32"] = "float32"
    shape: tuple[int, ...]


class EngineSpec(_Record, frozen=True, kw_only=True):
    """What one engine file is, for whom it was built, and its model; ``net.engine.json`` beside ``net.engine``."""

    schema: Literal[1] = 1
    model: ModelSpec
    backend: BackendName
    backend_version: str
    device: str
    compute_capability: str | None = None
    precision: PrecisionSpec
    options: dict[str, str | int | float | bool | None] = {}
    io: tuple[IOTensor, ...]
    plan_sha256: str
    plan_bytes: int


Spec = TypeVar("Spec", ModelSpec, EngineSpec, LabelSpec)


def sidecar_path(path: Path) -> Path:
    """``net.onnx`` -> ``net.json``; any other file has ``.json`` added: ``net.engine`` -> ``net.engine.json``."""
    return path.with_suffix(".json") if path.suffix == ".onnx" else path.with_name(path.name + ".json")


def write_with_sidecar(path: Path, data: bytes, spec: ModelSpec | EngineSpec) -> None:
    """Write a file and its sidecar (indented JSON): both appear whole, or neither.

    Raises:
        OutputError: the folder cannot be written, or the device is full.
    """
    beside = sidecar_path(path)
    with atomic_path(path) as file:
        file.write_bytes(data)
        with atomic_path(beside) as sidecar:
            sidecar.write_bytes(msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n")


def read_model_spec(onnx_path: Path, data: bytes) -> ModelSpec:
    """Read the sidecar of an ONNX file and check that they belong together.

    Args:
        onnx_path: the ONNX file.
        data: its bytes.
    Raises:
        SpecError: the sidecar is missing, malformed, or describes another file.
    """
    path = sidecar_path(onnx_path)
    make_it = "the sidecar is written by 'edgeseg export'; run it, or copy the sidecar along"
    spec = _decode(read_file(path, error=SpecError, make_it=make_it), ModelSpec, path)
    _check_hash(path, onnx_path, recorded=spec.onnx_sha256, data=data, redo="run 'edgeseg export' again")
    return spec


def read_engine_spec(engine_path: Path) -> tuple[EngineSpec, bytes]:
    """Read an engine file and its sidecar, and check size and hash before anything deserialises it.

    Returns:
        The sidecar and the plan's bytes.
    Raises:
        SpecError: a file is missing or malformed, or they do not belong together.
    """
    redo = "build it again with 'edgeseg build-engine'"
    plan = read_file(engine_path, error=SpecError, make_it=redo)
    path = sidecar_path(engine_path)
    spec = _decode(read_file(path, error=SpecError, make_it=redo), EngineSpec, path)
    if len(plan) != spec.plan_bytes:
        raise SpecError(
            f"{engine_path} has {len(plan)} bytes where {path.name} says {spec.plan_bytes}: cut short or exchanged",
            redo,
        )
    _check_hash(path, engine_path, recorded=spec.plan_sha256, data=plan, redo=redo)
    return spec, plan


def read_labels(path: Path) -> LabelSpec:
    """Read classes: ``{"ignore": 255, "classes": [{"name": "road", "colour": [128, 64, 128]}, ...]}``."""
    return _decode(read_file(path, error=SpecError), LabelSpec, path)


def _decode(data: bytes, kind: type[Spec], path: Path) -> Spec:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:  # ValidationError is one too
        raise SpecError(f"{path} is not a valid sidecar ({error})", "mend it, or make it again") from error


def _check_hash(sidecar: Path, path: Path, *, recorded: str, data: bytes, redo: str) -> None:
    found = sha256_of(data)
    if found != recorded:
        raise SpecError(
            f"{path} has sha256 {found[:12]} where {sidecar.name} says {recorded[:12]}: changed or exchanged", redo
        )
