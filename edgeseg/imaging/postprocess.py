"""Own the way from logits to a uint8 mask at the camera's size, in one pass over the logits. Draw nothing."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError
from edgeseg.imaging import _native
from edgeseg.imaging.formats import Mask, array_of
from edgeseg.imaging.geometry import Placement, Rect
from edgeseg.imaging.overlay import Overlay
from edgeseg.imaging.postprocess_ids import enlarge_ids
from edgeseg.imaging.refusals import shape_error
from edgeseg.spec import HeadSpec

if TYPE_CHECKING:
    from edgeseg.imaging.postprocess_reference import Box

__all__ = ["Areas", "Confidence", "Logits", "Mask", "MaskFormat", "MaskMaker"]

#: uint8 (H, W), the winner's probability in 255ths
Confidence = NDArray[np.uint8]
#: int64 (256,), the pixels of every label
Areas = NDArray[np.int64]
#: of the MaskMaker's shape and dtype
Logits = NDArray[Any]

KEPT_PLANS = 4  # a camera has one size, a data set a few; each plan holds its threads


@dataclass(frozen=True, kw_only=True)
class MaskFormat:
    """How logits lie in memory where it is not as the head says, and what else becomes of them.

    Logits of int8 are multiplied by ``scale``. ``ignored_class`` never wins: its pixels go to the next best.
    ``outside`` is the label of pixels that the net has not seen (see ``placement`` of ``MaskMaker.mask``), and of
    finished ids that are not 0 to 255; these have none of the other options.
    """

    dtype: Literal["float32", "float16", "int8"] = "float32"
    scale: float = 1.0
    ignored_class: int | None = None
    outside: int = 255


class _Case(NamedTuple):
    """What a plan is made for, besides the MaskMaker's own options."""

    size_hw: tuple[int, int]
    placement: Placement | None
    has_confidence: bool


class MaskMaker:
    """Enlarges logits, takes the best class and writes the mask in one pass in C++; no logits of mask size are held.

    The mask is, to the bit, what ``postprocess_reference`` computes: torch's interpolate + argmax wherever the two
    best classes differ by more than float32's rounding. A tie goes to the lowest class. Logits count as at most 2^127
    in magnitude and a NaN as -2^127: it never wins against a number, and where all classes are NaN class 0 is taken.
    One class is a threshold: 1 where its logit is above the head's. Probabilities are treated as logits are.

    The head's rule enlarges the logits to the mask. With a ``placement`` it enlarges them to ``head.uncut_hw`` (the
    input's size without that), and the mask shows the picture's part of it: interpolated once more by half-pixel
    centres, or, where the rule is nearest, the pixel under the middle of each of the mask's.

    Finished ids (``head.decision``) are enlarged by nearest neighbour: the id under the middle of each pixel.

    Args:
        head: shape, layout and meaning of the logits, from 1 to 255 classes.
        input_hw: the net's input size; needed for a ``placement`` only.
        mask_format: the logits are of the head's own dtype and scale without it.
        threads: CPU threads; all cores of this process without it.

    Example:
        >>> import numpy as np
        >>> from edgeseg.spec import HeadSpec
        >>> head = HeadSpec(output="logits", channels=2, size_hw=(1, 1), decision="argmax")
        >>> MaskMaker(head, threads=1).mask(np.array([[[[1.0]], [[2.0]]]], np.float32), size_hw=(1, 3))
        array([[1, 1, 1]], dtype=uint8)
    """

    def __init__(
        self,
        head: HeadSpec,
        *,
        input_hw: tuple[int, int] | None = None,
        mask_format: MaskFormat | None = None,
        threads: int | None = None,
    ) -> None:
        self._head, self._input_hw = head, input_hw
        self._format = mask_format or MaskFormat(dtype=head.scores_dtype, scale=head.scale)
        self._threads = len(os.sched_getaffinity(0)) if threads is None else threads
        self._plans: OrderedDict[_Case, _native.MaskPlan] = OrderedDict()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the logits, in the head's layout."""
        return self._head.shape

    @property
    def dtype(self) -> str:
        """Of the logits: the format's, or int32 of finished ids."""
        return self._head.dtype if self._head.decision == "ids" else self._format.dtype

    def mask(
        self,
        logits: Logits,
        *,
        size_hw: tuple[int, int],
        out: Mask | None = None,
        placement: Placement | None = None,
        confidence: Confidence | None = None,
        areas: Areas | None = None,
        overlay: Overlay | None = None,
        frame: NDArray[np.uint8] | None = None,
        picture: NDArray[np.uint8] | None = None,
    ) -> Mask:
        """Best class of every pixel. No array may share memory with another, but ``picture`` may be ``frame``.

        Args:
            logits: ``shape``, of ``dtype``, any strides, host memory; also by DLPack or as a C buffer.
            size_hw: mask height and width in pixels, each 1 to 65536.
            out: uint8 (H, W) to write into, any pitch, in any of these forms; a new array, owned by the caller,
                without it.
            placement: where the frame went in the net's input, as ``Preprocessor.placement`` says: letterbox and crop
                are undone. Without it the logits cover the mask.
            confidence: uint8 (H, W) for the winner's probability in 255ths, within 1 of the exact value: its softmax
                (of one class: sigmoid), or its own value where the head's scores are probabilities.
            areas: int64 (256,) for the pixels of every label.
            overlay: blends the mask into ``frame``, uint8 (H, W, 3), and writes ``picture``, of the same kind.
            frame: with ``overlay``.
            picture: with ``overlay``.
        Returns:
            ``out`` or the new mask.
        Raises:
            ShapeError: an array is not of that form or read-only, arrays overlap, or an option does not fit.
        """
        logits, given_out = array_of(logits), out
        out = None if out is None else array_of(out)
        self._check(logits, size_hw, out)
        if (overlay is None) != (frame is None) or (overlay is None) != (picture is None):
            raise ShapeError("overlay, frame and picture go together", "give all three or none")
        mask = np.empty(size_hw, np.uint8) if out is None else out
        case = _Case(size_hw, placement, confidence is not None)
        painter = None if overlay is None else overlay.plan
        try:
            if self._head.decision == "ids":
                self._enlarge(logits, mask, case)
                _finish(mask, areas, painter, frame, picture)
            else:
                self._plan(case).run(
                    logits, mask, confidence=confidence, areas=areas, overlay=painter, frame=frame, picture=picture
                )
        except ValueError as error:
            raise shape_error(error) from error
        return mask if given_out is None else given_out

    def tables(
        self, *, size_hw: tuple[int, int], placement: Placement | None = None, has_confidence: bool = False
    ) -> _native.MaskTables:
        """What the plan of such a mask has made once, for kernels elsewhere; of scores, not of finished ids.

        Raises:
            ShapeError: an option does not fit.
        """
        try:
            return self._plan(_Case(size_hw, placement, has_confidence)).tables()
        except ValueError as error:
            raise shape_error(error) from error

    def _enlarge(self, ids: Logits, mask: Mask, case: _Case) -> None:
        """Finished ids hold no scores; nothing of them can be ignored or weighed."""
        if case.has_confidence or self._format.ignored_class is not None:
            raise ShapeError("finished ids have no confidence and no next best class", "cut the net's tail for these")
        if case.placement is not None:
            self._expect_input_hw()
        if not mask.flags.writeable or np.may_share_memory(ids, mask):
            raise ShapeError("out is read-only or overlaps the ids", "give a writable array of its own")
        outside, height_width = self._format.outside, self._head.size_hw
        enlarge_ids(ids.reshape(height_width), mask, input_hw=self._input_hw, placement=case.placement, outside=outside)

    def _check(self, logits: Logits, size_hw: tuple[int, int], out: Mask | None) -> None:
        if logits.shape != self.shape or logits.dtype != self.dtype:
            raise ShapeError(f"logits are {logits.dtype} {logits.shape}", f"the head gives {self.dtype} {self.shape}")
        if min(size_hw) < 1:
            raise ShapeError(f"a mask of {size_hw} has no pixel", "give height and width of 1 or more")
        if out is not None and (out.shape != size_hw or out.dtype != np.uint8):
            raise ShapeError(f"out is {out.dtype} {out.shape}", f"give uint8 {size_hw}")

    def _plan(self, case: _Case) -> _native.MaskPlan:
        return self._plans.get(case) or self._add(case)

    def _add(self, case: _Case) -> _native.MaskPlan:
        window, grid_hw, region = self._parts(case)
        head, form = self._head, self._format
        plan = _native.MaskPlan(
            channels=head.channels,
            logits_hw=head.size_hw,
            layout=head.layout,
            dtype=form.dtype,
            scale=form.scale,
            size_hw=case.size_hw,
            coordinates=head.upsample.coordinates,
            rounding=head.upsample.rounding or "none",
            grid_hw=grid_hw,
            region_xywh=region,
            window_xywh=window,
            outside=form.outside,
            ignored_class=-1 if form.ignored_class is None else form.ignored_class,
            threshold=head.threshold if head.channels == 1 else 0.0,
            scores=head.scores,
            has_confidence=case.has_confidence,
            threads=self._threads,
        )
        if len(self._plans) >= KEPT_PLANS:
            self._plans.popitem(last=False)
        self._plans[case] = plan
        return plan

    def _parts(self, case: _Case) -> tuple[Rect, tuple[int, int], Box]:
        """The window of the mask that the net has seen, the grid of the net's rule, and its part that is shown."""
        height, width = case.size_hw
        if case.placement is None:
            return Rect(0, 0, width, height), case.size_hw, (0.0, 0.0, float(width), float(height))
        input_hw = self._expect_input_hw()
        source, target = case.placement
        grid = self._head.uncut_hw or input_hw
        across, down = grid[1] / input_hw[1], grid[0] / input_hw[0]
        return source, grid, (target.x * across, target.y * down, target.width * across, target.height * down)

    def _expect_input_hw(self) -> tuple[int, int]:
        if self._input_hw is None:
            raise ShapeError("a placement is given without the net's input size", "give MaskMaker input_hw")
        return self._input_hw


def _finish(
    mask: Mask,
    areas: Areas | None,
    painter: _native.OverlayPlan | None,
    frame: NDArray[np.uint8] | None,
    picture: NDArray[np.uint8] | None,
) -> None:
    """What a plan does beside the mask, for a mask that is there."""
    if areas is not None:
        if areas.shape != (256,) or areas.dtype != np.int64:
            raise ShapeError(f"areas is {areas.dtype} {areas.shape}", "give int64 (256,)")
        areas[:] = np.bincount(mask.ravel(), minlength=256)
    if painter is not None:
        painter.run(frame, mask, picture)
