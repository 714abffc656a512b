"""From values and colours to ids, against the published tables in another form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg.data.label_codes import ade20k_table, camvid_table, cityscapes_table, ids_of_colours, ids_of_values
from edgeseg.data.label_tables import CAMVID_COLOURS, CAMVID_VOID, VOC_COLOURS
from edgeseg.errors import DataError

FILE = Path("label.png")
#: the classes of VOC in the order of their ids, as its documentation lists their colours; then the border
VOC_FIRST = (
    (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128),
    (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128), (64, 128, 128),
    (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128),
)  # fmt: skip
#: train ids of the label ids 0 to 33, as cityscapesScripts lists them
TRAIN_IDS = (
    255, 255, 255, 255, 255, 255, 255, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 255, 255, 16, 17, 18,
)  # fmt: skip


def test_voc_colours_are_the_published_ones_and_differ_for_all_ids() -> None:
    assert tuple(list(VOC_COLOURS)[:21]) == VOC_FIRST
    assert VOC_COLOURS[224, 224, 192] == 255
    assert sorted(VOC_COLOURS.values()) == list(range(256))


def test_camvid_has_32_colours_for_eleven_classes_and_void() -> None:
    assert len(CAMVID_COLOURS) == 32
    assert sorted(set(CAMVID_COLOURS.values())) == list(range(CAMVID_VOID + 1))
    assert [colour for colour, one in CAMVID_COLOURS.items() if one == CAMVID_VOID] == [(0, 0, 0)]


@pytest.mark.parametrize("colours", [VOC_COLOURS, CAMVID_COLOURS], ids=["voc", "camvid"])
def test_every_colour_gives_its_id(colours: dict[tuple[int, int, int], int]) -> None:
    rgb = np.array(list(colours), np.uint8).reshape(1, -1, 3)
    assert ids_of_colours(rgb[..., ::-1], colours, FILE).tolist() == [list(colours.values())]


@pytest.mark.parametrize("colour", [(128, 0, 1), (255, 255, 255), (0, 0, 1)])
def test_a_colour_that_is_no_class_is_named_with_its_place(colour: tuple[int, int, int]) -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[1, 2] = colour[::-1]
    with pytest.raises(DataError, match=rf"label\.png has the colour \({', '.join(map(str, colour))}\) in row 1, col"):
        ids_of_colours(picture, VOC_COLOURS, FILE)


def every_value(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint8)[None]


def test_cityscapes_label_ids_become_train_ids_by_the_published_table() -> None:
    ids = ids_of_values(every_value(34), cityscapes_table(to_train_ids=True), FILE)
    assert tuple(ids[0].tolist()) == TRAIN_IDS


def test_cityscapes_label_ids_stay_but_for_those_that_are_not_evaluated() -> None:
    ids = ids_of_values(every_value(34), cityscapes_table(to_train_ids=False), FILE)
    expected = [255 if train_id == 255 else label_id for label_id, train_id in enumerate(TRAIN_IDS)]
    assert ids[0].tolist() == expected


def test_ade20k_counts_from_zero_and_ignores_the_rest() -> None:
    assert ids_of_values(every_value(151), ade20k_table(), FILE)[0].tolist() == [255, *range(150)]


@pytest.mark.parametrize(
    ("table", "value"),
    [
        (cityscapes_table(to_train_ids=True), 34),
        (cityscapes_table(to_train_ids=False), 254),
        (ade20k_table(), 151),
        (ade20k_table(), 255),
        (camvid_table(), 12),
    ],
)
def test_a_value_that_is_no_label_is_named_with_its_place(table: np.ndarray, value: int) -> None:
    label = np.zeros((3, 2), np.uint8)
    label[2, 1] = value
    with pytest.raises(DataError, match=rf"label\.png holds {value} in row 2, column 1"):
        ids_of_values(label, table, FILE)
