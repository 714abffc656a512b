"""Own the form of a profile in a report: layers, their times, the roofs they stand under. Measure and judge nothing."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from edgeseg.records import Record

__all__ = ["Bound", "LayerTime", "Profile", "Roofs", "StepRoof"]

#: what keeps a layer from being faster. ``overhead``: far below both roofs. ``unknown``: a figure is missing.
Bound = Literal["compute", "memory", "overhead", "unknown"]


class LayerTime(Record, frozen=True, kw_only=True):
    """One layer of an engine, after fusion.

    Attributes:
        name: the back end's.
        kind: in the back end's words.
        precision: that it computes in, as in ``INT8``; None where it moves data, and where the back end does not say.
        is_moving: whether it only moves, converts or indexes.
        median_ms: of its times in the profile's runs.
        mean_ms: of the same.
        share: of ``median_ms`` in the sum of all layers' medians.
        nodes: of the ONNX file, those that are in it; empty without the file.
        module: the PyTorch module that it came from, as in ``decoder.up (Upsample)``; empty where nobody says.
        group: the module around that one by which the report groups; empty likewise.
        macs: multiply-accumulates; None where they are not known.
        moved_bytes: its inputs, outputs and weights as they are stored; None likewise.
        bound: by which roof; None without roofs.
        roof_ms: the least time that the roofs allow; None where a figure is missing.
    """

    name: str
    kind: str = ""
    precision: str | None = None
    is_moving: bool = False
    median_ms: float
    mean_ms: float
    share: float
    nodes: tuple[str, ...] = ()
    module: str = ""
    group: str = ""
    macs: int | None = None
    moved_bytes: int | None = None
    bound: Bound | None = None
    roof_ms: float | None = None


class StepRoof(Record, frozen=True, kw_only=True):
    """Pre- or post-processing against the copy bandwidth.

    Attributes:
        name: of the stage.
        moved_bytes: that no way of doing it can leave out.
        median_ms: that the stage took, in the scope frame-to-mask.
        copy_ms: that a copy of as many bytes would take.
    """

    name: str
    moved_bytes: int
    median_ms: float
    copy_ms: float


class Roofs(Record, frozen=True, kw_only=True):
    """What the device was measured to do.

    Attributes:
        copy_bytes_per_s: of a copy of large buffers, read plus written.
        operations_per_s: by precision, of a large convolution on the back end itself; a multiplication and an addition
            are two.
        missing: by precision, why its figure is not there.
        steps: pre- and post-processing; empty where the scope frame-to-mask was not measured.
    """

    copy_bytes_per_s: float
    operations_per_s: dict[str, float]
    missing: dict[str, str] = field(default_factory=dict)
    steps: tuple[StepRoof, ...] = ()


class Profile(Record, frozen=True, kw_only=True):
    """Where the time of one engine goes, layer by layer.

    Attributes:
        engine: its name in the report.
        runs: of the profiled engine.
        net: the ONNX file that names modules and counts operations; None where none was given.
        layers: in the order they ran.
        layers_ms: the sum of the layers' medians.
        profiled_p50_ms: of the engine in the same runs.
        unprofiled_p50_ms: of the engine when nobody profiled it, from the report's own measurement.
        roofs: None without a net.
    """

    engine: str
    runs: int
    net: str | None
    layers: tuple[LayerTime, ...]
    layers_ms: float
    profiled_p50_ms: float
    unprofiled_p50_ms: float
    roofs: Roofs | None = None

    def __post_init__(self) -> None:
        if self.runs < 1 or not self.layers:
            raise ValueError(f"a profile of {self.runs} runs and {len(self.layers)} layers: 1 or more of both")
        if self.layers_ms <= 0.0:
            raise ValueError(f"the layers of {self.engine} took {self.layers_ms:g} ms together")

    @property
    def overhead(self) -> float:
        """How much longer the engine took for being profiled, a share of its own time; below 0 on a noisy machine."""
        return self.profiled_p50_ms / self.unprofiled_p50_ms - 1.0

    def slowest(self) -> list[LayerTime]:
        """The layers, the longest first."""
        return sorted(self.layers, key=lambda one: -one.median_ms)
