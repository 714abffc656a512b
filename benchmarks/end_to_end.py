"""Own the figures of a whole frame on the CPU, camera frame to camera-size mask, against a plain loop of the same net.

    make demo && python -m benchmarks.end_to_end [--demo demo] [--rounds 15] [--threads 2 --threads 1]

A peer is what one writes with ONNX Runtime in FP32, OpenCV and NumPy: cvtColor, resize, normalise, run, argmax, resize
by nearest neighbour; once with ONNX Runtime's own options, once with as many threads as we have. Its masks have the
steps of the net's output, so a third peer enlarges the logits and takes the argmax there: that is what our masks are.
In every round each takes one frame in turn; a ratio is a peer's time over ours in the same round, so that what else the
machine does hits both. CPU time is that of all the process's threads in that frame, the one figure that a busy machine
leaves alone. Masks are compared after timing. Memory is tracemalloc's peak above what was held before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.rounds import IS_QUICK, RESULTS, settle
from edgeseg import Session
from edgeseg.imaging.formats import FrameForm, PixelFormat
from edgeseg.packages import require
from edgeseg.report.environment import read_environment
from edgeseg.runtime.frames import Frame
from edgeseg.runtime.loop import Opening, run_sources
from edgeseg.runtime.sources import FrameSource
from edgeseg.spec import ModelSpec

PICTURE = Path(__file__).parents[1] / "edgeseg" / "calib_data" / "calibration" / "0000.jpg"
SIZES_WH = ((640, 480), (1280, 720), (1920, 1080))
FORMATS: tuple[PixelFormat, ...] = ("BGR", "NV12", "YUYV")
TO_RGB = {"BGR": cv2.COLOR_BGR2RGB, "NV12": cv2.COLOR_YUV2RGB_NV12, "YUYV": cv2.COLOR_YUV2RGB_YUYV}
ENGINES = {"INT8": "cpu-int8.engine", "FP32": "cpu-fp32.engine"}
PLAIN, EQUAL, ENLARGED = "its own options", "our threads", "our threads, logits enlarged"
WARM_UP = 3
GOAL, PIXELS_GOAL, LARGE_BYTES, AGREE = 4.0, 0.15, 4096, 0.999

Pixels = NDArray[np.uint8]
Way = Callable[[], Pixels]


class Repeated(FrameSource):
    """One frame so many times."""

    name, fps, length, is_live = "repeated", 30.0, None, False

    def __init__(self, pixels: Pixels, pixel_format: PixelFormat, frames: int) -> None:
        self._pixels, self._form, self._frames = pixels, FrameForm(pixel_format=pixel_format), frames

    def __iter__(self) -> Iterator[Frame]:
        for sequence in range(self._frames):
            now = time.perf_counter()
            yield Frame(picture=self._pixels, form=self._form, sequence=sequence, arrived_s=now, name="")

    def close(self) -> None:
        """Nothing is open."""


def frame_of(picture_bgr: Pixels, size_wh: tuple[int, int], pixel_format: PixelFormat) -> Pixels:
    """A camera's frame of that format."""
    bgr = np.asarray(cv2.resize(picture_bgr, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    if pixel_format == "BGR":
        return bgr
    if pixel_format == "YUYV":
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_YUY2), np.uint8)
    planar = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8)
    width, height = size_wh
    return np.vstack([planar[:height], planar[height:].reshape(2, -1).T.reshape(height // 2, width)])


def plain_loop(onnx: Path, model: ModelSpec, frame: Pixels, pixel_format: PixelFormat, size_wh: Any, peer: str) -> Way:
    """A frame's way as anyone writes it."""
    ort = require("onnxruntime")
    options = ort.SessionOptions()
    if peer != PLAIN:
        options.intra_op_num_threads = cv2.getNumThreads()
    session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    mean, std = (np.array(values, np.float32) * np.float32(255) for values in (model.input.mean, model.input.std))
    height, width = model.input.size_hw

    def run() -> Pixels:
        rgb = cv2.cvtColor(frame, TO_RGB[pixel_format])
        small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
        tensor = (small.astype(np.float32) - mean) / std
        feed = {model.input.name: np.ascontiguousarray(tensor.transpose(2, 0, 1)[None])}
        logits = session.run(None, feed)[0][0]
        if peer == ENLARGED:
            large = cv2.resize(logits.transpose(1, 2, 0), size_wh, interpolation=cv2.INTER_LINEAR)
            return np.asarray(large.argmax(axis=2), np.uint8)
        mask = logits.argmax(axis=0).astype(np.uint8)
        return np.asarray(cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)

    return run


def measure(
    demo: Path, size_wh: tuple[int, int], pixel_format: PixelFormat, threads: int, rounds: int
) -> dict[str, Any]:
    """One row: every way in turn, its masks against each other, and the memory of a frame."""
    frame = frame_of(np.asarray(cv2.imread(str(PICTURE)), np.uint8), size_wh, pixel_format)
    sessions = {name: Session(demo / engine, depth=1, threads=threads) for name, engine in ENGINES.items()}
    model = sessions["FP32"].spec.model
    ways: dict[str, Way] = {
        name: lambda one=one: one.segment(frame, pixel_format=pixel_format)  # type: ignore[misc]
        for name, one in sessions.items()
    }
    for peer in (PLAIN, EQUAL, ENLARGED):
        ways[peer] = plain_loop(demo / "net.onnx", model, frame, pixel_format, size_wh, peer)
    samples, masks, pixels = _turns(ways, sessions, rounds)
    agreement = {name: float((mask == masks["FP32"]).mean()) for name, mask in masks.items()}
    if agreement[ENLARGED] < AGREE:
        raise SystemExit(f"{size_wh} {pixel_format}: the peer's masks agree on {agreement[ENLARGED]:.4%} only")
    row = {
        "frame": f"{size_wh[0]}x{size_wh[1]} {pixel_format}",
        "threads": threads,
        "ms": {name: statistics.median(values) for name, values in samples.items()},
        "ratios": {
            f"{ours} to {peer}": _ratio(samples[peer], samples[ours]) for ours in ENGINES for peer in list(ways)[2:]
        },
        "pixels": {name: statistics.median(values) for name, values in pixels.items()},
        "agreement": agreement,
        "session_bytes": max(_peaks(ways["INT8"])),
        "loop_bytes": _loop_peak(demo, frame, pixel_format, threads),
    }
    for one in sessions.values():
        one.close()
    return row


def _turns(ways: dict[str, Way], sessions: dict[str, Session], rounds: int) -> Any:
    """Milliseconds of every way a round, the last masks, the pixels' share of our frames."""
    samples: dict[str, list[float]] = {name: [] for name in ways}
    pixels: dict[str, list[float]] = {name: [] for name in sessions}
    masks: dict[str, Pixels] = {}
    for number in range(WARM_UP + rounds):
        for name, way in ways.items():
            if name in sessions:
                sessions[name].latency.clear()
            settle()
            started_s = time.perf_counter()
            masks[name] = way()
            took_s = time.perf_counter() - started_s
            if number < WARM_UP:
                continue
            samples[name].append(took_s * 1e3)
            if name in sessions:
                stages = sessions[name].latency.stats()
                pixels[name].append((stages["pre"].p50_ms + stages["post"].p50_ms) / stages["total"].p50_ms)
    return samples, masks, pixels


def _ratio(theirs: list[float], ours: list[float]) -> list[float]:
    """Quartiles of the ratio of each round: lower, median, upper."""
    return statistics.quantiles([their / our for their, our in zip(theirs, ours, strict=True)], n=4)


def _peaks(way: Way) -> list[int]:
    tracemalloc.start()
    peaks = []
    for _ in range(2 * WARM_UP):
        tracemalloc.reset_peak()
        held_bytes, _ = tracemalloc.get_traced_memory()
        way()
        peaks.append(tracemalloc.get_traced_memory()[1] - held_bytes)
    tracemalloc.stop()
    return peaks[WARM_UP:]  # tracing itself has a first frame


def _loop_peak(demo: Path, frame: Pixels, pixel_format: PixelFormat, threads: int) -> int:
    """The same of a frame in the loop, from mask to mask, all threads; the median, as accounts grow now and then."""
    peaks: list[int] = []
    held = [0]

    def on_mask(_masks: int) -> None:
        peaks.append(tracemalloc.get_traced_memory()[1] - held[0])
        tracemalloc.reset_peak()
        held[0] = tracemalloc.get_traced_memory()[0]

    source = Repeated(frame, pixel_format, 20)
    opening = Opening(name=source.name, is_live=False, open=lambda: source)
    tracemalloc.start()
    run_sources(lambda: Session(demo / ENGINES["INT8"], depth=1, threads=threads), [opening], [], on_mask=on_mask)
    tracemalloc.stop()
    return int(statistics.median(peaks[10:]))


def markdown(report: dict[str, Any]) -> str:
    """The rows as tables."""
    machine = report["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [
        "# Camera frame to camera-size mask on the CPU, against a plain loop",
        "",
        f"{report['datetime'][:10]}, {machine['cpu']}, {machine['usable_cores']} cores, load before "
        f"{machine['load_1min']:.1f}; {versions}. {report['rounds']} rounds after {WARM_UP}. `make bench-run`.",
        "",
        "The demo net, 256x512 in. Milliseconds are medians; ratios are medians of the rounds, with the quartiles; "
        "*pixels* is pre- and post-processing's share of our time. ORT: the plain loop of ONNX Runtime FP32, OpenCV "
        "and NumPy, with equal threads where nothing else is said.",
    ]
    for threads in sorted({row["threads"] for row in report["rows"]}, reverse=True):
        lines += ["", f"## {threads} {'threads' if threads > 1 else 'thread'}", ""]
        rows = [row for row in report["rows"] if row["threads"] == threads]
        lines += [*_table(rows), "", *_verdicts(rows)]
    return "\n".join([*lines, "", *_notes(report)]) + "\n"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| frame | INT8 ms | FP32 ms | ORT ms | INT8 to ORT, its own threads | INT8 to ORT | INT8 to ORT, same masks | "
        "FP32 to ORT | pixels INT8 | pixels FP32 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratios = [
            row["ratios"][name]
            for name in (f"INT8 to {PLAIN}", f"INT8 to {EQUAL}", f"INT8 to {ENLARGED}", f"FP32 to {EQUAL}")
        ]
        told = " | ".join(f"{middle:.1f}x ({low:.1f}-{high:.1f})" for low, middle, high in ratios)
        ms, share = row["ms"], row["pixels"]
        lines.append(
            f"| {row['frame']} | {ms['INT8']:.1f} | {ms['FP32']:.1f} | {ms[EQUAL]:.1f} | {told} | "
            f"{share['INT8']:.0%} | {share['FP32']:.0%} |"
        )
    return lines


def _verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """What design asks for, against the worst row."""
    slowest = min(row["ratios"][f"INT8 to {EQUAL}"][1] for row in rows)
    share = max(row["pixels"]["INT8"] for row in rows)
    session, loop = (max(row[f"{what}_bytes"] for row in rows) for what in ("session", "loop"))
    lines = [
        ("INT8 against the plain loop, equal threads", f"{slowest:.1f}x", f">= {GOAL:g}x", slowest >= GOAL),
        ("pixels' share of an INT8 frame", f"{share:.0%}", f"<= {PIXELS_GOAL:.0%}", share <= PIXELS_GOAL),
        ("bytes allocated a frame, `Session`", f"{session}", f"< {LARGE_BYTES}", session < LARGE_BYTES),
        ("bytes allocated a frame, the loop", f"{loop}", f"< {LARGE_BYTES}", loop < LARGE_BYTES),
    ]
    table = ["| of all rows the worst | figure | goal | |", "|---|---|---|---|"]
    table += [
        f"| {what} | {figure} | {goal} | {'met' if is_met else 'MISSED'} |" for what, figure, goal, is_met in lines
    ]
    return table


def _notes(report: dict[str, Any]) -> list[str]:
    """What a reader must know of the figures."""
    agree = {name: min(row["agreement"][name] for row in report["rows"]) for name in (ENLARGED, EQUAL, "INT8")}
    load, cores = report["environment"]["load_1min"], report["environment"]["usable_cores"]
    busy = (
        f"The machine was busy (load {load:.1f} on {cores} cores before): milliseconds are far above an idle one's, "
        "and ratios of more threads than were free tell how the threads waited."
    )
    return [
        *([busy, ""] if load > cores / 2 else []),
        "Allocations are those of Python and NumPy together (tracemalloc's peak over a frame), small objects included; "
        "the C++ kernels allocate when a size comes for the first time, what the engine does inside is its own.",
        "",
        f"Pixels as the FP32 engine gives them, at least: peer that enlarges the logits {agree[ENLARGED]:.3%} "
        f"(its picture is rounded to grey levels before it is normalised), INT8 engine {agree['INT8']:.2%}, peer that "
        f"enlarges its mask {agree[EQUAL]:.2%}.",
    ]


def main() -> None:
    """Measure, and write the JSON and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="where make demo has put its engines")
    parser.add_argument("--rounds", type=int, default=3 if IS_QUICK else 15)
    parser.add_argument("--threads", type=int, action="append")
    given = parser.parse_args()
    report: dict[str, Any] = {
        "datetime": datetime.now(tz=timezone.utc).isoformat(timespec="seconds"),
        "rounds": given.rounds,
        "environment": msgspec.to_builtins(read_environment()),
        "versions": {name: require(name).__version__ for name in ("onnxruntime", "openvino", "cv2", "numpy")},
        "rows": [],
    }
    for threads in given.threads or [2, 1]:
        cv2.setNumThreads(threads)
        for size_wh in SIZES_WH[-1:] if IS_QUICK else SIZES_WH:
            for pixel_format in FORMATS:
                report["rows"].append(measure(given.demo, size_wh, pixel_format, threads, given.rounds))
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "end-to-end.json").write_text(json.dumps(report, indent=1) + "\n")
    (RESULTS / "end-to-end.md").write_text(markdown(report))
    print(markdown(report))  # noqa: T201  # the run's own result


if __name__ == "__main__":
    main()
