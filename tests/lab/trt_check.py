"""Own mypy's run over our code with TensorRT's real classes in the place of our names for them. Know no rule."""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trt_releases import ROOT, WORK, Release, dump, locked
from trt_stubs import stub_of

import edgeseg.trt_types

__all__ = ["PACKAGE", "Finding", "check", "imports_of", "modules_with_tensorrt"]

PACKAGE = ROOT / "edgeseg"
NAMES = "edgeseg.trt_types"
#: whoever imports one of these may hold an object of TensorRT's
GATES = {NAMES, "edgeseg.trt_api"}
LINE = re.compile(r"^(?P<path>.+?):(?P<line>\d+): error: (?P<text>.*)$")


@dataclass(frozen=True, order=True)
class Finding:
    """What mypy says of a line."""

    path: str
    line: int
    text: str


def imports_of(source: str) -> set[str]:
    """The names of the modules that a source imports from, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return found


def modules_with_tensorrt(*, builds: bool = True) -> list[Path]:
    """Our modules that import TensorRT's names or the way to its packages; without those that build, if so asked."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if imports_of(path.read_text()) & GATES]
    return [path for path in paths if builds or "builder" not in path.parts]


def check(release: Release, paths: Sequence[Path]) -> list[Finding]:
    """mypy's strict findings in ``paths``, which import what they like.

    mypy keeps what it knows of a release; what it has learnt of other packages a new release takes from another.

    Raises:
        UnavailableError: the bindings cannot be had here.
        RuntimeError: mypy itself failed.
    """
    stub = stub_of(dump(release), edgeseg.trt_types.__all__)
    with locked(f"{release.key}-types") as folder:
        place = folder / f"{hashlib.sha256(stub.encode()).hexdigest()[:12]}.py"
        if not place.exists():
            shutil.rmtree(folder / "mypy", ignore_errors=True)
            place.write_text(stub)
        cache = folder / "mypy"
        if not cache.exists():
            _seed(cache)
        return _run(cache, place, paths)


def _seed(cache: Path) -> None:
    """Begin with the cache of another release, if there is one: NumPy is the same in all."""
    for other in sorted(WORK.glob("*-types/mypy")):
        if (other / "complete").exists():
            shutil.copytree(other, cache)
            return


def _run(cache: Path, stub: Path, paths: Sequence[Path]) -> list[Finding]:
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--follow-imports=silent"]
    command += ["--cache-dir", str(cache), "--no-error-summary", "--hide-error-context", "--no-color-output"]
    command += ["--shadow-file", str(PACKAGE / "trt_types.py"), str(stub), *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    matches = [LINE.match(line) for line in done.stdout.splitlines()]
    found = [Finding(match["path"], int(match["line"]), match["text"]) for match in matches if match]
    if done.returncode not in (0, 1) or done.stderr or (done.returncode == 1 and not found):
        raise RuntimeError(f"mypy failed: {done.stdout}{done.stderr}")
    (cache / "complete").touch()
    return sorted(found)
