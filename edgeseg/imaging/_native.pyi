"""What the extension module offers; native/bind_*.cpp define it. Buffers are checked there, against ValueError."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

class MaskTables(TypedDict):
    """What a mask plan has made of its setup, for kernels that have no plan.

    The cell of a pixel is the logit at or before it along an axis, -1 beside the window; the weight is that of the
    logit after it. ``classes`` counts one class as two, its threshold before it. ``confidence`` is pixel_math.h's.
    """

    x_cell: NDArray[np.int32]
    x_weight: NDArray[np.float32]
    y_cell: NDArray[np.int32]
    y_weight: NDArray[np.float32]
    window_xywh: tuple[int, int, int, int]
    classes: int
    confidence: int
    faint: float

class PreprocessTables(TypedDict):
    """What a pre-processing plan was made with and has made of it, for kernels that have no plan.

    An output row's input rows begin at ``row_first``, counted from ``read_xy``; columns likewise. Linear has no
    ``count`` and ``taps`` 0, its weight is that of the second; antialias has ``count`` weights an output, ``step``
    apart. ``yuv`` is colour_math.h's YuvMatrix, member by member.
    """

    pixel_format: str
    interpolation: str
    colour: str
    dtype: str
    layout: str
    size_wh: tuple[int, int]
    target_xywh: tuple[int, int, int, int]
    read_xy: tuple[int, int]
    pad: float
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    yuv: NDArray[np.float32]
    row_first: NDArray[np.int32]
    row_count: NDArray[np.int32]
    row_weights: NDArray[np.float32]
    row_step: int
    row_taps: int
    column_first: NDArray[np.int32]
    column_count: NDArray[np.int32]
    column_weights: NDArray[np.float32]
    column_step: int
    column_taps: int

class Preprocess:
    """A pre-processing plan: made once, run for every frame, allocates nothing then. See preprocess.Preprocessor."""

    def __init__(
        self,
        *,
        pixel_format: str,
        source_wh: tuple[int, int],
        matrix: str,
        is_full_range: bool,
        source_xywh: tuple[int, int, int, int],
        size_wh: tuple[int, int],
        target_xywh: tuple[int, int, int, int],
        pad: float,
        interpolation: str,
        colour: str,
        dtype: str,
        layout: str,
        mean: Sequence[float],
        std: Sequence[float],
        quantum: float,
        threads: int,
    ) -> None: ...
    def run(self, planes: tuple[object, ...], tensor: object, batch_index: int = 0) -> None:
        """Write a picture's planes as one image of the tensor."""
    def tables(self) -> PreprocessTables:
        """New arrays, owned by the caller."""

class MaskPlan:
    """A post-processing plan: made once, run for every frame, allocates nothing then. See postprocess.MaskMaker."""

    def __init__(
        self,
        *,
        channels: int,
        logits_hw: tuple[int, int],
        layout: str = "NCHW",
        dtype: str = "float32",
        scale: float = 1.0,
        size_hw: tuple[int, int],
        coordinates: str = "half_pixel",
        rounding: str = "none",
        grid_hw: tuple[int, int],
        region_xywh: tuple[float, float, float, float],
        window_xywh: tuple[int, int, int, int],
        outside: int = 255,
        ignored_class: int = -1,
        threshold: float = 0.0,
        scores: str = "logits",
        has_confidence: bool = False,
        threads: int,
    ) -> None: ...
    def run(
        self,
        logits: object,
        mask: object,
        *,
        confidence: object = None,
        areas: object = None,
        overlay: OverlayPlan | None = None,
        frame: object = None,
        picture: object = None,
    ) -> None:
        """Write the mask, and what else is given."""
    def tables(self) -> MaskTables:
        """New arrays, owned by the caller."""

class OverlayPlan:
    """Class colours over frames; see overlay.Overlay."""

    def __init__(
        self,
        *,
        colours: object,
        is_clear: object,
        weight: int,
        boundary: Sequence[int] | None = None,
        threads: int,
    ) -> None: ...
    def run(self, frame: object, mask: object, picture: object) -> None:
        """Write the picture."""
    def tables(self) -> NDArray[np.uint16]:
        """(256, 4): of every label its colour times its weight plus 128, and the frame's weight, in 256ths."""
