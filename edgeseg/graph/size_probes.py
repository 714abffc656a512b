"""Own the comparison of one net prepared at several sizes: what of it a size is baked into. Rebuild nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import BuildError
from edgeseg.graph.access import constant_of, described, shape_of

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["ONE_SIZE", "SizeProbes", "Sized", "size_words"]

#: height, width
Sized = tuple[int, int]
ONE_SIZE = "build one engine a size, with --input-size"


def size_words(size_hw: Sized) -> str:
    """As messages write it: ``512x1024``."""
    return f"{size_hw[0]}x{size_hw[1]}"


class SizeProbes:
    """The same net prepared at several sizes, batch 1; a node has the same name in all.

    Args:
        models: by size; the first is the one that the net was prepared at.
    Raises:
        BuildError: the net takes another way at another size.
    """

    def __init__(self, models: Mapping[Sized, ir.Model]) -> None:
        self.sizes = tuple(models)
        self.models = tuple(models.values())
        self._nodes = [{str(node.name): node for node in model.graph} for model in self.models]
        first = _steps(self.models[0])
        for size, model in zip(self.sizes[1:], self.models[1:], strict=True):
            for one, other in zip(first, _steps(model), strict=False):
                if one[:2] != other[:2]:
                    raise self._other_way(one[2], size)
            if len(first) != len(model.graph):
                raise self._other_way(first[-1][2], size)

    def _other_way(self, node: ir.Node, size: Sized) -> BuildError:
        here, there = size_words(self.sizes[0]), size_words(size)
        return BuildError(f"from {described(node)} on the graph is another at {there} than at {here}", ONE_SIZE)

    def has(self, name: str) -> bool:
        """Whether there is a node of that name."""
        return name in self._nodes[0]

    def nodes(self, name: str) -> list[ir.Node]:
        """The node of that name at every size."""
        return [nodes[name] for nodes in self._nodes]

    def input_shapes(self, name: str, index: int) -> list[tuple[int, ...]] | None:
        """Of a node's input at every size; None where one is not known."""
        return _known([node.inputs[index] for node in self.nodes(name)])

    def output_shapes(self, name: str, index: int = 0) -> list[tuple[int, ...]] | None:
        """Of a node's output at every size; None where one is not known."""
        return _known([node.outputs[index] for node in self.nodes(name)])

    def baked(self) -> Iterator[tuple[str, int, list[NDArray[Any]]]]:
        """Nodes, inputs and the constants there that differ from size to size, in the order of the graph.

        Raises:
            BuildError: an attribute, or whether an input is a constant, depends on the size.
        """
        for node in self.models[0].graph:
            name = str(node.name)
            self._check_attributes(name)
            for index in range(len(node.inputs)):
                found = [constant_of(one.inputs[index]) for one in self.nodes(name)]
                numbers = [one for one in found if one is not None]
                if len(numbers) not in (0, len(found)):
                    raise BuildError(f"input {index} of {described(node)} is a constant at some sizes only", ONE_SIZE)
                if any(not _is_same(numbers[0], one) for one in numbers[1:]):
                    yield name, index, numbers

    def _check_attributes(self, name: str) -> None:
        first, *others = ({key: str(value) for key, value in one.attributes.items()} for one in self.nodes(name))
        for size, other in zip(self.sizes[1:], others, strict=True):
            differing = [key for key in first if other.get(key) != first[key]]
            if differing:
                raise BuildError(
                    f"{described(self.nodes(name)[0])} has its {differing[0]} for {size_words(self.sizes[0])}, "
                    f"at {size_words(size)} it is another",
                    ONE_SIZE,
                )


def _steps(model: ir.Model) -> list[tuple[str, str, ir.Node]]:
    return [(str(node.name), node.op_type, node) for node in model.graph]


def _known(values: list[ir.Value | None]) -> list[tuple[int, ...]] | None:
    shapes = [shape for shape in map(shape_of, values) if shape is not None]
    return shapes if len(shapes) == len(values) else None


def _is_same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one is other or (one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
