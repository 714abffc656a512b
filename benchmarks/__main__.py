"""Own the command: every suite in a process of its own, then docs/performance.md. ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.conftest import WHY_MISSED
from benchmarks.performance import SUITES, page, read_results

__all__ = ["main"]

ROOT = Path(__file__).parents[1]
RESULTS, QUICK_RESULTS = ROOT / "benchmarks" / "results", ROOT / "build" / "bench" / "quick"
PAGE = "performance.md"
NEED_DEMO = {"engines", "end-to-end"}
#: pytest-benchmark's: it rounds, warms up and keeps every statistic
IMAGING = (
    *("-m", "pytest", "benchmarks", "-o", "addopts=--import-mode=importlib", "-p", "no:xdist", "-q"),
    *("--benchmark-only", "--benchmark-disable-gc"),
)


def words_of(suite: str, demo: Path, results: Path) -> list[str]:
    """What Python is called with."""
    if suite == "imaging":
        return [*IMAGING, f"--benchmark-json={results / 'imaging.json'}"]
    words = ["-m", f"benchmarks.{suite.replace('-', '_')}"]
    return [*words, "--demo", str(demo)] if suite in NEED_DEMO else words


def main(given: list[str] | None = None) -> int:
    """Run the suites and write the page; the first suite that fails ends it, with its own status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="where make demo has put its engines")
    parser.add_argument("--only", choices=SUITES, action="append", help="may be repeated; the rest keep their results")
    parser.add_argument("--page", action="store_true", help="measure nothing: the page of the results that are there")
    parser.add_argument(
        "--quick", action="store_true", help="a short try; its page goes to build/bench/quick, not to docs"
    )
    options = parser.parse_args(given)
    results = QUICK_RESULTS if options.quick else RESULTS
    results.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "EDGESEG_BENCH_RESULTS": str(results),
        "EDGESEG_BENCH_QUICK": "1" if options.quick else "0",
    }
    for suite in () if options.page else options.only or SUITES:
        start_s = time.perf_counter()
        command = [sys.executable, *words_of(suite, options.demo.resolve(), results)]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            print(f"{suite} has failed; its results are the ones from before", file=sys.stderr)  # noqa: T201
            return done.returncode
        print(f"{suite}: {time.perf_counter() - start_s:.0f} s", flush=True)  # noqa: T201
    target = (results if options.quick else ROOT / "docs") / PAGE
    target.write_text(page(read_results(results), WHY_MISSED))
    print(target)  # noqa: T201  # the run's own result
    return 0


if __name__ == "__main__":
    sys.exit(main())
