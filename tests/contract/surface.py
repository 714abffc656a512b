"""Own the picture of a module's surface as JSON: members, parameters, setters, numbers of enumerations.

    python tests/contract/surface.py MODULE

It runs in a process of its own, for the real bindings and for what stands in for them.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from typing import Any


def main() -> None:
    """Print the picture of the module that is named."""
    module = importlib.import_module(sys.argv[1])
    kinds = {name: kind for name, kind in vars(module).items() if isinstance(kind, type) and not name.startswith("_")}
    if hasattr(module, "ILogger"):
        kinds["Severity"] = module.ILogger.Severity
    json.dump({name: picture_of(kind) for name, kind in kinds.items()}, sys.stdout)


def picture_of(kind: Any) -> dict[str, Any]:
    """The numbers of an enumeration, or the members of a class that has no others."""
    if hasattr(kind, "__members__"):
        return {"numbers": {name: int(member) for name, member in kind.__members__.items()}}
    names = [name for name in dir(kind) if not name.startswith("_") or name == "__init__"]
    return {"members": {name: member_of(inspect.getattr_static(kind, name), getattr(kind, name)) for name in names}}


def member_of(static: Any, value: Any) -> dict[str, Any]:
    """A property with or without a setter, a function's parameters or docstring, or a mere value."""
    if isinstance(static, property):
        return {"is_settable": static.fset is not None}
    if inspect.isfunction(value):
        parameters = list(inspect.signature(value).parameters.values())[1:]
        return {"parameters": [(one.name, one.default is not inspect.Parameter.empty) for one in parameters]}
    return {"doc": value.__doc__ or ""} if callable(value) else {}


if __name__ == "__main__":
    main()
