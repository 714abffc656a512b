"""Own the keeping of a promise of accuracy: rank, search, judge the speed. Calibrate and build nothing for good."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edgeseg import __version__
from edgeseg.accuracy.verdict import LEAST_RATIO
from edgeseg.builder.backends.base import BuilderBackend, Progress
from edgeseg.builder.judging import Judge
from edgeseg.builder.master import Master
from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.builder.plans import Choice
from edgeseg.builder.promise_search import PromiseSearch, needed
from edgeseg.builder.source import Source
from edgeseg.builder.trials import Kept, Trials
from edgeseg.data import LabelledSet, shared_images
from edgeseg.data.layouts import LAYOUTS
from edgeseg.errors import BuildError, DataError, OptionsError
from edgeseg.files import sha256_of
from edgeseg.graph.access import described
from edgeseg.graph.qdq import LARGEST_CODE, QuantisedKind
from edgeseg.spec import HighPrecision, PrecisionKind, SearchSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Promise", "check_choice", "choose_kept", "keep_promise", "kept_words"]

LEAST_BUDGET = 3  # float32, all quantised, all in the higher precision


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What INT8 or FP8 may cost.

    Attributes:
        max_miou_drop: percentage points of mean IoU below float32.
        data: labelled frames, as ``LabelledSet`` takes them with the next three.
        layout: of the data.
        split: of the data.
        skip_bad: pass over frames that cannot be read.
        ignore: label id that does not count; without it what the set or the model says.
        budget: how many precisions may be tried, float32 among them.
    """

    max_miou_drop: float
    data: Path
    layout: LAYOUTS = "auto"
    split: str | None = None
    skip_bad: bool = False
    ignore: int | None = None
    budget: int = 25

    def __post_init__(self) -> None:
        if not 0 <= self.max_miou_drop < 100:
            raise OptionsError(f"a drop of {self.max_miou_drop:g} points is no promise", "give 0 to 100, such as 0.5")
        if self.budget < LEAST_BUDGET:
            raise OptionsError(f"{self.budget} trials are too few", f"give at least {LEAST_BUDGET}")

    def frames(self, kind: PrecisionKind) -> LabelledSet:
        """The labelled frames, not yet read, to judge a precision on.

        Raises:
            OptionsError: nothing is quantised in that precision.
            DataError: no such data set.
        """
        if kind not in LARGEST_CODE:
            raise OptionsError(
                f"a promise of accuracy is kept by int8 and fp8, not by {kind}", "leave --max-miou-drop out"
            )
        return self.labelled()

    def labelled(self) -> LabelledSet:
        """The labelled frames, not yet read; DataError where there is no such data set."""
        return LabelledSet(self.data, layout=self.layout, split=self.split, skip_bad=self.skip_bad)


def keep_promise(
    master: Master,
    source: Source,
    kind: QuantisedKind,
    backend: BuilderBackend,
    promise: Promise,
    frames: LabelledSet,
    state_path: Path,
    *,
    progress: Progress = lambda fraction, step: None,
    note: Callable[[str], None] = lambda text: None,
) -> Choice:
    """Find the fewest nodes whose higher precision keeps the promise on held-out frames.

    Nodes are ranked by what quantising each alone does to the masks (``diagnose``), then ``fewest_kept`` searches.
    Every trial builds an engine, runs it over all frames and is on disk afterwards: a search that was ended goes on.

    Args:
        master: quantised.
        source: that it was measured from.
        kind: what it is quantised to.
        backend: for whom the engine will be.
        promise: what may be lost.
        frames: the promise's.
        state_path: where trials are kept while the search goes on.
        progress: told what fraction of a step is done.
        note: told what was found.
    Raises:
        BuildError: not even the higher precision keeps the promise, or the budget ended before that was known.
        DataError: a frame cannot be used.
    """
    judge = Judge(master=master, model=source.spec, backend=backend, frames=frames, ignore=promise.ignore)
    trials = _trials(judge, kind, promise, state_path, progress)
    if trials.resumed:
        note(f"the search goes on after the {trials.resumed} trials that {state_path} holds")
    reference = needed(trials.miou("fp32"))
    found = PromiseSearch(judge, trials, kind, promise.max_miou_drop, reference, progress).run()
    note(
        f"mIoU {found.miou * 100:.2f} %, {(reference - found.miou) * 100:.2f} points below float32 "
        f"(promised: at most {promise.max_miou_drop:g}) on {len(frames)} frames by {judge.name}; "
        f"{len(trials.made)} trials"
    )
    times = _times(judge, kind, found.kept, note)
    return Choice(
        kept=found.kept,
        search=SearchSpec(
            max_miou_drop=promise.max_miou_drop,
            reference_miou=reference,
            miou=found.miou,
            judged_by=judge.name,
            data_sha256=frames.sha256,
            frames=len(frames),
            budget=promise.budget,
            ranking=found.ranking,
            trials=trials.made,
            engine_ms=times.engine_ms if times else None,
            higher=times.higher if times else None,
            higher_ms=times.higher_ms if times else None,
        ),
    )


def choose_kept(
    master: Master,
    source: Source,
    kind: PrecisionKind,
    backend: BuilderBackend,
    promise: Promise | None,
    frames: LabelledSet | None,
    calibration: CalibrationOptions | None,
    kept: Collection[str],
    state_path: Path,
    *,
    progress: Progress = lambda fraction, step: None,
    note: Callable[[str], None] = lambda text: None,
) -> Choice:
    """The nodes that keep the higher precision: those that are named, or what ``keep_promise`` finds.

    ``frames`` are the promise's; whoever opens them before the calibration finds a wrong path before the work.

    Raises:
        OptionsError: both, or nodes are named where nothing is quantised.
        DataError: a frame was calibrated on.
    """
    check_choice(kind, promise, frames, calibration, kept)
    if (kind != "int8" and kind != "fp8") or promise is None or frames is None:
        return Choice(kept=frozenset(kept))
    return keep_promise(master, source, kind, backend, promise, frames, state_path, progress=progress, note=note)


def check_choice(
    kind: PrecisionKind,
    promise: Promise | None,
    frames: LabelledSet | None,
    calibration: CalibrationOptions | None,
    kept: Collection[str],
) -> None:
    """Refuse what ``choose_kept`` would, before anything is measured; its args and errors."""
    if kept and kind not in LARGEST_CODE:
        raise OptionsError(f"nothing is quantised in {kind} that could be kept from it", "leave --keep out")
    if promise is None or frames is None:
        return
    if kept:
        raise OptionsError("the search decides itself what is kept", "leave --keep or --max-miou-drop out")
    both = shared_images(calibration.images(), frames) if calibration else ()
    if both:
        raise DataError(
            f"{both[0]} is among the calibration images too ({len(both)} in all)",
            "judge on frames that were held out: take them from one of the two",
        )


def kept_words(model: ir.Model, kept: Kept, high: HighPrecision) -> str:
    """Which nodes keep the higher precision, in the order of the graph."""
    return f"kept in {high}: {', '.join(described(node) for node in model.graph if node.name in kept)}"


def _trials(judge: Judge, kind: QuantisedKind, promise: Promise, path: Path, progress: Progress) -> Trials:
    total = len(judge.frames)

    def judged(tried: PrecisionKind, kept: Kept) -> float:
        step = f"trial {len(trials.made) + 1}"
        return judge.miou(tried, kept, on_frame=lambda done: progress(min(done / total, 1.0), step))

    trials = Trials(path, key=_key(judge, kind), budget=promise.budget, judge=judged)
    return trials


def _key(judge: Judge, kind: QuantisedKind) -> str:
    """Of all that a trial's figure depends on."""
    model, quantisation = judge.model, judge.master.quantisation
    scales = {} if quantisation is None else {name: one.tolist() for name, one in quantisation.scales.items()}
    sites = () if quantisation is None else [(site.node, site.input_index, site.axis) for site in quantisation.sites]
    given = (
        __version__,
        model,
        kind,
        judge.name,
        judge.frames.sha256,
        judge.ignore,
        scales,
        sites,
        sorted(judge.master.wide),
    )
    return sha256_of(msgspec.json.encode(given, order="deterministic"))


class _Times(NamedTuple):
    engine_ms: float
    higher: PrecisionKind
    higher_ms: float


def _times(judge: Judge, kind: QuantisedKind, kept: Kept, note: Callable[[str], None]) -> _Times | None:
    """The verdict on speed against the fastest higher precision, where the engine runs on this machine."""
    high = judge.backend.high_precision
    if not judge.backend.runs_here:
        note(f"whether {kind} is faster than {high} has to be seen on the device: 'edgeseg benchmark' says it there")
        return None
    rivals: list[PrecisionKind] = [high]
    if _takes(judge.backend, "bf16"):
        rivals.append("bf16")
    engine_ms, *others = judge.medians_ms([(kind, kept), *((rival, ()) for rival in rivals)])
    higher_ms, higher = min(zip(others, rivals, strict=True))
    told = f"{engine_ms:.2f} ms against {higher_ms:.2f} ms in {higher}, the engine alone"
    ratio = higher_ms / engine_ms
    if ratio < LEAST_RATIO:
        note(f"warning: {kind} is not worth it here: {told}; build it with --precision {higher}")
    else:
        note(f"{ratio:.2f} times as fast as {higher}: {told}")
    return _Times(engine_ms, higher, higher_ms)


def _takes(backend: BuilderBackend, precision: PrecisionKind) -> bool:
    try:
        backend.refuse(precision)
    except BuildError:
        return False
    return True
