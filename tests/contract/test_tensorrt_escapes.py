"""Nothing of TensorRT's escapes mypy: no Any, no cast, no name that is made at run time and nowhere tried.

The exceptions are listed with their reasons, and a list that names more than there is fails too.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from trt_check import PACKAGE, modules_with_tensorrt
from trt_escapes import Place, anys, asked_names, casts, dynamic_names, ignores, named_members

pytestmark = pytest.mark.contract

CODEC = "msgspec hands paths through"
MADE = "the members of a class that is made of the module's ILogger"
DRIVER = "the CUDA driver's functions and what they take, by ctypes"
RUN = "tried with every option and every precision in test_tensorrt_options"
ANYS = {
    ("job.py", "_path"): CODEC,
    ("trt_api.py", "_make_logger.init"): MADE,
    ("trt_api.py", "_make_logger.log"): MADE,
    ("trt_api.py", "_call"): DRIVER,
}
CASTS = {("trt_api.py", "load_api"): "the one place where a module becomes TensorRT's"}
IGNORES = {("worker.py", ""): "the words of an error, which decoding checks"}
DYNAMIC = {
    ("configuring.py", "Configured.flag"): RUN,
    ("configuring.py", "Configured.attribute"): RUN,
    ("configuring.py", "_enum"): RUN,
    ("typing_fallback.py", "set_flags"): RUN,
    ("offers.py", "_has"): "the needs of an offer, see the test below",
    ("offers.py", "_is"): "our own options",
    ("offers.py", "_is_set"): "our own options",
    ("trt_api.py", "_call"): DRIVER,
}
# asked of other things than TensorRT's, or of Python itself
NOT_TENSORRTS = {"__members__", "__version__"}
# members of TensorRT's names that OpenVINO's arrays and GStreamer's caps have too
OTHERS = {"get_shape", "get_size"}


@pytest.mark.parametrize(
    ("kind", "allowed"), [(anys, ANYS), (casts, CASTS), (ignores, IGNORES), (dynamic_names, DYNAMIC)]
)
def test_what_mypy_does_not_see_is_listed_with_its_reason(
    kind: Callable[[Path], Iterator[Place]], allowed: Mapping[tuple[str, str], str]
) -> None:
    found = {(place.file, place.scope) for path in modules_with_tensorrt() for place in kind(path)}
    assert found == set(allowed)


def test_a_name_that_is_asked_for_is_one_of_a_release(pictures: dict[str, Any]) -> None:
    known = {name for picture in pictures.values() for name in names_of(picture)}
    asked = {place.text for path in modules_with_tensorrt() for place in asked_names(path)}
    assert asked - known - NOT_TENSORRTS == set()


def test_what_an_option_needs_is_in_one_release_at_least(pictures: dict[str, Any]) -> None:
    from edgeseg.builder.backends.tensorrt.offers import OFFERS

    known = {
        f"{kind}.{member}"
        for picture in pictures.values()
        for kind, one in picture["classes"].items()
        for member in one["members"]
    }
    assert {need for offer in OFFERS for need in offer.needs} - known == set()


def test_other_modules_name_no_member_of_tensorrts(pictures: dict[str, Any]) -> None:
    known = {name for picture in pictures.values() for name in names_of(picture)}
    words = {name for name in known if "_" in name.strip("_") and not name.startswith("_")}
    checked = modules_with_tensorrt()
    own = {name for path in PACKAGE.rglob("*.py") for name in defined(path)}
    others = {name for path in PACKAGE.rglob("*.py") if path not in checked for name in named_members(path)}
    assert others & words - own == OTHERS


def test_every_way_past_mypy_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "hidden.py"
    path.write_text(
        "class Engine:\n"
        "    kept: dict[str, Any]\n"
        "    rows: NDArray[Any]\n"
        "    def run(self, engine: Any, name: str) -> 'list[int]':\n"
        "        found = cast(Any, engine)  # type: ignore[misc]\n"
        "        return getattr(found, name), hasattr(found, 'written'), setattr(found, name, 1)\n"
    )
    assert set(anys(path)) == {Place("hidden.py", "Engine", "kept"), Place("hidden.py", "Engine.run", "engine")}
    assert list(casts(path)) == [Place("hidden.py", "Engine.run", "Any")]
    assert list(ignores(path)) == [Place("hidden.py", "", "found = cast(Any, engine)")]
    assert list(dynamic_names(path)) == [Place("hidden.py", "Engine.run", "found")] * 2
    assert list(asked_names(path)) == [Place("hidden.py", "Engine.run", "written")]


def names_of(picture: dict[str, Any]) -> Iterable[str]:
    """The names of all classes and members of a release, inner ones too."""
    for name, kind in picture["classes"].items():
        yield name
        yield from kind["members"]
        yield from names_of(kind)


def defined(path: Path) -> set[str]:
    """What a source of ours defines: functions, classes, arguments and fields of these names are ours."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    found = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    found |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return found | {ast.unparse(node.target) for node in nodes if isinstance(node, ast.AnnAssign)}
