"""Own the kernels' plans and tables for one case of pictures, on the device. Launch nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.engine_spec import TensorLayout
from edgeseg.imaging.formats import TensorFormat
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.runtime.cuda import CudaContext, DeviceTensor, Stream
from edgeseg.runtime.kernels.postprocess import PostprocessLaunches
from edgeseg.runtime.kernels.preprocess import PreprocessKernel
from edgeseg.runtime.layouts import layout_of
from edgeseg.runtime.pipelines.pictures import PictureCase
from edgeseg.spec import EngineSpec, HeadSpec, InputSpec

__all__ = ["PictureTables", "on_device"]


class PictureTables:
    """From pictures of one case to the tensor, and from the scores to masks of their size.

    Args:
        cuda: the context, current.
        stream: takes the tables to the device; they are there when this returns.
        spec: the engine's sidecar.
        image: the net's input, at the size that is in use.
        head: what the masks are made of, likewise: its head, or the mean of its scores.
        layout: how that lies in memory.
        case: of the pictures.
        has_confidence: write one beside the mask.
    Raises:
        ShapeError: no pictures of that form have that size, or an option does not fit the head.
        EngineError: no memory.
    """

    def __init__(
        self,
        cuda: CudaContext,
        stream: Stream,
        spec: EngineSpec,
        *,
        image: InputSpec,
        head: HeadSpec,
        layout: TensorLayout,
        case: PictureCase,
        has_confidence: bool,
    ) -> None:
        axes = "NHWC" if layout_of(spec, image.name) == "hwc" else image.layout
        tensor_format = TensorFormat(dtype=image.dtype, layout=axes)
        preprocessor = Preprocessor(image, threads=1, tensor_format=tensor_format)
        self.before = PreprocessKernel(preprocessor.tables(case.size_wh, **vars(case.form)))
        self.behind = PostprocessLaunches(
            head,
            size_hw=case.size_hw,
            layout=layout,
            input_hw=image.size_hw,
            placement=None if image.resize == "stretch" else preprocessor.placement(case.size_wh),
            has_confidence=has_confidence,
        )
        self._before_tables = on_device(cuda, stream, self.before.table_bytes)
        self._behind_tables = on_device(cuda, stream, self.behind.tables)

    @property
    def before_ptr(self) -> int:
        """Where the tables of ``before`` lie."""
        return int(self._before_tables)

    @property
    def behind_ptr(self) -> int:
        """Where the tables of ``behind`` lie."""
        return int(self._behind_tables)

    def close(self) -> None:
        """Free the tables; launches that name them are of no use then. Safe to call twice."""
        self._before_tables.close()
        self._behind_tables.close()


def on_device(cuda: CudaContext, stream: Stream, array: NDArray[Any]) -> DeviceTensor:
    """A copy of an array in device memory of its own, there when this returns. Needs the context current."""
    tensor = DeviceTensor.empty(cuda, (max(array.nbytes, 1),), np.uint8)
    if array.nbytes:
        staged = cuda.pinned((array.nbytes,), "uint8")
        staged[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        stream.copy_in(tensor, staged)
        stream.synchronize()
    return tensor
