"""Own the layouts of data sets: which files are a pair, and what a label file says. Iterate over nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from edgeseg.data.label_codes import ade20k_table, camvid_table, cityscapes_table, ids_of_colours, ids_of_values
from edgeseg.data.label_layout import Found, IdMap, LabelLayout, LayoutName, Pair, has_folders, subfolders
from edgeseg.data.label_tables import CAMVID_COLOURS, CAMVID_VOID, VOC_COLOURS
from edgeseg.errors import DataError
from edgeseg.files import read_file
from edgeseg.imaging.images import list_images, read_label, read_label_pixels

__all__ = ["LAYOUTS", "find_layout"]

LAYOUTS = Literal["auto", "plain", "cityscapes", "cityscapes-ids", "voc", "ade20k", "camvid"]


class Plain(LabelLayout):
    """``images/NAME.*`` and ``labels/NAME.png``; a split is a subfolder that holds the two."""

    name = "plain"
    looks_for = "images/NAME.jpg and labels/NAME.png"
    ignore = None
    default = "validation"

    def fits(self, folder: Path) -> bool:
        return has_folders(folder, "images", "labels") or bool(self.splits(folder))

    def splits(self, folder: Path) -> tuple[str, ...]:
        return tuple(one.name for one in subfolders(folder) if has_folders(one, "images", "labels"))

    def choose(self, folder: Path, split: str | None) -> str | None:
        is_whole = has_folders(folder, "images", "labels") and self.default not in self.splits(folder)
        return None if split is None and is_whole else super().choose(folder, split)

    def find(self, folder: Path, split: str | None) -> Found:
        root = folder / (split or "")
        return _same_names(root / "images", root / "labels")


class Cityscapes(LabelLayout):
    """Train ids 0 to 18: ``*_labelTrainIds.png`` where it is there, or made of ``*_labelIds.png``."""

    name: ClassVar[LayoutName] = "cityscapes"
    looks_for = "leftImg8bit/SPLIT/CITY/ and gtFine/SPLIT/CITY/"
    kinds: ClassVar[tuple[str, ...]] = ("labelTrainIds", "labelIds")
    table = cityscapes_table(to_train_ids=True)

    def fits(self, folder: Path) -> bool:
        return has_folders(folder, "leftImg8bit", "gtFine")

    def splits(self, folder: Path) -> tuple[str, ...]:
        return _in_both(folder / "leftImg8bit", folder / "gtFine")

    def find(self, folder: Path, split: str | None) -> Found:
        images, truth = folder / "leftImg8bit" / (split or ""), folder / "gtFine" / (split or "")
        pairs = [self._pair(image, truth) for image in sorted(images.glob("*/*_leftImg8bit.png"))]
        labels = [path for kind in self.kinds for path in truth.glob(f"*/*_gtFine_{kind}.png")]
        return Found(pairs, sorted(labels))

    def read(self, path: Path) -> IdMap:
        values = read_label(path)
        return ids_of_values(values, self.table, path) if path.stem.endswith("_labelIds") else values

    def _pair(self, image: Path, truth: Path) -> Pair:
        name = image.name.removesuffix("_leftImg8bit.png")
        named = [truth / image.parent.name / f"{name}_gtFine_{kind}.png" for kind in self.kinds]
        return Pair(name, image, _first_there(named))


class CityscapesIds(Cityscapes):
    """Label ids 0 to 33 as they are; those that the benchmark does not evaluate are ignored."""

    name: ClassVar[LayoutName] = "cityscapes-ids"
    kinds = ("labelIds",)
    table = cityscapes_table(to_train_ids=False)


class Voc(LabelLayout):
    """Ids by VOC's colours from palette files, or as they are from grey ones; the border, 255, is ignored."""

    name = "voc"
    looks_for = "JPEGImages/ and SegmentationClass/ (or SegmentationClassAug/)"
    folders: ClassVar[tuple[str, ...]] = ("SegmentationClass", "SegmentationClassAug")

    def fits(self, folder: Path) -> bool:
        return any(has_folders(folder, "JPEGImages", one) for one in self.folders)

    def splits(self, folder: Path) -> tuple[str, ...]:
        return tuple(path.stem for path in sorted((folder / "ImageSets" / "Segmentation").glob("*.txt")))

    def find(self, folder: Path, split: str | None) -> Found:
        images = {path.stem: path for path in list_images(folder / "JPEGImages")}
        labels = sorted(path for one in self.folders for path in (folder / one).glob("*.png"))
        named = sorted({path.stem for path in labels}) if split is None else _listed_names(folder, split)
        return Found([self._pair(folder, name, images) for name in named], labels)

    def read(self, path: Path) -> IdMap:
        pixels = read_label_pixels(path)
        return pixels if pixels.ndim == 2 else ids_of_colours(pixels, VOC_COLOURS, path)

    def _pair(self, folder: Path, name: str, images: Mapping[str, Path]) -> Pair:
        image = images.get(name, folder / "JPEGImages" / f"{name}.jpg")
        return Pair(name, image, _first_there([folder / one / f"{name}.png" for one in self.folders]))


class Ade20k(LabelLayout):
    """The scene parsing benchmark: 150 classes; 0 in the files is what is none of them."""

    name = "ade20k"
    looks_for = "images/validation/ADE_*.jpg and annotations/validation/"
    default = "validation"
    also: ClassVar[Mapping[str, str]] = {"val": "validation", "train": "training"}
    table = ade20k_table()

    def fits(self, folder: Path) -> bool:
        return has_folders(folder, "images", "annotations") and bool(self.splits(folder))

    def is_sure(self, folder: Path) -> bool:
        # others keep ids from 0 in folders of these names; taken for ADE20K they would be read one class off
        return self.fits(folder) and any((folder / "images").glob("*/ADE_*"))

    def splits(self, folder: Path) -> tuple[str, ...]:
        return _in_both(folder / "images", folder / "annotations")

    def find(self, folder: Path, split: str | None) -> Found:
        return _same_names(folder / "images" / (split or ""), folder / "annotations" / (split or ""))

    def read(self, path: Path) -> IdMap:
        return ids_of_values(read_label(path), self.table, path)


class CamVid(LabelLayout):
    """SegNet's ``SPLIT`` with ``SPLITannot``; ``SPLIT`` with ``SPLIT_labels``; or the original's two folders.

    Files hold ids 0 to 11 or the original's colours.
    """

    name = "camvid"
    looks_for = "test/ and testannot/, test/ and test_labels/*_L.png, or 701_StillsRaw_full/ and LabeledApproved_full/"
    ignore = CAMVID_VOID
    default = "test"
    original: ClassVar[tuple[str, str]] = ("701_StillsRaw_full", "LabeledApproved_full")
    table = camvid_table()

    def fits(self, folder: Path) -> bool:
        return has_folders(folder, *self.original) or bool(self.splits(folder))

    def splits(self, folder: Path) -> tuple[str, ...]:
        return tuple(one.name for one in subfolders(folder) if self._truth(one) is not None)

    def find(self, folder: Path, split: str | None) -> Found:
        images, truth = (folder / name for name in self.original)
        if split is not None:
            images, truth = folder / split, self._truth(folder / split) or truth
        ending = "_L" if any(truth.glob("*_L.png")) else ""
        return _same_names(images, truth, ending=ending)

    def read(self, path: Path) -> IdMap:
        pixels = read_label_pixels(path)
        if pixels.ndim == 2:
            return ids_of_values(pixels, self.table, path)
        return ids_of_colours(pixels, CAMVID_COLOURS, path)

    @staticmethod
    def _truth(images: Path) -> Path | None:
        ids, colours = images.with_name(f"{images.name}annot"), images.with_name(f"{images.name}_labels")
        if ids.is_dir():
            return ids
        return colours if any(colours.glob("*_L.png")) else None


#: in the order in which they are tried; Cityscapes' folders mean train ids, on which nearly every net is trained
GUESSED: tuple[LabelLayout, ...] = (Cityscapes(), Voc(), Ade20k(), CamVid(), Plain())
ALL = (*GUESSED, CityscapesIds())


def find_layout(folder: Path, layout: LAYOUTS) -> LabelLayout:
    """The layout of that name, or for ``auto`` the first that the folder is surely laid out in.

    Raises:
        DataError: it is no folder, or not laid out so; says what was looked for.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", "give the folder of a data set")
    if layout == "auto":
        return _recognise(folder)
    named = next((one for one in ALL if one.name == layout), None)
    if named is None:
        raise DataError(f"'{layout}' is no layout", f"take one of: auto, {', '.join(one.name for one in ALL)}")
    if not named.fits(folder):
        raise DataError(f"{folder} is not laid out as {layout}", f"give a folder that holds {named.looks_for}")
    return named


def _recognise(folder: Path) -> LabelLayout:
    for one in GUESSED:
        if one.is_sure(folder):
            return one
    inside = [f"{sub} ({one.name})" for sub in subfolders(folder) for one in GUESSED if one.is_sure(sub)]
    looked = "; ".join(f"{one.name}: {one.looks_for}" for one in GUESSED)
    raise DataError(
        f"{folder} is laid out in no known way (looked for {looked})",
        f"give {inside[0]} instead" if inside else "put pairs there: images/NAME.jpg and labels/NAME.png",
    )


def _same_names(images: Path, labels: Path, *, ending: str = "") -> Found:
    pairs = [Pair(image.stem, image, labels / f"{image.stem}{ending}.png") for image in list_images(images)]
    return Found(pairs, sorted(labels.glob("*.png")))


def _first_there(paths: list[Path]) -> Path:
    """The first that is a file, or the last, whose name then tells what was expected."""
    return next((path for path in paths if path.is_file()), paths[-1])


def _listed_names(folder: Path, split: str) -> list[str]:
    path = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
    text = read_file(path, error=DataError, make_it="write one image name a line").decode(errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _in_both(images: Path, labels: Path) -> tuple[str, ...]:
    return tuple(one.name for one in subfolders(images) if (labels / one.name).is_dir())
