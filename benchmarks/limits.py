"""Own the figures of what this machine can do at the most: copying, and arithmetic in each precision.

python -m benchmarks.limits
"""

from __future__ import annotations

import os

from benchmarks.rounds import described, write
from edgeseg.runtime.copy_bandwidth import host_copy_bytes_per_s
from edgeseg.runtime.openvino_peak import PEAK_PRECISIONS, peak_operations_per_s

__all__ = ["main"]


def main() -> None:
    """Measure with one thread and with all, and write the JSON."""
    report, cores = described("openvino", "numpy"), len(os.sched_getaffinity(0))
    rows = [
        {
            "threads": threads,
            "copy_bytes_per_s": host_copy_bytes_per_s(threads=threads),
            "operations_per_s": {one: peak_operations_per_s(one, threads=threads) for one in PEAK_PRECISIONS},
        }
        for threads in sorted({1, cores})
    ]
    print(write("limits", report | {"rows": rows}))  # noqa: T201  # the run's own result


if __name__ == "__main__":
    main()
