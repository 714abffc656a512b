"""Own the figures of the gate in docs/benchmark.md: what it says of equal runs, real and made up. Judge nothing."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from measure_smoothing import demo_engine
from msgspec.structs import replace
from simulated_runs import simulated_run

from edgeseg.report.gate import check_report
from edgeseg.report.lanes import stage_of
from edgeseg.report.record import Measurement, Report, read_report
from edgeseg.report.slowdown import slowdown

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmark.md"
BEGIN, END = "<!-- begin: written by make false-alarms -->\n", "<!-- end: false-alarms -->"
LIMIT = 0.05
SLOWER = (0.0, 0.05, 0.08, 0.15, 0.25, 0.5, 1.0)
MADE_UP_SLOWER = (0.0, 0.05, 0.08, 0.10, 0.15)
DRIFTS = (0.003, 0.01, 0.02)
SEVERAL = 5
DURATION_S = 1.0


def runs(engine: Path, folder: Path, count: int) -> Iterator[Report]:
    """Short runs one after another, a process each as a user starts it; what an earlier call left is taken."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        path = folder / f"{index:03}.json"
        if not path.exists():
            words = ["benchmark", engine, "--duration-s", DURATION_S, "--report", path]
            command = [sys.executable, "-m", "edgeseg", *map(str, words)]
            subprocess.run(command, check=True, capture_output=True)
            print(f"{index + 1} of {count}", flush=True)
        yield read_report(path)


def slowed(report: Report, slower: float) -> Report:
    """As if all of it had taken longer."""
    return replace(report, measurements=tuple(_slowed(one, slower) for one in report.measurements))


def _slowed(one: Measurement, slower: float) -> Measurement:
    stages = {name: stage_of(np.array(stage.samples_ms) * (1 + slower)) for name, stage in one.stages.items()}
    return replace(one, stages=stages)


def flagged(old: Sequence[Report], new: Report) -> bool:
    """Whether the command would exit with 1."""
    return bool(check_report(new, [("old", one) for one in old], limit=LIMIT).regressions)


def real_rows(found: Sequence[Report]) -> list[str]:
    """Every second run against the one before it, and against the five before it."""
    rows = ["| second run slowed by | one baseline | five baselines |", "|---|---:|---:|"]
    places = range(1, len(found), 2)
    late = [place for place in places if place >= SEVERAL]
    for slower in SLOWER:
        ones = sum(flagged(found[place - 1 : place], slowed(found[place], slower)) for place in places)
        many = sum(flagged(found[place - SEVERAL : place], slowed(found[place], slower)) for place in late)
        rows.append(f"| {slower:.0%} | {ones} of {len(places)} | {many} of {len(late)} |")
        print(rows[-1], flush=True)
    return rows


def made_up_rows(pairs: int) -> list[str]:
    """Of the runs that tests/report/test_slowdown.py uses."""
    rows = ["| rounds wander by | new run slower by | one baseline | five baselines |", "|---|---|---:|---:|"]
    for drift in DRIFTS:
        for slower in MADE_UP_SLOWER:
            shares = [_made_up(pairs, drift, slower, baselines) for baselines in (1, SEVERAL)]
            counts = " | ".join(f"{count} of {pairs}" for count in shares)
            rows.append(f"| {drift:.1%} | {slower:.0%} | {counts} |")
            print(rows[-1], flush=True)
    return rows


def _made_up(pairs: int, drift: float, slower: float, baselines: int) -> int:
    random = np.random.default_rng(int(1e4 * drift))
    count = 0
    for _ in range(pairs):
        old = [simulated_run(random, 10.0, drift=drift) for _ in range(baselines)]
        count += slowdown(old, simulated_run(random, 10.0 * (1 + slower), drift=drift)).low > LIMIT
    return count


def about(found: Sequence[Report]) -> str:
    """The runs and the machine, in sentences."""
    first, environment = found[0], found[0].environment
    loads = [one.environment.load_1min for one in found if one.environment.load_1min is not None]
    load = f"load {min(loads):.1f} to {max(loads):.1f}" if loads else "load not told"
    spreads = []
    for scope in first.settings.scopes:
        medians = [one.of_scope(scope)[0].headline.stats.p50_ms for one in found]
        spreads.append(f"{scope} {min(medians):.1f} to {max(medians):.1f} ms")
    command = f"edgeseg benchmark {first.engines[0].name} --duration-s {DURATION_S:g}"
    return (
        f"{len(found)} runs of `{command}` one after another, not interleaved, {first.created_utc[:10]}, on "
        f"{environment.cpu}, {environment.usable_cores} cores shared with other work ({load}). "
        f"Medians of the equal runs: {', '.join(spreads)}. Flagged by "
        f"`--max-regression {LIMIT:.0%}` in either scope:"
    )


def main() -> None:
    """Write both tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--runs", type=Path, help="folder that keeps the runs; taken again where it has some")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = demo_engine(Path(folder)) if words.runs is None or not list(words.runs.glob("*.json")) else Path()
        found = list(runs(engine, words.runs or Path(folder) / "runs", 2 * words.pairs))
    parts = [about(found), "", *real_rows(found), "", "Made-up runs (seeded, see tests/lab/simulated_runs.py):", ""]
    parts += made_up_rows(words.pairs)
    page = PAGE.read_text()
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(page[:begin] + "\n".join(parts) + "\n" + page[end:])


if __name__ == "__main__":
    main()
