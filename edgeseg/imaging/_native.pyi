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
