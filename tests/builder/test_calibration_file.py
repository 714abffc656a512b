from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg import __version__
from edgeseg.builder.calibrating import Ranges
from edgeseg.builder.calibration_file import (
    Calibration,
    CalibrationKey,
    differences,
    read_calibration,
    write_calibration,
)
from edgeseg.errors import OutputError, SpecError
from edgeseg.spec import InputSpec

IMAGE = InputSpec(name="my_image", size_hw=(256, 512), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
KEY = CalibrationKey(
    graph_sha256="3f2a" * 16,
    tensors_sha256="0b" * 32,
    data_sha256="77b1" * 16,
    preprocessing=IMAGE,
    method="max",
    kind="int8",
    versions={"edgeseg": "0.5.0", "onnxruntime": "1.31.1"},
)
RANGES = Ranges(thresholds={"b": 12.7, "a": 0.1}, peaks={"b": 12.7, "a": 0.1, "c": 7e4}, constant=("a",), images=32)


def changed(**fields: Any) -> CalibrationKey:
    return msgspec.structs.replace(KEY, **fields)


def image(**fields: Any) -> InputSpec:
    return msgspec.structs.replace(IMAGE, **fields)


@pytest.mark.parametrize(("kind", "largest"), [("int8", 127.0), ("fp8", 448.0)])
def test_a_scale_is_the_threshold_over_the_largest_code(kind: str, largest: float) -> None:
    made = Calibration.of(changed(kind=kind), RANGES)
    assert made.scales == {"a": 0.1 / largest, "b": 12.7 / largest}
    assert (made.peaks, made.constant, made.images) == (RANGES.peaks, ("a",), 32)


NUMBERS = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@given(st.dictionaries(st.text(), NUMBERS, max_size=4), st.floats(0, 100, exclude_min=True))
def test_what_is_read_is_what_was_written_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, numbers: dict[str, float], percentile: float
) -> None:
    path = tmp_path_factory.mktemp("written") / "net.calibration.json"
    key = changed(method="percentile", percentile=percentile)
    made = Calibration(key=key, images=3, scales=numbers, peaks=numbers, constant=tuple(numbers))
    write_calibration(path, made)
    assert read_calibration(path) == made
    assert json.loads(path.read_text())["scales"] == numbers


def test_the_file_is_indented_and_its_names_are_in_order(tmp_path: Path) -> None:
    path = tmp_path / "net.calibration.json"
    write_calibration(path, Calibration.of(KEY, RANGES))
    text = path.read_text()
    assert text.startswith('{\n  "schema": 1,\n')
    assert list(json.loads(text)["scales"]) == ["a", "b"]
    assert list(json.loads(text)["peaks"]) == ["a", "b", "c"]


def test_an_older_file_stays_whole_where_the_new_one_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "net.calibration.json").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_calibration(tmp_path / "net.calibration.json", Calibration.of(KEY, RANGES))
    assert [path.name for path in tmp_path.iterdir()] == ["net.calibration.json"]


def test_a_key_is_known_before_any_image_and_names_the_libraries() -> None:
    runtime = pytest.importorskip("onnxruntime")
    key = CalibrationKey.now(
        graph_sha256="1", data_sha256="2", preprocessing=IMAGE, method="entropy", kind="int8", tensors=("b", "a")
    )
    assert key.versions == {"edgeseg": __version__, "onnxruntime": runtime.__version__}
    again = CalibrationKey.now(
        graph_sha256="1", data_sha256="2", preprocessing=IMAGE, method="entropy", kind="int8", tensors=("a", "b")
    )
    assert differences(key, again) == ()


def test_an_equal_key_differs_in_nothing() -> None:
    assert differences(KEY, changed()) == ()
    one, two = (changed(method="percentile", percentile=99.9) for _ in range(2))
    assert differences(one, two) == ()


CHANGES = [
    (changed(graph_sha256="77b1" * 16), "the graph (3f2a3f2a3f2a against 77b177b177b1)"),
    (changed(data_sha256="00" * 32), "the images (77b177b177b1 against 000000000000)"),
    (changed(tensors_sha256="00" * 32), "the tensors to quantise (0b0b0b0b0b0b against 000000000000)"),
    (changed(method="entropy"), "the method (max against entropy)"),
    (changed(method="percentile", percentile=99.9), "the method (max against percentile)"),
    (changed(kind="fp8"), "the precision (int8 against fp8)"),
    (changed(versions=KEY.versions | {"edgeseg": "0.6.0"}), "the library (edgeseg 0.5.0 against 0.6.0)"),
    (
        changed(versions={"edgeseg": "0.5.0", "other": "1"}),
        "the library (onnxruntime 1.31.1 against None; other None against 1)",
    ),
    (
        changed(preprocessing=image(mean=(0.5, 0.5, 0.5))),
        "the pre-processing (mean 0.485,0.456,0.406 against 0.5,0.5,0.5)",
    ),
    (
        changed(preprocessing=image(size_hw=(128, 256), resize="letterbox", name="image")),
        "the pre-processing (name my_image against image; size hw 256,512 against 128,256; "
        "resize stretch against letterbox)",
    ),
]


@pytest.mark.parametrize(("wanted", "words"), CHANGES, ids=[words for _, words in CHANGES])
def test_what_differs_is_told_with_both_values(wanted: CalibrationKey, words: str) -> None:
    assert differences(KEY, wanted) == (words,)


def test_every_field_of_the_key_counts() -> None:
    told = {words.split(" (")[0] for wanted, _ in CHANGES for words in differences(KEY, wanted)}
    two = changed(method="percentile", percentile=99.9), changed(method="percentile", percentile=99.99)
    assert differences(*two) == ("the percentile (99.9 against 99.99)",)
    assert len(told) + 1 == len(CalibrationKey.__struct_fields__)


def test_all_differences_are_told_in_the_order_of_the_key() -> None:
    wanted = changed(graph_sha256="00" * 32, method="entropy", kind="fp8")
    assert [one.split(" (")[0] for one in differences(KEY, wanted)] == ["the graph", "the method", "the precision"]


DAMAGES = {
    "empty": b"",
    "cut short": b'{"schema": 1, "key": {"graph_',
    "another schema": b'"schema": 2',
    "another field": b'"schema": 1, "more": 1',
    "a scale of zero": b'"a": 0.0',
    "a scale below zero": b'"a": -1.0',
    "a scale beyond all numbers": b'"a": 1e999',
    "no number": b'"a": null',
    "a percentile without its method": b'"percentile": 99.0',
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_with_the_next_step(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "net.calibration.json"
    write_calibration(path, Calibration.of(KEY, RANGES))
    put = DAMAGES[damage]
    if put.startswith(b'"'):
        name = put.split(b":")[0]
        lines = path.read_bytes().splitlines(keepends=True)
        first = next(index for index, line in enumerate(lines) if line.strip().startswith(name + b":"))
        comma = b"," if lines[first].rstrip().endswith(b",") else b""
        lines[first] = put + comma + b"\n"
        put = b"".join(lines)
        json.loads(put)
    path.write_bytes(put)
    with pytest.raises(SpecError, match=r"net\.calibration\.json .*: delete it.* and calibrate again"):
        read_calibration(path)


def test_a_missing_file_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        read_calibration(tmp_path / "net.calibration.json")


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_no_record_is_made_with_a_scale_that_is_none(scale: float) -> None:
    with pytest.raises(ValueError, match="must be a number above 0"):
        Calibration(key=KEY, images=1, scales={"a": scale}, peaks={})
