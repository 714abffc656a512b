"""What stands in for TensorRT in tests has nothing that the real bindings lack, and all that our code uses of them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trt_check
from device_lab import STANDIN
from trt_releases import Release, run_inside

pytestmark = pytest.mark.contract

SURFACE = Path(__file__).with_name("surface.py")
ENUM = ("name", "value", "itemsize")  # of a member of an enumeration
Surface = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def real(release: Release) -> Surface:
    if release.name == "tensorrt-rtx":
        pytest.skip("TensorRT-RTX is here itself")
    found: Surface = json.loads(run_inside(release, SURFACE, [release.module]))
    return found


@pytest.fixture(scope="module")
def standin(release: Release) -> Surface:
    module = release.name.replace("-", "_")
    version = release.version.partition(".post")[0]
    environment = os.environ | {"PYTHONPATH": str(STANDIN), "STANDIN_TENSORRT": version}
    command = [sys.executable, str(SURFACE), module]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: Surface = json.loads(done.stdout)
    return found


def parameters(doc: str, name: str) -> list[list[tuple[str, bool]]]:
    """The parameters after self, and whether they have a default, of every overload that pybind wrote into ``doc``."""
    lines = re.findall(rf"^(?:\d+\. )?{name}\((self: .*)\)(?: ->|$)", doc, re.MULTILINE)
    return [[(one[0], one[1] is not None) for one in words(line)[1:]] for line in lines]


def words(signature: str) -> list[tuple[str, str | None]]:
    """``name: type = default`` split at the commas outside brackets."""
    parts, depth = [""], 0
    for letter in signature:
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    pairs = [part.partition(" = ") for part in parts]
    return [(left.partition(":")[0].strip(), right or None) for left, _, right in pairs]


def misfit(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """What keeps a member of the stand-in from being called as the real one; empty where nothing does."""
    if "is_settable" in theirs:
        is_set_only_here = ours.get("is_settable", True) and not theirs["is_settable"]
        return "can be set" if is_set_only_here else "" if "is_settable" in ours else "is no property"
    if not ours.get("parameters") and "doc" not in theirs and "parameters" not in theirs:
        return ""
    overloads = parameters(theirs.get("doc", ""), name)
    found = [tuple(one) for one in ours.get("parameters", [])]
    return "" if not overloads or found in overloads else f"takes {found} where the real one takes {overloads}"


def test_the_standin_has_no_class_and_no_member_that_the_release_lacks(real: Surface, standin: Surface) -> None:
    lacking = [kind for kind in standin if kind not in real]
    for kind in set(standin) & set(real):
        for part in ("members", "numbers"):
            lacking += [
                f"{kind}.{name}" for name in standin[kind].get(part, {}) if name not in real[kind].get(part, {})
            ]
    assert sorted(lacking) == []


def test_members_are_called_as_the_real_ones(real: Surface, standin: Surface) -> None:
    wrong = {}
    for kind in set(standin) & set(real):
        for name, ours in standin[kind].get("members", {}).items():
            reason = misfit(name, ours, real[kind]["members"].get(name, {})) if name in real[kind]["members"] else ""
            wrong |= {f"{kind}.{name}": reason} if reason else {}
    assert wrong == {}


def test_enumerations_have_the_real_numbers(real: Surface, standin: Surface) -> None:
    kinds = [kind for kind in standin if "numbers" in standin[kind]]
    assert {kind: standin[kind]["numbers"] for kind in kinds} == {
        kind: {name: real[kind]["numbers"][name] for name in standin[kind]["numbers"]} for kind in kinds
    }


def test_every_flag_pool_type_and_format_of_the_release_is_there(real: Surface, standin: Surface) -> None:
    whole = {"BuilderFlag", "DataType", "MemoryPoolType", "TensorFormat", "HardwareCompatibilityLevel"} & set(real)
    assert {kind: set(standin[kind]["numbers"]) for kind in whole if kind in standin} == {
        kind: set(real[kind]["numbers"]) for kind in whole if kind in standin
    }


def test_what_our_code_uses_of_the_release_is_there(
    release: Release, standin: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mypy with the real classes less what the stand-in lacks finds every use of what it lacks."""
    pytest.importorskip("mypy")
    picture = trt_check.dump(release)
    picture["classes"] = {
        name: lessened(kind, standin[name]) for name, kind in picture["classes"].items() if name in standin
    }
    monkeypatch.setattr(trt_check, "dump", lambda _: picture)
    other = dataclasses.replace(release, requirement=f"standin==standin-{release.version}")  # keeps mypy's memory apart
    found = trt_check.check(other, trt_check.modules_with_tensorrt(builds=release.builds))
    assert [one for one in found if one.path.startswith("edgeseg")] == []


def lessened(kind: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """A class of the picture with those of its public members that the stand-in has."""
    known = ours.get("members", {}) | ours.get("numbers", {})
    members = {
        name: one for name, one in kind["members"].items() if name in known or name.startswith("_") or name in ENUM
    }
    return kind | {"members": members}
