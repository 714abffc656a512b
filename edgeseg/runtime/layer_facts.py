"""Own what a layer of a finished engine is called and computes in, and the counting of it. Ask no engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgeseg.records import Record
from edgeseg.spec import PlanFacts

__all__ = ["LayerFact", "plan_facts"]


class LayerFact(Record, frozen=True, kw_only=True):
    """One layer after fusion.

    Attributes:
        name: the back end's; of fused layers it names what was fused.
        kind: in the back end's words.
        precision: the type that it computes in, as in ``INT8``; None where it only moves, converts or indexes, and
            where the back end does not say.
        is_moving: whether it only moves, converts or indexes.
        origins: what the back end says that was fused into it, by the names of the graph that it was built of.
        moved_bytes: its inputs, outputs and weights as they are stored; None where the back end does not say.
    """

    name: str
    kind: str = ""
    precision: str | None = None
    is_moving: bool = False
    origins: tuple[str, ...] = ()
    moved_bytes: int | None = None


def plan_facts(
    layers: Sequence[LayerFact], *, weight_bytes: int | None = None, activation_bytes: int | None = None
) -> PlanFacts:
    """What the sidecar keeps of them.

    Example:
        >>> plan_facts([LayerFact(name="conv", precision="INT8"), LayerFact(name="copy")]).by_precision
        {'INT8': 1}
    """
    counted = Counter(one.precision for one in layers if one.precision is not None)
    return PlanFacts(
        layers=len(layers),
        by_precision=dict(sorted(counted.items(), key=lambda one: (-one[1], one[0]))),
        weight_bytes=weight_bytes,
        activation_bytes=activation_bytes,
    )
