"""Own the rules that take a baked-in size out of a node: from constants to what the shapes at run time say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import BuildError
from edgeseg.graph.access import attribute, constant_of, described
from edgeseg.graph.rewrites.building import Patch, is_op
from edgeseg.graph.size_probes import ONE_SIZE, SizeProbes, size_words

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["SizeRules"]

RESIZE_SCALES, RESIZE_SIZES = 2, 3
#: operators whose other constants are lists of sizes and places
LISTS = ("Slice", "Pad", "Tile", "ConstantOfShape")
JOIN_DEPTH = 6  # how far behind a node its sibling is looked for: a convolution, its activation, a cast or two
OFFSET_SIZES = 3  # two points lie on any straight line
Shapes = list[tuple[int, ...]]


@dataclass(frozen=True)
class _Side:
    """A number that is ``value``'s side ``axis``, times ``times``, divided by ``over``, plus ``plus``."""

    value: ir.Value
    axis: int
    times: int = 1
    over: int = 1
    plus: int = 0


Entry = int | _Side


class SizeRules:
    """Frees the nodes of one graph from the size that it was prepared at, one node at a time.

    Args:
        model: changed in place; what the first of the probes is, in any precision.
        probes: the same net at other sizes.
        batch_axes: where the batch lies in every value of the first probe, by its name; None where it stays 1.
    """

    def __init__(self, model: ir.Model, probes: SizeProbes, batch_axes: Mapping[str, int] | None) -> None:
        self._model, self._probes, self._batch_axes = model, probes, batch_axes
        self._nodes = {str(node.name): node for node in model.graph}
        self._places = {name: place for place, name in enumerate(self._nodes)}
        self._base = list(probes.models[0].graph)

    def free(self, name: str, baked: Mapping[int, list[NDArray[Any]]]) -> None:
        """Free a node.

        Args:
            name: of the node.
            baked: its constants that differ from size to size, by input; none where only the batch is baked in.
        Raises:
            BuildError: no rule knows how.
        """
        base = self._probes.nodes(name)[0]
        node = self._nodes.get(name)
        if node is None:
            raise BuildError(f"{described(base)} holds a size, and the precision has changed the node", ONE_SIZE)
        if is_op(base, "Resize") and set(baked) <= {RESIZE_SCALES, RESIZE_SIZES}:
            self._free_resize(node, base)
        elif is_op(base, "Reshape") and set(baked) <= {1}:
            self._free_reshape(node, base)
        elif is_op(base, "Expand") and set(baked) <= {1}:
            self._free_expand(node, base, baked[1])
        elif is_op(base, *LISTS) and all(numbers[0].dtype.kind == "i" for numbers in baked.values()):
            for index, numbers in baked.items():
                self._free_list(node, base, index, numbers)
        else:
            raise self._refusal(base, baked)

    def _refusal(self, base: ir.Node, baked: Mapping[int, list[NDArray[Any]]]) -> BuildError:
        sizes = self._probes.sizes
        numbers = next(iter(baked.values()))
        other = next(place for place, one in enumerate(numbers) if not np.array_equal(one, numbers[0]))
        here, there = (_words(numbers[place]) for place in (0, other))
        return BuildError(
            f"{described(base)} has {here} for {size_words(sizes[0])} and {there} for {size_words(sizes[other])}, "
            "which does not follow from shapes at run time",
            ONE_SIZE,
        )

    def _free_resize(self, node: ir.Node, base: ir.Node) -> None:
        """Scales where they are the same at every size and float32 holds them, else the sizes of a sibling."""
        before, after = self._shapes(base)
        axes = [axis % len(before[0]) for axis in attribute(base, "axes", range(len(before[0])))]
        if attribute(base, "keep_aspect_ratio_policy", "stretch") != "stretch":
            raise BuildError(f"{described(base)} keeps the proportions by itself", ONE_SIZE)
        scales = [_ratio([(one[axis], two[axis]) for one, two in zip(before, after, strict=True)]) for axis in axes]
        given = (*node.inputs, None, None)[:2]
        if all(scale is not None for scale in scales):
            numbers = np.array([float(scale or 0) for scale in scales], np.float32)
            constant = Patch(self._model, node, "open").constant(numbers, np.float32)
            _set_inputs(node, [*given, constant])
            return
        entries = [self._side(node, base, axis, before, after) for axis in axes]
        _set_inputs(node, [*given, None, self._vector(node, entries, np.dtype(np.int64))])

    def _side(self, node: ir.Node, base: ir.Node, axis: int, before: Shapes, after: Shapes) -> Entry:
        column = [shape[axis] for shape in after]
        if column == [shape[axis] for shape in before]:
            return _Side(_first(node), axis)
        return column[0] if len(set(column)) == 1 else self._solved(base, axis, column)

    def _free_reshape(self, node: ir.Node, base: ir.Node) -> None:
        """Sides that stay are copied, one is left to be counted, and the others follow from another value's shape."""
        before, after = self._shapes(base)
        axis, goal = self._batch_of(base.inputs[0]), self._batch_of(base.outputs[0])
        entries: list[Entry] = [0] * len(after[0])
        open_sides = []
        for place in range(len(after[0])):
            column = [shape[place] for shape in after]
            is_copy = place < len(before[0]) and column == [shape[place] for shape in before]
            if place in (goal, axis):
                is_copy &= axis == goal
            is_fixed = len(set(column)) == 1 and place != goal
            if is_fixed:
                entries[place] = column[0]
            elif not is_copy:
                open_sides.append(place)
        self._fill(base, entries, open_sides, after, goal)
        node.attributes.pop("allowzero", None)  # 0 copies a side from here on
        _set_inputs(node, [node.inputs[0], self._vector(node, entries, np.dtype(np.int64))])

    def _fill(
        self, base: ir.Node, entries: list[Entry], open_sides: list[int], after: Shapes, goal: int | None
    ) -> None:
        """Of the sides that are neither fixed nor copied, the last that no shape says is counted."""
        counted = goal if goal in open_sides else None
        for place in open_sides:
            found = None
            if place != counted and (len(open_sides) > 1 or counted is not None):
                found = self._found(base, place, [shape[place] for shape in after])
            if found is not None:
                entries[place] = found
            elif counted in (None, place):
                counted, entries[place] = place, -1
            else:
                raise self._unsolved(base, [shape[place] for shape in after])

    def _free_expand(self, node: ir.Node, base: ir.Node, numbers: list[NDArray[Any]]) -> None:
        """1 leaves a side as it is."""
        before, _ = self._shapes(base)
        entries: list[Entry] = []
        for place, column in enumerate(zip(*(one.tolist() for one in numbers), strict=True)):
            own = place - len(numbers[0]) + len(before[0])
            if own >= 0 and list(column) == [shape[own] for shape in before]:
                entries.append(1)
            else:
                entries.append(column[0] if len(set(column)) == 1 else self._solved(base, place, column))
        _set_inputs(node, [node.inputs[0], self._vector(node, entries, numbers[0].dtype)])

    def _free_list(self, node: ir.Node, base: ir.Node, index: int, numbers: list[NDArray[Any]]) -> None:
        columns = list(zip(*(one.ravel().tolist() for one in numbers), strict=True))
        entries = [
            one[0] if len(set(one)) == 1 else self._solved(base, place, one) for place, one in enumerate(columns)
        ]
        inputs = list(node.inputs)
        inputs[index] = self._vector(node, entries, numbers[0].dtype)
        _set_inputs(node, inputs)

    def _shapes(self, base: ir.Node) -> tuple[Shapes, Shapes]:
        before = self._probes.input_shapes(str(base.name), 0)
        after = self._probes.output_shapes(str(base.name))
        if before is None or after is None:
            raise BuildError(f"the shapes around {described(base)} are not known", ONE_SIZE)
        return before, after

    def _batch_of(self, value: ir.Value | None) -> int | None:
        return None if value is None or self._batch_axes is None else self._batch_axes.get(str(value.name))

    def _solved(self, base: ir.Node, place: int, column: Sequence[int]) -> _Side:
        found = self._found(base, place, column)
        if found is None:
            raise self._unsolved(base, column)
        return found

    def _unsolved(self, base: ir.Node, column: Sequence[int]) -> BuildError:
        told = ", ".join(f"{one} at {size_words(size)}" for one, size in zip(column, self._probes.sizes, strict=True))
        return BuildError(f"{described(base)} has a side that no shape before it gives ({told})", ONE_SIZE)

    def _found(self, base: ir.Node, place: int, column: Sequence[int]) -> _Side | None:
        """The side of a value before the node that is this number at every size; of itself and the image, multiples."""
        for value, shapes in self._candidates(base):
            rank = len(shapes[0])
            for axis in sorted(range(rank), key=lambda axis: (axis != place, -axis)):
                if [shape[axis] for shape in shapes] == list(column) and axis != 0:
                    return _Side(value, axis)
        for value, shapes in self._own(base):
            for axis in range(1, len(shapes[0])):
                side = _related(value, axis, [shape[axis] for shape in shapes], column)
                if side is not None:
                    return side
        return None

    def _candidates(self, base: ir.Node) -> Iterator[tuple[ir.Value, Shapes]]:
        """A sibling, which must have the same sides at any size; the node's inputs, the image; then what is before."""
        for value in _siblings(base):
            yield from self._known(base, value)
        yield from self._own(base)
        for one in reversed(self._base[: self._base.index(base)]):
            for output in one.outputs:
                yield from self._known(base, output)

    def _own(self, base: ir.Node) -> Iterator[tuple[ir.Value, Shapes]]:
        for value in (*base.inputs, *self._probes.models[0].graph.inputs):
            yield from self._known(base, value)

    def _known(self, base: ir.Node, value: ir.Value | None) -> Iterator[tuple[ir.Value, Shapes]]:
        """The value in the graph that is opened, and its shapes at every size, if it comes before the node."""
        if value is None or constant_of(value) is not None:
            return
        producer = value.producer()
        if producer is None:
            sides = _image_shapes(self._probes)
            if value is self._probes.models[0].graph.inputs[0]:
                yield self._model.graph.inputs[0], sides
            return
        name, index = str(producer.name), value.index() or 0
        shapes = self._probes.output_shapes(name, index)
        if shapes and shapes[0] and self._places.get(name, len(self._places)) < self._places[str(base.name)]:
            yield self._nodes[name].outputs[index], shapes

    def _vector(self, node: ir.Node, entries: Sequence[Entry], dtype: np.dtype[Any]) -> ir.Value:
        """A list of numbers in front of a node: a constant, or what shapes at run time say."""
        patch = Patch(self._model, node, "open")
        fixed = [one for one in entries if isinstance(one, int)]
        if len(fixed) == len(entries):
            return patch.constant(fixed, dtype)
        parts = [_number(patch, one) for one in entries]
        vector = parts[0] if len(parts) == 1 else patch.op("Concat", parts, {"axis": 0})
        return vector if dtype == np.int64 else patch.op("Cast", [vector], {"to": 6})  # ONNX's number of int32


def _number(patch: Patch, entry: Entry) -> ir.Value:
    if isinstance(entry, int):
        return patch.constant([entry], np.int64)
    number = patch.op("Gather", [patch.op("Shape", [entry.value]), patch.constant([entry.axis], np.int64)], {"axis": 0})
    for op, operand, nothing in (("Mul", entry.times, 1), ("Div", entry.over, 1), ("Add", entry.plus, 0)):
        if operand != nothing:
            number = patch.op(op, [number, patch.constant([operand], np.int64)])
    return number


def _related(value: ir.Value, axis: int, sides: Sequence[int], column: Sequence[int]) -> _Side | None:
    """The one number as a multiple, a part, or a fixed distance of the other."""
    if not sides[0] or not column[0] or len(set(sides)) == 1:
        return None
    ratio = Fraction(column[0], sides[0])
    if all(Fraction(one, side) == ratio for one, side in zip(column, sides, strict=True) if side):
        return _Side(value, axis, times=ratio.numerator, over=ratio.denominator)
    distances = {one - side for one, side in zip(column, sides, strict=True)}
    if len(distances) == 1 and len(set(sides)) >= OFFSET_SIZES:
        return _Side(value, axis, plus=distances.pop())
    return None


def _ratio(sides: Sequence[tuple[int, int]]) -> Fraction | None:
    """What enlarges the first of each pair to the second, where one float32 does so for all."""
    ratios = {Fraction(after, before) for before, after in sides}
    ratio = ratios.pop()
    return ratio if not ratios and Fraction(float(np.float32(float(ratio)))) == ratio else None


def _siblings(base: ir.Node) -> Iterator[ir.Value]:
    """What is joined with a node's result further on."""
    value = base.outputs[0]
    for _ in range(JOIN_DEPTH):
        uses = value.uses()
        if len(uses) != 1:
            return
        (use,) = uses
        others = [one for one in use.node.inputs if one is not value and one is not None and constant_of(one) is None]
        if is_op(use.node, "Concat", "Add", "Mul", "Sub", "Div", "Max", "Min", "Sum") and others:
            yield from others
            return
        value = use.node.outputs[0]


def _image_shapes(probes: SizeProbes) -> Shapes:
    shapes = [model.graph.inputs[0].shape for model in probes.models]
    return [tuple(side for side in shape if isinstance(side, int)) for shape in shapes if shape is not None]


def _first(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    if value is None:
        raise BuildError(f"{described(node)} lacks its input", "export the net again")
    return value


def _set_inputs(node: ir.Node, inputs: Sequence[ir.Value | None]) -> None:
    node.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)


def _words(numbers: NDArray[Any]) -> str:
    few = numbers.ravel()[:8].tolist()
    return str(few) if numbers.size <= 8 else f"{numbers.dtype} numbers of shape {numbers.shape}"
