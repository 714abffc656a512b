"""Own the opening of a static graph for the shapes of profiles, and the proof of its shapes. Know no node's rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import BuildError
from edgeseg.graph.access import constant_of, described, infer_shapes, shape_of
from edgeseg.graph.batching import PROBED_BATCH, batch_axes, check_batch
from edgeseg.graph.rewrites.building import is_op
from edgeseg.graph.shape_folding import fold_shapes
from edgeseg.graph.simplifying import with_input_shape
from edgeseg.graph.size_probes import ONE_SIZE, Sized, SizeProbes, size_words
from edgeseg.graph.size_rules import SizeRules
from edgeseg.packages import require
from edgeseg.spec import HeadSpec, InputSpec, ProfileSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["opened", "probed_sizes"]

#: smaller constants are not worth a comparison
SHARED_BYTES = 1 << 16


def opened(
    model: ir.Model,
    *,
    image: InputSpec,
    head: HeadSpec,
    profiles: Sequence[ProfileSpec],
    prepared_at: Callable[[Sized], ir.Model],
) -> ir.Model:
    """A copy of a static graph whose batch, height and width are open as far as the profiles differ.

    What the size is baked into is found by preparing the net at other sizes as well, and is rebuilt from shapes at run
    time. Shape inference then has to give every node the same shapes as the static graphs have, at the smallest, best
    and largest size of every profile and at some between. That images of a batch stay apart is proven node by node.

    Args:
        model: prepared at ``image.size_hw``, its precision in it; left as it is.
        image: its input, of batch 1.
        head: its output.
        profiles: one or more, the first with ``image.size_hw`` for its optimum.
        prepared_at: the same net in float32, prepared at another size, batch 1.
    Raises:
        BuildError: a size or the batch is baked into a node, whose place is told.
        ModelError: the net does not take a size of a profile.
        ValueError: the first profile's optimum is another size.
    """
    if not profiles or profiles[0].optimum[1:] != image.size_hw:
        raise ValueError(f"the first profile must have its optimum at {image.size_hw}")
    batches, *sides = _ends(profiles)
    probes = SizeProbes(_prepared(probed_sizes(profiles), prepared_at))
    axes = batch_axes(probes.models[0]) if batches != (1, 1) else None
    done: ir.Model = model.clone()
    rules = SizeRules(done, probes, axes)
    for name, baked in _to_free(probes, axes).items():
        rules.free(name, baked)
    _prove(done, probes)
    if axes is not None:
        _prove_batch(done, probes, axes)
    _open_ends(done, image, head, probes, (batches[0] != batches[1], *(low != high for low, high in sides)), batches[0])
    return done


def probed_sizes(profiles: Sequence[ProfileSpec]) -> tuple[Sized, ...]:
    """The sizes at which a net is looked at: the profiles' own, the first optimum in front, and three more.

    Height and width at opposite ends tell the one from the other; one step from either end shows what is rounded.
    """
    _, (low_h, high_h), (low_w, high_w) = _ends(profiles)
    step_h, step_w = profiles[0].step_hw
    own = [shape[1:] for one in profiles for shape in (one.optimum, one.minimum, one.maximum)]
    between = [
        (low_h, high_w),
        (min(low_h + step_h, high_h), min(low_w + step_w, high_w)),
        (max(high_h - step_h, low_h), max(high_w - step_w, low_w)),
    ]
    return tuple(dict.fromkeys([*own, *between]))


def _prepared(sizes: Sequence[Sized], prepared_at: Callable[[Sized], ir.Model]) -> dict[Sized, ir.Model]:
    """The net at every size; weights that are the same are held once."""
    models: dict[Sized, ir.Model] = {}
    for size in sizes:
        models[size] = prepared_at(size)
        first = models[sizes[0]].graph.initializers
        for name, value in models[size].graph.initializers.items():
            one, other = constant_of(first.get(name)), constant_of(value)
            if one is not None and other is not None and one.nbytes >= SHARED_BYTES and np.array_equal(one, other):
                value.const_value = first[name].const_value
    return models


def _ends(profiles: Sequence[ProfileSpec]) -> list[tuple[int, int]]:
    """Smallest and largest batch, height and width of all profiles."""
    lows = zip(*(one.minimum for one in profiles), strict=True)
    highs = zip(*(one.maximum for one in profiles), strict=True)
    return [(min(low), max(high)) for low, high in zip(lows, highs, strict=True)]


def _to_free(probes: SizeProbes, axes: Mapping[str, int] | None) -> dict[str, dict[int, list[NDArray[Any]]]]:
    """Nodes and their constants that a size is baked into, and those that may have a batch of 1 baked in."""
    found: dict[str, dict[int, list[NDArray[Any]]]] = defaultdict(dict)
    for name, index, numbers in probes.baked():
        found[name][index] = numbers
    for node in probes.models[0].graph if axes is not None else ():
        value = node.inputs[0] if node.inputs else None
        is_batched = value is not None and str(value.name) in (axes or {})
        has_sizes = is_op(node, "Resize") and len(node.inputs) > 3 and node.inputs[3] is not None
        if is_batched and (has_sizes or is_op(node, "Reshape")):
            found.setdefault(str(node.name), {})
    order = {str(node.name): place for place, node in enumerate(probes.models[0].graph)}
    return dict(sorted(found.items(), key=lambda one: order[one[0]]))


def _prove(done: ir.Model, probes: SizeProbes) -> None:
    """Every node has the shapes that it has in the static graphs."""
    for place, size in enumerate(probes.sizes):
        fixed = _fixed(done, probes.models[place])
        for node in fixed.graph:
            name = str(node.name)
            if not probes.has(name):
                continue
            for one, other in zip(node.outputs, probes.nodes(name)[place].outputs, strict=True):
                if shape_of(other) is not None and shape_of(one) != shape_of(other):
                    raise BuildError(
                        f"{described(node)} gives {one.shape} at {size_words(size)} where the net prepared for that "
                        f"size gives {shape_of(other)}",
                        ONE_SIZE,
                    )
        _check_end(fixed, probes.models[place], size)


def _check_end(fixed: ir.Model, static: ir.Model, size: Sized) -> None:
    found, expected = shape_of(fixed.graph.outputs[0]), shape_of(static.graph.outputs[0])
    if found is None or found != expected:
        raise BuildError(
            f"the output is {fixed.graph.outputs[0].shape} at {size_words(size)}, the net prepared for that size "
            f"gives {expected}",
            ONE_SIZE,
        )


def _fixed(done: ir.Model, static: ir.Model, *, batch: int = 1) -> ir.Model:
    """The opened graph with the input of a static one, all shapes inferred."""
    shape = shape_of(static.graph.inputs[0]) or ()
    fixed = with_input_shape(done, (batch, *shape[1:]))
    fixed.graph.outputs[0].shape = None
    fold_shapes(fixed)
    return fixed


def _prove_batch(done: ir.Model, probes: SizeProbes, axes: Mapping[str, int]) -> None:
    static = probes.models[0]
    many = _fixed(done, static, batch=PROBED_BATCH)
    check_batch(static, many, axes)
    expected = (PROBED_BATCH, *(shape_of(static.graph.outputs[0]) or ())[1:])
    if shape_of(many.graph.outputs[0]) != expected:
        raise BuildError("the output has one image baked in", "take batches of 1")


def _open_ends(
    done: ir.Model,
    image: InputSpec,
    head: HeadSpec,
    probes: SizeProbes,
    is_open: tuple[bool, ...],
    batch: int,
) -> None:
    """Name the open sides of input and output, and forget the shapes between them."""
    onnx_ir = require("onnx_ir")
    height, width = (
        side if not free else name
        for side, free, name in zip(image.size_hw, is_open[1:], ("height", "width"), strict=True)
    )
    first: int | str = "batch" if is_open[0] else batch
    sides: tuple[int | str, ...] = (first, image.channels, height, width)
    if image.layout == "NHWC":
        sides = (first, height, width, image.channels)
    ends = [shape_of(model.graph.outputs[0]) or () for model in probes.models]
    names = dict(zip((2, 3) if head.layout == "NCHW" else (1, 2), ("scores_height", "scores_width"), strict=True))
    last = [side if len({end[axis] for end in ends}) == 1 else names[axis] for axis, side in enumerate(ends[0])]
    for node in done.graph.all_nodes():
        for value in node.outputs:
            value.shape = None
    done.graph.inputs[0].shape = onnx_ir.Shape(sides)
    done.graph.outputs[0].shape = onnx_ir.Shape([first, *last[1:]])
    infer_shapes(done)
