"""Own the build of plans by TensorRT and TensorRT-RTX. Change no graph, run no plan."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.builder.backends.base import BuilderBackend, Built, OptionValue, Progress, Refusal
from edgeseg.builder.backends.tensorrt.monitor import BuildMonitor, run_stoppable
from edgeseg.builder.backends.tensorrt.options import TensorRTOptions
from edgeseg.errors import BuildError
from edgeseg.packages import require
from edgeseg.spec import HighPrecision, PrecisionKind, ProfileSpec
from edgeseg.trt_api import DriverState, TensorRTName, TrtApi, driver_state, load_api

__all__ = ["TensorRTBackend"]

ELSEWHERE = "build on the device itself, or take --backend tensorrt-rtx or openvino here"
OTHER_OPERATOR = "change that operator in the net, or take --backend openvino"
OTHER_GRAPH = "try another precision, more workspace or --backend openvino"
SHOWN_PARSER_ERRORS = 3
#: the first compute capability with products in these types: bfloat16 came with Ampere, 8-bit floating point with Ada
OLDEST: dict[PrecisionKind, tuple[int, int]] = {"bf16": (8, 0), "fp8": (8, 9)}
# TensorRT-RTX 1.7.1 builds INT8 for SM 7.5 with weights in floating point (measured on a U-Net: 7.2 MB of weights
# against 2.5 MB for SM 8.9), and one plan for 7.5 and newer gets them for all.
OLDEST_RTX_INT8 = (8, 0)


@dataclass(frozen=True, kw_only=True)
class _Target:
    """For whom a plan is built; without ``capabilities`` it is the library's own choice, the device that is there."""

    device: str
    compute_capability: str | None
    is_here: bool
    capabilities: tuple[Any, ...] = ()


class TensorRTBackend(BuilderBackend):
    """Builds strongly typed plans: every precision is the graph's own, none is the builder's choice.

    ``tensorrt`` needs the device it builds for. ``tensorrt-rtx`` builds for the card that is there, and on a machine
    without one for every RTX generation from Ampere on that it knows.

    Args:
        name: which of the two packages builds.
        options: see TensorRTOptions.
    Raises:
        MissingPackageError: the package is absent.
    """

    high_precision: HighPrecision = "fp16"

    def __init__(self, name: TensorRTName, options: TensorRTOptions | None = None) -> None:
        self.name = name
        self._options = options or TensorRTOptions()
        self._workspace_bytes = dict(self._options.pools).get("workspace")
        self._api = load_api(name)

    @property
    def version(self) -> str:
        """Version of the installed package."""
        return self._api.version

    @property
    def runs_here(self) -> bool:
        """Whether there is a driver and a card."""
        return driver_state().is_working

    def refuse(self, precision: PrecisionKind) -> None:
        """Raise BuildError where no plan of ``precision`` can be built on this machine."""
        driver = self._driver()
        if driver.compute_capability is None:
            return
        found, oldest = _version_pair(driver.compute_capability), OLDEST.get(precision)
        if oldest is not None and found < oldest:
            raise BuildError(
                f"{driver.device_name} has compute capability {driver.compute_capability}, "
                f"{precision} needs {oldest[0]}.{oldest[1]}",
                "take fp16 or int8",
            )
        if self.name == "tensorrt-rtx" and precision == "int8" and found < OLDEST_RTX_INT8:
            raise BuildError(
                f"tensorrt-rtx keeps INT8 weights in floating point on {driver.device_name} "
                f"(compute capability {driver.compute_capability}, INT8 needs 8.0)",
                "take fp16, or --backend tensorrt",
            )

    def build(
        self,
        onnx_path: Path,
        *,
        precision: PrecisionKind,
        profiles: tuple[ProfileSpec, ...] = (),
        progress: Progress,
    ) -> Built:
        """Build a plan; Ctrl-C stops it at the builder's next step and leaves nothing behind.

        Args:
            onnx_path: an ONNX file, weights inside or beside it, whose node types carry the precision.
            precision: which; where no card is, the plan is for the cards that have it.
            progress: told of every step, in the calling thread; ends at 1.0.
        Raises:
            BuildError: no driver, an operator is refused, or the builder failed; with the log's last lines.
        """
        del profiles
        driver = self._driver()
        monitor = BuildMonitor()
        built = run_stoppable(
            lambda: _build(self._api, onnx_path, _target(self._api, driver, precision), monitor, self._workspace_bytes),
            monitor,
            progress,
        )
        progress(1.0, "plan is built")
        return built

    def refused(self, onnx_path: Path) -> tuple[Refusal, ...]:
        """What the parser says of each node; ``tensorrt`` alone needs a driver to be asked."""
        self._driver()
        api = self._api
        api.log.clear()
        network = _make_builder(api).create_network(_strongly_typed(api))
        parser = api.module.OnnxParser(network, api.logger)
        is_parsed = parser.parse_from_file(str(onnx_path))
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        found = {(error.node_name(), error.node_operator()): _reason(error) for error in errors}
        if not found and not is_parsed:
            return (Refusal(node="", op="", reason=str(api.log)),)
        return tuple(Refusal(node=node, op=op, reason=reason) for (node, op), reason in found.items())

    def _driver(self) -> DriverState:
        driver = driver_state()
        if self.name == "tensorrt" and not driver.is_working:
            raise BuildError(f"TensorRT {self.version} builds on a GPU only, and {driver.reason}", ELSEWHERE)
        return driver


def _refuse_deadly(onnx_path: Path) -> None:
    """The builder of TensorRT-RTX 1.7.1 ends the process where it meets an Attention and no GPU (measured)."""
    for node in require("onnx_ir").load(onnx_path).graph.all_nodes():
        if node.op_type == "Attention" and not node.domain:
            raise BuildError(
                f"tensorrt-rtx cannot build Attention '{node.name}' on a machine without a GPU",
                "export with --opset 19, which has no Attention, or build beside the card",
            )


def _build(api: TrtApi, onnx_path: Path, target: _Target, monitor: BuildMonitor, workspace_bytes: int | None) -> Built:
    api.log.clear()
    builder = _make_builder(api)
    network = builder.create_network(_strongly_typed(api))
    parser = api.module.OnnxParser(network, api.logger)  # owns the weights until the plan is built
    _parse(api, parser, network, onnx_path)
    if api.name == "tensorrt-rtx" and not target.is_here:
        _refuse_deadly(onnx_path)
    config = _configure(api, builder, target, workspace_bytes)
    monitor.attach(api.module, config)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BuildError(f"{api.name} {api.version} built no plan ({api.log})", OTHER_GRAPH)
    return Built(
        plan=bytes(plan),
        device=target.device,
        compute_capability=target.compute_capability,
        options=_options(api, config, target),
    )


def _make_builder(api: TrtApi) -> Any:
    try:
        return api.module.Builder(api.logger)
    except TypeError as error:  # pybind's word for a factory that returned null
        raise BuildError(f"{api.name} {api.version} gives no builder ({api.log})", "check the CUDA driver") from error


def _strongly_typed(api: TrtApi) -> int:
    """The creation flags; should a release drop the flag, strong typing is its only mode."""
    flag = getattr(api.module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parse(api: TrtApi, parser: Any, network: Any, onnx_path: Path) -> None:
    is_parsed = parser.parse_from_file(str(onnx_path))
    errors = [_describe(parser.get_error(index)) for index in range(min(parser.num_errors, SHOWN_PARSER_ERRORS))]
    if errors or not is_parsed:
        more = f" and {parser.num_errors - len(errors)} more" if parser.num_errors > len(errors) else ""
        reasons = "; ".join(errors) or str(api.log)
        raise BuildError(f"{api.name} {api.version} refuses the graph: {reasons}{more}", OTHER_OPERATOR)
    if network.num_outputs == 0:  # the parser takes zero bytes for an empty model and is content
        raise BuildError("the graph has no output", "export the net again with 'edgeseg export'")


def _describe(error: Any) -> str:
    code = getattr(error.code(), "name", str(error.code()))
    text = f"{code} in {error.func()}: {error.desc()}"
    operator = error.node_operator()
    return f"node {error.node()} '{error.node_name()}' ({operator}): {text}" if operator else text


def _reason(error: Any) -> str:
    """The parser's sentence out of its C++ condition; a bare ``false`` in a check is an operator without a layer."""
    condition = " ".join(error.desc().splitlines()[:2])
    if condition == "false":
        return "there is no layer for it"
    _, is_quoted, sentence = condition.partition('&& "')
    return sentence.replace('" "', "").rstrip('"') if is_quoted else re.sub(r"^Assertion failed: .*?: ", "", condition)


def _target(api: TrtApi, driver: DriverState, precision: PrecisionKind) -> _Target:
    if driver.is_working:
        current = (api.module.ComputeCapability.CURRENT,) if api.name == "tensorrt-rtx" else ()
        return _Target(
            device=driver.device_name or "unknown",
            compute_capability=driver.compute_capability,
            is_here=True,
            capabilities=current,
        )
    oldest = OLDEST.get(precision, OLDEST_RTX_INT8)
    known = sorted((pair, member) for pair, member in _rtx_capabilities(api).items() if pair >= oldest)
    text = ", ".join(f"{major}.{minor}" for (major, minor), _ in known)
    return _Target(
        device=f"any RTX (SM {text})",
        compute_capability=text,
        is_here=False,
        capabilities=tuple(member for _, member in known),
    )


def _rtx_capabilities(api: TrtApi) -> dict[tuple[int, int], Any]:
    """The numbered members of the enum (SM86, SM120, ...) that hold INT8; the last digit is the minor version."""
    members = api.module.ComputeCapability.__members__.items()
    numbered = {(int(name[2:-1]), int(name[-1])): member for name, member in members if name.startswith("SM")}
    return {version: member for version, member in numbered.items() if version >= OLDEST_RTX_INT8}


def _configure(api: TrtApi, builder: Any, target: _Target, workspace_bytes: int | None) -> Any:
    config = builder.create_builder_config()
    if workspace_bytes is not None:
        config.set_memory_pool_limit(api.module.MemoryPoolType.WORKSPACE, workspace_bytes)
    if target.capabilities:
        config.num_compute_capabilities = len(target.capabilities)
    for index, member in enumerate(target.capabilities):
        if not config.set_compute_capability(member, index):
            raise BuildError(f"{api.name} {api.version} does not build for {member.name}", "update tensorrt-rtx")
    return config


def _options(api: TrtApi, config: Any, target: _Target) -> dict[str, OptionValue]:
    """What the builder really used, read back from it."""
    return {
        "workspace_bytes": config.get_memory_pool_limit(api.module.MemoryPoolType.WORKSPACE),
        "optimization_level": config.builder_optimization_level,
        "is_tf32_allowed": config.get_flag(api.module.BuilderFlag.TF32),
        "compute_capabilities": ", ".join(member.name for member in target.capabilities) or None,
        "warnings": api.log.warnings,
    }


def _version_pair(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)
