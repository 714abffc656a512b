from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import DataError, ShapeError, SpecError
from edgeseg.imaging import postprocess_reference as reference
from edgeseg.imaging.images import list_images, read_image, read_label, write_png
from edgeseg.imaging.overlay import Overlay, palette_bgr
from edgeseg.imaging.palettes import distinct_colour, labels_for
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.spec import ClassSpec, HeadSpec, LabelSpec

LABELS = LabelSpec(classes=(ClassSpec(name="a", colour=(200, 0, 0)), ClassSpec(name="b", colour=(0, 0, 100))))


def test_every_pixel_is_the_frame_and_its_classs_colour_by_alpha() -> None:
    frame_bgr = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[0, 1], [1, 0]], np.uint8)
    picture = Overlay(LABELS, alpha=0.25).blend(frame_bgr, mask)
    np.testing.assert_array_equal(picture[0, 0], [75, 75, 125])  # red 200 in BGR order
    np.testing.assert_array_equal(picture[0, 1], [100, 75, 75])


NINE = labels_for(9)


def pictures(size_hw: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 12, (size_hw[0] // 9 + 1, size_hw[1] // 50 + 1)).astype(np.uint8)
    mask = np.ascontiguousarray(blocks.repeat(9, 0).repeat(50, 1)[: size_hw[0], : size_hw[1]])
    return rng.integers(0, 256, (*size_hw, 3)).astype(np.uint8), mask


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 31), (17, 32), (40, 33), (64, 700)])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("clear", [(), (0, 3)])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_picture_is_the_references(
    size_hw: tuple[int, int], alpha: float, clear: tuple[int, ...], threads: int
) -> None:
    frame_bgr, mask = pictures(size_hw)
    is_clear = np.isin(np.arange(256), clear)
    for labels in (mask, np.random.default_rng(1).integers(0, 256, size_hw).astype(np.uint8)):
        picture = Overlay(NINE, alpha=alpha, clear=clear, threads=threads).blend(frame_bgr, labels)
        expected = reference.blend(frame_bgr, labels, palette_bgr(NINE), round(256 * alpha), is_clear)
        np.testing.assert_array_equal(picture, expected)


def test_the_picture_is_within_one_grey_level_of_opencvs() -> None:
    cv2 = pytest.importorskip("cv2")
    frame_bgr, mask = pictures((120, 300))
    colours = cv2.LUT(cv2.merge([mask, mask, mask]), palette_bgr(NINE).reshape(1, 256, 3))
    expected = cv2.addWeighted(frame_bgr, 0.63, colours, 0.37, 0.0).astype(int)
    assert np.abs(Overlay(NINE, alpha=0.37).blend(frame_bgr, mask) - expected).max() <= 1


def test_boundaries_are_drawn_where_the_left_or_upper_neighbour_differs() -> None:
    frame_bgr, mask = pictures((50, 233))
    picture = Overlay(NINE, boundary_rgb=(10, 20, 30)).blend(frame_bgr, mask)
    is_boundary = reference.boundaries(mask)
    assert (picture[is_boundary] == (30, 20, 10)).all()
    np.testing.assert_array_equal(picture[~is_boundary], Overlay(NINE).blend(frame_bgr, mask)[~is_boundary])


def test_an_rgb_frame_gets_rgb_colours() -> None:
    frame, mask = pictures((20, 40))
    rgb = Overlay(NINE, is_rgb=True, boundary_rgb=(9, 8, 7)).blend(np.ascontiguousarray(frame[:, :, ::-1]), mask)
    np.testing.assert_array_equal(rgb[:, :, ::-1], Overlay(NINE, boundary_rgb=(9, 8, 7)).blend(frame, mask))


def test_a_frame_may_be_painted_in_place_and_with_a_pitch() -> None:
    wide, mask = pictures((30, 100))
    expected = Overlay(NINE).blend(wide[:, 10:90], mask[:, 10:90])
    part = wide[:, 10:90]
    assert Overlay(NINE).blend(part, mask[:, 10:90], out=part) is part
    np.testing.assert_array_equal(part, expected)


def test_an_output_over_the_mask_or_a_part_of_the_frame_is_refused() -> None:
    frame_bgr, mask = pictures((30, 90))
    with pytest.raises(ShapeError, match="frame and picture overlap"):
        Overlay(NINE).blend(frame_bgr[:-1], mask[:-1], out=frame_bgr[1:])
    with pytest.raises(ShapeError, match="mask and picture overlap"):
        Overlay(NINE).blend(
            frame_bgr[:10], mask[:10], out=np.lib.stride_tricks.as_strided(mask, (10, 90, 3), (270, 3, 1))
        )


@pytest.mark.parametrize("options", [{"threads": 0}, {"boundary_rgb": (0, 0, 256)}, {"clear": [256]}])
def test_an_option_that_does_not_fit_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ShapeError, match="give"):
        Overlay(NINE, **options)  # type: ignore[arg-type]


def test_one_call_makes_the_mask_and_the_picture() -> None:
    logits = np.random.default_rng(5).normal(size=(1, 9, 8, 16)).astype(np.float32)
    frame_bgr, _ = pictures((60, 110))
    picture, overlay = np.empty_like(frame_bgr), Overlay(NINE)
    maker = MaskMaker(HeadSpec(output="logits", channels=9, size_hw=(8, 16), decision="argmax"))
    mask = maker.mask(logits, size_hw=(60, 110), overlay=overlay, frame=frame_bgr, picture=picture)
    np.testing.assert_array_equal(mask, maker.mask(logits, size_hw=(60, 110)))
    np.testing.assert_array_equal(picture, overlay.blend(frame_bgr, mask))
    with pytest.raises(ShapeError, match="all three"):
        maker.mask(logits, size_hw=(60, 110), overlay=overlay, frame=frame_bgr)


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
