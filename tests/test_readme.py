"""What the README tells a reader to type does what it says."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def commands() -> list[list[str]]:
    """Every indented line that begins with ``edgeseg`` and names its files, continued lines joined."""
    joined = README.replace("\\\n", " ")
    lines = re.findall(r"^    (edgeseg (?:export|build-engine|run|evaluate|benchmark) .*)$", joined, re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


def test_the_readmes_commands_and_snippet_run_in_the_order_they_stand(
    call_in: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("torch", "modelopt", "openvino", "av", "matplotlib"):
        pytest.importorskip(package)
    for name in ("edgeseg", "calib_data"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert [words[0] for words in commands()] == ["export", "build-engine", "run", "evaluate", "benchmark"]
    for words in commands():
        done = call_in(words, tmp_path)
        assert done.returncode == 0, f"{words}: {done.stderr}"
    for made in ("net.onnx", "net.json", "net.engine", "net.engine.json", "overlay.mp4", "masks", "report.html"):
        assert (tmp_path / "demo" / made).exists()
    run_snippet(tmp_path)
    assert "p50_ms" in capsys.readouterr().out


def run_snippet(folder: Path) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    scope: dict[str, object] = {"frame_bgr": np.zeros((72, 128, 3), np.uint8)}
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(snippet, scope)
    finally:
        os.chdir(before)
    mask = scope["mask"]
    assert isinstance(mask, np.ndarray)
    assert (mask.shape, mask.dtype) == ((72, 128), np.uint8)


def test_every_file_that_the_readme_shows_or_links_is_there() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert linked
    assert [name for name in linked if not (ROOT / name).exists()] == []


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    texts = README + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"(?:^    |`)make ([a-z-]+)", texts, re.MULTILINE))
    assert {"demo", "test"} <= named
    assert [name for name in sorted(named) if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_every_command_that_is_named_exists(call_in: Any) -> None:
    done = call_in(["--help"], ROOT)
    offered = set(re.findall(r"^  ([a-z-]+)  ", done.stdout, re.MULTILINE))
    named = set(re.findall(r"`edgeseg ([a-z-]+)", README))
    assert named
    assert named <= offered
