"""The real bindings as they reach mypy: fetched whole, and their classes not lost on the way."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import Any

import pytest
from trt_releases import Release, fetched, is_whole
from trt_stubs import stub_of

import edgeseg.trt_types

pytestmark = pytest.mark.contract

# pybind has no words for them: a property that is only set, and a capsule
WORDLESS = {"Builder.gpu_allocator", "Runtime.gpu_allocator", "IExecutionContext.device_memory"}
# the lean runtime has not the classes of their results, and raises TypeError: our code asks for the class
LEAN_WORDLESS = {"ICudaEngine.create_engine_inspector", "ICudaEngine.get_tensor_format"}


@pytest.fixture
def folder(release: Release, tmp_path: Path) -> Path:
    """A copy of what was fetched of a release."""
    if release.requirement is None:
        pytest.skip("it is installed, not fetched")
    return shutil.copytree(fetched(release), tmp_path / "bindings")


def test_what_was_fetched_is_whole(release: Release, folder: Path) -> None:
    assert is_whole(folder, release)


def test_a_damaged_file_is_seen(release: Release, folder: Path) -> None:
    module = max(folder.rglob("*.so"), key=lambda path: path.stat().st_size)
    data = bytearray(module.read_bytes())
    data[len(data) // 2] ^= 1
    module.write_bytes(data)
    assert not is_whole(folder, release)


@pytest.mark.parametrize("pattern", ["*/*.so", "lib*.so.*", "*.dist-info/RECORD"])
def test_a_missing_file_is_seen(pattern: str, release: Release, folder: Path) -> None:
    next(folder.glob(pattern)).unlink()
    assert not is_whole(folder, release)


def test_the_classes_that_our_code_names_have_their_types(release: Release, picture: dict[str, Any]) -> None:
    tree = ast.parse(stub_of(picture, edgeseg.trt_types.__all__))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in edgeseg.trt_types.__all__]
    named = [one for one in classes if one.name != "TrtModule"]
    assert len(named) > 3
    classes_of_ours = {one.name for one in named}
    expected = {name for name in WORDLESS if name.partition(".")[0] in classes_of_ours}
    assert {name for one in named for name in wordless(one)} == expected | (set() if release.builds else LEAN_WORDLESS)


def wordless(kind: ast.ClassDef) -> list[str]:
    """The members that may be anything."""
    functions = [node for node in kind.body if isinstance(node, ast.FunctionDef)]
    fields = [node for node in kind.body if isinstance(node, ast.AnnAssign)]
    names = [one.name for one in functions if one.returns is not None and ast.unparse(one.returns) == "Any"]
    names += [ast.unparse(one.target) for one in fields if "Any" in ast.unparse(one.annotation)]
    return [f"{kind.name}.{name}" for name in names]


def test_every_name_of_ours_is_there_in_every_release(picture: dict[str, Any]) -> None:
    tree = ast.parse(stub_of(picture, edgeseg.trt_types.__all__))
    found = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    found |= {ast.unparse(node.target) for node in tree.body if isinstance(node, ast.AnnAssign)}
    assert set(edgeseg.trt_types.__all__) <= found
