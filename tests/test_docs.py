"""What docs/ tells a reader to type does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from edgeseg.export.catalogue import BUILT_IN
from edgeseg.export.measured import read_measured

ROOT = Path(__file__).parents[1]
#: where commands are not pairs of an export and a build
STEPS = {
    "precision.md": ["export", "quantize", "build-engine", "build-engine", "evaluate", "diagnose"],
    "tensorrt.md": ["export", "build-engine", "build-engine", "inspect", "build-engine", "build-engine", "inspect"],
}


def commands(page: str) -> list[list[str]]:
    """Every indented line that begins with ``edgeseg``, continued lines joined."""
    joined = (ROOT / "docs" / page).read_text().replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in re.findall(r"^    (edgeseg .*)$", joined, re.MULTILINE)]


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("export.md", {"net.engine", "free.engine"}),
        ("nets.md", {"mini.engine"}),
        ("precision.md", {"fp32.engine", "int8.engine", "net.calibration.json"}),
        ("tensorrt.md", {"net.engine", "half.engine", "cpu.engine"}),
    ],
)
def test_the_commands_of_a_page_run_in_the_order_they_stand(
    page: str, made: set[str], call_in: Any, tmp_path: Path
) -> None:
    for package in ("torch", "openvino", "modelopt", "tensorrt_rtx"):
        pytest.importorskip(package)
    for name in ("edgeseg", "calib_data"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert [words[0] for words in commands(page)] == STEPS.get(page, ["export", "build-engine"] * len(made))
    for words in commands(page):
        done = call_in(words, tmp_path)
        assert done.returncode == 0, f"{words}: {done.stderr}"
    assert made <= {path.name for path in (tmp_path / "out").iterdir()}


def test_the_page_of_the_nets_has_the_figures_and_the_picture_of_every_built_in_net() -> None:
    page, measured = (ROOT / "docs" / "nets.md").read_text(), read_measured()
    for name in BUILT_IN:
        row = measured.nets[name]
        assert f"| {row.fp32_ms:.0f} ms | {row.int8_ms:.0f} ms |" in line_of(name, page, number=0)
        picture = f"nets/{name}.jpg"
        assert f"![{name}]({picture})" in line_of(name, page, number=1)
        assert (ROOT / "docs" / picture).is_file()


def test_the_page_of_precisions_is_what_its_command_makes_of_its_figures() -> None:
    for package in ("torch", "jinja2", "safetensors"):
        pytest.importorskip(package)
    from measure_precision import SUBJECTS, page, read_figures

    figures = read_figures()
    assert list(figures.nets) == list(SUBJECTS)
    assert all(one.speeds for one in figures.nets.values())
    assert (ROOT / "docs" / "precision.md").read_text() == page(figures)


def line_of(name: str, page: str, *, number: int) -> str:
    """The row of a net in the first or the second table."""
    return [line for line in page.splitlines() if line.startswith(f"| `{name}` |")][number]
