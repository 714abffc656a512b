"""Own the picture of a module of TensorRT's as JSON: classes, members, kinds, docstrings. Know no release.

    python scripts/trt_dump.py MODULE

It runs in a process of its own, beside the bindings that it is for; see trt_releases.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

# pybind makes a function of C++ an instancemethod of its own, a method of Python source is a function
METHODS = ("instancemethod", "function")


def main() -> None:
    """Print the picture of the module that is named."""
    module = importlib.import_module(sys.argv[1])
    names = [name for name in vars(module) if not name.startswith("_")]
    picture = {
        "version": str(module.__version__),
        "classes": {name: picture_of(kind) for name in names if isinstance(kind := getattr(module, name), type)},
        "functions": {name: kind.__doc__ or "" for name in names if callable(kind := getattr(module, name))},
        "values": {name: type(getattr(module, name)).__name__ for name in names},
    }
    picture["functions"] = {name: doc for name, doc in picture["functions"].items() if name not in picture["classes"]}
    print(json.dumps(picture))


def picture_of(kind: type) -> dict[str, Any]:
    """A class: its bases, its own members, and the classes inside it."""
    members = {name: value for name, value in vars(kind).items() if not is_private(name)}
    return {
        "bases": [base.__qualname__ for base in kind.__bases__ if base.__module__ == kind.__module__],
        "members": {name: member_of(value) for name, value in members.items() if not isinstance(value, type)},
        "classes": {name: picture_of(value) for name, value in members.items() if isinstance(value, type)},
    }


def is_private(name: str) -> bool:
    """Whether a name is Python's or pybind's own."""
    return name in ("__doc__", "__module__", "__qualname__", "__dict__", "__weakref__") or "pybind11" in name


def member_of(value: Any) -> dict[str, Any]:
    """A member: its kind, docstring, and of a property what its getter and its setter say."""
    if isinstance(value, property):
        kind = "static_property" if "static" in type(value).__name__ else "property"
        return {"kind": kind, "getter": doc(value.fget), "setter": doc(value.fset)}
    if isinstance(value, staticmethod):
        return {"kind": "static", "doc": doc(value.__func__)}
    if type(value).__name__ in METHODS:
        return {"kind": "method", "doc": doc(value)}
    if value is None or type(value).__name__ in ("wrapper_descriptor", "builtin_function_or_method"):
        return {"kind": "none"}  # no constructor, or a hash that there is not
    return {"kind": "value", "type": type(value).__qualname__}


def doc(function: Any) -> str | None:
    """A function's docstring; None of no function."""
    return None if function is None else (function.__doc__ or "")


if __name__ == "__main__":
    main()
