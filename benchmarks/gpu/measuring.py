"""Own the run of one case: ours, a copy of as many bytes, and the peers, in turns; then its results are checked."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.gpu.buffers import Uploader
from benchmarks.gpu.cases import Case, Sizes
from benchmarks.gpu.peers import Peer, peers_of
from benchmarks.gpu.timing import Clock, Run, Timing, alternating
from edgeseg.runtime.cuda import Stream

__all__ = ["Bench"]

OURS, COPY = "edgeseg", "copy"
TENSOR_TOLERANCE = 0.05  # of a normalised value: float16 keeps 11 bits of values up to 3, YUV is rounded differently
LEAST_AGREEMENT = 0.98  # masks: float32's rounding turns near ties, of noise in float16 a few in a thousand


@dataclass
class Bench:
    """Times cases on one device. Needs the context current.

    Args:
        clock: of the device.
        uploader: of the same stream.
        sizes: of the cases.
        runs: of each way, spread over the turns.
        turns: how often each way's turn comes.
        copy_bytes_per_s: the device's own.
    """

    clock: Clock
    uploader: Uploader
    sizes: Sizes
    runs: int
    turns: int
    copy_bytes_per_s: float

    def row(self, case: Case) -> dict[str, Any]:
        """Figures of one case; see report.py.

        Raises:
            ValueError: a result is wrong: a figure of it would mean nothing.
        """
        peers = peers_of(case, self.sizes)
        ways: dict[str, Run] = {OURS: case.run, COPY: self._copy_of(case)}
        ways |= {name: peer.run for name, peer in peers.items()}
        found = alternating(self.clock, ways, sets=case.sets, runs=self.runs, turns=self.turns)
        differing = self._differing(case)
        ours = joined(found[OURS])
        return {
            "name": case.name,
            "kind": case.kind,
            "moved_bytes": case.moved_bytes,
            "sets": case.sets,
            "median_ms": ours.median_ms,
            "p99_ms": ours.percentile_ms(99),
            "count": len(ours.samples_ms),
            "bytes_per_s": case.moved_bytes / ours.median_ms * 1e3,
            "of_copy": case.moved_bytes / ours.median_ms * 1e3 / self.copy_bytes_per_s,
            "same_copy_ms": joined(found[COPY]).median_ms,
            "differing": differing,
            "peers": [self._peer(case, name, peer, found) for name, peer in peers.items()],
        }

    def _copy_of(self, case: Case) -> Run:
        """A copy that reads and writes as many bytes as the case, on as many sets."""
        half = max(case.moved_bytes // 2, 1)
        pairs = [[self.uploader.room((half,), "uint8") for _ in range(2)] for _ in range(case.sets)]

        def run(index: int, stream: Stream) -> None:
            stream.copy_across(*pairs[index])

        return run

    def _differing(self, case: Case) -> int:
        """Values of the last set that are not the CPU's, after a run on poisoned memory."""
        index, stream = case.sets - 1, self.clock.stream
        stream.fill(case.output[index], 0xA5)
        case.run(index, stream)
        expected = case.expected()
        found = self.uploader.take(case.output[index])
        differing = int(np.count_nonzero(found[..., : expected.shape[-1]] != expected))
        if differing:
            raise ValueError(f"{case.name}: {differing} values are not the CPU's")
        return differing

    def _peer(self, case: Case, name: str, peer: Peer, found: dict[str, list[Timing]]) -> dict[str, Any]:
        peer.run(case.sets - 1, self.clock.stream)
        self.clock.stream.synchronize()
        agreement = agreement_of(case, peer.result(), case.expected())
        if agreement < LEAST_AGREEMENT:
            raise ValueError(f"{case.name}: {name} agrees on {agreement:.3f} of the values, expected {LEAST_AGREEMENT}")
        each = [their.median_ms / our.median_ms for our, their in zip(found[OURS], found[name], strict=True)]
        return {
            "name": name,
            "median_ms": joined(found[name]).median_ms,
            "ratio": statistics.median(each),
            "lowest": min(each),
            "highest": max(each),
            "agreement": agreement,
        }


def joined(turns: list[Timing]) -> Timing:
    """The samples of all turns."""
    return Timing(samples_ms=tuple(one for turn in turns for one in turn.samples_ms))


def agreement_of(case: Case, theirs: Any, ours: Any) -> float:
    """The part of the values on which a peer agrees."""
    if case.kind == "tail":
        return float(np.mean(theirs == ours))
    return float(np.mean(np.abs(theirs.astype(np.float32) - ours.astype(np.float32)) <= TENSOR_TOLERANCE))
