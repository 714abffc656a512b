"""Own calibration and labelled data: where pictures and labels lie, and reading them one by one. Judge no net."""

from __future__ import annotations

from edgeseg.data.calibration import CalibrationSet
from edgeseg.data.labelled import LabelledFrame, LabelledSet
from edgeseg.data.layouts import LAYOUTS
from edgeseg.data.likeness import Likeness
from edgeseg.data.overlap import shared_images
from edgeseg.data.shipped import shipped_data

__all__ = [
    "LAYOUTS",
    "CalibrationSet",
    "LabelledFrame",
    "LabelledSet",
    "Likeness",
    "shared_images",
    "shipped_data",
]
