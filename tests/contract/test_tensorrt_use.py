"""Our code against the real Python bindings of TensorRT 10.3, 10.13, 11.4, its lean runtime and TensorRT-RTX.

Nothing is listed: mypy checks every module of ours that imports TensorRT's names or the way to its packages, with the
real classes of a release in the place of ``edgeseg.trt_types``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from trt_check import PACKAGE, Finding, check, modules_with_tensorrt
from trt_releases import RELEASES, ROOT, Release

pytest.importorskip("mypy")
pytestmark = pytest.mark.contract

MISUSE = Path(__file__).with_name("misuse.py")


@pytest.fixture(scope="module")
def findings(release: Release) -> list[Finding]:
    """Of our code and the wrong uses, in one run; the lean runtime meets only what runs."""
    return check(release, [*modules_with_tensorrt(builds=release.builds), *([MISUSE] if release.builds else [])])


def marked(release: Release) -> set[int]:
    """The lines that are marked as wrong in a release."""
    version = "rtx" if release.name == "tensorrt-rtx" else release.version
    names = {"all", *(one for one in MARKS if version == one or version.startswith(f"{one}."))}
    places = {number: found[1] for number, line in LINES if (found := re.search(r"# wrong in (.*)$", line))}
    return {number for number, text in places.items() if names & set(text.split())}


LINES = list(enumerate(MISUSE.read_text().splitlines(), start=1))
MARKS = {word for _, line in LINES if "# wrong in " in line for word in line.partition("# wrong in ")[2].split()}


def inside(folder: Path, findings: Iterable[Finding]) -> list[Finding]:
    return [one for one in findings if (ROOT / one.path).is_relative_to(folder)]


def test_our_code_uses_nothing_that_a_release_has_not(findings: list[Finding]) -> None:
    assert inside(PACKAGE, findings) == []


def test_every_wrong_use_is_found_in_its_line_and_no_right_one(release: Release, findings: list[Finding]) -> None:
    if not release.builds:
        pytest.skip("the wrong uses are of classes that the lean runtime has not")
    assert {one.line for one in inside(MISUSE.parent, findings)} == marked(release)


def test_the_marks_name_releases() -> None:
    versions = {"rtx" if one.name == "tensorrt-rtx" else one.version for one in RELEASES if one.requirement} | {"rtx"}
    assert all(mark == "all" or any(f"{one}.".startswith(f"{mark}.") for one in versions) for mark in MARKS)


def test_the_modules_with_tensorrt_are_those_that_load_build_and_run() -> None:
    names = {str(path.relative_to(PACKAGE)) for path in modules_with_tensorrt()}
    assert {"trt_api.py", "builder/backends/tensorrt/backend.py", "runtime/engines/tensorrt.py"} <= names
    assert all("builder" not in path.parts for path in modules_with_tensorrt(builds=False))
