"""Own a profile in the form of trtexec's ``--exportProfile``, which its plotting tools read. Measure nothing."""

from __future__ import annotations

import json
from pathlib import Path

from edgeseg.files import write_atomically
from edgeseg.report.profile_record import Profile

__all__ = ["trtexec_profile", "write_trtexec_profile"]


def trtexec_profile(profile: Profile) -> list[dict[str, object]]:
    """The number of runs, then an object a layer: all runs' time together, mean, median, and percent of all layers'."""
    whole_ms = sum(one.mean_ms for one in profile.layers) * profile.runs
    found: list[dict[str, object]] = [{"count": profile.runs}]
    for one in profile.layers:
        time_ms = one.mean_ms * profile.runs
        found.append(
            {
                "name": one.name,
                "timeMs": time_ms,
                "averageMs": one.mean_ms,
                "medianMs": one.median_ms,
                "percentage": 100 * time_ms / whole_ms,
            }
        )
    return found


def write_trtexec_profile(profile: Profile, path: Path) -> None:
    """Write that as JSON, a layer a line, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = "\n, ".join(json.dumps(one, ensure_ascii=False) for one in trtexec_profile(profile))
    write_atomically(path, f"[ {lines}\n]\n")
