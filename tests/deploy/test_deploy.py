"""What deploy/ gives a reader fits systemd, the command line and the extras that there are."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from importlib.metadata import metadata
from pathlib import Path

import pytest

from edgeseg.cli.run import run

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "edgeseg@.service").read_text()
DOCKERFILES = ("Dockerfile.cpu", "Dockerfile.jetson")


def environment() -> dict[str, str]:
    lines = (DEPLOY / "edgeseg.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def command() -> list[str]:
    """The words that systemd makes of ExecStart: $NAME is split at blanks, ${NAME} is one word."""
    found = re.search(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    assert found
    words: list[str] = []
    for word in found[1].split():
        if word.startswith("${"):
            words.append(environment()[word[2:-1]])
        elif word.startswith("$"):
            words += shlex.split(environment()[word[1:]])
        else:
            words.append(word)
    return words


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With a program that is there: the unit's own is on the device."""
    unit = tmp_path / "edgeseg@front.service"
    unit.write_text(UNIT.replace("/opt/edgeseg/bin/edgeseg", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_units_command_is_one_that_edgeseg_takes() -> None:
    words = command()
    assert words[:2] == ["/opt/edgeseg/bin/edgeseg", "run"]
    with run.make_context("run", words[2:]) as context:
        told = context.params
    assert (str(told["engine"]), told["source"]) == (environment()["EDGESEG_ENGINE"], environment()["EDGESEG_SOURCE"])
    assert list(told["sinks"]) == environment()["EDGESEG_SINKS"].split()
    assert (told["policy"], told["stats"]) == ("latest", False)


def test_the_example_sets_every_variable_of_the_unit_and_no_other() -> None:
    used = set(re.findall(r"\$\{?(EDGESEG_\w+)", UNIT))
    assert set(environment()) == used


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_installs_extras_that_there_are(name: str) -> None:
    asked = re.findall(r"\[([a-z,]+)\]", (DEPLOY / name).read_text())
    assert asked
    assert set(",".join(asked).split(",")) <= set(metadata("edgeseg").get_all("Provides-Extra") or ())


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_built_from_files_that_there_are(name: str) -> None:
    lines = (DEPLOY / f"{name}.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert {"edgeseg", "setup.py", "pyproject.toml"} <= kept
    assert [one for one in sorted(kept) if not (ROOT / one).exists()] == []
