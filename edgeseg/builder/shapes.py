"""Own what a user's shapes mean for one net: checked against its input, as profiles. Open no graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgeseg.builder.source import ReadyModel
from edgeseg.errors import OptionsError
from edgeseg.graph.preparing import described_input
from edgeseg.graph.reading import image_input, read_graph
from edgeseg.sidecars import read_model_spec, sidecar_path
from edgeseg.spec import InputSpec, ProfileSpec

if TYPE_CHECKING:
    from edgeseg.builder.source import SourceOptions
    from edgeseg.graph.reading import GraphFile

__all__ = ["AskedProfile", "AskedShape", "asked_profiles", "checked_profiles", "resolved_profiles"]

SIDES = ("batch", "height", "width")
WITH_PROFILE = "export it with --min-size and --max-size"


@dataclass(frozen=True, kw_only=True)
class AskedShape:
    """One shape as it was asked for; None for what was not said."""

    size_hw: tuple[int, int]
    batch: int | None = None
    channels: int | None = None
    name: str | None = None

    @property
    def sides(self) -> tuple[int, int, int]:
        """Batch, height, width; a batch of 1 where none was said."""
        return (self.batch or 1, *self.size_hw)


@dataclass(frozen=True, kw_only=True)
class AskedProfile:
    """The shapes of one profile; without ``optimum`` that is the net's own size."""

    minimum: AskedShape
    optimum: AskedShape | None = None
    maximum: AskedShape


def asked_profiles(
    lows: Sequence[AskedShape], bests: Sequence[AskedShape], highs: Sequence[AskedShape]
) -> tuple[AskedProfile, ...]:
    """The n-th of each is profile n.

    Raises:
        OptionsError: there are not as many of each; the optimum may be left out in all.
    """
    counts = {"minimum": len(lows), "optimum": len(bests), "maximum": len(highs)}
    if len(lows) != len(highs) or len(bests) not in (0, len(lows)):
        told = ", ".join(f"the {name} {count} times" for name, count in counts.items())
        raise OptionsError(
            f"shapes are given {told}", "give --min-shapes and --max-shapes once a profile, --opt-shapes too or never"
        )
    middle: Sequence[AskedShape | None] = bests or [None] * len(lows)
    return tuple(
        AskedProfile(minimum=low, optimum=best, maximum=high)
        for low, best, high in zip(lows, middle, highs, strict=True)
    )


def checked_profiles(
    image: InputSpec, asked: Sequence[AskedProfile], file_profile: ProfileSpec | None
) -> tuple[ProfileSpec, ...]:
    """Profiles of a net's input.

    Args:
        image: the input; its size is the optimum where none is asked for.
        asked: a profile each.
        file_profile: the shapes that the net was exported for; None where its sidecar does not say.
    Raises:
        OptionsError: a name or channels are not the input's, a minimum is above an optimum or that above a maximum, or
            the net was not exported for a shape.
    """
    profiles = tuple(_checked(image, one, file_profile) for one in asked)
    if file_profile is not None:
        return profiles
    steps = _common_steps(profiles)
    return tuple(msgspec.structs.replace(one, step_hw=steps) for one in profiles)


def _common_steps(profiles: Sequence[ProfileSpec]) -> tuple[int, int]:
    """Nothing says which sizes such a net takes; those that were asked for go in these steps."""
    shapes = [shape for one in profiles for shape in (one.minimum, one.optimum, one.maximum)]
    return math.gcd(*(shape[1] for shape in shapes)), math.gcd(*(shape[2] for shape in shapes))


def _checked(image: InputSpec, asked: AskedProfile, told: ProfileSpec | None) -> ProfileSpec:
    optimum = asked.optimum or AskedShape(size_hw=image.size_hw, batch=asked.minimum.batch)
    named = {"minimum": asked.minimum, "optimum": optimum, "maximum": asked.maximum}
    for shape in named.values():
        _check_input(image, shape)
    for low, high in (("minimum", "optimum"), ("optimum", "maximum")):
        _check_order(named[low], named[high], (low, high), is_given=asked.optimum is not None)
    step_hw = told.step_hw if told is not None else (1, 1)
    if told is not None:
        for name, shape in named.items():
            _check_taken(told, name, shape)
    return ProfileSpec(minimum=asked.minimum.sides, optimum=optimum.sides, maximum=asked.maximum.sides, step_hw=step_hw)


def _check_input(image: InputSpec, shape: AskedShape) -> None:
    if shape.name not in (None, image.name):
        raise OptionsError(f"the net has no input '{shape.name}', it takes '{image.name}'", "leave the name out")
    if shape.channels not in (None, image.channels):
        raise OptionsError(
            f"'{image.name}' has {image.channels} channel(s), {shape.channels} are asked for",
            "write N x C x height x width, whatever the layout, or height x width alone",
        )


def _check_order(low: AskedShape, high: AskedShape, names: tuple[str, str], *, is_given: bool) -> None:
    for side, one, other in zip(SIDES, low.sides, high.sides, strict=True):
        if one > other:
            hint = "exchange them" if is_given else "give --opt-shapes: without it the optimum is the net's own size"
            raise OptionsError(f"the {names[0]}'s {side} {one} is above the {names[1]}'s {other}", hint)


def _check_taken(told: ProfileSpec, name: str, shape: AskedShape) -> None:
    if told.takes(shape.sides[0], shape.size_hw):
        return
    low, high, step = told.minimum, told.maximum, told.step_hw
    raise OptionsError(
        f"the {name} {_words(shape.sides)} is none of the shapes that the net was exported for: batches {low[0]}-"
        f"{high[0]}, heights {low[1]}-{high[1]} in steps of {step[0]}, widths {low[2]}-{high[2]} in steps of {step[1]}",
        "choose one of those, or export it with another --min-size, --max-size, --size-step or --max-batch",
    )


def resolved_profiles(onnx_path: Path, asked: Sequence[AskedProfile], source: SourceOptions) -> tuple[ProfileSpec, ...]:
    """What is asked for, checked against an ONNX file; which is not read where nothing is asked for.

    Raises:
        ModelError, SpecError: the file or its sidecar cannot be used.
        OptionsError: as ``checked_profiles``, a side is fixed in the file, or it is quantised.
    """
    if not asked:
        return ()
    graph = read_graph(onnx_path)
    image = _image_of(graph, asked[0], source)
    profiles = checked_profiles(image, asked, image.profile)
    _check_open(graph, image, profiles)
    return profiles


def _image_of(graph: GraphFile, first: AskedProfile, source: SourceOptions) -> InputSpec:
    if not sidecar_path(graph.path).exists():
        ready = source.ready or ReadyModel()
        best = source.prepare.size_hw or (first.optimum or first.maximum).size_hw
        return described_input(graph, ready.frame, size_hw=best)
    told = read_model_spec(graph.path, sha256=graph.sha256, weights_sha256=graph.weights_sha256)
    if told.precision is not None:
        raise OptionsError(
            f"{graph.path} was prepared for one size when it was quantised",
            "build from the float32 net with --precision and --calib-data",
        )
    return told.input


def _check_open(graph: GraphFile, image: InputSpec, profiles: Sequence[ProfileSpec]) -> None:
    """A side that is a number in the file is that number in all shapes."""
    found = image_input(graph.path, graph.model).shape
    places = (0, 2, 3) if image.layout == "NCHW" else (0, 1, 2)
    for place, side, *asked in zip(
        places, SIDES, *(shape for one in profiles for shape in (one.minimum, one.optimum, one.maximum)), strict=True
    ):
        fixed = found[place]
        if isinstance(fixed, int) and set(asked) != {fixed}:
            other = next(one for one in asked if one != fixed)
            raise OptionsError(
                f"{graph.path} has its {side} fixed at {fixed}, a profile asks for {other}",
                f"{WITH_PROFILE}{', and --max-batch' if side == 'batch' else ''}",
            )


def _words(sides: tuple[int, int, int]) -> str:
    return f"{sides[0]} x {sides[1]}x{sides[2]}"
