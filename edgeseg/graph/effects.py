"""Own the figures of what quantising a net, or one node of it, does. Measure nothing.

Ratios of signal to noise are in dB, ``10 log10(sum of squares / sum of squared errors)`` over all frames; infinite
where nothing changes, which in JSON is null.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Diagnosis", "NodeEffect", "WholeEffect"]


@dataclass(frozen=True, kw_only=True)
class NodeEffect:
    """What a net becomes when one node alone is quantised.

    Attributes:
        name: of the node in the graph.
        words: how messages name it: operator, name, module.
        op_type: its operator.
        module: where torch's exporter says that it came from; empty if it does not say.
        order: which of the nodes that are quantised it is in the order of the graph, from 0.
        is_layer: whether it is a layer (``graph.qdq.LAYERS``), or follows one.
        macs: multiply-accumulates of a run; None where they are not known.
        output_snr_db: at its own first output.
        logits_snr_db: at the scores that leave the net; None where finished ids leave it.
        disagreement: share of all pixels whose class becomes another, 0 to 1.
        share: ``disagreement`` over the whole net's; above 1 where errors make up for each other, None where the whole
            net's is 0.
    """

    name: str
    words: str
    op_type: str
    module: str
    order: int
    is_layer: bool
    macs: int | None
    output_snr_db: float
    logits_snr_db: float | None
    disagreement: float
    share: float | None


@dataclass(frozen=True, kw_only=True)
class WholeEffect:
    """What the net becomes when all of these nodes are quantised; see NodeEffect."""

    logits_snr_db: float | None
    disagreement: float


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The nodes of a net that can be quantised, each alone.

    Attributes:
        nodes: worst first: by disagreement, then by the signal-to-noise ratio at the scores, then at its own output,
            then by name.
        whole: the net with all of them quantised.
        frames: how many were looked at.
        pixels: of all their masks, what pads them left out.
    """

    nodes: tuple[NodeEffect, ...]
    whole: WholeEffect
    frames: int
    pixels: int

    @property
    def in_order(self) -> tuple[NodeEffect, ...]:
        """The nodes in the order of the graph."""
        return tuple(sorted(self.nodes, key=lambda one: one.order))
