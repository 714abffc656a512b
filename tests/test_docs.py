"""What docs/ tells a reader to type does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def commands(page: str) -> list[list[str]]:
    """Every indented line that begins with ``edgeseg``, continued lines joined."""
    joined = (ROOT / "docs" / page).read_text().replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in re.findall(r"^    (edgeseg .*)$", joined, re.MULTILINE)]


def test_the_commands_of_the_export_page_run_in_the_order_they_stand(call_in: Any, tmp_path: Path) -> None:
    for package in ("torch", "openvino"):
        pytest.importorskip(package)
    for name in ("edgeseg", "calib_data"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert [words[0] for words in commands("export.md")] == ["export", "build-engine"] * 2
    for words in commands("export.md"):
        done = call_in(words, tmp_path)
        assert done.returncode == 0, f"{words}: {done.stderr}"
    assert {"net.engine", "free.engine"} <= {path.name for path in (tmp_path / "out").iterdir()}
