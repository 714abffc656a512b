"""Own the search for what a promise asks to keep: trials in their order, and the ranking before them. Time nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeseg.builder.backends.base import Progress
from edgeseg.builder.diagnosing import diagnose
from edgeseg.builder.judging import Judge
from edgeseg.builder.searching import fewest_kept
from edgeseg.builder.trials import Kept, Trials
from edgeseg.errors import BuildError
from edgeseg.graph.qdq import QuantisedKind, active_sites
from edgeseg.imaging.preprocess import Frame

__all__ = ["Found", "PromiseSearch", "needed"]

#: frames by which nodes are ranked; more move the figures little, and each runs the net once a node
RANKING_FRAMES = 4


@dataclass(frozen=True)
class Found:
    """What is kept, the mean IoU (0 to 1) that this has, and the ranking, where one was needed."""

    kept: Kept
    miou: float
    ranking: tuple[str, ...] = ()


class PromiseSearch:
    """From the plain quantisation to the fewest kept nodes.

    Args:
        judge: of the net, for its back end.
        trials: by that judge, float32 among them.
        kind: what the net is quantised to.
        max_miou_drop: percentage points that may be lost.
        reference: mean IoU of float32, from 0 to 1.
        progress: told what fraction of the ranking is done.
    """

    def __init__(
        self,
        judge: Judge,
        trials: Trials,
        kind: QuantisedKind,
        max_miou_drop: float,
        reference: float,
        progress: Progress,
    ) -> None:
        self._judge, self._trials, self._kind = judge, trials, kind
        self._max_drop, self._reference, self._progress = max_miou_drop, reference, progress
        self._high = judge.backend.high_precision
        self._nodes = self._active(frozenset())

    def run(self) -> Found:
        """Try, and find.

        Raises:
            BuildError: keeping every node does not hold the promise either, or the budget ended before that was known.
        """
        plain = needed(self._trials.miou(self._kind))
        if self._fits(plain):
            return Found(frozenset(), plain)
        self._check_higher()
        ranking = self._trials.ranking(self._ranked)
        kept = self._canonical(fewest_kept(ranking, self._holds))
        miou = self._higher_miou() if kept == self._nodes else self._trials.miou(self._kind, kept)
        return Found(kept, needed(miou), ranking)

    def _fits(self, miou: float) -> bool:
        return (self._reference - miou) * 100 <= self._max_drop

    def _higher_miou(self) -> float | None:
        """With every node kept; where that is float32 it is the reference itself."""
        return self._reference if self._high == "fp32" else self._trials.miou(self._high)

    def _check_higher(self) -> None:
        miou = needed(self._higher_miou())
        if not self._fits(miou):
            lost = (self._reference - miou) * 100
            raise BuildError(
                f"even with all layers in {self._high} mIoU is {lost:.2f} points below float32, promised were at most "
                f"{self._max_drop:g}",
                "build it with --precision fp32 or bf16, or promise less",
            )

    def _holds(self, asked: Kept) -> bool | None:
        kept = self._canonical(asked)
        if kept == self._nodes:
            return True
        miou = self._trials.miou(self._kind, kept)
        return None if miou is None else self._fits(miou)

    def _canonical(self, asked: Kept) -> Kept:
        """With the followers that are not quantised either: two sets with the same graph are one trial."""
        return self._nodes - self._active(asked)

    def _active(self, kept: Kept) -> Kept:
        master = self._judge.master
        if master.quantisation is None:
            return frozenset()
        return frozenset(site.node for site in active_sites(master.model, master.quantisation, kept))

    def _ranked(self) -> tuple[str, ...]:
        frames = self._judge.frames
        every = max(len(frames) // RANKING_FRAMES, 1)
        total = len(range(0, len(frames), every))

        def pictures() -> Iterator[Frame]:
            for index, frame in enumerate(frames):
                if index % every == 0:
                    yield frame.bgr

        found = diagnose(
            self._judge.master,
            self._judge.model,
            pictures(),
            on_frame=lambda done: self._progress(min(done / total, 1.0), "rank layers"),
        )
        return tuple(effect.name for effect in found.nodes if effect.name in self._nodes)


def needed(miou: float | None) -> float:
    """A trial that the search cannot do without.

    Raises:
        BuildError: the budget ended before it.
    """
    if miou is None:
        raise BuildError("the search's budget ended before the promise could be judged", "raise --search-budget")
    return miou
