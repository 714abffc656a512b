"""Own what the pre-processing kernels are told: their params, tables and launch sizes. Load and launch nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ShapeError

if TYPE_CHECKING:
    from edgeseg.imaging._native import PreprocessTables

__all__ = ["BLOCK", "KERNELS", "PARAMS", "PreprocessKernel"]

#: mirrors PreprocessParams of preprocess.h
PARAMS = np.dtype(
    [
        ("plane", "u8", 3), ("pitch", "i8", 3),
        ("row_first", "u8"), ("row_count", "u8"), ("row_weights", "u8"),
        ("column_first", "u8"), ("column_weights", "u8"),
        ("image", "u8"),
        ("size_wh", "i4", 2), ("target_xywh", "i4", 4), ("read_xy", "i4", 2),
        ("row_step", "i4"), ("column_step", "i4"), ("column_taps", "i4"),
        ("pixel_step", "i4"), ("pair_step", "i4"), ("chroma_shift", "i4"),
        ("channels", "i4"), ("is_swapped", "i4"), ("is_blue_first", "i4"), ("dtype", "i4"), ("is_nhwc", "i4"),
        ("pad", "f4"), ("scale", "f4", 3), ("shift", "f4", 3), ("yuv", "f4", 8),
    ],
    align=True,
)  # fmt: skip

FAMILIES = {"BGR": "packed", "RGB": "packed", "BGRA": "packed", "RGBA": "packed", "GRAY8": "grey"}  # the others are yuv
#: all names that a PreprocessKernel can have; each is ``edgeseg_`` + the name in the compiled module
KERNELS = tuple(
    f"preprocess_{family}_{interpolation}"
    for family in ("packed", "grey", "yuv")
    for interpolation in ("linear", "antialias")
)
#: x, y: a warp makes 128 neighbours of one row; four rows a block share most of their source rows in the cache
BLOCK = (32, 4)
OUTPUTS_A_THREAD = 4

#: what the params have as the tables have it
SAME = ("size_wh", "target_xywh", "read_xy", "row_step", "column_step", "column_taps", "pad", "scale", "shift", "yuv")
DTYPES = ("float32", "float16", "uint8", "int8")
TABLES = ("row_first", "row_count", "row_weights", "column_first", "column_weights")
TABLE_ALIGNMENT = 16

#: bytes from a pixel to the next one; YUV: of luma
PIXEL_STEPS = {"BGR": 3, "RGB": 3, "BGRA": 4, "RGBA": 4, "GRAY8": 1, "YUYV": 2, "UYVY": 2, "NV12": 1, "I420": 1}
#: of Y, U and V: the plane and the byte in it where the first pixel's lies
YUV_STARTS = {
    "YUYV": ((0, 0), (0, 1), (0, 3)),
    "UYVY": ((0, 1), (0, 0), (0, 2)),
    "NV12": ((0, 0), (1, 0), (1, 1)),
    "I420": ((0, 0), (1, 0), (2, 0)),
}
PAIR_STEPS = {"YUYV": 4, "UYVY": 4, "NV12": 2, "I420": 1}
PLANES = {"NV12": 2, "I420": 3}


class PreprocessKernel:
    """One plan's kernel: which one, how many threads, its tables, and the params of a launch.

    Args:
        tables: of the plan, ``_native.Preprocess.tables()``; the arrays are copied.

    Example:
        >>> from edgeseg.imaging import _native
        >>> plan = _native.Preprocess(
        ...     pixel_format="NV12", source_wh=(1920, 1080), matrix="BT.709", is_full_range=False,
        ...     source_xywh=(0, 0, 1920, 1080), size_wh=(1024, 512), target_xywh=(0, 0, 1024, 512), pad=0.0,
        ...     interpolation="linear", colour="RGB", dtype="float16", layout="NCHW", mean=(0.0, 0.0, 0.0),
        ...     std=(1.0, 1.0, 1.0), quantum=1.0, threads=1)
        >>> kernel = PreprocessKernel(plan.tables())
        >>> kernel.name, kernel.grid, kernel.block, kernel.image_bytes
        ('preprocess_yuv_linear', (8, 128), (32, 4), 3145728)
    """

    def __init__(self, tables: PreprocessTables) -> None:
        self._pixel_format = tables["pixel_format"]
        self._interpolation = tables["interpolation"]
        self._params = _fixed_params(tables)
        self._offsets, self.table_bytes = _packed(tables)

    @property
    def name(self) -> str:
        """One of ``KERNELS``."""
        return f"preprocess_{FAMILIES.get(self._pixel_format, 'yuv')}_{self._interpolation}"

    @property
    def grid(self) -> tuple[int, int]:
        """Blocks along x and y."""
        width, height = (int(side) for side in self._params["size_wh"])
        return -(-width // (OUTPUTS_A_THREAD * BLOCK[0])), -(-height // BLOCK[1])

    @property
    def block(self) -> tuple[int, int]:
        """Threads along x and y."""
        return BLOCK

    @property
    def image_bytes(self) -> int:
        """Of one image of the batch."""
        values = int(self._params["channels"]) * int(np.prod(self._params["size_wh"], dtype=np.int64))
        return values * self._value_bytes

    #: uint8, all tables one after the other: copy it to device memory once
    table_bytes: NDArray[np.uint8]

    def params(
        self, planes: Sequence[tuple[int, int]], *, tables_ptr: int, tensor_ptr: int, batch_index: int = 0
    ) -> NDArray[Any]:
        """What one launch is given: a record of ``PARAMS``, owned by the caller.

        Args:
            planes: of each plane the device address of its first row and its pitch in bytes (negative: upside down).
            tables_ptr: where ``table_bytes`` lies on the device.
            tensor_ptr: the tensor on the device, without gaps, as many images as the batch has.
            batch_index: which image to write; that the tensor has it is the caller's duty.
        Raises:
            ShapeError: a wrong number of planes, or an address that is not aligned.
        """
        self._check(planes, tables_ptr, tensor_ptr, batch_index)
        params: NDArray[Any] = self._params.copy()
        for name, offset in self._offsets.items():
            params[name] = tables_ptr + offset
        starts = YUV_STARTS.get(self._pixel_format, ((0, 0),))
        for i, (plane, byte) in enumerate(starts):
            params["plane"][i] = planes[plane][0] + byte
            params["pitch"][i] = planes[plane][1]
        params["image"] = tensor_ptr + batch_index * self.image_bytes
        return params

    @property
    def _value_bytes(self) -> int:
        return np.dtype(DTYPES[int(self._params["dtype"])]).itemsize

    def _check(self, planes: Sequence[tuple[int, int]], tables_ptr: int, tensor_ptr: int, batch_index: int) -> None:
        expected = PLANES.get(self._pixel_format, 1)
        if len(planes) != expected:
            raise ShapeError(f"{self._pixel_format} is given in {len(planes)} planes", f"give {expected}")
        for what, address, alignment in (
            ("the tables' address", tables_ptr, TABLE_ALIGNMENT),
            ("the tensor's address", tensor_ptr, self._value_bytes),
        ):
            if address % alignment:
                raise ShapeError(f"{what} is {address:#x}", f"give one that {alignment} divides")
        if batch_index < 0:
            raise ShapeError(f"batch index is {batch_index}", "give 0 or more")


def _fixed_params(tables: PreprocessTables) -> NDArray[Any]:
    """What is the same for every picture; addresses are 0."""
    pixel_format = tables["pixel_format"]
    is_blue_first = pixel_format in ("BGR", "BGRA")
    params = np.zeros((), PARAMS)
    for name in SAME:
        params[name] = tables[name]  # type: ignore[literal-required]
    params["pixel_step"] = PIXEL_STEPS[pixel_format]
    params["pair_step"] = PAIR_STEPS.get(pixel_format, 0)
    params["chroma_shift"] = pixel_format in PLANES
    params["channels"] = 1 if tables["colour"] == "GRAY" else 3
    params["is_swapped"] = is_blue_first != (tables["colour"] == "BGR")
    params["is_blue_first"] = is_blue_first
    params["dtype"] = DTYPES.index(tables["dtype"])
    params["is_nhwc"] = tables["layout"] == "NHWC"
    return params


def _packed(tables: PreprocessTables) -> tuple[dict[str, int], NDArray[np.uint8]]:
    """Where each table begins, and all of them in one piece; the offsets keep a float's alignment and more."""
    offsets, pieces, size = {}, [], 0
    for name in TABLES:
        table = tables[name].view(np.uint8)  # type: ignore[literal-required]
        offsets[name] = size
        pieces.append(np.pad(table, (0, -len(table) % TABLE_ALIGNMENT)))
        size += len(pieces[-1])
    return offsets, np.concatenate(pieces)
