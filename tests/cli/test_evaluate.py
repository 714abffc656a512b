from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgeseg.cli.evaluate import LAYOUT_NAMES, evaluate
from edgeseg.data import LAYOUTS
from edgeseg.errors import DataError, OutputError
from edgeseg.imaging.images import write_png
from edgeseg.sidecars import sidecar_path

USAGE = 2


def run(*words: object) -> Result:
    return CliRunner().invoke(evaluate, [str(word) for word in words])


@pytest.fixture
def data(chain: Any, tmp_path: Path) -> Path:
    """Three of the chain's pictures in a plain folder; labels of classes 0 and 1 alone."""
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    for index in range(3):
        name = f"{index:03d}.png"
        shutil.copy(chain.images / name, folder / "images")
        label = np.zeros((90, 160), np.uint8)
        label[:, 80:] = 1
        (folder / "labels").mkdir(exist_ok=True)
        write_png(folder / "labels" / name, label)
    return folder


def test_engines_stand_side_by_side_with_latency_and_verdict(
    edgeseg: Any, chain: Any, data: Path, tmp_path: Path
) -> None:
    done = edgeseg("evaluate", chain.fp32, chain.int8, "--data", data, "--json", "a.json", "--report", "a.html")
    assert done.returncode == 0, done.stderr
    for words in ("net.fp32.engine", "net.int8.engine", "mIoU", "boundary IoU", "trimap 3 px", "engine alone, p50 ms"):
        assert words in done.stdout
    assert "INT8 is" in done.stdout
    report = json.loads((tmp_path / "a.json").read_text())
    assert [one["precision"] for one in report["engines"]] == ["fp32", "int8"]
    assert (report["data"]["frames"], report["data"]["layout"]) == (3, "plain")
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    "words",
    [("--json", "out.html"), ("--json", "out"), ("--report", "out.json"), ("--report", "out.md"), ("--ignore", "256")],
)
def test_a_wrong_value_is_a_wrong_use_before_anything_is_read(words: tuple[str, str]) -> None:
    # neither engine nor data exist: whatever looked at them first would say so
    done = run("none.engine", "--data", "none", *words)
    assert done.exit_code == USAGE
    assert words[0] in done.output


def test_an_output_does_not_replace_a_sidecar(chain_copy: Path) -> None:
    engine, onnx = chain_copy / "net.fp32.engine", chain_copy / "net.onnx"
    for path, kind in ((sidecar_path(engine), "an engine"), (sidecar_path(onnx), "a net")):
        before = path.read_bytes()
        done = run(engine, "--data", "none", "--reference", onnx, "--json", path)
        assert done.exit_code == USAGE
        assert f"the sidecar of {kind}" in " ".join(done.output.split())
        assert path.read_bytes() == before


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_place_that_cannot_be_written_is_found_before_the_engines_run(tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / ("a.json" if option == "--json" else "a.html")
    done = run("none.engine", "--data", "none", option, path)
    assert isinstance(done.exception, OutputError)
    assert "cannot be written" in str(done.exception)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_bad_frames_are_refused_or_named_and_passed_over(chain: Any, data: Path, tmp_path: Path) -> None:
    (data / "images" / "001.png").write_bytes(b"no picture")
    refused = run(chain.fp32, "--data", data)
    assert isinstance(refused.exception, DataError)
    assert "001.png" in str(refused.exception)
    done = run(chain.fp32, "--data", data, "--skip-bad", "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.output
    assert "Skipped 1 file(s)" in done.output
    found = json.loads((tmp_path / "a.json").read_text())["data"]
    assert (found["frames"], len(found["skipped"])) == (2, 1)
    assert found["skipped"][0]["file"].endswith("001.png")


def test_an_ignored_label_does_not_count(chain: Any, data: Path, tmp_path: Path) -> None:
    for path in (data / "labels").iterdir():
        label = np.zeros((90, 160), np.uint8)
        label[:10] = 77
        write_png(path, label)
    refused = run(chain.fp32, "--data", data)
    assert isinstance(refused.exception, DataError)
    assert "id 77 is no class of 3" in str(refused.exception)
    assert "--ignore" in str(refused.exception)
    done = run(chain.fp32, "--data", data, "--ignore", 77, "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["data"]["ignore"] == 77
    assert sum(map(sum, report["engines"][0]["confusion"])) == 3 * 80 * 160


def test_the_layout_and_the_split_that_are_named_are_taken(chain: Any, data: Path, tmp_path: Path) -> None:
    for name in ("small", "validation"):
        shutil.copytree(data, tmp_path / "sets" / name)
    (tmp_path / "sets" / "small" / "images" / "000.png").unlink()
    words = ("--data", tmp_path / "sets", "--layout", "plain", "--split", "small", "--json", tmp_path / "a.json")
    done = run(chain.fp32, *words)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "a.json").read_text())["data"]
    assert (found["split"], found["frames"]) == ("small", 2)
    assert isinstance(run(chain.fp32, "--data", data, "--layout", "voc").exception, DataError)


def test_the_layouts_offered_are_those_that_are_known() -> None:
    assert get_args(LAYOUTS) == LAYOUT_NAMES


def test_agreement_is_with_the_onnx_file_in_fp32(chain: Any, data: Path, tmp_path: Path) -> None:
    done = run(chain.fp32, chain.int8, "--data", data, "--reference", chain.onnx, "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.output
    assert "equal to net.onnx" in done.output
    report = json.loads((tmp_path / "a.json").read_text())
    fp32, int8 = (one["agreement"] for one in report["engines"])
    assert (report["reference"], fp32) == ("net.onnx", 1.0)
    assert 0.9 < int8 < 1.0
