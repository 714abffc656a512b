"""Own the report of a run: the device it was made on, its JSON, goals met or missed, its Markdown. Measure nothing.

The JSON (``schema`` 1):

- ``device``: name, compute capability, driver, CUDA of driver and nvcc, clocks where nvidia-smi tells; ``is_standin``.
- ``environment``: the host, as in other reports; ``versions`` of PyCUDA, torch, CuPy, NumPy; ``date``.
- ``method``: runs, turns, cache bytes, milliseconds of an empty pair of events, copy bandwidth in bytes a second.
- ``kernels``: for each case ``name``, ``kind``, ``moved_bytes``, ``sets``, ``median_ms``, ``p99_ms``, ``count``,
  ``bytes_per_s``, ``of_copy`` (their ratio to the copy bandwidth), ``same_copy_ms`` (a copy of as many bytes, timed
  alike), ``differing`` (values that are not the CPU's), and ``peers``: ``name``, ``median_ms``, ``ratio`` (theirs over
  ours, the median over the turns), ``lowest``, ``highest``, ``agreement`` (the part of the values that agree).
- ``session``: see sessions.py.
- ``goals``: ``what``, ``goal``, ``found``, ``is_met``.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from edgeseg.report.environment import read_environment
from edgeseg.trt_api import driver_state

__all__ = [
    "COPY_GOAL",
    "HOST_GOAL_US",
    "TAIL_GOAL",
    "file_stem",
    "goal_line",
    "goals_of",
    "machine",
    "markdown",
    "write",
]

SCHEMA = 1
COPY_GOAL = 0.80  # achieved bandwidth over the measured copy bandwidth
TAIL_GOAL = 20.0  # torch's interpolate + argmax over ours
HOST_GOAL_US = 100.0  # a frame, with its graph
HOST = "host's time of a frame launched as a graph, us"
PACKAGES = ("pycuda", "cuda-bindings", "torch", "cupy-cuda12x", "cupy-cuda13x", "numpy")
CLOCKS = ("clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem", "power.limit", "temperature.gpu")


def machine(*, is_standin: bool) -> dict[str, Any]:
    """What the run is made on."""
    driver = driver_state()
    return {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "device": {
            "name": driver.device_name,
            "compute_capability": driver.compute_capability,
            "driver_cuda": driver.driver_version,
            "nvidia_smi": asked_of_smi(),
            "is_standin": is_standin,
        },
        "environment": msgspec.to_builtins(read_environment()),
        "versions": {name: found for name in PACKAGES if (found := version_of(name)) is not None},
    }


def version_of(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def asked_of_smi() -> dict[str, str]:
    """Driver and clocks of the first device; nothing where nvidia-smi is not there or does not tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    names = ("driver_version", *CLOCKS)
    command = [program, "--id=0", f"--query-gpu={','.join(names)}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    values = done.stdout.strip().split(", ")
    return dict(zip(names, values, strict=True)) if done.returncode == 0 and len(values) == len(names) else {}


def goals_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Every goal beside what was found; nothing is left out that was measured."""
    goals = [
        goal(f"{case['name']}: part of the copy bandwidth", COPY_GOAL, case["of_copy"]) for case in report["kernels"]
    ]
    goals += [
        goal(f"{case['name']}: torch's time over ours", TAIL_GOAL, peer["ratio"])
        for case in report["kernels"]
        if case["kind"] == "tail"
        for peer in case["peers"]
        if peer["name"] == "torch"
    ]
    with_graph = [row for row in report["session"]["host"] if row["graphs"]]
    goals += [
        goal(HOST, HOST_GOAL_US, row["median_us"] if row["graph_launches"] else None, is_at_most=True)
        for row in with_graph
    ]
    return goals


def goal(what: str, wanted: float, found: float | None, *, is_at_most: bool = False) -> dict[str, Any]:
    """One goal; a figure that meets it exactly is met, one that could not be taken (None) is missed."""
    is_met = found is not None and (found <= wanted if is_at_most else found >= wanted)
    return {"what": what, "goal": f"{'<=' if is_at_most else '>='} {wanted:g}", "found": found, "is_met": is_met}


def file_stem(report: dict[str, Any]) -> str:
    """Of the files in benchmarks/results: ``gpu-`` and the device's name in small letters."""
    return "gpu-" + re.sub(r"[^a-z0-9]+", "-", str(report["device"]["name"]).lower()).strip("-")


def markdown(report: dict[str, Any]) -> str:
    """The same for readers."""
    device, method = report["device"], report["method"]
    versions = ", ".join(f"{name} {one}" for name, one in report["versions"].items())
    told = "; ".join(f"{name} {one}" for name, one in device["nvidia_smi"].items())
    lines = [
        f"# On a device: {device['name']}",
        "",
        *(["**The tests' stand-in for a device: no figure here means anything.**", ""] if device["is_standin"] else []),
        f"{report['date']}, compute capability {device['compute_capability']}, driver for CUDA "
        f"{device['driver_cuda']}; {told or 'nvidia-smi tells nothing'}. {versions}. {report['environment']['cpu']}.",
        "",
        f"Copy bandwidth, read plus written: {method['copy_bytes_per_s'] / 1e9:.1f} GB/s. An empty pair of events: "
        f"{method['empty_ms'] * 1e3:.2f} us. What each figure means: [docs/gpu.md](../../docs/gpu.md).",
        "",
        "## Goals",
        "",
        "| what | goal | found | |",
        "|---|---|---|---|",
        *(goal_line(one) for one in report["goals"]),
        "",
        "## Kernels",
        "",
        "| case | us (p99) | MB moved | GB/s | of the copy's | a copy of as many bytes, us | peer | peer us | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
        *(line for case in report["kernels"] for line in kernel_lines(case)),
        "",
        "## Session, a torch module where the engine stands",
        "",
        *session_lines(report["session"]),
    ]
    return "\n".join(lines) + "\n"


def goal_line(one: dict[str, Any]) -> str:
    """One row."""
    found = "none" if one["found"] is None else f"{one['found']:.2f}"
    return f"| {one['what']} | {one['goal']} | {found} | {'met' if one['is_met'] else 'MISSED'} |"


def kernel_lines(case: dict[str, Any]) -> list[str]:
    """A row for each peer, one where there is none."""
    ours = (
        f"| {case['name']} | {case['median_ms'] * 1e3:.1f} ({case['p99_ms'] * 1e3:.1f}) | "
        f"{case['moved_bytes'] / 1e6:.2f} | {case['bytes_per_s'] / 1e9:.1f} | {case['of_copy']:.0%} | "
        f"{case['same_copy_ms'] * 1e3:.1f} |"
    )
    if not case["peers"]:
        return [f"{ours} - | - | - |"]
    return [
        f"{ours} {peer['name']} | {peer['median_ms'] * 1e3:.1f} | "
        f"{peer['ratio']:.1f}x ({peer['lowest']:.1f} to {peer['highest']:.1f}) |"
        for peer in case["peers"]
    ]


def session_lines(session: dict[str, Any]) -> list[str]:
    """A table of what sessions.py tells."""
    engine = session["engine"]
    lines = ["| figure | median | p99 | count | |", "|---|---|---|---|---|"]
    lines.append(f"| engine alone, ms | {engine['median_ms']:.3f} | {engine['p99_ms']:.3f} | {engine['count']} | |")
    for row in session["capture_to_mask"]:
        how = f"graphs {'on' if row['graphs'] else 'off'}: {row['graph_state']}"
        lines.append(f"| capture to mask, ms | {row['median_ms']:.3f} | {row['p99_ms']:.3f} | {row['count']} | {how} |")
    for row in session["host"]:
        how = f"graphs {'on' if row['graphs'] else 'off'}: {row['graph_state']}"
        lines.append(f"| host, us a frame | {row['median_us']:.1f} | {row['p99_us']:.1f} | {row['count']} | {how} |")
    for row in session["throughput"]:
        lines.append(f"| frames a second | {row['frames_per_s']:.1f} | - | {row['count']} | depth {row['depth']} |")
    return lines


def write(report: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Both files; their names tell the device."""
    stem = folder / file_stem(report)
    paths = stem.with_suffix(".json"), stem.with_suffix(".md")
    paths[0].write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    paths[1].write_text(markdown(report))
    return paths
