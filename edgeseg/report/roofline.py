"""Own the roofline's arithmetic: the least time of a layer, and what bounds it. Measure nothing."""

from __future__ import annotations

from edgeseg.report.profile_record import Bound, LayerTime, Roofs

__all__ = ["OVERHEAD", "ridge", "under_roofs"]

#: a layer that takes more than this times its least time stands under neither roof
OVERHEAD = 4.0


def under_roofs(layer: LayerTime, roofs: Roofs) -> tuple[Bound, float | None]:
    """What bounds a layer, and the least milliseconds that the roofs allow.

    A layer needs its operations over the peak of its precision, and its bytes over the copy bandwidth; the longer of
    the two is its least time, and its bound, unless it takes more than ``OVERHEAD`` times that. Bytes that a cache
    keeps between two layers cost less than a copy's, so a layer may be faster than its least time.

    Example:
        >>> roofs = Roofs(copy_bytes_per_s=1e9, operations_per_s={"FP32": 1e9})
        >>> conv = LayerTime(
        ...     name="conv", precision="FP32", median_ms=2.5, mean_ms=2.5, share=1.0, macs=1_000_000, moved_bytes=1_000
        ... )
        >>> under_roofs(conv, roofs)
        ('compute', 2.0)
    """
    memory_ms = None if layer.moved_bytes is None else layer.moved_bytes / roofs.copy_bytes_per_s * 1e3
    compute_ms = _compute_ms(layer, roofs)
    if memory_ms is None or compute_ms is None:
        return "unknown", None
    roof_ms = max(memory_ms, compute_ms)
    if layer.median_ms > OVERHEAD * roof_ms:
        return "overhead", roof_ms
    return ("compute" if compute_ms > memory_ms else "memory"), roof_ms


def ridge(precision: str, roofs: Roofs) -> float | None:
    """Operations a byte from which on a layer of that precision is bound by arithmetic; None without its peak."""
    peak = roofs.operations_per_s.get(precision)
    return None if peak is None else peak / roofs.copy_bytes_per_s


def _compute_ms(layer: LayerTime, roofs: Roofs) -> float | None:
    if layer.is_moving or layer.macs == 0:
        return 0.0
    peak = roofs.operations_per_s.get(layer.precision or "")
    return None if layer.macs is None or peak is None else 2 * layer.macs / peak * 1e3
