"""Own what the kernels of the post-processing are told: params, tables, grids, scratch. Allocate and launch nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.engine_spec import TensorLayout
from edgeseg.errors import ShapeError
from edgeseg.imaging.geometry import Placement
from edgeseg.imaging.postprocess import MaskFormat, MaskMaker
from edgeseg.imaging.postprocess_ids import places_of_ids
from edgeseg.runtime.layouts import stored_shape
from edgeseg.spec import HeadSpec

__all__ = [
    "LOGITS",
    "PARAMS",
    "Launch",
    "MaskPointers",
    "PostprocessLaunches",
    "logits_of",
    "overlay_launch",
    "strides_of",
]

#: of sixteen.h: pixels a thread, and threads of a block
PIXELS, BLOCK, CORNERS_BLOCK = 16, (8, 16, 1), (32, 4, 1)
TABLE_ALIGNMENT = 256
SOFTMAX = 1  # of Confidence in pixel_math.h
LOGIT_TYPES = ("float32", "float16", "int8")  # LogitType of pixel_math.h

_POINTER, _STRIDE, _NUMBER, _FLOAT = np.uint64, np.int64, np.int32, np.float32
#: a field, and what it is
Fields = Sequence[tuple[str, Any]]


def _dtype(fields: Fields) -> np.dtype[Any]:
    return np.dtype(list(fields), align=True)


LOGITS = _dtype(
    [
        ("data", _POINTER),
        *((name, _STRIDE) for name in ("channel", "row", "column")),
        *((name, _NUMBER) for name in ("channels", "height", "width", "type")),
        *((name, _FLOAT) for name in ("scale", "threshold")),
        *((name, _NUMBER) for name in ("ignored", "is_nearest")),
    ]
)
_GRID = _dtype(
    [
        *((name, _POINTER) for name in ("x_cell", "x_weight", "y_cell", "y_weight")),
        *((name, _NUMBER) for name in ("width", "height")),
    ]
)
_MASK: Fields = [("mask", _POINTER), ("mask_pitch", _STRIDE)]
_OUTSIDE: Fields = [("outside", _NUMBER), ("reserved", _NUMBER)]

#: the structs of postprocess.h, by kernel
PARAMS: dict[str, np.dtype[Any]] = {
    "corners": _dtype([("logits", LOGITS), ("labels", _POINTER)]),
    "mask": _dtype([("logits", LOGITS), ("grid", _GRID), ("labels", _POINTER), *_MASK, *_OUTSIDE]),
    "confidence": _dtype(
        [
            ("logits", LOGITS),
            ("grid", _GRID),
            ("confidence", _POINTER),
            ("confidence_pitch", _STRIDE),
            ("kind", _NUMBER),
            ("faint", _FLOAT),
        ]
    ),
    "ids": _dtype([("ids", _POINTER), ("ids_pitch", _STRIDE), ("grid", _GRID), *_MASK, *_OUTSIDE]),
    "areas": _dtype([*_MASK, ("areas", _POINTER), ("width", _NUMBER), ("height", _NUMBER)]),
    "overlay": _dtype(
        [
            ("frame", _POINTER),
            ("frame_pitch", _STRIDE),
            *_MASK,
            ("picture", _POINTER),
            ("picture_pitch", _STRIDE),
            ("colours", _POINTER),
            *((name, _NUMBER) for name in ("width", "height", "boundary", "reserved")),
        ]
    ),
}


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One launch of ``edgeseg_<kernel>``: ``params`` is one record of ``PARAMS[kernel]``, host memory."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    params: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class MaskPointers:
    """Device addresses of one run; pitches in bytes.

    Attributes:
        scores: the output tensor of one picture, aligned to its type.
        tables: where ``PostprocessLaunches.tables`` was copied to, aligned to 16 bytes.
        scratch: of ``scratch_bytes``, written before it is read; 0 where that is 0.
        mask: uint8 rows.
        confidence: uint8 rows; where the launches have one.
        areas: uint64 (256,), set to 0 before; no areas are counted without.
    """

    scores: int
    tables: int
    scratch: int = 0
    mask: int
    mask_pitch: int
    confidence: int = 0
    confidence_pitch: int = 0
    areas: int | None = None


class PostprocessLaunches:
    """The kernels from one head's output to a mask of one size, in the order of their launches on one stream.

    Args:
        head: the output and its meaning.
        size_hw: the mask's height and width in pixels.
        layout: how the output lies in memory; the formats with channels last are those of NCHW tensors.
        input_hw, placement, mask_format: as of ``MaskMaker``.
        has_confidence: write one beside the mask.
    Raises:
        ShapeError: an option does not fit, as for ``MaskMaker``; or channels-last memory of an NHWC tensor or of ids.

    Attributes:
        tables: uint8, to be copied to the device once; owned by this object.
        scratch_bytes: of device memory that one run needs; concurrent runs need one each.

    Example:
        >>> head = HeadSpec(output="logits", channels=19, size_hw=(64, 128), decision="argmax")
        >>> launches = PostprocessLaunches(head, size_hw=(540, 961))
        >>> launches.scratch_bytes
        8192
        >>> made = launches.made(MaskPointers(scores=0, tables=0, mask=0, mask_pitch=1024))
        >>> [(one.kernel, one.grid) for one in made]
        [('corners', (4, 16, 1)), ('mask', (8, 34, 1))]
    """

    def __init__(
        self,
        head: HeadSpec,
        *,
        size_hw: tuple[int, int],
        layout: TensorLayout = "linear",
        input_hw: tuple[int, int] | None = None,
        placement: Placement | None = None,
        mask_format: MaskFormat | None = None,
        has_confidence: bool = False,
    ) -> None:
        self._head, self._size_hw = head, size_hw
        self._format = mask_format or MaskFormat(dtype=head.scores_dtype, scale=head.scale)
        self._kind = 0
        if head.decision == "ids":
            self._refuse_what_ids_have_not(layout, has_confidence)
            tables = _tables_of_ids(head.size_hw, size_hw, input_hw, placement)
        else:
            self._strides = strides_of(head, layout, np.dtype(self._format.dtype).itemsize)
            maker = MaskMaker(head, input_hw=input_hw, mask_format=mask_format, threads=1)
            made = maker.tables(size_hw=size_hw, placement=placement, has_confidence=has_confidence)
            self._kind, self._faint = made["confidence"], made["faint"]
            tables = (made["x_cell"], made["x_weight"], made["y_cell"], made["y_weight"])
        self.tables, self._offsets = _packed(tables)
        self.scratch_bytes = 0 if head.decision == "ids" else head.size_hw[0] * head.size_hw[1]

    def made(self, at: MaskPointers) -> tuple[Launch, ...]:
        """The launches with these addresses."""
        if self._head.decision == "ids":
            launches = [self._over_mask("ids", self._ids_params(at))]
        else:
            launches = [self._corners(at), self._over_mask("mask", self._mask_params(at))]
        if self._kind:
            launches.append(self._over_mask("confidence", self._confidence_params(at)))
        if at.areas is not None:
            height, width = self._size_hw
            params = {"mask": at.mask, "mask_pitch": at.mask_pitch, "areas": at.areas, "width": width, "height": height}
            launches.append(self._over_mask("areas", params))
        return tuple(launches)

    def _refuse_what_ids_have_not(self, layout: TensorLayout, has_confidence: bool) -> None:
        if has_confidence or self._format.ignored_class is not None:
            raise ShapeError("finished ids have no confidence and no next best class", "cut the net's tail for these")
        if layout != "linear":
            raise ShapeError(f"finished ids lie in memory as {layout}", "ask the engine for linear int32")

    def _over_mask(self, kernel: str, fields: dict[str, Any]) -> Launch:
        return _over_pixels(kernel, self._size_hw, fields)

    def _corners(self, at: MaskPointers) -> Launch:
        height, width = self._head.size_hw
        grid = (_ceil(width, CORNERS_BLOCK[0]), _ceil(height, CORNERS_BLOCK[1]), 1)
        params = _record("corners", {"logits": self._logits(at), "labels": at.scratch})
        return Launch(kernel="corners", grid=grid, block=CORNERS_BLOCK, params=params)

    def _mask_params(self, at: MaskPointers) -> dict[str, Any]:
        shared = {"logits": self._logits(at), "grid": self._grid(at), "labels": at.scratch}
        return shared | {"mask": at.mask, "mask_pitch": at.mask_pitch, "outside": self._format.outside}

    def _confidence_params(self, at: MaskPointers) -> dict[str, Any]:
        shared = {"logits": self._logits(at), "grid": self._grid(at), "kind": self._kind}
        shared["faint"] = self._faint if self._kind == SOFTMAX else 0.0
        return shared | {"confidence": at.confidence, "confidence_pitch": at.confidence_pitch}

    def _ids_params(self, at: MaskPointers) -> dict[str, Any]:
        ids = {"ids": at.scores, "ids_pitch": 4 * self._head.size_hw[1], "grid": self._grid(at)}
        return ids | {"mask": at.mask, "mask_pitch": at.mask_pitch, "outside": self._format.outside}

    def _logits(self, at: MaskPointers) -> tuple[Any, ...]:
        return logits_of(self._head, self._format, self._strides, at.scores)

    def _grid(self, at: MaskPointers) -> tuple[int, ...]:
        return (*(at.tables + offset for offset in self._offsets), self._size_hw[1], self._size_hw[0])


def logits_of(head: HeadSpec, form: MaskFormat, strides: tuple[int, int, int], scores: int) -> tuple[Any, ...]:
    """A record of ``LOGITS``: the scores of one picture at an address, with strides as of ``strides_of``."""
    ignored = -1 if form.ignored_class is None else form.ignored_class
    threshold = head.threshold if head.channels == 1 else 0.0
    sizes, kind = (head.channels, *head.size_hw), LOGIT_TYPES.index(form.dtype)
    is_nearest = head.upsample.mode == "nearest"
    return (scores, *strides, *sizes, kind, form.scale, threshold, ignored, is_nearest)


def overlay_launch(
    *,
    frame: tuple[int, int],
    mask: tuple[int, int],
    picture: tuple[int, int],
    colours: int,
    size_hw: tuple[int, int],
    boundary: Sequence[int] | None = None,
) -> Launch:
    """Class colours over a frame.

    Args:
        frame, mask, picture: device address and pitch in bytes; the picture may be the frame, 3 bytes a pixel both.
        colours: device address of ``OverlayPlan.tables()``, aligned to 2 bytes.
        size_hw: of all three.
        boundary: colour of pixels whose left or upper neighbour has another label, in the frame's order.
    """
    packed = -1 if boundary is None else sum(int(one) << (8 * i) for i, one in enumerate(boundary))
    fields = {"frame": frame[0], "frame_pitch": frame[1], "mask": mask[0], "mask_pitch": mask[1]}
    fields |= {"picture": picture[0], "picture_pitch": picture[1], "colours": colours}
    fields |= {"width": size_hw[1], "height": size_hw[0], "boundary": packed}
    return _over_pixels("overlay", size_hw, fields)


def _over_pixels(kernel: str, size_hw: tuple[int, int], fields: dict[str, Any]) -> Launch:
    grid = (_ceil(size_hw[1], BLOCK[0] * PIXELS), _ceil(size_hw[0], BLOCK[1]), 1)
    return Launch(kernel=kernel, grid=grid, block=BLOCK, params=_record(kernel, fields))


def _record(kernel: str, fields: dict[str, Any]) -> NDArray[Any]:
    record = np.zeros((), PARAMS[kernel])
    for name, value in fields.items():
        record[name] = value
    return record


def strides_of(head: HeadSpec, layout: TensorLayout, itemsize: int) -> tuple[int, int, int]:
    """Bytes from channel to channel, row to row and column to column."""
    if layout != "linear" and head.layout == "NHWC":
        raise ShapeError(f"an NHWC output lies in memory as {layout}", "TensorRT's formats are those of NCHW tensors")
    _, _, second, third = stored_shape(head.shape, layout)
    steps = (second * third * itemsize, third * itemsize, itemsize)
    is_last = layout != "linear" or head.layout == "NHWC"
    return (steps[2], steps[0], steps[1]) if is_last else steps


def _tables_of_ids(
    ids_hw: tuple[int, int], mask_hw: tuple[int, int], input_hw: tuple[int, int] | None, placement: Placement | None
) -> tuple[NDArray[Any], ...]:
    if placement is not None and input_hw is None:
        raise ShapeError("a placement is given without the net's input size", "give input_hw")
    window, rows, columns = places_of_ids(ids_hw, mask_hw, input_hw=input_hw, placement=placement)
    x_cell, y_cell = np.full(mask_hw[1], -1, np.int32), np.full(mask_hw[0], -1, np.int32)
    x_cell[window.x : window.x + window.width], y_cell[window.y : window.y + window.height] = columns, rows
    none = np.zeros(0, np.float32)
    return x_cell, none, y_cell, none


def _packed(tables: Sequence[NDArray[Any]]) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """All tables in one piece, and where each begins; padded with cell -1 and weight 0 to whole threads' pixels."""
    padded = []
    for table in tables:
        rest = -len(table) % PIXELS
        fill = -1 if table.dtype == np.int32 else 0
        padded.append(np.concatenate([table, np.full(rest, fill, table.dtype)]))
    offsets, end = [], 0
    for table in padded:
        offsets.append(end)
        end += _ceil(table.nbytes, TABLE_ALIGNMENT) * TABLE_ALIGNMENT
    packed = np.zeros(end, np.uint8)
    for offset, table in zip(offsets, padded, strict=True):
        packed[offset : offset + table.nbytes] = table.view(np.uint8)
    return packed, tuple(offsets)


def _ceil(value: int, step: int) -> int:
    return -(-value // step)
