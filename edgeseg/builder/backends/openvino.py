"""Own building for the CPU with OpenVINO: one exported blob a net. Prepare no graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.builder.backends.base import BuilderBackend, Built, Progress, Refusal
from edgeseg.errors import BuildError, OptionsError
from edgeseg.graph.unsigned import unsigned_at_joins
from edgeseg.memory import FreeMemory, host_memory
from edgeseg.packages import require
from edgeseg.runtime.engines.openvino import InferencePrecision, cpu_properties
from edgeseg.spec import BackendName, HighPrecision, PrecisionKind, ProfileSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["OpenVINOBackend"]

# how OpenVINO 2026.4 reports nodes: kinds that it has nothing for, and of every other kind the last node that failed
NO_RULE = re.compile(r"^-- No conversion rule found for operations: (.+)$", re.MULTILINE)
FAILED = re.compile(r"^-- (\S+) with a message:\n(.*?)(?=^-- |^Summary:|\Z)", re.MULTILINE | re.DOTALL)
FAILED_NODE = re.compile(r"<Node\((\w+)\): ([^>,]+)")
NO_NODES = ("Parameter", "Result", "Constant")


class OpenVINOBackend(BuilderBackend):
    """Compiles for the CPU that it runs on."""

    name: BackendName = "openvino"
    builds_apart = False
    high_precision: HighPrecision = "fp32"

    def __init__(self) -> None:
        self._openvino: Any = require("openvino")

    @property
    def version(self) -> str:
        return str(self._openvino.get_version())

    @property
    def runs_here(self) -> bool:
        return True

    @property
    def machine(self) -> tuple[str | None, ...]:
        """The CPU, and what it computes in: a virtual machine may hide a part of that."""
        return (self._cpu_name(), *sorted(self._capabilities()))

    def memory(self) -> FreeMemory | None:
        return host_memory()

    def refuse(self, precision: PrecisionKind) -> None:
        if precision in ("fp16", "fp8"):
            raise BuildError(
                f"the CPU back end computes in fp32, bf16 and int8, not in {precision}", "use --precision fp32 or int8"
            )
        if precision == "bf16" and "BF16" not in self._capabilities():
            raise BuildError(
                f"this CPU has no bfloat16 ({', '.join(self._capabilities())})", "use --precision fp32 or int8"
            )

    def refuse_profiles(self, profiles: tuple[ProfileSpec, ...]) -> None:
        if profiles:
            raise OptionsError(
                "an openvino engine takes one shape, profiles are TensorRT's",
                "leave the shapes out, or use --input-size",
            )

    def _capabilities(self) -> list[str]:
        return list(self._openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))

    def _cpu_name(self) -> str:
        return str(self._openvino.Core().get_property("CPU", "FULL_DEVICE_NAME"))

    def adapted(self, model: ir.Model) -> ir.Model:
        return unsigned_at_joins(model)

    def build(
        self,
        onnx_path: Path,
        *,
        precision: PrecisionKind,
        profiles: tuple[ProfileSpec, ...] = (),
        progress: Progress,
    ) -> Built:
        self.refuse_profiles(profiles)
        progress(0.0, "compile")
        inference: InferencePrecision = "bf16" if precision == "bf16" else "f32"
        core = self._openvino.Core()
        try:
            compiled = core.compile_model(core.read_model(str(onnx_path)), "CPU", cpu_properties(inference))
            plan = compiled.export_model()
        except RuntimeError as error:
            last = str(error).strip().splitlines()[-1]
            raise BuildError(
                f"OpenVINO cannot compile the graph ({last})", "run it again with --debug for all it says"
            ) from error
        progress(1.0, "compile")
        return Built(
            plan=plan.getvalue(),
            device=self._cpu_name(),
            compute_capability=None,
            options={"inference_precision": inference, "performance_hint": "LATENCY"},
        )

    def refused(self, onnx_path: Path) -> tuple[Refusal, ...]:
        """What the ONNX reader does not convert; where it converts all, what the CPU plugin has no kernel for."""
        nodes = list(require("onnx_ir").load(onnx_path).graph.all_nodes())
        core = self._openvino.Core()
        try:
            model = core.read_model(str(onnx_path))
            taken = core.query_model(model, "CPU")
        except RuntimeError as error:
            return _reported(str(error), nodes)
        left = [one for one in model.get_ordered_ops() if one.get_friendly_name() not in taken]
        return tuple(
            _refusal(one.get_friendly_name(), one.get_type_name(), "the CPU plugin has no kernel for it", nodes)
            for one in left
            if one.get_type_name() not in NO_NODES
        )


def _reported(message: str, nodes: Sequence[ir.Node]) -> tuple[Refusal, ...]:
    found = []
    for kinds in NO_RULE.findall(message):
        for kind in kinds.split(", "):
            op = re.sub(r"-\d+$", "", kind).rpartition(".")[2]
            named = [node for node in nodes if node.op_type == op]
            found += [Refusal(node=node.name or "", op=op, reason="there is no rule to convert it") for node in named]
    for kind, text in FAILED.findall(message):
        where, reason = FAILED_NODE.search(text), text.strip().splitlines()[-1]
        op, value = where.groups() if where else (re.sub(r"-\d+$", "", kind), "")
        found.append(_refusal(value, op, reason, nodes))
    return tuple(found) or (Refusal(node="", op="", reason=message.strip().splitlines()[-1]),)


def _refusal(known_as: str, op: str, reason: str, nodes: Sequence[ir.Node]) -> Refusal:
    """OpenVINO calls a node by its name, or by its first output."""
    for node in nodes:
        if known_as and known_as in (node.name, node.outputs[0].name):
            return Refusal(node=node.name or "", op=node.op_type, reason=reason)
    return Refusal(node="", op=op, reason=reason)
