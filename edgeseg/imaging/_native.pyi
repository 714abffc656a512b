"""What the extension module offers; native/bind_*.cpp define it. Buffers are checked there, against ValueError."""

from collections.abc import Sequence

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
