"""The figures of the built-in nets: a strict file, and what ships is of all nets that there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from net_figures import MEASURED

from edgeseg.errors import SpecError
from edgeseg.export.catalogue import BUILT_IN
from edgeseg.export.measured import read_measured, write_measured


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_measured(tmp_path / "measured.json", MEASURED)
    return tmp_path / "measured.json"


def changed(path: Path, *place: str, value: object) -> Path:
    content: Any = json.loads(path.read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(content))
    return path


def test_what_is_written_is_read_again_and_nothing_lies_beside_it(path: Path) -> None:
    assert read_measured(path) == MEASURED
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("surprise",), 1),
        (("machine", "cores"), 0),
        (("machine", "date"), "yesterday"),
        (("nets", "unet", "fp32_ms"), 0),
        (("nets", "unet", "parameters"), "31 M"),
        (("nets", "unet", "agreement"), 99.9),
        (("nets", "unet", "size_hw"), [512]),
    ],
)
def test_figures_that_cannot_be_are_refused(path: Path, place: tuple[str, ...], value: object) -> None:
    with pytest.raises(SpecError, match=r"holds no figures of nets .*measure_nets"):
        read_measured(changed(path, *place, value=value))


def test_a_missing_file_is_named_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"measured\.json cannot be read.*measure_nets"):
        read_measured(tmp_path / "measured.json")


def test_every_built_in_net_ships_with_figures_of_its_published_size() -> None:
    nets = read_measured().nets
    assert {name: one.size_hw for name, one in nets.items()} == {name: one.size_hw for name, one in BUILT_IN.items()}
