"""Own one net in float32 with what is known of its numbers, and give it out in any precision. Measure nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeseg.errors import BuildError, OptionsError
from edgeseg.graph.casting import lowered
from edgeseg.graph.opsets import at_least
from edgeseg.graph.overflow import ranked
from edgeseg.graph.qdq import Quantisation, active_sites, layers_of, quantised
from edgeseg.graph.qdq_rules import check_qdq
from edgeseg.graph.rounding import rounded
from edgeseg.spec import HighPrecision, PrecisionKind, PrecisionSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Master"]

#: the opset in which ONNX has the types: scales in float16 and FP8 codes, bfloat16 in convolutions
OPSETS: dict[PrecisionKind, int] = {"fp32": 13, "fp16": 13, "bf16": 22, "int8": 19, "fp8": 19}


@dataclass(frozen=True, kw_only=True)
class Master:
    """A net that every precision is made from.

    Attributes:
        model: prepared, float32, without quantisation.
        wide: names of the nodes that float16 does not hold.
        quantisation: where and by which scales it is quantised; None where that was not asked for.
    """

    model: ir.Model
    wide: frozenset[str] = frozenset()
    quantisation: Quantisation | None = None

    def graph(self, kind: PrecisionKind, high: HighPrecision, *, kept: Collection[str] = ()) -> ir.Model:
        """A new graph in a precision; its inputs and outputs keep their dtypes.

        Args:
            kind: of the layers.
            high: of what is not quantised; ``kind`` itself where nothing is.
            kept: names of nodes that could be quantised and shall not be.
        Raises:
            BuildError: the quantisation breaks a rule of TensorRT's.
            OptionsError: ``kept`` names what is not quantised.
        """
        return self._made(lowered, kind, high, kept)

    def emulated(self, kind: PrecisionKind, high: HighPrecision, *, kept: Collection[str] = ()) -> ir.Model:
        """The same for a runtime that has no products in 16 bits: float32, rounded to what ``graph`` would hold.

        Args and errors are those of ``graph``.
        """
        return self._made(rounded, kind, high, kept)

    def _made(
        self, narrowed: Callable[..., ir.Model], kind: PrecisionKind, high: HighPrecision, kept: Collection[str]
    ) -> ir.Model:
        model = at_least(self.model, max(OPSETS[kind], OPSETS[high]))
        if high != "fp32":
            model = narrowed(model, high, wide=self.wide if high == "fp16" else ranked(model))
        if kind not in ("int8", "fp8"):
            return model
        quantisation = self._quantisation(kept)
        model = quantised(model, quantisation, kept=kept)
        check_qdq(model)
        return model

    def _quantisation(self, kept: Collection[str]) -> Quantisation:
        if self.quantisation is None:
            raise BuildError("the net has no calibrated ranges", "calibrate it on typical images first")
        strange = sorted(set(kept) - set(self.quantisation.nodes))
        if strange:
            raise OptionsError(
                f"'{strange[0]}' is no node that would be quantised",
                f"name one of {', '.join(self.quantisation.nodes[:5])}, ... ('edgeseg diagnose' lists them)",
            )
        return self.quantisation

    def quantised_layers(self, kept: Collection[str] = ()) -> tuple[str, ...]:
        """The names of the layers that are quantised, in the order of the graph."""
        if self.quantisation is None:
            return ()
        active = {site.node for site in active_sites(self.model, self.quantisation, kept)}
        return tuple(name for name in layers_of(self.model) if name in active)

    def described(self, kind: PrecisionKind, high: HighPrecision, *, kept: Collection[str] = ()) -> PrecisionSpec:
        """What a sidecar says of ``graph`` with the same arguments, but for the calibration."""
        is_quantised = kind in ("int8", "fp8")
        return PrecisionSpec(
            kind=kind,
            high_precision=high,
            layers=len(layers_of(self.model)),
            quantised_layers=len(self.quantised_layers(kept)) if is_quantised else 0,
            kept=tuple(sorted(kept)),
            wide=tuple(sorted(self.wide)) if high == "fp16" else (),
        )
