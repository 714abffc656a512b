"""The build of a wheel: when it compiles the CUDA kernels, where they go, and what it says of those it cannot make."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nvcc_lab import KNOWN, put_nvcc

from edgeseg.runtime.kernels.cubins import LIST_NAME, identity_of, kernel_sources

ROOT = Path(__file__).parents[2]
BUILD = """
import sys
from distutils.core import run_setup
import setuptools
import edgeseg.runtime.kernels.nvcc
edgeseg.runtime.kernels.nvcc.USUAL_HOME = "/no/such/folder"
command = run_setup("setup.py", ["-q"], stop_after="init").get_command_obj("build_py")
command.build_lib, command.editable_mode = sys.argv[1], sys.argv[2] == "editable"
command.ensure_finalized()
command.run()
"""


def build(
    folder: Path, *, asked: str | None, has_nvcc: bool = True, mode: str = "wheel", then: str = ":"
) -> tuple[str, Path, int]:
    """Run the command ``build_py`` of a wheel or of an editable install: its words, the kernels' folder, its code."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "cat").symlink_to(str(shutil.which("cat")))
    if has_nvcc:
        put_nvcc(tools / "nvcc", log=folder / "runs.txt", then=then)
    words = {name: value for name, value in os.environ.items() if name not in {"EDGESEG_CUBINS", "CUDA_HOME"}}
    words |= {"PATH": str(tools)} | ({} if asked is None else {"EDGESEG_CUBINS": asked})
    done = subprocess.run(
        [sys.executable, "-c", BUILD, folder / "lib", mode],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=ROOT, env=words,
    )  # fmt: skip
    return done.stdout, folder / "lib" / "edgeseg" / "runtime" / "kernels", done.returncode


@pytest.mark.parametrize("asked", [None, "1"])
def test_a_wheel_gets_cubins_for_what_the_compiler_knows_and_the_others_are_named(
    tmp_path: Path, asked: str | None
) -> None:
    said, kernels, code = build(tmp_path, asked=asked)
    assert code == 0, said
    names = {f"{source.stem}.sm_{one}.cubin" for source in kernel_sources() for one in KNOWN}
    assert {path.name for path in (kernels / "cubins").iterdir()} == {*names, LIST_NAME}
    assert "nvcc 12.6 does not know sm_80 sm_86 sm_89 sm_90 sm_100 sm_110 sm_120" in said
    listed = json.loads((kernels / "cubins" / LIST_NAME).read_text())["cubins"]
    for source in kernel_sources():
        assert listed[f"{source.stem}.sm_87.cubin"]["identity"] == identity_of(kernels / source.name, "87")


@pytest.mark.parametrize(("asked", "mode"), [("0", "wheel"), (None, "editable"), ("1", "editable")])
def test_a_wheel_that_wants_none_and_an_editable_install_have_no_cubins(
    tmp_path: Path, asked: str | None, mode: str
) -> None:
    said, kernels, code = build(tmp_path, asked=asked, mode=mode)
    assert code == 0, said
    assert not (kernels / "cubins").exists() and not (tmp_path / "runs.txt").exists()


def test_without_a_compiler_a_wheel_has_none_and_the_build_says_so(tmp_path: Path) -> None:
    said, kernels, code = build(tmp_path, asked=None, has_nvcc=False)
    assert code == 0 and "no CUDA kernels are compiled: there is no nvcc on PATH" in said
    assert not (kernels / "cubins").exists()


def test_a_wheel_that_insists_on_cubins_is_not_built_without_a_compiler(tmp_path: Path) -> None:
    said, _, code = build(tmp_path, asked="1", has_nvcc=False)
    assert code != 0 and "EDGESEG_CUBINS is 1, but no CUDA kernels are compiled" in said


def test_a_kernel_that_does_not_compile_ends_the_build_and_the_way_round_is_named(tmp_path: Path) -> None:
    said, _, code = build(tmp_path, asked=None, then="echo no such type; exit 2")
    assert code != 0 and "no such type" in said and "EDGESEG_CUBINS=0" in said
