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
from edgeseg.imaging.formats import array_of
from edgeseg.imaging.geometry import Placement
from edgeseg.spec import HeadSpec

if TYPE_CHECKING:
    from edgeseg.imaging.overlay import Overlay
    from edgeseg.imaging.postprocess_reference import Box, Rule

__all__ = ["Areas", "Confidence", "Logits", "Mask", "MaskFormat", "MaskMaker", "mapped"]

#: uint8 (H, W) class ids
Mask = NDArray[np.uint8]
#: uint8 (H, W), the winner's softmax probability in 255ths
Confidence = NDArray[np.uint8]
#: int64 (256,), the pixels of every label
Areas = NDArray[np.int64]
#: of the MaskFormat's dtype and layout
Logits = NDArray[Any]

KEPT_PLANS = 4  # a camera has one size, a data set a few; each plan holds its threads


@dataclass(frozen=True, kw_only=True)
class MaskFormat:
    """How logits are read and what becomes of them.

    ``rule`` places a pixel among the logits as torch's ``interpolate`` does: ``half_pixel`` is bilinear with
    ``align_corners=False``, ``align_corners`` bilinear with True, ``nearest`` is mode nearest. Logits of int8 are
    multiplied by ``scale``. ``ignored_class`` never wins: its pixels go to the next best. ``outside`` is the label of
    pixels that the net has not seen (see ``placement`` of ``MaskMaker.mask``).
    """

    dtype: Literal["float32", "float16", "int8"] = "float32"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    scale: float = 1.0
    rule: Rule = "half_pixel"
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
    One class is a threshold: 1 where its logit is above 0.

    Args:
        head: the logits' shape, from 1 to 255 classes.
        input_hw: the net's input size; needed for a ``placement`` only.
        mask_format: dtype, layout and rule; the head's float32 NCHW, bilinear with half_pixel, without it.
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
        self._format = mask_format or MaskFormat()
        self._threads = len(os.sched_getaffinity(0)) if threads is None else threads
        self._plans: OrderedDict[_Case, _native.MaskPlan] = OrderedDict()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the logits, in the format's layout."""
        batch, channels, height, width = self._head.shape
        return (batch, channels, height, width) if self._format.layout == "NCHW" else (batch, height, width, channels)

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
            logits: ``shape``, of the format's dtype, any strides, host memory; also by DLPack or as a C buffer.
            size_hw: mask height and width in pixels, each 1 to 65536.
            out: uint8 (H, W) to write into, any pitch, in any of these forms; a new array, owned by the caller,
                without it.
            placement: where the frame went in the net's input, as ``Preprocessor.placement`` says: letterbox and crop
                are undone. Without it the logits cover the mask.
            confidence: uint8 (H, W) for the winner's softmax probability in 255ths; within 1 of the exact value.
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
            plan = self._plans.get(case) or self._add(case)
            plan.run(logits, mask, confidence=confidence, areas=areas, overlay=painter, frame=frame, picture=picture)
        except ValueError as error:
            raise ShapeError(*mapped(error)) from error
        return mask if given_out is None else given_out

    def _check(self, logits: Logits, size_hw: tuple[int, int], out: Mask | None) -> None:
        if logits.shape != self.shape or logits.dtype != self._format.dtype:
            raise ShapeError(
                f"logits are {logits.dtype} {logits.shape}", f"the head gives {self._format.dtype} {self.shape}"
            )
        if min(size_hw) < 1:
            raise ShapeError(f"a mask of {size_hw} has no pixel", "give height and width of 1 or more")
        if out is not None and (out.shape != size_hw or out.dtype != np.uint8):
            raise ShapeError(f"out is {out.dtype} {out.shape}", f"give uint8 {size_hw}")

    def _add(self, case: _Case) -> _native.MaskPlan:
        window, region = self._parts(case)
        ignored, form = self._format.ignored_class, self._format
        plan = _native.MaskPlan(
            channels=self._head.channels,
            logits_hw=self._head.size_hw,
            layout=form.layout,
            dtype=form.dtype,
            scale=form.scale,
            size_hw=case.size_hw,
            rule=form.rule,
            region_xywh=region,
            window_xywh=window,
            outside=form.outside,
            ignored_class=-1 if ignored is None else ignored,
            has_confidence=case.has_confidence,
            threads=self._threads,
        )
        if len(self._plans) >= KEPT_PLANS:
            self._plans.popitem(last=False)
        self._plans[case] = plan
        return plan

    def _parts(self, case: _Case) -> tuple[tuple[int, int, int, int], Box]:
        """The window of the mask that the net has seen, and the part of the logits that shows it."""
        (height, width), logits_hw = case.size_hw, self._head.size_hw
        if case.placement is None:
            return (0, 0, width, height), (0.0, 0.0, float(logits_hw[1]), float(logits_hw[0]))
        if self._input_hw is None:
            raise ShapeError("a placement is given without the net's input size", "give MaskMaker input_hw")
        source, target = case.placement
        rule, input_hw = self._format.rule, self._input_hw
        x, extent_x = _part(rule, logits_hw[1], input_hw[1], target.x, target.width, source.width)
        y, extent_y = _part(rule, logits_hw[0], input_hw[0], target.y, target.height, source.height)
        return (source.x, source.y, source.width, source.height), (x, y, extent_x, extent_y)


def _part(rule: Rule, logits: int, pixels: int, begin: int, length: int, window: int) -> tuple[float, float]:
    """Where ``length`` input pixels from ``begin`` on, shown as ``window`` mask pixels, lie among the logits.

    The pre-processing resizes with half-pixel centres whatever the net's own rule; the two maps are joined.
    """
    if rule == "align_corners":
        step, ratio = length / window, (logits - 1) / max(pixels - 1, 1)
        first, last = (begin + 0.5 * step - 0.5) * ratio, (begin + length - 0.5 * step - 0.5) * ratio
        return first, last - first + 1.0
    ratio = logits / pixels
    half = 0.5 * length * ratio / window if rule == "nearest" else 0.0  # nearest samples at its pixels' corners
    return begin * ratio + half, length * ratio


def mapped(error: ValueError) -> tuple[str, str]:
    """What a plan refused, and the hint that ends its message."""
    what, _, hint = str(error).rpartition(": ")
    return (what, hint) if what else (hint, "")
