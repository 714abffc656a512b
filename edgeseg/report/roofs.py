"""Own the measuring of the roofs that an engine's layers stand under, once a machine. Judge no layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeseg.imaging.moved_bytes import mask_bytes, preprocess_bytes
from edgeseg.report.profile_record import LayerTime, Roofs, StepRoof
from edgeseg.report.record import Report
from edgeseg.runtime.copy_bandwidth import device_copy_bytes_per_s, host_copy_bytes_per_s
from edgeseg.runtime.cuda import primary_context
from edgeseg.runtime.openvino_peak import PEAK_PRECISIONS, peak_operations_per_s
from edgeseg.spec import EngineSpec

__all__ = ["RoofMeter"]

NOT_ON_CPU = "OpenVINO computes in another type on this CPU"
NOT_ON_DEVICE = "edgeseg measures no arithmetic on this back end"


class RoofMeter:
    """Measures what it is asked for, each figure once.

    Args:
        threads: CPU threads that the engines have; all cores without it.
    """

    def __init__(self, *, threads: int | None) -> None:
        self._threads = threads
        self._copies: dict[bool, float] = {}
        self._peaks: dict[str, float | None] = {}

    def roofs(self, report: Report, engine: str, spec: EngineSpec, layers: Sequence[LayerTime]) -> Roofs:
        """The roofs of one engine: the precisions that its layers multiply in, and the copy bandwidth.

        Args:
            report: with the engine's measurements, for the steps around it.
            engine: its name there.
            spec: its sidecar.
            layers: of its profile.
        Raises:
            EngineError: a CUDA device fails.
        """
        is_host = spec.backend == "openvino"
        copy = self._copy(is_host=is_host)
        wanted = sorted({one.precision for one in layers if one.precision is not None and one.macs})
        peaks = {precision: self._peak(precision) if is_host else None for precision in wanted}
        reason = NOT_ON_CPU if is_host else NOT_ON_DEVICE
        return Roofs(
            copy_bytes_per_s=copy,
            operations_per_s={precision: peak for precision, peak in peaks.items() if peak is not None},
            missing={precision: reason for precision, peak in peaks.items() if peak is None},
            steps=_steps(report, engine, spec, copy),
        )

    def _copy(self, *, is_host: bool) -> float:
        if is_host not in self._copies:
            measured = host_copy_bytes_per_s(threads=self._threads) if is_host else _device_copy()
            self._copies[is_host] = measured
        return self._copies[is_host]

    def _peak(self, precision: str) -> float | None:
        if precision not in self._peaks:
            known = next((one for one in PEAK_PRECISIONS if one == precision), None)
            self._peaks[precision] = None if known is None else peak_operations_per_s(known, threads=self._threads)
        return self._peaks[precision]


def _device_copy() -> float:
    return device_copy_bytes_per_s(primary_context())


def _steps(report: Report, engine: str, spec: EngineSpec, copy_bytes_per_s: float) -> tuple[StepRoof, ...]:
    """Of the scope that has the steps as stages; with the frames of the report."""
    found = [one for one in report.of_scope("frame-to-mask") if one.engine == engine]
    if not found:
        return ()
    model, (width, height) = spec.model, report.source.size_wh
    moved = {
        "pre": preprocess_bytes(model.input, source_wh=(width, height)),
        "post": mask_bytes(model.head, size_hw=(height, width), itemsize=np.dtype(model.head.dtype).itemsize),
    }
    return tuple(
        StepRoof(
            name=name,
            moved_bytes=size,
            median_ms=found[0].stages[name].stats.p50_ms,
            copy_ms=size / copy_bytes_per_s * 1e3,
        )
        for name, size in moved.items()
        if name in found[0].stages
    )
