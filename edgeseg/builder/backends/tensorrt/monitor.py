"""Own how far a TensorRT build is. Know no network and no plan."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from edgeseg.builder.backends.base import Progress
from edgeseg.trt_types import IBuilderConfig, IProgressMonitor, TrtModule

__all__ = ["BuildMonitor"]


@dataclass
class _Phase:
    """A stretch of the whole, in equal steps; ``begin`` and ``width`` are fractions of the whole."""

    begin: float
    width: float
    steps: int
    done: int = 0

    @property
    def reached(self) -> float:
        return self.begin + self.width * min(self.done / self.steps, 1.0)


class BuildMonitor:
    """TensorRT's tree of phases as one fraction that never goes down; a phase fills one step of its parent.

    TensorRT calls it from its own threads, and an exception there would end the process: unknown phases are ignored.

    Args:
        progress: told of every step, one thread at a time.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._reached = 0.0
        self._adapter: IProgressMonitor | None = None  # TensorRT holds a bare pointer to it

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """Open a phase inside its parent's current step."""
        with self._lock:
            parent = self._phases.get(parent_phase or "") or _Phase(0.0, 1.0, 1)
            steps = max(num_steps, 1)
            self._phases[phase_name] = _Phase(parent.reached, parent.width / parent.steps, steps)
            self._tell(parent.reached, phase_name)

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Count a step; True lets the build go on."""
        with self._lock:
            phase = self._phases.get(phase_name)
            if phase is not None:
                phase.done = step + 1
                self._tell(phase.reached, phase_name)
        return True

    def phase_finish(self, phase_name: str) -> None:
        """Close a phase, whether or not all its steps were reported."""
        with self._lock:
            self._phases.pop(phase_name, None)

    def attach(self, module: TrtModule, config: IBuilderConfig) -> None:
        """Let a builder's config report here; this object must outlive the build."""

        def init(adapter: IProgressMonitor) -> None:
            module.IProgressMonitor.__init__(adapter)

        members = {
            "__init__": init,
            "phase_start": lambda _, phase_name, parent_phase, num_steps: self.phase_start(
                phase_name, parent_phase, num_steps
            ),
            "step_complete": lambda _, phase_name, step: self.step_complete(phase_name, step),
            "phase_finish": lambda _, phase_name: self.phase_finish(phase_name),
        }
        self._adapter = type("ProgressAdapter", (module.IProgressMonitor,), members)()
        config.progress_monitor = self._adapter

    def _tell(self, fraction: float, step: str) -> None:
        self._reached = max(self._reached, fraction)
        self._progress(self._reached, step)
