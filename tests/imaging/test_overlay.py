from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import DataError, ShapeError, SpecError
from edgeseg.imaging.images import list_images, read_image, read_label, write_png
from edgeseg.imaging.overlay import Overlay
from edgeseg.imaging.palettes import distinct_colour, labels_for
from edgeseg.spec import ClassSpec, LabelSpec

LABELS = LabelSpec(classes=(ClassSpec(name="a", colour=(200, 0, 0)), ClassSpec(name="b", colour=(0, 0, 100))))


def test_every_pixel_is_the_frame_and_its_classs_colour_by_alpha() -> None:
    frame_bgr = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[0, 1], [1, 0]], np.uint8)
    picture = Overlay(LABELS, alpha=0.25).blend(frame_bgr, mask)
    np.testing.assert_array_equal(picture[0, 0], [75, 75, 125])  # red 200 in BGR order
    np.testing.assert_array_equal(picture[0, 1], [100, 75, 75])


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ShapeError, match="fits this frame"):
        Overlay(LABELS).blend(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_an_alpha_outside_0_to_1_is_refused(alpha: float) -> None:
    with pytest.raises(ShapeError, match="alpha"):
        Overlay(LABELS, alpha=alpha)


def test_generated_colours_of_255_classes_differ() -> None:
    assert len({distinct_colour(index) for index in range(255)}) > 200
    neighbours = [np.subtract(distinct_colour(i), distinct_colour(i + 1)) for i in range(254)]
    assert min(np.abs(difference).max() for difference in neighbours) > 40


def test_a_labels_file_must_name_every_class(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('{"classes": [{"name": "road", "colour": [1, 2, 3]}]}')
    with pytest.raises(SpecError, match="names 1 classes, the net gives 3"):
        labels_for(3, path)
    with pytest.raises(SpecError, match="--classes"):
        labels_for(3, expected=4)


def test_a_png_mask_reads_back_as_it_was_written(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 255, (20, 30), np.uint8)
    write_png(tmp_path / "m.png", mask)
    np.testing.assert_array_equal(read_label(tmp_path / "m.png"), mask)
    assert [path.name for path in list_images(tmp_path)] == ["m.png"]


def test_a_colour_image_is_no_label(tmp_path: Path) -> None:
    write_png(tmp_path / "c.png", np.zeros((4, 4, 3), np.uint8))
    assert read_image(tmp_path / "c.png").shape == (4, 4, 3)
    with pytest.raises(DataError, match="single-channel"):
        read_label(tmp_path / "c.png")
