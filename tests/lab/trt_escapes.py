"""Own where our source could hide an object of TensorRT's from mypy: Any, casts, names made at run time. Judge none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place", "anys", "asked_names", "casts", "dynamic_names", "ignores", "named_members"]

#: arrays of any element type are no objects of TensorRT's
ARRAYS = ("NDArray", "Array")
ASKING = ("getattr", "hasattr", "setattr")


@dataclass(frozen=True, order=True)
class Place:
    """Something in a source: its file, the function or class around it, and what it is."""

    file: str
    scope: str
    text: str


def anys(path: Path) -> Iterator[Place]:
    """Annotations with ``Any`` in them, by the name that is annotated; a result's is ``return``."""
    for scope, node in _scoped(path):
        for name, annotation in _annotations(node):
            if annotation is not None and _has_any(annotation):
                yield Place(path.name, scope, name)


def casts(path: Path) -> Iterator[Place]:
    """Calls of ``cast``."""
    for scope, node in _scoped(path):
        if isinstance(node, ast.Call) and _called(node) == "cast":
            yield Place(path.name, scope, ast.unparse(node.args[0]))


def ignores(path: Path) -> Iterator[Place]:
    """Lines that mypy is told to pass over."""
    for line in path.read_text().splitlines():
        code, mark, _ = line.partition("# type: ignore")
        if mark:
            yield Place(path.name, "", code.strip())


def dynamic_names(path: Path) -> Iterator[Place]:
    """Attributes whose names only a run tells, by the expression that has them."""
    for scope, node in _scoped(path):
        if isinstance(node, ast.Call) and _called(node) in ASKING and _text(node.args[1]) is None:
            yield Place(path.name, scope, ast.unparse(node.args[0]))


def asked_names(path: Path) -> Iterator[Place]:
    """Attributes that are asked for by a written name: mypy takes whatever it is."""
    for scope, node in _scoped(path):
        if isinstance(node, ast.Call) and _called(node) in ASKING and (name := _text(node.args[1])) is not None:
            yield Place(path.name, scope, name)


def named_members(path: Path) -> set[str]:
    """The names of all attributes that a source uses."""
    return {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}


def _scoped(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Every node with the dotted names of the definitions around it."""

    def walk(node: ast.AST, scope: str) -> Iterator[tuple[str, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            is_definition = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            inner = f"{scope}.{child.name}".lstrip(".") if is_definition else scope
            yield inner, child
            yield from walk(child, inner)

    yield from walk(ast.parse(path.read_text()), "")


def _annotations(node: ast.AST) -> list[tuple[str, ast.expr | None]]:
    if isinstance(node, ast.arg):
        return [(node.arg, node.annotation)]
    if isinstance(node, ast.AnnAssign):
        return [(ast.unparse(node.target), node.annotation)]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [("return", node.returns)]
    return []


def _has_any(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) in ARRAYS:
        return False
    if isinstance(annotation, ast.Name):
        return annotation.id == "Any"
    return any(_has_any(child) for child in ast.iter_child_nodes(annotation) if isinstance(child, ast.expr))


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
