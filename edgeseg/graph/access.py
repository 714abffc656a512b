"""Own the small questions that are asked of an ONNX graph: shapes, constants, attributes, places. Change nothing."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.packages import require

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = [
    "attribute",
    "constant_of",
    "described",
    "infer_shapes",
    "input_words",
    "module_path",
    "modules_of",
    "shape_of",
]

#: where torch's exporter notes the modules around a node, outermost first, the operator last
NAME_SCOPES = "pkg.torch.onnx.name_scopes"
CLASS_HIERARCHY = "pkg.torch.onnx.class_hierarchy"


def shape_of(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape of a value where every dimension is known, else None."""
    if value is None or value.shape is None:
        return None
    sides = [side for side in value.shape if isinstance(side, int)]
    return tuple(sides) if len(sides) == len(value.shape) else None


def constant_of(value: ir.Value | None) -> NDArray[Any] | None:
    """The numbers of an initializer or a Constant node, else None; a view, not to be written."""
    if value is None:
        return None
    tensor = require("onnx_ir").convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """The value of an attribute, in Python's types (text, numbers, tuples), or ``default``."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def infer_shapes(model: ir.Model) -> None:
    """Fill in the shapes and dtypes of all values that the inputs determine; in place.

    Not strict: a node that defies inference hides no other's shape.
    """
    require("onnx_ir.passes.common").ShapeInferencePass(strict_mode=False)(model)


def module_path(node: ir.Node) -> str:
    """Where torch's exporter says that a node came from, as ``decoder.up (Upsample)``; empty if it does not say."""
    return ("", *modules_of(node))[-1]


def modules_of(node: ir.Node) -> tuple[str, ...]:
    """All modules around a node, the net first and the innermost last, each as in ``module_path``."""
    try:
        scopes = ast.literal_eval(node.metadata_props[NAME_SCOPES])
        classes = ast.literal_eval(node.metadata_props[CLASS_HIERARCHY])
    except (KeyError, SyntaxError, ValueError):
        return ()
    if len(scopes) < 2 or len(classes) != len(scopes):
        return ()
    kinds = [str(one).rpartition(".")[2] for one in classes[:-1]]
    return tuple(f"{scope} ({kind})" if scope else kind for scope, kind in zip(scopes[:-1], kinds, strict=True))


def described(node: ir.Node) -> str:
    """How a message names a node: ``Resize 'node_up' in decoder.up (Upsample)``."""
    path = module_path(node)
    return f"{node.op_type} '{node.name}'" + (f" in {path}" if path else "")


def input_words(node: ir.Node) -> str:
    """What a node takes, in a message: ``1x3x32x64, 16x3x3x3``; a question mark for what is not known."""
    shapes = [value.shape for value in node.inputs if value is not None]
    return ", ".join("?" if shape is None else "x".join(map(str, shape)) or "a number" for shape in shapes) or "nothing"
