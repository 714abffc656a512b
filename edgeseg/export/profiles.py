"""Own the free axes of a dynamic net: what torch is told of them, and what it refuses. Trace nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgeseg.errors import ModelError
from edgeseg.export.blame import first_line
from edgeseg.packages import require
from edgeseg.spec import ProfileSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir
    from torch import fx
    from torch.export import ExportedProgram

__all__ = [
    "ONE_SIZE",
    "Shape",
    "check_profile",
    "free_axes",
    "is_constraint",
    "name_axes",
    "refused",
    "step_above",
    "unpoolable",
]

#: batch, height, width
Shape = tuple[int, int, int]

NAMES = ("batch", "height", "width")
#: of the image's axes
AXES = {"batch": 0, "height": 2, "width": 3}
LARGEST_STEP = 256
ONE_SIZE = "export one size, without --min-size and --max-size"


def check_profile(profile: ProfileSpec, runs: Callable[[Shape], bool]) -> None:
    """Refuse a profile whose steps are not the net's.

    Args:
        profile: the shapes that are to be taken.
        runs: whether PyTorch runs on a shape.
    Raises:
        ModelError: one of the three shapes is off the steps, or the net does not run one step above the smallest.
    """
    if profile.minimum[0] != 1:
        raise ModelError(
            f"the profile's batches start at {profile.minimum[0]}", "let them start at 1: a camera gives one frame"
        )
    for batch, *size_hw in (profile.minimum, profile.optimum, profile.maximum):
        if not profile.takes(batch, (size_hw[0], size_hw[1])):
            given, steps = ("x".join(map(str, sides)) for sides in (size_hw, profile.step_hw))
            raise ModelError(
                f"the profile's {given} is off its own steps of {steps}",
                "give --min-size, --input-size and --max-size in multiples of --size-step",
            )
    above = step_above(profile)
    if runs(profile.optimum) and not runs(above):
        step = _step_that_runs(profile, runs)
        raise ModelError(
            f"the net does not run on {above[1]}x{above[2]}, which its profile allows",
            f"give --size-step {step}" if step else ONE_SIZE,
        )


def step_above(profile: ProfileSpec) -> Shape:
    """One step above the smallest shape: tells whether more fits than the multiples that both ends happen to be."""
    (batch, height, width), (_, most_h, most_w) = profile.minimum, profile.maximum
    return batch, min(height + profile.step_hw[0], most_h), min(width + profile.step_hw[1], most_w)


def _step_that_runs(profile: ProfileSpec, runs: Callable[[Shape], bool]) -> int | None:
    """The smallest power of two at which the net takes two sizes in a row, from the smallest on."""
    batch, height, width = profile.minimum
    step = 2
    while step <= LARGEST_STEP:
        low = (-(-height // step) * step, -(-width // step) * step)
        if step > max(profile.step_hw) and runs((batch, *low)) and runs((batch, low[0] + step, low[1] + step)):
            return step
        step *= 2
    return None


def free_axes(profile: ProfileSpec) -> dict[int, Any]:
    """``torch.export``'s dynamic shapes of the image: by axis, those that the profile leaves open."""
    dim = require("torch").export.Dim
    steps = (1, *profile.step_hw)
    axes = {}
    for name, low, high, step in zip(NAMES, profile.minimum, profile.maximum, steps, strict=True):
        if low < high and step == 1:
            axes[AXES[name]] = dim(name, min=low, max=high)
        elif low < high:
            axes[AXES[name]] = step * dim(f"{name}_steps", min=low // step, max=high // step)
    return axes


def name_axes(model: ir.Model, profile: ProfileSpec) -> None:
    """Call the free axes batch, height and width wherever the graph speaks of them; in place."""
    onnx_ir, (image,) = require("onnx_ir"), model.graph.inputs
    names: dict[str, str] = {}  # in this order: "8*s1" before "s1"
    for name, step in zip(NAMES, (1, *profile.step_hw), strict=True):
        side = image.shape[AXES[name]] if image.shape is not None else None
        if isinstance(side, onnx_ir.SymbolicDim):
            names[str(side)] = name
            names.setdefault(str(side).rpartition("*")[2], f"({name}//{step})")
    for value in (image, *(value for node in model.graph.all_nodes() for value in node.outputs)):
        if value.shape is not None:
            sides = (side if isinstance(side, int) or side.value is None else str(side) for side in value.shape)
            value.shape = onnx_ir.Shape(_renamed(side, names) if isinstance(side, str) else side for side in sides)


def _renamed(side: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        side = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, side)
    return side


def unpoolable(program: ExportedProgram) -> fx.Node | None:
    """An adaptive pooling of free sides to more than one pixel.

    Torch's exporter has no ONNX for it, and takes minutes to find that out (2.13).
    """
    aten = require("torch").ops.aten
    pools = (aten.adaptive_avg_pool2d.default, aten.adaptive_max_pool2d.default)
    for node in program.graph.nodes:
        if node.target not in pools or max(node.args[1]) == 1:
            continue
        if not all(isinstance(side, int) for side in node.args[0].meta["val"].shape[-2:]):
            found: fx.Node = node
            return found
    return None


def is_constraint(error: Exception) -> bool:
    """Whether torch refuses that an axis is free."""
    return "Constraints violated" in str(error)


def refused(error: Exception, *, is_script: bool) -> ModelError:
    """Torch's page on violated constraints in one sentence."""
    text = str(error)
    fixed = re.findall(r"marked (?:\d+\*)?(\w+?)(?:_steps)? as dynamic but your code special", text)
    fixed += re.findall(rf"^\s*({'|'.join(NAMES)}) = \d+$", text, re.MULTILINE)
    if fixed:
        names = [name for name in NAMES if name in fixed]
        way = "give the Python net or torch.jit.trace's" if is_script else "use image.shape without int() there"
        return ModelError(
            f"forward() turns the {' and the '.join(names)} into a number, so that no other fits the graph",
            f"{way}, or {ONE_SIZE}",
        )
    steps = [int(step) for step in re.findall(rf"^\s*(?:{'|'.join(NAMES)}) = (\d+)\*", text, re.MULTILINE)]
    if steps:
        return ModelError(f"the net takes sizes in steps of {max(steps)}", f"give --size-step {max(steps)}")
    reasons = re.findall(r"satisfy the generated guard (.*?)\.?$", text, re.MULTILINE)
    reason = _worded(reasons[0]) if reasons else first_line(error)
    return ModelError(
        f"not every size of the profile takes the same way through forward() ({reason})",
        f"raise --min-size, give a larger --size-step, or {ONE_SIZE}",
    )


def _worded(guard: str) -> str:
    """``L['image'].size()[2]`` is the height."""
    for name, axis in AXES.items():
        guard = guard.replace(f"L['image'].size()[{axis}]", name)
    return guard
