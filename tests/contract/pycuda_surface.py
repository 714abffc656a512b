"""Own the picture of PyCUDA's driver module as JSON: how its functions, and its classes' methods, may be called.

    python tests/contract/pycuda_surface.py

Each is ``[required, all]`` counts of parameters beside self and the names of those that may be left out, one for each
overload; null where it is no function.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from typing import Any

Call = dict[str, Any]


def calls_of(thing: object, name: str, *, is_method: bool) -> list[Call] | None:
    """Boost writes signatures into the docstring, ``name( (int)a [, (object)b=None]) -> None :``."""
    if inspect.isfunction(thing):
        return [python_call(thing, is_method=is_method)]
    found = re.findall(rf"^{re.escape(name)}\((.*)\) -> ", getattr(thing, "__doc__", None) or "", re.MULTILINE)
    return [boost_call(one, is_method=is_method) for one in found] or None


def boost_call(signature: str, *, is_method: bool) -> Call:
    required, _, optional = signature.partition("[")
    names = re.findall(r"\([\w.]+\)(\w+)", required)
    free = re.findall(r"\([\w.]+\)(\w+)", optional)
    needed = len(names) - (is_method and bool(names))
    return {"required": needed, "all": needed + len(free), "names": free}


def python_call(function: Any, *, is_method: bool) -> Call:
    parameters = list(inspect.signature(function).parameters.values())[int(is_method) :]
    free = [one.name for one in parameters if one.default is not one.empty or one.kind is one.KEYWORD_ONLY]
    is_open = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    plain = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return {"required": len([one for one in plain if one.name not in free]), "all": 99 if is_open else len(plain),
            "names": free}  # fmt: skip


def picture(module: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"functions": {}, "classes": {}, "version": None}
    for name, thing in vars(module).items():
        if inspect.isclass(thing) and "pycuda" in thing.__module__:
            found["classes"][name] = members_of(thing)
        elif callable(thing) and not inspect.isclass(thing) and not name.startswith("_"):
            found["functions"][name] = calls_of(thing, name, is_method=False)
    return found


def members_of(kind: type) -> dict[str, Any]:
    members = {}
    for name in dir(kind):
        thing = inspect.getattr_static(kind, name)
        is_static = isinstance(thing, staticmethod)
        if name == "__init__" or not name.startswith("__"):
            members[name] = calls_of(thing.__func__ if is_static else thing, name, is_method=not is_static)
    return members


if __name__ == "__main__":
    import pycuda
    import pycuda.driver

    json.dump(picture(pycuda.driver) | {"version": pycuda.VERSION_TEXT, "file": pycuda.__file__}, sys.stdout)
