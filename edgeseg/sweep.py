"""Own a sweep: which engines are built and timed for which sizes, precisions, batches and threads. Draw nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from edgeseg.builder.build import build_engine
from edgeseg.builder.build_options import BuildOptions
from edgeseg.errors import EdgesegError, InputError, OptionsError
from edgeseg.files import output_errors, read_file, sha256_of
from edgeseg.report.benchmark import run_benchmark
from edgeseg.report.frames import FrameSet
from edgeseg.report.record import Report, Settings, read_report, write_json
from edgeseg.report.sweep_record import Sweep, SweepFailure, SweepRow, write_sweep
from edgeseg.spec import PrecisionKind, ProfileSpec

__all__ = ["SweepRequest", "run_sweep"]

Tell = Callable[[str], None]
CALIBRATED: tuple[PrecisionKind, ...] = ("int8", "fp8", "fp16")  # the last looks for what float16 cannot hold


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What is to be combined with what.

    Attributes:
        nets: ONNX files of 'edgeseg export'.
        out: folder of the engines, the reports and the table; what is there of the same inputs is kept.
        sizes_hw: of the net's input; empty takes each net's own.
        precisions: the first is what the others are compared with.
        batches: frames in one run of the engine.
        threads: of a CPU back end; None takes all cores.
        build: how engines are built; size, precision and profiles are set by the sweep.
        settings: how they are timed; batch and threads are set by the sweep.
    Raises:
        OptionsError: two nets of one name, or batches on a back end that takes one image.
    """

    nets: tuple[Path, ...]
    out: Path
    sizes_hw: tuple[tuple[int, int], ...] = ()
    precisions: tuple[PrecisionKind, ...] = ("fp32",)
    batches: tuple[int, ...] = (1,)
    threads: tuple[int | None, ...] = (None,)
    build: BuildOptions
    settings: Settings

    def __post_init__(self) -> None:
        stems = [net.stem for net in self.nets]
        if len(set(stems)) != len(stems):
            raise OptionsError(f"nets are called {', '.join(stems)}", "give each a name of its own")
        if self.build.backend == "openvino" and max(self.batches) > 1:
            raise OptionsError(
                f"batches of {max(self.batches)} on openvino, whose engines take one image", "leave --batch out"
            )
        if max(self.batches) > 1 and not self.sizes_hw:
            raise OptionsError("batches need a size for their profile", "give --input-size HXW")


@dataclass(frozen=True)
class _Group:
    """One size of one net at one batch and number of threads; its precisions are timed in alternating turns."""

    net: Path
    size_hw: tuple[int, int] | None
    batch: int
    threads: int | None

    @property
    def net_name(self) -> str:
        return self.net.stem if self.size_hw is None else f"{self.net.stem}-{self.size_hw[0]}x{self.size_hw[1]}"

    @property
    def name(self) -> str:
        threads = "all" if self.threads is None else str(self.threads)
        return f"{self.net_name}-b{self.batch}-t{threads}"


def run_sweep(request: SweepRequest, frames: FrameSet, *, tell: Tell = lambda text: None) -> Sweep:
    """Build what is not there, time what is not timed, and write ``sweep.json`` after each step.

    A combination that fails is noted with its reason and tried again the next time; the others go on.

    Args:
        request: what to combine.
        frames: used in turn.
        tell: told each step.
    Returns:
        A row for every engine, batch and number of threads, in the order of the request.
    Raises:
        OutputError: the folder cannot be written.
    """
    with output_errors(request.out):
        request.out.mkdir(parents=True, exist_ok=True)
    rows: list[SweepRow] = []
    failures: list[SweepFailure] = []
    engines: dict[tuple[Path, tuple[int, int] | None], dict[PrecisionKind, Path]] = {}
    for group in _groups(request):
        built = engines.get((group.net, group.size_hw))
        if built is None:
            built = engines[group.net, group.size_hw] = _build_all(request, group, failures, tell)
        if built:
            _time(request, group, built, frames, rows, failures, tell)
        sweep = _sweep(rows, failures)
        write_sweep(sweep, request.out / "sweep.json")
    return sweep


def _groups(request: SweepRequest) -> Iterator[_Group]:
    sizes = request.sizes_hw or (None,)
    for net, size_hw, batch, threads in itertools.product(request.nets, sizes, request.batches, request.threads):
        yield _Group(net, size_hw, batch, threads)


def _build_all(
    request: SweepRequest, group: _Group, failures: list[SweepFailure], tell: Tell
) -> dict[PrecisionKind, Path]:
    found = {}
    for precision in request.precisions:
        what = f"{group.net_name}-{precision}"
        path = request.out / f"{what}.engine"
        tell(f"engine {what}")
        try:
            build_engine(group.net, path, _options(request, group, precision))
        except EdgesegError as error:
            failures.append(SweepFailure(what=what, reason=str(error)))
            tell(f"{what}: {error}")
        else:
            found[precision] = path
    return found


def _options(request: SweepRequest, group: _Group, precision: PrecisionKind) -> BuildOptions:
    base, size_hw = request.build, group.size_hw
    source = replace(base.source, prepare=replace(base.source.prepare, size_hw=size_hw))
    calibration = base.calibration if precision in CALIBRATED else None
    if calibration is not None:  # ranges are of one size
        kept = request.out / f"{group.net_name}.calibration.json"
        calibration = replace(calibration, file=kept)
    profiles: tuple[ProfileSpec, ...] = ()
    if size_hw is not None and max(request.batches) > 1:
        most, least = max(request.batches), min(request.batches)
        profiles = (ProfileSpec(minimum=(least, *size_hw), optimum=(most, *size_hw), maximum=(most, *size_hw)),)
    return replace(base, precision=precision, source=source, calibration=calibration, profiles=profiles)


def _time(
    request: SweepRequest,
    group: _Group,
    built: dict[PrecisionKind, Path],
    frames: FrameSet,
    rows: list[SweepRow],
    failures: list[SweepFailure],
    tell: Tell,
) -> None:
    path = request.out / f"{group.name}.json"
    settings = msgspec.structs.replace(request.settings, batch=group.batch, threads=group.threads)
    report = _timed_before(path, built, frames, settings)
    if report is None:
        tell(f"timing {group.name}: {', '.join(built)}")
        try:
            report = run_benchmark(list(built.values()), frames, settings)
        except EdgesegError as error:
            failures.append(SweepFailure(what=group.name, reason=str(error)))
            tell(f"{group.name}: {error}")
            return
        write_json(report, path)
    else:
        tell(f"{group.name}: timed before")
    rows += _rows(report, group, path.name)


def _timed_before(path: Path, built: dict[PrecisionKind, Path], frames: FrameSet, settings: Settings) -> Report | None:
    """The report that is there, if it is of these engines, frames and settings."""
    try:
        report = read_report(path)
    except InputError:  # none yet, or another's: it is measured
        return None
    plans = [sha256_of(read_file(one)) for one in built.values()]
    same = [one.plan_sha256 for one in report.engines] == plans and report.settings == settings
    return report if same and report.source.name == frames.name else None


def _rows(report: Report, group: _Group, file: str) -> Iterator[SweepRow]:
    engines = {one.name: one for one in report.engines}
    ratios = {(one.engine, one.scope): one.ratio for one in report.comparisons}
    for one in report.measurements:
        engine, stats = engines[one.engine], one.headline.stats
        yield SweepRow(
            net=group.net.name,
            size_hw=engine.size_hw,
            precision=engine.precision,
            batch=group.batch,
            threads=group.threads,
            backend=engine.backend,
            scope=one.scope,
            p50_ms=stats.p50_ms,
            p99_ms=stats.p99_ms,
            count=stats.count,
            rate_hz=one.rate_hz,
            ratio=ratios.get((one.engine, one.scope), 1.0),
            plan_bytes=engine.plan_bytes,
            warnings=len(report.warnings),
            report=file,
        )


def _sweep(rows: list[SweepRow], failures: list[SweepFailure]) -> Sweep:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Sweep(created_utc=now, rows=tuple(rows), failures=tuple(failures))
