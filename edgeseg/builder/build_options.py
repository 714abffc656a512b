"""Own what one may ask of a build. Decide nothing and do nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.builder.promise import Promise
from edgeseg.builder.source import SourceOptions
from edgeseg.data import CalibrationSet
from edgeseg.errors import OptionsError
from edgeseg.spec import BackendName, PrecisionKind, ProfileSpec

if TYPE_CHECKING:
    from edgeseg.builder.backends.tensorrt import TensorRTOptions

__all__ = ["BuildOptions", "VerifyOptions"]


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """On what a fresh engine is compared with float32.

    Attributes:
        source: frames, as ``CalibrationSet`` takes them.
        every: take every n-th image or frame.
        skip_bad: pass over what cannot be read.
        min_agreement: mean share of equal pixels, 0 to 1, below which the build fails; None only reports.
    """

    source: Path
    every: int = 1
    skip_bad: bool = False
    min_agreement: float | None = None

    def __post_init__(self) -> None:
        if self.min_agreement is not None and not 0.0 <= self.min_agreement <= 1.0:
            raise OptionsError(f"an agreement of {self.min_agreement:g} is no share", "give 0 to 1, such as 0.98")

    def frames(self) -> CalibrationSet:
        """The frames, not yet read."""
        return CalibrationSet(self.source, every=self.every, skip_bad=self.skip_bad)


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What to build.

    Attributes:
        backend: for whom.
        precision: of the layers; without it what the file was quantised to, or fp32.
        calibration: for int8 and fp8, and for fp16 if the net's own pictures shall decide what float16 cannot hold.
        source: what becomes of the graph first.
        promise: what int8 and fp8 may cost; nodes keep the higher precision until it holds.
        kept: nodes that could be quantised and shall keep the higher precision; not with ``promise``.
        profiles: the shapes that the engine takes; the first one's optimum is the size that the net is prepared and
            calibrated at. Without one it takes one shape.
        scores: what the scores leave the engine in.
        tensorrt: for TensorRT and TensorRT-RTX.
        verify: compare the engine with float32 before it is written; None does not.
        is_forced: build although an engine of the same inputs is there.
    """

    backend: BackendName
    precision: PrecisionKind | None = None
    calibration: CalibrationOptions | None = None
    source: SourceOptions = field(default_factory=SourceOptions)
    promise: Promise | None = None
    kept: tuple[str, ...] = ()
    profiles: tuple[ProfileSpec, ...] = ()
    scores: Literal["float32", "float16", "int8"] = "float32"
    tensorrt: TensorRTOptions | None = None
    verify: VerifyOptions | None = None
    is_forced: bool = False
