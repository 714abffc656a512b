"""What we ask of cuda-bindings is in the real package, and the lab's stand-in has nothing that is not."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from enum import EnumMeta
from pathlib import Path
from typing import Any

import pytest
from cuda.bindings import driver
from graph_lab import WORDS, LabBindings

FOLDER = Path(__file__).parents[3] / "edgeseg" / "runtime" / "cuda"
#: what a name of the package is taken from in our modules
BASES = ("api", "self._api", "holder.bindings", "self.holder.bindings")


def parameters_of(name: str) -> list[str]:
    """Of a function of the real package, which tells them in its docstring's first line only."""
    line = (getattr(driver, name).__doc__ or "").splitlines()[0]
    assert line.startswith(f"{name}(") and line.endswith(")"), line
    return [word.split(":")[0].split()[-1] for word in line[len(name) + 1 : -1].split(",") if word.strip()]


def used_functions() -> Iterator[tuple[str, int]]:
    """Each function that is called in our modules, with how many arguments."""
    for node in _nodes():
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called == "call" and isinstance(node.args[1], ast.Constant):
            yield str(node.args[1].value), len(node.args) - 2
        elif _base_of(called) and _base_of(called)[1].startswith("cu"):
            yield _base_of(called)[1], len(node.args)
        elif called == "Owned":  # which calls its destructor with one
            yield _base_of(ast.unparse(node.args[1]))[1], 1


def used_names() -> set[str]:
    """Each dotted name that our modules take from the package."""
    dotted = {_base_of(ast.unparse(node))[1] for node in _nodes() if isinstance(node, ast.Attribute)}
    return {name.removesuffix(".value") for name in dotted if name}


def _nodes() -> Iterator[ast.AST]:
    for path in sorted(FOLDER.glob("*.py")):
        yield from ast.walk(ast.parse(path.read_text()))


def _base_of(dotted: str) -> tuple[str, str]:
    found = [base for base in BASES if dotted.startswith(f"{base}.")]
    return (found[0], dotted.removeprefix(f"{found[0]}.")) if found else ("", "")


def value_of(holder: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        holder = getattr(holder, name)
    return holder


FUNCTIONS = sorted(set(used_functions()))


def test_the_uses_are_found() -> None:
    """Or all that follows would hold of nothing."""
    assert {"cuGraphLaunch", "cuStreamEndCapture", "cuEventDestroy", "cuGetErrorString"} <= {
        name for name, _ in FUNCTIONS
    }
    assert {"CUresult.CUDA_SUCCESS", "CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL", "CUstream"} <= used_names()


@pytest.mark.parametrize(("name", "count"), FUNCTIONS)
def test_a_function_that_we_call_takes_as_many_arguments(name: str, count: int) -> None:
    assert len(parameters_of(name)) == count


@pytest.mark.parametrize("name", sorted(used_names()))
def test_a_name_that_we_use_exists(name: str) -> None:
    assert value_of(driver, name) is not None


def test_the_values_that_we_hand_over_are_numbers() -> None:
    for name in ("CUevent_flags.CU_EVENT_DEFAULT", "CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL"):
        assert isinstance(value_of(driver, name).value, int)
    assert int(driver.CUstream(0x5EED)) == 0x5EED


@pytest.mark.parametrize("name", [name for name in dir(LabBindings) if not name.startswith("_")])
def test_the_stand_in_offers_nothing_that_the_package_has_not(name: str) -> None:
    ours, theirs = getattr(LabBindings, name), getattr(driver, name)
    if isinstance(ours, EnumMeta):
        assert {one.name: one.value for one in ours}.items() <= {
            known: member.value for known, member in theirs.__members__.items()
        }.items()
    elif inspect.isfunction(ours):
        assert list(inspect.signature(ours).parameters)[1:] == parameters_of(name)
    else:
        assert isinstance(ours, type) and isinstance(theirs, type)


def test_the_stand_in_has_words_for_every_result_but_success() -> None:
    assert set(WORDS) == set(LabBindings.CUresult) - {LabBindings.CUresult.CUDA_SUCCESS}
