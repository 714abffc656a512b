"""What edgeseg asks of PyCUDA, and what stands in for it in tests, is in the real one and is called as that says."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from device_lab import STANDIN

ROOT = Path(__file__).parents[2]
SURFACE = Path(__file__).with_name("pycuda_surface.py")
RUNTIME = ROOT / "edgeseg" / "runtime"
#: whose attributes are PyCUDA's driver module, or one of its objects
DRIVER, OBJECTS = {"driver"}, {"raw", "_raw", "raw_stream", "_context"}
#: of the array that is page-locked memory, and of what cuda-bindings made
OF_OTHERS = {"__array_interface__", "base", "thing"}
SYMBOL_STARTS = ("cu",)

Surface = dict[str, Any]


class Use(NamedTuple):
    """An attribute that our code takes, and how it calls it; no call: both are None."""

    place: str
    is_of_driver: bool
    name: str
    positional: int | None
    keywords: tuple[str, ...]


def stub_of_the_driver(extension: Path, folder: Path) -> Path:
    """A library with the names that PyCUDA's extension lacks where no driver is; every call of it would fail."""
    programs = [shutil.which(name) for name in ("nm", "cc")]
    if None in programs:
        pytest.skip("no driver, and no nm or cc to make a stub of it")
    told = subprocess.run(
        [programs[0], "-D", "--undefined-only", extension], capture_output=True, text=True, check=True
    )
    names = [words[-1] for line in told.stdout.splitlines() if (words := line.split())[-1].startswith(SYMBOL_STARTS)]
    source, library = folder / "stub.c", folder / "libcuda.so.1"
    source.write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in names))
    subprocess.run([programs[1], "-shared", "-fPIC", source, "-o", library], check=True)
    return library


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Surface:
    found = importlib.util.find_spec("pycuda")
    if found is None or found.origin is None or STANDIN in Path(found.origin).parents:
        pytest.skip("PyCUDA is not installed")
    environment = dict(os.environ)
    try:
        import ctypes

        ctypes.CDLL("libcuda.so.1")
    except OSError:
        extension = next(Path(found.origin).parent.glob("_driver*.so"))
        environment["LD_PRELOAD"] = str(stub_of_the_driver(extension, tmp_path_factory.mktemp("stub")))
    return dumped(environment)


@pytest.fixture(scope="module")
def standin(device_library: Path) -> Surface:
    return dumped(os.environ | {"PYTHONPATH": str(STANDIN), "STANDIN_LIBCUDA": str(device_library)})


def dumped(environment: dict[str, str]) -> Surface:
    done = subprocess.run([sys.executable, SURFACE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    surface: Surface = json.loads(done.stdout)
    return surface


def uses() -> Iterator[Use]:
    for path in sorted(RUNTIME.glob("*/*.py")):
        tree = ast.parse(path.read_text())
        called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and (owner := word_of(node.value)) in DRIVER | OBJECTS:
                call = called.get(id(node))
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                positional = None if call is None else len(call.args)
                keywords = () if call is None else tuple(one.arg for one in call.keywords if one.arg is not None)
                yield Use(place, owner in DRIVER, node.attr, positional, keywords)


def word_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def takes(calls: list[dict[str, Any]] | None, positional: int, keywords: tuple[str, ...]) -> bool:
    """Whether one overload takes such a call; what tells no signature takes any."""
    return calls is None or any(
        one["required"] <= positional + len(keywords) <= one["all"] and set(keywords) <= set(one["names"])
        for one in calls
    )


def of_name(surface: Surface, use: Use) -> list[list[dict[str, Any]] | None]:
    """All that a use may mean: a function or a class of the module; a method of some class of it."""
    if not use.is_of_driver:
        return [members[use.name] for members in surface["classes"].values() if use.name in members]
    functions = [surface["functions"][use.name]] if use.name in surface["functions"] else []
    return functions + [members.get("__init__") for name, members in surface["classes"].items() if name == use.name]


def test_all_that_the_runtime_uses_is_in_the_real_pycuda_and_takes_such_calls(real: Surface) -> None:
    found = [use for use in uses() if use.name not in OF_OTHERS]
    assert {"memcpy_htod_async", "Stream", "synchronize", "record"} <= {use.name for use in found}
    wrong = [
        use
        for use in found
        if not any(use.positional is None or takes(one, use.positional, use.keywords) for one in of_name(real, use))
    ]
    assert wrong == []


def test_what_stands_in_offers_nothing_that_the_real_pycuda_lacks(real: Surface, standin: Surface) -> None:
    offered = {"": (standin["functions"], real["functions"])}
    offered |= {name: (members, real["classes"].get(name, {})) for name, members in standin["classes"].items()}
    lacking = [
        f"{owner}.{name}"
        for owner, (ours, theirs) in offered.items()
        for name, calls in ours.items()
        if not owner.startswith("_") and not (name.startswith("_") or (name in theirs and fits(calls, theirs[name])))
    ]
    assert lacking == []


def fits(ours: list[dict[str, Any]] | None, theirs: list[dict[str, Any]] | None) -> bool:
    """Whether the real one takes both the shortest and the longest call that ours takes."""
    return all(takes(theirs, count, ()) for one in ours or [] for count in (one["required"], one["all"]))
