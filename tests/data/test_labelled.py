"""Labelled frames: pairing, bad pairs, hashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeseg.data import LabelledSet
from edgeseg.errors import DataError

Put = Callable[..., Path]


@pytest.fixture
def pairs(tmp_path: Path, put: Put) -> Path:
    """Five pairs, 0 to 4, each label full of its number."""
    for seed in range(5):
        put(tmp_path / "images" / f"{seed}.png", seed)
        put(tmp_path / "labels" / f"{seed}.png", np.full((2, 3), seed, np.uint8))
    return tmp_path


def names(data: LabelledSet) -> list[str]:
    return [frame.name for frame in data]


def test_frames_come_in_order_and_twice_the_same(pairs: Path) -> None:
    data = LabelledSet(pairs)
    assert names(data) == names(data) == ["0", "1", "2", "3", "4"]
    assert [int(frame.label.max()) for frame in data] == [0, 1, 2, 3, 4]


def test_an_image_without_its_label_is_named(pairs: Path) -> None:
    (pairs / "labels" / "1.png").unlink()
    (pairs / "labels" / "3.png").unlink()
    with pytest.raises(DataError, match=r"labels/1\.png is missing \(2 in all\).*--skip-bad"):
        LabelledSet(pairs)


def test_images_without_labels_are_passed_over_on_request(pairs: Path) -> None:
    (pairs / "labels" / "1.png").unlink()
    data = LabelledSet(pairs, skip_bad=True)
    expected = ((pairs / "labels" / "1.png", "is missing"),)
    assert data.skipped == expected
    assert len(data) == 4
    assert names(data) == ["0", "2", "3", "4"]
    assert data.skipped == expected


def test_a_label_without_an_image_is_not_looked_at(pairs: Path) -> None:
    (pairs / "images" / "2.png").unlink()
    (pairs / "labels" / "2.png").write_bytes(b"no picture")
    assert names(LabelledSet(pairs)) == ["0", "1", "3", "4"]


@pytest.mark.parametrize("skip_bad", [False, True])
def test_folders_without_a_common_name_tell_one_of_each(tmp_path: Path, put: Put, skip_bad: bool) -> None:
    put(tmp_path / "images" / "left.png", 1)
    put(tmp_path / "labels" / "right.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(DataError, match=r"no common file: .*left\.png is missing, and .*right\.png belongs"):
        LabelledSet(tmp_path, skip_bad=skip_bad)


def broken_image(pairs: Path, put: Put) -> None:
    (pairs / "images" / "2.png").write_bytes(b"no picture")


def broken_label(pairs: Path, put: Put) -> None:
    (pairs / "labels" / "2.png").write_bytes(b"no picture")


def coloured_label(pairs: Path, put: Put) -> None:
    put(pairs / "labels" / "2.png", 1)


def other_size(pairs: Path, put: Put) -> None:
    put(pairs / "labels" / "2.png", np.zeros((5, 4), np.uint8))


BAD = {
    broken_image: r"images/2\.png is no image",
    broken_label: r"labels/2\.png is no image",
    coloured_label: r"labels/2\.png is uint8 \(2, 3, 3\)",
    other_size: r"labels/2\.png is \(5, 4\) where its image is \(2, 3\)",
}


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_pair_in_the_middle_is_named_with_its_place(
    pairs: Path, put: Put, spoil: Callable[[Path, Put], None]
) -> None:
    spoil(pairs, put)
    with pytest.raises(DataError, match=rf"frame 3 of 5: .*{BAD[spoil]}.*--skip-bad"):
        list(LabelledSet(pairs))


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_pair_is_passed_over_and_remembered(pairs: Path, put: Put, spoil: Callable[[Path, Put], None]) -> None:
    spoil(pairs, put)
    data = LabelledSet(pairs, skip_bad=True)
    for _ in range(2):
        assert names(data) == ["0", "1", "3", "4"]
        ((path, reason),) = data.skipped
        assert path == pairs / "images" / "2.png"
        assert "2.png" in reason


def test_a_set_of_bad_pairs_only_is_refused_even_where_they_are_skipped(pairs: Path) -> None:
    for path in (pairs / "labels").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"none of 5 frames can be read; the first: .*0\.png"):
        list(LabelledSet(pairs, skip_bad=True))


def test_the_hash_follows_images_and_labels(pairs: Path, put: Put) -> None:
    hashes = [LabelledSet(pairs).sha256]
    put(pairs / "labels" / "0.png", np.full((2, 3), 4, np.uint8))
    hashes.append(LabelledSet(pairs).sha256)
    put(pairs / "images" / "0.png", 17)
    hashes.append(LabelledSet(pairs).sha256)
    (pairs / "labels" / "4.png").unlink()
    hashes.append(LabelledSet(pairs, skip_bad=True).sha256)
    assert len(set(hashes)) == 4
    assert LabelledSet(pairs, skip_bad=True).sha256 == hashes[-1]
    assert len(LabelledSet(pairs, skip_bad=True).images_sha256) == 4
