"""Own the classes that a caller derives from: logger, progress monitor, profiler. Write no log of their own."""

from __future__ import annotations

import sys
from typing import Any

from trt_standin.enums import make

__all__ = ["ILogger", "IProfiler", "IProgressMonitor", "Logger", "derived", "error", "warning"]

Severity = make("Severity", "INTERNAL_ERROR=0 ERROR=1 WARNING=2 INFO=3 VERBOSE=4")


class ILogger:
    Severity = Severity
    INTERNAL_ERROR = Severity.INTERNAL_ERROR
    ERROR = Severity.ERROR
    WARNING = Severity.WARNING
    INFO = Severity.INFO
    VERBOSE = Severity.VERBOSE

    def __init__(self) -> None:
        self._is_made = True

    def log(self, severity: Any, msg: str) -> None:
        raise RuntimeError("Tried to call pure virtual function ILogger::log")


class Logger(ILogger):
    def __init__(self, min_severity: Any = Severity.WARNING) -> None:
        super().__init__()
        self.min_severity = min_severity

    def log(self, severity: Any, msg: str) -> None:
        if int(severity) <= int(self.min_severity):
            sys.stderr.write(f"[TRT] [{severity.name[0]}] {msg}\n")


class IProfiler:
    def __init__(self) -> None:
        self._is_made = True

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise RuntimeError("Tried to call pure virtual function IProfiler::reportLayerTime")


class IProgressMonitor:
    def __init__(self) -> None:
        self._is_made = True

    def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
        raise RuntimeError("Tried to call pure virtual function IProgressMonitor::phaseStart")

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise RuntimeError("Tried to call pure virtual function IProgressMonitor::stepComplete")

    def phase_finish(self, phase_name: str) -> None:
        raise RuntimeError("Tried to call pure virtual function IProgressMonitor::phaseFinish")


def derived(value: Any, kind: type) -> Any:
    """``value``, or the TypeError of a binding that is given something else or whose ``__init__`` was forgotten."""
    if not isinstance(value, kind) or not hasattr(value, "_is_made"):
        raise TypeError(
            f"incompatible function arguments: {kind.__name__} is expected, {type(value).__name__} is given"
        )
    return value


def error(logger: ILogger, text: str) -> None:
    logger.log(Severity.ERROR, text)


def warning(logger: ILogger, text: str) -> None:
    logger.log(Severity.WARNING, text)
