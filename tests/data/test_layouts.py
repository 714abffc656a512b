"""Every layout in a small tree: found, split, paired, and its ids exactly."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeseg.data import LabelledSet, shipped_data
from edgeseg.data.label_tables import CAMVID_COLOURS, VOC_COLOURS
from edgeseg.errors import DataError

Put = Callable[..., Path]
SIZE_HW = (2, 3)
VALUES = np.array([[0, 1, 2], [11, 7, 33]], np.uint8)
VOC = tuple(VOC_COLOURS)


def label(values: list[list[int]]) -> np.ndarray:
    return np.array(values, np.uint8)


def colours_bgr(rgb: list[list[tuple[int, int, int]]]) -> np.ndarray:
    return np.array(rgb, np.uint8)[..., ::-1].copy()


@pytest.fixture
def cityscapes(tmp_path: Path, put: Put) -> Path:
    """val with two cities, one of them with train ids too; train with one frame."""
    frames = {"val": ("bonn_000000_000001", "ulm_000000_000002"), "train": ("aachen_000000_000003",)}
    for split, names in frames.items():
        for seed, name in enumerate(names):
            city = name.partition("_")[0]
            put(tmp_path / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", seed)
            put(tmp_path / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", VALUES)
            put(tmp_path / "gtFine" / split / city / f"{name}_gtFine_color.png", seed)
            put(tmp_path / "gtFine" / split / city / f"{name}_gtFine_instanceIds.png", VALUES)
    put(
        tmp_path / "gtFine" / "val" / "ulm" / "ulm_000000_000002_gtFine_labelTrainIds.png",
        label([[9, 9, 9], [1, 2, 255]]),
    )
    return tmp_path


def labels_of(data: LabelledSet) -> dict[str, list[list[int]]]:
    frames = {frame.name: frame for frame in data}
    assert all(frame.bgr.shape == (*SIZE_HW, 3) and frame.label.dtype == np.uint8 for frame in frames.values())
    assert len(frames) == len(data)
    return {name: frame.label.tolist() for name, frame in frames.items()}


class TestCityscapes:
    def test_train_ids_are_read_where_they_are_and_made_where_not(self, cityscapes: Path) -> None:
        data = LabelledSet(cityscapes)
        assert (data.layout, data.split, data.ignore) == ("cityscapes", "val", 255)
        assert labels_of(data) == {
            "bonn_000000_000001": [[255, 255, 255], [2, 0, 18]],
            "ulm_000000_000002": [[9, 9, 9], [1, 2, 255]],
        }

    def test_label_ids_stay_where_they_are_asked_for(self, cityscapes: Path) -> None:
        data = LabelledSet(cityscapes, layout="cityscapes-ids")
        assert (data.layout, data.ignore) == ("cityscapes-ids", 255)
        assert set(map(str, labels_of(data).values())) == {str([[255, 255, 255], [11, 7, 33]])}

    def test_another_split_is_taken_by_name(self, cityscapes: Path) -> None:
        assert list(labels_of(LabelledSet(cityscapes, split="train"))) == ["aachen_000000_000003"]


class TestVoc:
    @pytest.fixture
    def voc(self, tmp_path: Path, put: Put, put_indexed: Callable[..., None]) -> Path:
        """Three labelled pictures, one more without label; lists for val, train and both."""
        for seed, name in enumerate(("2007_1", "2007_2", "2007_3", "2007_4")):
            put(tmp_path / "JPEGImages" / f"{name}.png", seed)
        folder = tmp_path / "SegmentationClass"
        put_indexed(folder / "2007_1.png", [[0, 1, 2], [20, 15, 255]], VOC)
        put_indexed(folder / "2007_2.png", [[0, 0, 0], [1, 2, 3]], VOC[:4], bits=2)
        put_indexed(folder / "2007_3.png", [[5, 5, 5], [6, 6, 6]], VOC)
        lists = tmp_path / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        (lists / "val.txt").write_text("2007_2\n2007_1\n")
        (lists / "train.txt").write_text("2007_3\n")
        (lists / "trainval.txt").write_text("2007_1\n2007_2\n2007_3\n")
        return tmp_path

    def test_a_palette_gives_the_ids_that_were_put_in(self, voc: Path) -> None:
        data = LabelledSet(voc)
        assert (data.layout, data.split, data.ignore) == ("voc", "val", 255)
        assert labels_of(data) == {"2007_2": [[0, 0, 0], [1, 2, 3]], "2007_1": [[0, 1, 2], [20, 15, 255]]}
        assert list(labels_of(data)) == ["2007_2", "2007_1"], "in the order of the list"

    def test_without_lists_the_labels_say_what_belongs_to_it(self, voc: Path) -> None:
        shutil.rmtree(voc / "ImageSets")
        data = LabelledSet(voc)
        assert (data.split, sorted(labels_of(data))) == (None, ["2007_1", "2007_2", "2007_3"])
        with pytest.raises(DataError, match=r"no split 'val' .*leave --split out"):
            LabelledSet(voc, split="val")

    def test_grey_files_are_ids(self, voc: Path, put: Put) -> None:
        (voc / "SegmentationClass").rename(voc / "SegmentationClassAug")
        put(voc / "SegmentationClassAug" / "2007_3.png", label([[0, 1, 2], [3, 20, 255]]))
        assert labels_of(LabelledSet(voc, split="train")) == {"2007_3": [[0, 1, 2], [3, 20, 255]]}

    def test_the_augmented_labels_fill_what_the_own_lack(self, voc: Path, put: Put) -> None:
        put(voc / "SegmentationClassAug" / "2007_1.png", label([[9, 9, 9], [9, 9, 9]]))
        put(voc / "SegmentationClassAug" / "2007_4.png", label([[4, 4, 4], [4, 4, 4]]))
        (voc / "ImageSets" / "Segmentation" / "aug.txt").write_text("2007_1\n2007_4\n")
        found = labels_of(LabelledSet(voc, split="aug"))
        assert found == {"2007_1": [[0, 1, 2], [20, 15, 255]], "2007_4": [[4, 4, 4], [4, 4, 4]]}

    def test_another_palette_is_refused_with_the_colour(self, voc: Path, put_indexed: Callable[..., None]) -> None:
        palette = [(level, level, level) for level in range(256)]
        put_indexed(voc / "SegmentationClass" / "2007_3.png", [[0, 0, 0], [0, 7, 0]], palette)
        with pytest.raises(
            DataError, match=r"frame 1 of 1: .*2007_3\.png has the colour \(7, 7, 7\) in row 1, column 1"
        ):
            list(LabelledSet(voc, split="train"))

    def test_a_listed_image_that_is_missing_is_named(self, voc: Path) -> None:
        (voc / "JPEGImages" / "2007_1.png").unlink()
        with pytest.raises(DataError, match=r"2007_1\.jpg is missing \(1 in all\)"):
            LabelledSet(voc)


class TestAde20k:
    @pytest.fixture
    def ade(self, tmp_path: Path, put: Put) -> Path:
        for split, name in (("validation", "ADE_val_00000001"), ("training", "ADE_train_00000001")):
            put(tmp_path / "images" / split / f"{name}.png", 1)
            put(tmp_path / "annotations" / split / f"{name}.png", label([[0, 1, 2], [3, 149, 150]]))
        return tmp_path

    @pytest.mark.parametrize(
        ("split", "name"),
        [(None, "ADE_val_00000001"), ("val", "ADE_val_00000001"), ("training", "ADE_train_00000001")],
    )
    def test_ids_are_one_less_and_other_is_ignored(self, ade: Path, split: str | None, name: str) -> None:
        data = LabelledSet(ade, split=split)
        assert (data.layout, data.ignore) == ("ade20k", 255)
        assert labels_of(data) == {name: [[255, 0, 1], [2, 148, 149]]}

    def test_folders_of_its_names_with_other_files_are_not_taken_for_it_unasked(self, ade: Path) -> None:
        for path in list(ade.rglob("ADE_*.png")):
            path.rename(path.with_name(path.name.removeprefix("ADE_")))
        with pytest.raises(DataError, match="no known way"):
            LabelledSet(ade)
        assert labels_of(LabelledSet(ade, layout="ade20k")) == {"val_00000001": [[255, 0, 1], [2, 148, 149]]}


class TestCamVid:
    COLOURS = colours_bgr([[(128, 128, 128), (0, 128, 64), (0, 0, 0)], [(192, 0, 192), (64, 128, 64), (128, 0, 192)]])
    IDS = ((0, 1, 11), (10, 9, 3))

    def ids(self) -> list[list[int]]:
        return [list(row) for row in self.IDS]

    @pytest.mark.parametrize(("split", "taken"), [(None, "test"), ("val", "val")])
    def test_segnets_ids_stay_and_its_void_is_ignored(
        self, tmp_path: Path, put: Put, split: str | None, taken: str
    ) -> None:
        for one in ("test", "val", "train"):
            put(tmp_path / one / "0001TP.png", 1)
            put(tmp_path / f"{one}annot" / "0001TP.png", label([[0, 1, 11], [10, 9, 3]]))
        data = LabelledSet(tmp_path, split=split)
        assert (data.layout, data.split, data.ignore) == ("camvid", taken, 11)
        assert labels_of(data) == {"0001TP": self.ids()}

    def test_colours_of_a_split_give_the_eleven_classes(self, tmp_path: Path, put: Put) -> None:
        put(tmp_path / "test" / "0001TP.png", 1)
        put(tmp_path / "test_labels" / "0001TP_L.png", self.COLOURS)
        data = LabelledSet(tmp_path)
        assert (data.layout, data.split, labels_of(data)) == ("camvid", "test", {"0001TP": self.ids()})

    def test_the_original_folders_are_one_set(self, tmp_path: Path, put: Put) -> None:
        put(tmp_path / "701_StillsRaw_full" / "0001TP.png", 1)
        put(tmp_path / "LabeledApproved_full" / "0001TP_L.png", self.COLOURS)
        data = LabelledSet(tmp_path)
        assert (data.layout, data.split, labels_of(data)) == ("camvid", None, {"0001TP": self.ids()})

    def test_all_32_colours_are_read_from_a_file(self, tmp_path: Path, put: Put) -> None:
        put(tmp_path / "test" / "a.png", np.zeros((4, 8, 3), np.uint8))
        rgb = np.array(list(CAMVID_COLOURS), np.uint8).reshape(4, 8, 3)
        put(tmp_path / "test_labels" / "a_L.png", rgb[..., ::-1].copy())
        (frame,) = LabelledSet(tmp_path)
        assert frame.label.ravel().tolist() == list(CAMVID_COLOURS.values())


class TestPlain:
    def test_ids_stay_and_nothing_is_ignored(self, tmp_path: Path, put: Put) -> None:
        put(tmp_path / "images" / "a.png", 1)
        put(tmp_path / "labels" / "a.png", VALUES)
        data = LabelledSet(tmp_path)
        assert (data.layout, data.split, data.ignore) == ("plain", None, None)
        assert labels_of(data) == {"a": VALUES.tolist()}

    def test_a_subfolder_is_a_split_and_validation_is_taken_unasked(self, tmp_path: Path, put: Put) -> None:
        for folder in ("", "validation", "test"):
            put(tmp_path / folder / "images" / f"x{folder}.png", 1)
            put(tmp_path / folder / "labels" / f"x{folder}.png", VALUES)
        for split, name in ((None, "xvalidation"), ("test", "xtest")):
            assert list(labels_of(LabelledSet(tmp_path, split=split))) == [name]

    def test_the_shipped_set_has_24_labelled_frames(self) -> None:
        data = LabelledSet(shipped_data())
        assert (len(data), data.layout, data.split) == (24, "plain", "validation")


@pytest.mark.parametrize("layout", ["auto", "cityscapes", "cityscapes-ids"])
def test_a_split_that_is_not_there_names_those_that_are(cityscapes: Path, layout: str) -> None:
    with pytest.raises(DataError, match=r"no split 'tset' .*: train, val"):
        LabelledSet(cityscapes, layout=layout, split="tset")  # type: ignore[arg-type]


def test_a_folder_of_no_layout_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        LabelledSet(tmp_path)
    told = ("images/NAME.jpg", "leftImg8bit/", "JPEGImages/", "annotations/validation", "testannot/")
    assert all(part in str(refusal.value) for part in told)


def test_a_folder_above_a_data_set_points_at_it(cityscapes: Path) -> None:
    above = cityscapes / "downloads" / "cs"
    above.mkdir(parents=True)
    for name in ("leftImg8bit", "gtFine"):
        (cityscapes / name).rename(above / name)
    with pytest.raises(DataError, match=r"give .*downloads/cs \(cityscapes\) instead"):
        LabelledSet(cityscapes / "downloads")


@pytest.mark.parametrize("layout", ["plain", "voc", "ade20k", "camvid"])
def test_a_layout_that_does_not_fit_the_folder_is_refused(cityscapes: Path, layout: str) -> None:
    with pytest.raises(DataError, match=f"is not laid out as {layout}: give a folder that holds"):
        LabelledSet(cityscapes, layout=layout)  # type: ignore[arg-type]


def test_an_unknown_layout_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'coco' is no layout: take one of: auto, cityscapes"):
        LabelledSet(tmp_path, layout="coco")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="is not a folder"):
        LabelledSet(tmp_path / "nowhere")
