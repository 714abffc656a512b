"""Own the classes of TensorRT's bindings as Python source for mypy, made of their docstrings. Import no bindings.

``stub_of(dump, names)`` stands in the place of ``edgeseg/trt_types.py``. What pybind writes and Python cannot say
becomes ``Any``; what only a value of this release could be has no place: a class that is missing is ``Any`` under its
name, since no object of it exists, and the module has no attribute of that name.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["PREAMBLE", "split_arguments", "stub_of"]

PREAMBLE = '''\
"""Made of the docstrings of TensorRT's bindings."""
# mypy: ignore-errors
from __future__ import annotations
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, Never, TypeAlias, overload
from typing_extensions import Buffer
'''
#: of a parameter; pybind says SupportsInt and takes no float
PARAMETERS = {
    "list": "Sequence",
    "List": "Sequence",
    "Dims": "(Dims | Sequence[int])",
    "typing.SupportsInt": "int",
    "typing.SupportsFloat": "float",
}
TYPES = {
    "int": "int",
    "typing.SupportsInt": "int",
    "float": "float",
    "str": "str",
    "bytes": "bytes",
    "bool": "bool",
    "object": "object",
    "None": "None",
    "slice": "slice",
    "memoryview": "memoryview",
    "list": "list",
    "tuple": "tuple",
    "dict": "dict",
    "List": "list",
    "Tuple": "tuple",
    "Dict": "dict",
    "Iterable": "Iterable",
    "Iterator": "Iterator",
    "collections.abc.Iterable": "Iterable",
    "collections.abc.Iterator": "Iterator",
    "collections.abc.Sequence": "Sequence",
    "buffer": "Buffer",
    "typing_extensions.Buffer": "Buffer",
}
#: no Python before 3.12 shows which classes have the buffer protocol; TensorRT's documentation says it of this one
BUFFERS = ("IHostMemory",)
#: what Python itself does with an object of ours
PROTOCOLS = ("__init__", "__getitem__", "__setitem__", "__len__", "__iter__", "__bool__", "__int__", "__index__")
NAME = re.compile(r"[A-Za-z_][\w.]*(?:::\w+)*")


def stub_of(dump: dict[str, Any], names: Iterable[str]) -> str:
    """The source of a module that has the classes of a dump, ``TrtModule``, and ``names`` where they are no classes."""
    classes = dict(_flat(dump["classes"]))
    maker = _Maker(classes)
    parts = [PREAMBLE, *(maker.class_of(name) for name in _bases_first(classes))]
    parts += [f"{name}: TypeAlias = Any" for name in names if name not in classes and name != "TrtModule"]
    parts += [f"_{name} = {name}" for name in dump["classes"]]
    parts.append(maker.module_of(dump))
    return "\n".join(parts) + "\n"


def _flat(classes: dict[str, Any], outer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Inner classes too, as ``Outer_Inner``."""
    for name, found in classes.items():
        yield outer + name, found
        yield from _flat(found["classes"], f"{outer}{name}_")


def _bases_first(classes: dict[str, Any]) -> list[str]:
    ordered: list[str] = []

    def add(name: str) -> None:
        for base in classes[name]["bases"]:
            add(base.replace(".", "_"))
        if name not in ordered:
            ordered.append(name)

    for name in classes:
        add(name)
    return ordered


class _Maker:
    """Writes classes; knows which names are classes of the same dump."""

    def __init__(self, classes: dict[str, Any]) -> None:
        self._classes = classes

    def class_of(self, name: str) -> str:
        found = self._classes[name]
        lines = [f"class {name}({', '.join(base.replace('.', '_') for base in found['bases'])}):"]
        for inner in found["classes"]:
            lines.append(f"    {inner} = {name}_{inner}")
        for member, picture in found["members"].items():
            lines += ["    " + line for line in self._member(name, member, picture)]
        if name in BUFFERS:
            lines.append("    def __buffer__(self, flags: int, /) -> memoryview: ...")
        lines += self._iteration(found["members"])
        return "\n".join([*lines, "    ...", ""])

    def module_of(self, dump: dict[str, Any]) -> str:
        """The module object itself: what it holds are class attributes, the classes under their own names."""
        lines = ["class TrtModule:", "    __version__: str", "    __name__: str"]
        lines += [f"    {name} = _{name}" for name in dump["classes"]]
        for name, text in dump["functions"].items():
            lines += ["    " + line for line in self._functions(name, text, static=True)]
        for name, kind in dump["values"].items():  # last, since one of them is named bool
            if kind in dump["classes"]:
                lines.append(f"    {name}: _{kind}")
        return "\n".join(lines)

    def _member(self, owner: str, name: str, picture: dict[str, Any]) -> list[str]:
        kind = picture["kind"]
        if name.startswith("__") and name not in (*PROTOCOLS, "__members__"):
            return []
        if name == "__members__":
            return [f"__members__: ClassVar[dict[str, {owner}]]"]
        if kind == "none":  # of a class that Python code cannot make
            return ["def __init__(self, _: Never) -> None: ..."] if name == "__init__" else []
        if kind == "value":
            return [f"{name}: ClassVar[{self._type(picture['type'].replace('.', '_'))}]"]
        if kind == "static_property":
            return [f"{name}: ClassVar[{self._returned(picture['getter'])}]"]
        if kind == "property":
            return self._property(name, picture)
        return self._functions(name, picture["doc"], static=kind == "static")

    def _property(self, name: str, picture: dict[str, Any]) -> list[str]:
        lines = ["@property", f"def {name}(self) -> {self._returned(picture['getter'])}: ..."]
        if picture["setter"] is not None:
            given = re.search(r"\(.*?, (?:arg1|\w+): (.*?)(?:, /)?\) ->", picture["setter"])
            value = self._type(given[1], is_parameter=True) if given else "Any"
            lines += [f"@{name}.setter", f"def {name}(self, value: {value}) -> None: ..."]
        return lines

    def _returned(self, doc: str | None) -> str:
        found = re.search(r"^\w*\(.*\) -> (.*)$", doc or "", re.MULTILINE)
        return self._type(found[1]) if found else "Any"

    def _functions(self, name: str, doc: str, *, static: bool) -> list[str]:
        """Every overload that pybind wrote into ``doc``; of Python's own functions it says nothing."""
        pattern = rf"^(?:\d+\. )?{re.escape(name)}\((.*)\)(?: -> (.*))?$"
        found = [one for one in re.findall(pattern, doc, re.MULTILINE) if one[0] != "*args, **kwargs"]
        first = [] if static else ["self"]
        if not found:
            return [*(["@staticmethod"] if static else []), _def(name, [*first, "*args: Any", "**kwargs: Any"], "Any")]
        lines = []
        for arguments, returned in found:
            lines += ["@overload"] * (len(found) > 1) + ["@staticmethod"] * static
            parameters = self._parameters(split_arguments(arguments)[0 if static else 1 :])
            result = "None" if name == "__init__" else self._type(returned or "None")
            lines.append(_def(name, [*first, *parameters], result))
        return lines

    def _parameters(self, parts: list[str]) -> list[str]:
        """Arguments without a name of their own (arg0, arg1, ...) cannot be given by name."""
        parameters = []
        for index, part in enumerate(part for part in parts if part):
            name, _, rest = part.partition(":")
            if not rest or not name.strip().isidentifier():
                parameters.append(part.strip() if part.strip() in ("*", "/") else f"_{index}: Any")
                continue
            kind, is_optional, _ = (text.strip() for text in rest.partition("="))
            is_nullable = is_optional and part.rstrip().endswith("= None")
            text = self._type(kind, is_parameter=True) + (" | None" if is_nullable else "")
            own = f"{name.strip()}_" if keyword.iskeyword(name.strip()) else name.strip()
            parameters.append(f"{own}: {text}" + (" = ..." if is_optional else ""))
        last = max((i for i, one in enumerate(parameters) if not one.endswith("= ...")), default=-1)
        # C++ takes a value that is needed after one that is not; Python's source does not
        parameters = [one.removesuffix(" = ...") if i < last else one for i, one in enumerate(parameters)]
        if parameters and "/" not in parameters and all(re.match(r"arg\d+:", one) for one in parameters):
            parameters.append("/")
        return parameters

    def _type(self, text: str, *, is_parameter: bool = False) -> str:
        """A type in pybind's words; of C++ names the last part, if it is a class of ours."""

        def word(match: re.Match[str]) -> str:
            name = match[0]
            if is_parameter and name.rpartition(".")[2] == "Dims":
                return PARAMETERS["Dims"]
            if is_parameter and name in PARAMETERS:
                return PARAMETERS[name]
            own = re.sub(r"^tensorrt\w*\.tensorrt\w*\.|^\w+::(?:\w+::)*", "", name).replace(".", "_")
            for known in (own, own.removeprefix("I")):  # C++'s IBuilder is Python's Builder
                if known in self._classes:
                    return known
            return TYPES.get(name, "Any")

        written = NAME.sub(word, text.strip())
        written = re.sub(r"\bAny\[[^\]]*\]+", "Any", written)
        try:
            compile(written, "type", "eval")
        except SyntaxError:
            return "Any"
        return written

    def _iteration(self, members: dict[str, Any]) -> list[str]:
        """Python iterates over what has ``__getitem__`` of a number; mypy wants ``__iter__``."""
        if "__iter__" in members or not {"__getitem__", "__len__"} <= set(members):
            return []
        number = r"__getitem__\(.*arg0: (?:int|typing\.SupportsInt)(?:, /)?\) -> (.*)$"
        found = re.search(number, members["__getitem__"]["doc"], re.MULTILINE)
        return [f"    def __iter__(self) -> Iterator[{self._type(found[1])}]: ..."] if found else []


def _def(name: str, parameters: list[str], returned: str) -> str:
    return f"def {name}({', '.join(parameters)}) -> {returned}: ..."


def split_arguments(signature: str) -> list[str]:
    """Split at the commas outside all brackets."""
    parts, depth = [""], 0
    for letter in signature:
        depth += (letter in "[(<{") - (letter in "])>}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
