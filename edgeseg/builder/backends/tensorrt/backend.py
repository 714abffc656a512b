"""Own TensorRT and TensorRT-RTX as a builder's back end. Change no graph, run no plan."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edgeseg.builder.backends.base import BuilderBackend, Built, Progress, Refusal
from edgeseg.builder.backends.tensorrt.dla import refuse_dla
from edgeseg.builder.backends.tensorrt.job import Job
from edgeseg.builder.backends.tensorrt.network import refusals
from edgeseg.builder.backends.tensorrt.offers import refuse_missing
from edgeseg.builder.backends.tensorrt.options import TensorRTOptions
from edgeseg.builder.backends.tensorrt.process import run_build
from edgeseg.builder.backends.tensorrt.targets import refuse_precision
from edgeseg.errors import BuildError
from edgeseg.spec import HighPrecision, LeanRuntime, Portability, PrecisionKind, ProfileSpec
from edgeseg.trt_api import DriverState, TensorRTName, driver_state, load_api

__all__ = ["TensorRTBackend"]

ELSEWHERE = "build on the device itself, or take --backend tensorrt-rtx or openvino here"


class TensorRTBackend(BuilderBackend):
    """Builds strongly typed plans: every precision is the graph's own, none is the builder's choice.

    ``tensorrt`` needs the device it builds for. ``tensorrt-rtx`` builds for the card that is there or for the targets
    of its options, and on a machine without a card for every RTX generation from Ampere on that it knows.

    Args:
        name: which of the two packages builds.
        options: what its builder is told.
    Raises:
        MissingPackageError: the package is absent.
        BuildError: the installed version has not what the options ask for.
    """

    high_precision: HighPrecision = "fp16"

    def __init__(self, name: TensorRTName, options: TensorRTOptions | None = None) -> None:
        self.name: TensorRTName = name
        self._options = options or TensorRTOptions()
        self.formats = (self._options.input_format, self._options.output_format)
        self._api = load_api(name)
        refuse_missing(self._api, self._options)

    @property
    def version(self) -> str:
        """Version of the installed package."""
        return self._api.version

    @property
    def runs_here(self) -> bool:
        """Whether there is a driver and a device that the plans are for."""
        driver, targets = driver_state(), self._options.targets
        return driver.is_working and (not targets or driver.compute_capability in targets)

    def refuse(self, precision: PrecisionKind) -> None:
        """Raise BuildError where no plan of ``precision`` can be built on this machine with these options."""
        driver = self._driver()
        refuse_precision(self._api, driver, precision, self._options.targets)
        if self._options.dla_core is not None:
            refuse_dla(precision, ())
        if self.name == "tensorrt-rtx" and not driver.is_working and self._needs_card():
            raise BuildError(
                f"tensorrt-rtx {self.version} makes stripped and refittable plans beside a card, and {driver.reason}",
                "leave --strip-plan and --refit out here, or build beside the card",
            )

        if self.name == "tensorrt-rtx" and len(self._options.targets) > 1 and self._needs_card():
            raise BuildError("a stripped or refittable plan of tensorrt-rtx is for one target", "give --target once")

    def _needs_card(self) -> bool:
        """Measured with 1.7.1: where weights may change its compiler asks the driver, and takes one target only."""
        return self._options.is_stripped or self._options.is_refittable

    def build(
        self,
        onnx_path: Path,
        *,
        precision: PrecisionKind,
        profiles: tuple[ProfileSpec, ...] = (),
        progress: Progress,
    ) -> Built:
        """Build a plan in a process of its own; Ctrl-C ends it at once and leaves nothing behind.

        Args:
            onnx_path: an ONNX file, weights inside or beside it, whose node types carry the precision.
            precision: which; where no card is, the plan is for the cards that have it.
            profiles: the shapes of the image input, where the graph leaves them open.
            progress: told of every step, in the calling thread; ends at 1.0.
        Raises:
            BuildError: no driver, an option or operator is refused, or the builder failed, crashed or was killed; with
                the log's last lines.
            OutputError: the timing cache cannot be written.
        """
        driver = self._driver()
        if self._options.dla_core is not None:
            refuse_dla(precision, profiles)
        weights = _weights(onnx_path) if self._options.is_stripped else None
        with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
            job = Job(
                name=self.name,
                onnx_path=onnx_path,
                plan_path=Path(folder) / "net.plan",
                precision=precision,
                profiles=profiles,
                options=self._options,
                parent=os.getpid(),
            )
            done = run_build(job, progress)
            plan = job.plan_path.read_bytes()
        progress(1.0, "plan is built")
        return Built(
            plan=plan,
            device=done.device,
            compute_capability=done.compute_capability,
            options=done.options,
            driver=driver.driver_version,
            portability=self._portability(),
            dla=done.dla,
            notes=done.notes,
            weights=weights,
        )

    def _portability(self) -> Portability:
        lean: LeanRuntime = "none"
        if self._options.is_version_compatible:
            lean = "inside" if self._options.has_lean_runtime else "outside"
        return Portability(lean=lean, hardware=self._options.hardware_compatibility or "none")

    def refused(self, onnx_path: Path) -> tuple[Refusal, ...]:
        """What the parser says of each node; ``tensorrt`` alone needs a driver to be asked."""
        self._driver()
        self._api.log.clear()
        return refusals(self._api, onnx_path)

    def _driver(self) -> DriverState:
        driver = driver_state()
        if self.name == "tensorrt" and not driver.is_working:
            raise BuildError(f"TensorRT {self.version} builds on a GPU only, and {driver.reason}", ELSEWHERE)
        return driver


def _weights(onnx_path: Path) -> bytes:
    """The ONNX file that a stripped plan is refitted from."""
    if onnx_path.with_name(onnx_path.name + ".data").exists():
        raise BuildError("the weights are too large for one ONNX file beside a stripped plan", "leave --strip-plan out")
    return onnx_path.read_bytes()
