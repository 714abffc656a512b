"""Own which held-out pictures were calibrated on too. Refuse nothing."""

from __future__ import annotations

from pathlib import Path

from edgeseg.data.calibration import CalibrationSet
from edgeseg.data.labelled import LabelledSet

__all__ = ["shared_images"]


def shared_images(calibration: CalibrationSet, held_out: LabelledSet) -> tuple[Path, ...]:
    """The images of ``held_out`` whose bytes are also calibration data, in their order, under whatever name.

    A promise that is kept on these is no promise for other pictures. Pictures that were saved anew, and frames of a
    video, are not recognised.

    Raises:
        DataError: a file cannot be read, where its set does not skip bad ones.
    """
    known = calibration.files_sha256
    return tuple(path for path, digest in held_out.image_digests.items() if digest in known)
