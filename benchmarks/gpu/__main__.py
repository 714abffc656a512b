"""Own the command: all cases on the first device, a report in JSON and Markdown. ``python -m benchmarks.gpu``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "gpu.md"
sys.path.insert(0, str(ROOT / "tests" / "lab"))  # the torch module that stands where the engine stands


def main(words: list[str] | None = None) -> int:
    """Measure and write; 1 where there is nothing to measure on."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=main.__doc__)
    parser.add_argument("--out", type=Path, help="a folder for the report; benchmarks/results without it")
    parser.add_argument("--runs", type=int, default=200, help="of each case and peer")
    parser.add_argument("--turns", type=int, default=5, help="in which ours and the peers alternate")
    parser.add_argument("--small", action="store_true", help="small pictures: shows that all of it runs")
    options = parser.parse_args(words)

    from torch_engine import is_standin

    from benchmarks.gpu.page import with_results
    from benchmarks.gpu.report import goal_line, write
    from edgeseg.trt_api import driver_state

    if not driver_state().is_working:
        print(f"no device to measure on: {driver_state().reason}", file=sys.stderr)  # noqa: T201
        return 1
    if (is_standin() or options.small) and options.out is None:
        print("give --out: figures of small pictures, or of a stand-in for a device, are no results", file=sys.stderr)  # noqa: T201
        return 1
    report = measured(options.runs, options.turns, is_small=options.small)
    for path in write(report, options.out or RESULTS):
        print(path)  # noqa: T201  # the run's own result
    if options.out is None:
        PAGE.write_text(with_results(PAGE.read_text(), RESULTS))
    for one in report["goals"]:
        print(goal_line(one))  # noqa: T201
    return 0


def measured(runs: int, turns: int, *, is_small: bool) -> dict[str, Any]:
    """The whole report."""
    from torch_engine import is_standin

    from benchmarks.gpu.buffers import Uploader, cache_bytes
    from benchmarks.gpu.cases import Sizes, Workshop, kernel_cases
    from benchmarks.gpu.measuring import Bench
    from benchmarks.gpu.report import goals_of, machine
    from benchmarks.gpu.sessions import SessionBench
    from benchmarks.gpu.timing import Clock
    from edgeseg.runtime.cuda import Stream, primary_context
    from edgeseg.runtime.kernels.loading import KernelSet

    small = Sizes(camera_hw=(72, 128), net_hw=(32, 64), scores_hw=((8, 16), (16, 32)))
    sizes, cuda = small if is_small else Sizes(), primary_context()
    with cuda.current():
        stream = Stream(cuda)
        clock = Clock(cuda, stream, held_bytes=1 << 16, round_runs=2) if is_small else Clock(cuda, stream)
        uploader, cache = Uploader(cuda, clock.stream), 1 << 16 if is_small else cache_bytes(cuda)
        copy_bytes_per_s = clock.copy_bytes_per_s(runs)
        method = {"runs": runs, "turns": turns, "cache_bytes": cache, "copy_bytes_per_s": copy_bytes_per_s}
        method["empty_ms"] = clock.empty_ms()
        bench = Bench(clock, uploader, sizes, runs, turns, copy_bytes_per_s)
        shop = Workshop(uploader, KernelSet(cuda), cache, sizes)
        kernels = [bench.row(make()) for make in kernel_cases(shop)]
    session = SessionBench(cuda, clock, sizes, runs).rows()
    report = machine(is_standin=is_standin()) | {"method": method, "kernels": kernels, "session": session}
    return report | {"goals": goals_of(report)}


if __name__ == "__main__":
    sys.exit(main())
