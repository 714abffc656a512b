"""Own reports: latency (measuring engines, and its forms) and accuracy (the forms of an evaluation).

For others' loops too: ``LatencyLog`` and what goes with it need NumPy alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.packages import late_names

if TYPE_CHECKING:
    from edgeseg.latency import RELATIVE_ERROR, LatencyLog, StageStats, percentile, summarise
    from edgeseg.report.benchmark import run_benchmark
    from edgeseg.report.record import Report, Settings, read_report

__all__ = [
    "RELATIVE_ERROR",
    "LatencyLog",
    "Report",
    "Settings",
    "StageStats",
    "percentile",
    "read_report",
    "run_benchmark",
    "summarise",
]

_HOME = {
    "RELATIVE_ERROR": "edgeseg.latency",
    "LatencyLog": "edgeseg.latency",
    "Report": "edgeseg.report.record",
    "Settings": "edgeseg.report.record",
    "StageStats": "edgeseg.latency",
    "percentile": "edgeseg.latency",
    "read_report": "edgeseg.report.record",
    "run_benchmark": "edgeseg.report.benchmark",
    "summarise": "edgeseg.latency",
}

__getattr__ = late_names(__name__, _HOME)
