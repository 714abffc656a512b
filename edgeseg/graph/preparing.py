"""Own the order in which a graph becomes what every back end takes: fixed, cut, rewritten. Do none of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from edgeseg.errors import ModelError
from edgeseg.graph.normalising import fold_normalisation
from edgeseg.graph.reading import GraphFile, image_input
from edgeseg.graph.rewrites import Rewritten, rewrite
from edgeseg.graph.simplifying import simplified, with_input_shape
from edgeseg.graph.tail import conform_output, cut_tail, find_tail
from edgeseg.spec import FrameOptions, HeadSpec, InputSpec, Layout

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PrepareOptions", "Prepared", "described_input", "prepare"]

DTYPES: dict[str, Literal["float32", "uint8"]] = {"float": "float32", "uint8": "uint8"}


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """What becomes of a graph.

    ``size_hw`` is one of the sizes that a dynamic net takes; its optimum without it. ``output`` names the output where
    there are several. ``keep_tail`` leaves Resize, Softmax and ArgMax at the net's end in the graph.
    ``fold_normalisation`` lets the graph take uint8 pixels.
    """

    size_hw: tuple[int, int] | None = None
    output: str | None = None
    keep_tail: bool = False
    fold_normalisation: bool = False


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A graph with one static input and one output, ready for a precision and a back end.

    ``classes`` counts the net's classes, 2 for a threshold; None where finished ids leave a graph whose end is unknown.
    ``left`` names the node that kept more from being cut, and why.
    """

    model: ir.Model
    image: InputSpec
    head: HeadSpec
    classes: int | None
    left: str
    rewritten: tuple[Rewritten, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the graph, a line each."""
        cut = [f"done by the runtime instead of the engine: {', '.join(self.head.cut)}"] if self.head.cut else []
        left = [f"left in the engine: {self.left}"] if self.left else []
        return (*cut, *left, *(f"rewritten ({one.rule}): {one.node}, {one.detail}" for one in self.rewritten))


def described_input(graph: GraphFile, frame: FrameOptions, *, size_hw: tuple[int, int] | None) -> InputSpec:
    """The input of an ONNX file that came without a sidecar.

    Args:
        graph: the file.
        frame: what training did to its pictures; a uint8 input takes plain pixels whatever mean and std say.
        size_hw: needed where the graph leaves height or width open.
    Raises:
        ModelError: no picture of 1 or 3 channels, another dtype, no size, or options that do not go together.
    """
    found = image_input(graph.path, graph.model)
    channels = 1 if frame.colour == "GRAY" else 3
    layout = _layout(found.shape, channels)
    if layout is None:
        raise ModelError(
            f"{graph.path} takes {found.name} {found.shape}, {frame.colour} has {channels} channel(s)",
            "choose --colour RGB, BGR or GRAY",
        )
    if found.dtype not in DTYPES:
        raise ModelError(f"{graph.path} takes {found.name} as {found.dtype}", "an image is float32 or uint8")
    sides = found.shape[2:] if layout == "NCHW" else found.shape[1:3]
    size = size_hw or tuple(side for side in sides if isinstance(side, int))
    if len(size) != 2:
        raise ModelError(f"{graph.path} leaves its size open, {found.shape}", "give --input-size HEIGHTxWIDTH")
    dtype = DTYPES[found.dtype]
    if dtype == "uint8":
        frame = FrameOptions(**{**vars(frame), "mean": (0.0,) * channels, "std": (1 / 255,) * channels})
    try:
        return frame.input_spec(name=found.name, size_hw=size, layout=layout, dtype=dtype)
    except ValueError as error:
        raise ModelError(f"{graph.path}: {error}", "change the options") from error


def _layout(shape: tuple[int | str, ...], channels: int) -> Layout | None:
    if shape[1] == channels:
        return "NCHW"
    return "NHWC" if shape[3] == channels else None


def prepare(graph: GraphFile, image: InputSpec, options: PrepareOptions, *, head: HeadSpec | None = None) -> Prepared:
    """Make a graph with a static input of batch 1 that all back ends take; the file's model is left as it is.

    Args:
        graph: the file.
        image: its input.
        options: see PrepareOptions.
        head: what its sidecar says of the output; decides what the graph leaves open.
    Raises:
        ModelError: the graph does not take that size, or has no output that is a mask or scores.
    """
    size_hw = options.size_hw or image.size_hw
    _check_size(graph, image, size_hw)
    image = msgspec.structs.replace(image, size_hw=size_hw, profile=None)
    model = simplified(with_input_shape(graph.model, image.shape))
    tail = find_tail(model, options.output or (head.output if head else None))
    (conform_output if options.keep_tail else cut_tail)(model, tail)
    rewritten = rewrite(model)
    if options.fold_normalisation:
        image = fold_normalisation(model, image)
    ids = tail.uncut.decision == "ids" and tail.head.decision == "ids"
    return Prepared(
        model=simplified(model),
        image=image,
        head=_joined(tail.uncut if options.keep_tail else tail.head, head),
        classes=None if ids else max(tail.head.channels, 2),
        left="" if options.keep_tail else tail.left,
        rewritten=tuple(rewritten),
    )


def _check_size(graph: GraphFile, image: InputSpec, size_hw: tuple[int, int]) -> None:
    """The sidecar may say which sizes a free dimension takes; the graph says what is fixed."""
    profile, found = image.profile, image_input(graph.path, graph.model)
    wanted = msgspec.structs.replace(image, size_hw=size_hw, profile=None).shape
    asked = f"input '{image.name}' is asked to be {size_hw[0]}x{size_hw[1]}"
    if found.name != image.name or any(
        isinstance(side, int) and side != want for side, want in zip(found.shape, wanted, strict=True)
    ):
        raise ModelError(
            f"{asked}, {graph.path} takes {found.name} {found.shape}",
            "export it for that size, or with --min-size and --max-size",
        )
    if profile is not None and not profile.takes(1, size_hw):
        (_, *low), (_, *high), step = profile.minimum, profile.maximum, profile.step_hw
        raise ModelError(
            f"{asked}, its profile takes heights {low[0]}-{high[0]} in steps of {step[0]}, widths {low[1]}-{high[1]} "
            f"in steps of {step[1]} and batches from {profile.minimum[0]}",
            "choose --input-size within, or export it with another profile",
        )


def _joined(found: HeadSpec, told: HeadSpec | None) -> HeadSpec:
    """What the graph shows, and the sidecar's word on what the graph cannot show."""
    if told is None or found.decision == "ids":
        return found
    if not any(one.startswith("Resize") for one in found.cut):
        found = msgspec.structs.replace(found, upsample=told.upsample)
    if found.decision == told.decision == "threshold":
        found = msgspec.structs.replace(found, threshold=_threshold(found, told))
    return found


def _threshold(found: HeadSpec, told: HeadSpec) -> float:
    """The sidecar's, on the scores that are left where a Sigmoid was cut off."""
    if found.scores == told.scores:
        return told.threshold
    if not 0.0 < told.threshold < 1.0:
        raise ModelError(f"the sidecar's threshold is {told.threshold:g}", "a probability lies between 0 and 1")
    return math.log(told.threshold / (1.0 - told.threshold))
