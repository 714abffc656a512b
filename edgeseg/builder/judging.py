"""Own the question what a precision of a net is worth on labelled frames, and how fast it is. Choose no precision."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgeseg.accuracy.scoring import ignored_label, score
from edgeseg.builder.backends.base import BuilderBackend, Built
from edgeseg.builder.emulating import EmulatedEngine
from edgeseg.builder.master import Master
from edgeseg.builder.plans import build_master, engine_spec, high_precision_of
from edgeseg.data import LabelledFrame, LabelledSet
from edgeseg.runtime.session import Session
from edgeseg.sidecars import write_with_sidecar
from edgeseg.spec import ModelSpec, PrecisionKind

__all__ = ["Judge"]

TIMED_RUNS = 30
WARM_UP_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Builds precisions of one net and runs them on held-out frames.

    Where the back end's plans do not run on this machine, ONNX Runtime emulates them; that judges masks and no speed.

    Attributes:
        master: the net.
        model: what it means.
        backend: for whom the engine is.
        frames: labelled, and none that ranges were measured on.
        ignore: label id that does not count; without it what the set or the model says.
    """

    master: Master
    model: ModelSpec
    backend: BuilderBackend
    frames: LabelledSet
    ignore: int | None = None

    @property
    def name(self) -> str:
        """Who judges, for sidecars and messages."""
        if self.backend.runs_here:
            return f"{self.backend.name} {self.backend.version.partition('-')[0]}"
        return f"ONNX Runtime, emulating {self.backend.name}"

    def miou(
        self,
        kind: PrecisionKind,
        kept: Collection[str] = (),
        *,
        on_frame: Callable[[int], None] = lambda done: None,
    ) -> float:
        """Mean IoU of a precision, from 0 to 1; ``on_frame`` is told how many frames are done."""

        def told() -> Iterator[LabelledFrame]:
            for done, frame in enumerate(self.frames, start=1):
                yield frame
                on_frame(done)

        with self.session(kind, kept) as session:
            ignore = ignored_label(self.frames, self.model.labels, self.ignore)
            return score(session, told(), ignore=ignore).miou

    def session(self, kind: PrecisionKind, kept: Collection[str] = ()) -> Session:
        """One precision, ready to run; the caller closes it.

        Raises:
            BuildError: the back end does not build it.
        """
        high = high_precision_of(kind, self.backend)
        told = self.master.described(kind, high, kept=kept)
        if not self.backend.runs_here:
            plan = Built(plan=b"", device="none", compute_capability=None, options={})
            spec = engine_spec(self.model, self.backend, plan, told)
            return Session(EmulatedEngine(spec, self.master.emulated(kind, high, kept=kept)))
        built = build_master(self.master, self.backend, kind, high, kept=kept)
        spec = engine_spec(self.model, self.backend, built, told)
        with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
            path = Path(folder) / "trial.engine"
            write_with_sidecar(path, built.plan, spec)
            return Session(path, depth=1)

    def medians_ms(self, precisions: Sequence[tuple[PrecisionKind, Collection[str]]]) -> list[float]:
        """The engines alone, in alternating turns on one frame, in milliseconds; of use where plans run here."""
        with ExitStack() as stack:
            sessions = [stack.enter_context(self.session(kind, kept)) for kind, kept in precisions]
            frame = next(iter(self.frames)).bgr
            for session in sessions:
                session.segment(frame)
            times = [[session.engine.infer() for session in sessions] for _ in range(WARM_UP_RUNS + TIMED_RUNS)]
        return [statistics.median(column) for column in zip(*times[WARM_UP_RUNS:], strict=True)]
