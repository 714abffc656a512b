"""Own the rules that the synthetic street set keeps: its generator and its committed files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import edgeseg.calib_data
from edgeseg.calib_data.classes import ClassId, labels_document
from edgeseg.calib_data.generate import (
    CALIBRATION_BLOCK,
    CLIP_BLOCK,
    TRAINING_BLOCK,
    VALIDATION_BLOCK,
    Counts,
    block_seed,
    generate,
    still_frames,
)
from edgeseg.calib_data.scene import random_scene

SET = Path(edgeseg.calib_data.__path__[0])
LABEL_PATHS = sorted((SET / "validation" / "labels").glob("*.png"))
IMAGE_PATHS = sorted((SET / "validation" / "images").glob("*.jpg"))
SMALL_WH = (320, 180)
# Another CPU's last bit may move a vertex by 1/16 pixel: a few pixels on outlines.
SAME_LABEL_SHARE = 0.999


def read_label(path: Path) -> NDArray[np.uint8]:
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert label is not None
    return np.asarray(label, np.uint8)


def manifest() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SET / "manifest.json").read_text(encoding="utf-8"))
    return document


def test_a_seed_gives_the_same_picture_and_labels_again() -> None:
    first, second = (random_scene(41).render(1.5, size_wh=SMALL_WH) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_rendering_another_moment_between_changes_nothing() -> None:
    scene = random_scene(42)
    first = scene.render(0.5, size_wh=SMALL_WH)
    scene.render(7.0, size_wh=SMALL_WH)
    second = scene.render(0.5, size_wh=SMALL_WH)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_another_seed_gives_another_street() -> None:
    labels = [random_scene(seed).render(0.0, size_wh=SMALL_WH)[1] for seed in (1, 2)]
    assert not np.array_equal(labels[0], labels[1])


@pytest.mark.parametrize("seed", range(300, 312))
def test_a_frame_is_bgr_bytes_and_its_labels_hold_class_ids_alone(seed: int) -> None:
    frame_bgr, labels = random_scene(seed).render(float(seed % 7), size_wh=SMALL_WH)
    assert frame_bgr.shape == (180, 320, 3)
    assert frame_bgr.dtype == labels.dtype == np.uint8
    assert labels.shape == (180, 320)
    assert set(np.unique(labels).tolist()) <= {int(c) for c in ClassId}


def test_a_scene_moves_with_time() -> None:
    scene = random_scene(43)
    assert not np.array_equal(scene.render(0.0, size_wh=SMALL_WH)[1], scene.render(1.0, size_wh=SMALL_WH)[1])


def test_the_four_uses_draw_from_disjoint_seeds() -> None:
    blocks = (VALIDATION_BLOCK, CALIBRATION_BLOCK, CLIP_BLOCK, TRAINING_BLOCK)
    ends = [(block_seed(s, b, 0), block_seed(s, b, 899_999)) for s in (0, 1) for b in blocks]
    assert all(last < first for (_, last), (first, _) in zip(sorted(ends), sorted(ends)[1:], strict=False))


@pytest.mark.parametrize(("set_seed", "index"), [(-1, 0), (1000, 0), (0, -1), (0, 900_000)])
def test_a_seed_outside_its_block_is_refused(set_seed: int, index: int) -> None:
    with pytest.raises(ValueError, match="expected 0-999"):
        block_seed(set_seed, VALIDATION_BLOCK, index)


def test_generate_writes_a_set_whose_manifest_names_every_file(tmp_path: Path) -> None:
    generate(tmp_path, set_seed=3, counts=Counts(calibration=1, validation=1, clip=2))
    document = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    written = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {*document["files"], "manifest.json"}
    assert document["seed"] == 3
    assert document["counts"] == {"calibration": 1, "validation": 1, "clip": 2}


def test_the_generator_still_draws_the_committed_labels() -> None:
    _, labels = next(still_frames(manifest()["seed"], VALIDATION_BLOCK, 1))
    assert np.mean(labels == read_label(LABEL_PATHS[0])) >= SAME_LABEL_SHARE


def test_the_manifest_agrees_with_the_files() -> None:
    for name, entry in manifest()["files"].items():
        data = (SET / name).read_bytes()
        assert len(data) == entry["bytes"], name
        assert hashlib.sha256(data).hexdigest() == entry["sha256"], name


def test_the_manifest_names_every_picture() -> None:
    pictures = {p.relative_to(SET).as_posix() for p in SET.rglob("*") if p.suffix in (".jpg", ".png", ".mp4")}
    assert pictures <= set(manifest()["files"])


def test_the_set_has_32_calibration_frames_and_24_labelled_ones() -> None:
    assert len(list((SET / "calibration").glob("*.jpg"))) == 32
    assert [p.stem for p in IMAGE_PATHS] == [p.stem for p in LABEL_PATHS] == [f"{i:04}" for i in range(24)]


def test_validation_labels_are_single_channel_at_the_frame_s_size_with_valid_ids() -> None:
    for path in LABEL_PATHS:
        label = read_label(path)
        assert label.shape == (540, 960)
        assert set(np.unique(label).tolist()) <= {int(c) for c in ClassId}


def test_every_class_appears_in_the_validation_set() -> None:
    counts = sum(np.bincount(read_label(path).ravel(), minlength=len(ClassId)) for path in LABEL_PATHS)
    assert np.all(counts > 10_000)


def test_labels_json_lists_the_classes_in_the_order_of_their_ids() -> None:
    document = json.loads((SET / "labels.json").read_text(encoding="utf-8"))
    assert document == labels_document()
    names = ["road", "lane mark", "sidewalk", "building", "vegetation", "sky", "vehicle", "person", "sign"]
    assert [c["name"] for c in document["classes"]] == names
    assert len({tuple(c["colour"]) for c in document["classes"]}) == len(names)


def test_the_clip_has_300_frames_of_1280x720_in_motion() -> None:
    with av.open(str(SET / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 1280, 720)
        assert stream.average_rate == 30
        greys = [frame.to_ndarray(format="gray8")[::8, ::8].astype(np.int16) for frame in container.decode(stream)]
    assert len(greys) >= 300
    changes = [float(np.abs(a - b).mean()) for a, b in zip(greys[::15], greys[15::15], strict=False)]
    # Mean grey levels of change in half a second; sensor noise alone makes less than 1.
    assert min(changes) > 2
