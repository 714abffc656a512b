"""Own what every back end's builder offers. Choose no back end, prepare no graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.memory import FreeMemory, device_memory
from edgeseg.spec import (
    BackendName,
    DlaShare,
    HighPrecision,
    Portability,
    PrecisionKind,
    ProfileSpec,
    TensorLayout,
)
from edgeseg.trt_api import driver_state

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["BuilderBackend", "Built", "Progress", "Refusal"]

#: called with the fraction done (0 to 1) and the name of the step
Progress = Callable[[float, str], None]
OptionValue = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Built:
    """A plan and what its sidecar must say about it; see EngineSpec.

    Attributes:
        notes: what the user should know, a line each.
        weights: the ONNX file that a stripped plan gets its weights from, as one file; None for a whole plan.
    """

    plan: bytes
    device: str
    compute_capability: str | None
    options: dict[str, OptionValue]
    driver: str | None = None
    portability: Portability = field(default_factory=Portability)
    dla: DlaShare | None = None
    notes: tuple[str, ...] = ()
    weights: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A node that a back end's own parser does not take, by its name in the file; empty where the parser names none."""

    node: str
    op: str
    reason: str


class BuilderBackend(ABC):
    """Turns a prepared ONNX graph (precision is in the graph) into a plan."""

    name: BackendName
    #: how the image and the scores lie in memory, input first
    formats: tuple[TensorLayout, TensorLayout] = ("linear", "linear")
    #: whether a process of its own builds
    builds_apart: bool = True
    #: the type of what INT8 and FP8 leave unquantised on this back end
    high_precision: HighPrecision

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the library that builds."""

    @property
    @abstractmethod
    def runs_here(self) -> bool:
        """Whether this machine runs what it builds."""

    @property
    def machine(self) -> tuple[str | None, ...]:
        """What of this machine decides a plan: by default the GPU, its compute capability, and its driver's version."""
        driver = driver_state()
        return (driver.device_name, driver.compute_capability, driver.driver_version)

    def memory(self) -> FreeMemory | None:
        """Where an engine lies when it runs, by default the GPU's memory; None where it does not run here."""
        return device_memory() if self.runs_here else None

    @abstractmethod
    def refuse(self, precision: PrecisionKind) -> None:
        """Raise BuildError where this back end cannot hold ``precision`` on this machine; say what it can."""

    def refuse_profiles(self, profiles: tuple[ProfileSpec, ...]) -> None:
        """Raise OptionsError where this back end has no plans for such shapes; by default it has."""
        del profiles

    def adapted(self, model: ir.Model) -> ir.Model:
        """The graph written as this back end computes it rightly; it stands for the same numbers."""
        return model

    @abstractmethod
    def build(
        self,
        onnx_path: Path,
        *,
        precision: PrecisionKind,
        profiles: tuple[ProfileSpec, ...] = (),
        progress: Progress,
    ) -> Built:
        """Build a plan.

        Args:
            onnx_path: an ONNX file, weights inside or beside it, whose node types already carry the precision.
            precision: which; ``refuse`` has let it pass.
            profiles: the shapes of the image input, where the graph leaves them open.
            progress: told of every step.
        Raises:
            BuildError: with the library's last words.
        """

    @abstractmethod
    def refused(self, onnx_path: Path) -> tuple[Refusal, ...]:
        """Let the library's own parser read a graph, and build nothing.

        Args:
            onnx_path: an ONNX file, weights inside or beside it, whose nodes have names.
        Returns:
            What the parser says; it may stop at a node and know nothing of what follows.
        Raises:
            BuildError: the parser cannot be asked on this machine.
        """
