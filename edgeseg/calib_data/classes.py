"""Own the nine classes of the synthetic street: ids, names and colours. Draw nothing."""

from __future__ import annotations

from enum import IntEnum

IGNORE_ID = 255


class ClassId(IntEnum):
    """Pixel value of each class in a label image."""

    ROAD = 0
    LANE_MARK = 1
    SIDEWALK = 2
    BUILDING = 3
    VEGETATION = 4
    SKY = 5
    VEHICLE = 6
    PERSON = 7
    SIGN = 8


# RGB. Cityscapes' palette where it has the class; lane marks take Mapillary's white, a shade down.
COLOURS_RGB: dict[ClassId, tuple[int, int, int]] = {
    ClassId.ROAD: (128, 64, 128),
    ClassId.LANE_MARK: (245, 245, 245),
    ClassId.SIDEWALK: (244, 35, 232),
    ClassId.BUILDING: (102, 102, 156),
    ClassId.VEGETATION: (107, 142, 35),
    ClassId.SKY: (70, 130, 180),
    ClassId.VEHICLE: (0, 0, 200),
    ClassId.PERSON: (220, 20, 60),
    ClassId.SIGN: (255, 210, 0),
}


def class_name(class_id: ClassId) -> str:
    """Return the class's name as it is written in labels.json, such as ``lane mark``."""
    return class_id.name.lower().replace("_", " ")


def labels_document() -> dict[str, object]:
    """Return the content of labels.json: the ignored value, then names and RGB colours in the ids' order."""
    classes = [{"name": class_name(c), "colour": list(COLOURS_RGB[c])} for c in ClassId]
    return {"ignore": IGNORE_ID, "classes": classes}
