"""Own the counting of one engine's masks against labels, frame by frame. Time nothing, keep no frame but the worst."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

import numpy as np

from edgeseg.accuracy.results import FramePicture
from edgeseg.boundaries import BoundaryCounts, LabelBands
from edgeseg.data import LabelledFrame, LabelledSet
from edgeseg.errors import DataError, EngineError, ShapeError
from edgeseg.metrics import Accuracy, ConfusionMatrix, Mask
from edgeseg.runtime.session import Session
from edgeseg.spec import LabelSpec

__all__ = ["EngineTally", "WorstFrames", "check_label", "ignored_label", "score"]

MOST_WORST = 4
MOST_WIDTH_PX = 480  # of a kept picture: what a page shows beside two others
MOST_IDS = 5  # that a message lists


def score(session: Session, frames: Iterable[LabelledFrame], *, ignore: int | None = None) -> Accuracy:
    """What one engine's masks are worth, in memory that does not grow with the frames.

    Args:
        session: of any depth, with nothing in flight; stays the caller's.
        frames: at least one.
        ignore: label id that does not count; without it what the set says, else what the model says.
    Raises:
        DataError: no frame, or a label id that is no class.
        EngineError: the engine fails, or gives an id that is no class.
    """
    labels = session.spec.model.labels
    matrix = ConfusionMatrix(len(labels.classes), ignore=ignored_label(frames, labels, ignore))
    frame = None
    for frame in frames:
        check_label(frame, len(labels.classes), ignore=matrix.ignore)
        _add(matrix, frame, session.segment(frame.bgr), engine="the engine")
    if frame is None:
        raise DataError("there is no frame to judge", "give labelled frames")
    return matrix.accuracy()


def ignored_label(frames: Iterable[LabelledFrame], labels: LabelSpec, ignore: int | None) -> int | None:
    """What is asked for, else what the labelled set says, else what the model says."""
    told = frames.ignore if isinstance(frames, LabelledSet) else None
    return next((one for one in (ignore, told, labels.ignore) if one is not None), None)


def check_label(frame: LabelledFrame, classes: int, *, ignore: int | None) -> None:
    """Refuse a label that holds an id outside the classes.

    Raises:
        DataError: names the frame, the ids and the number of classes.
    """
    beyond = frame.label[frame.label >= classes]
    strange = [one for one in np.unique(beyond).tolist() if one != ignore]
    if strange:
        listed = ", ".join(map(str, strange[:MOST_IDS])) + (", ..." if len(strange) > MOST_IDS else "")
        what = f"id {listed} is no class" if len(strange) == 1 else f"ids {listed} are no classes"
        raise DataError(
            f"frame {frame.name}: {what} of {classes} (0 to {classes - 1}; ignored: {ignore})",
            "give --ignore for a label that counts as nothing, or the --layout of the data set",
        )


class EngineTally:
    """All that is counted of one engine.

    Args:
        name: of the engine, for messages.
        classes: how many.
        ignore: label id that does not count.
    """

    def __init__(self, name: str, classes: int, *, ignore: int | None) -> None:
        self.name = name
        self.matrix = ConfusionMatrix(classes, ignore=ignore)
        self.boundaries = BoundaryCounts(classes, ignore=ignore)
        self.worst = WorstFrames()

    def add(self, frame: LabelledFrame, bands: LabelBands, mask: Mask) -> None:
        """Count one frame, whose label has been checked.

        Raises:
            EngineError: the mask holds an id that is no class.
        """
        of_frame = ConfusionMatrix(len(self.matrix.counts), ignore=self.matrix.ignore)
        _add(of_frame, frame, mask, engine=self.name)
        self.matrix.merge(of_frame)
        self.boundaries.add(bands, mask)
        self.worst.offer(frame, mask, of_frame.accuracy().miou)


def _add(matrix: ConfusionMatrix, frame: LabelledFrame, mask: Mask, *, engine: str) -> None:
    try:
        matrix.add(frame.label, mask)
    except ShapeError as error:  # the label's ids and size are known to be right
        raise EngineError(
            f"{engine}, frame {frame.name}: {error.what}", "name every class of the net when it is built"
        ) from error


class WorstFrames:
    """The frames of least mean IoU, ties by name, with small pictures; memory does not grow with the frames.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = MOST_WORST) -> None:
        self._most = most
        self._kept: list[FramePicture] = []

    def offer(self, frame: LabelledFrame, mask: Mask, miou: float) -> None:
        """Keep a frame if it is among the worst so far; one whose label is ignored everywhere has NaN and is not."""
        if np.isnan(miou):
            return
        if len(self._kept) == self._most and _order(self._kept[-1]) <= (miou, frame.name):
            return
        insort(self._kept, _picture(frame, mask, miou), key=_order)
        del self._kept[self._most :]

    @property
    def pictures(self) -> tuple[FramePicture, ...]:
        """Worst first."""
        return tuple(self._kept)


def _order(picture: FramePicture) -> tuple[float, str]:
    return picture.miou, picture.name


def _picture(frame: LabelledFrame, mask: Mask, miou: float) -> FramePicture:
    import cv2

    height, width = mask.shape
    part = min(1.0, MOST_WIDTH_PX / width)
    size_wh = (max(1, round(width * part)), max(1, round(height * part)))
    label, small_mask = (cv2.resize(ids, size_wh, interpolation=cv2.INTER_NEAREST_EXACT) for ids in (frame.label, mask))
    return FramePicture(
        name=frame.name,
        miou=miou,
        frame_bgr=np.asarray(cv2.resize(frame.bgr, size_wh, interpolation=cv2.INTER_AREA), np.uint8),
        label=np.asarray(label, np.uint8),
        mask=np.asarray(small_mask, np.uint8),
    )
