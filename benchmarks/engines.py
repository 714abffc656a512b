"""Own the figures of the engine alone: ours against ONNX Runtime and OpenVINO as their own tools drive them.

    make demo && python -m benchmarks.engines [--demo demo] [--rounds 9]

The input is one prepared picture. Alone: one inference after the other. In flight: several at once, frames a second.
OpenVINO is driven as benchmark_app does, once with the hint that our engines are built with (latency) and, in flight,
once with the one that benchmark_app takes by itself (throughput, as many requests as it asks for). ONNX Runtime's INT8
is our quantised ONNX file, the same Q and DQ nodes. Results are compared after timing.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.rounds import IS_QUICK, described, ratio_of, spread, turns, write
from edgeseg.builder.measuring import CalibrationOptions
from edgeseg.builder.quantizing import quantize_file
from edgeseg.builder.source import SourceOptions
from edgeseg.imaging.preprocess import Preprocessor
from edgeseg.packages import require
from edgeseg.runtime.engines import Engine, load_engine
from edgeseg.runtime.engines.openvino import cpu_properties

__all__ = ["main"]

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "edgeseg" / "calib_data" / "calibration" / "0000.jpg"
THREADS = len(os.sched_getaffinity(0))
PRECISIONS = ("FP32", "INT8")
OURS, ORT, OPENVINO = "edgeseg", "ONNX Runtime", "OpenVINO"
IN_FLIGHT, FRAMES = 2, 12
#: pixels of the same class as the FP32 engine's: another library's rounding moves borders, INT8 more of them
AGREE = {"FP32": 0.999, "INT8": 0.97}

Scores = NDArray[Any]
Classes = NDArray[np.intp]
Infer = Callable[[], Scores]


def ort_way(onnx: Path, name: str, tensor: Scores) -> Infer:
    """ONNX Runtime with as many threads as we have."""
    ort = require("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    return lambda: np.asarray(session.run(None, {name: tensor})[0])


def compiled(onnx: Path, hint: str) -> Any:
    """OpenVINO's own compilation of the file."""
    properties = cpu_properties("f32", threads=THREADS) | {"PERFORMANCE_HINT": hint}
    core = require("openvino").Core()
    return core.compile_model(core.read_model(onnx), "CPU", properties)


def openvino_way(onnx: Path, tensor: Scores) -> Infer:
    """One request bound to its input, one inference after the other."""
    request = compiled(onnx, "LATENCY").create_infer_request()
    request.set_input_tensor(require("openvino").Tensor(tensor, shared_memory=True))

    def run() -> Scores:
        request.infer()
        return np.asarray(request.get_output_tensor().data)

    return run


def our_way(engine: Engine, tensor: Scores) -> Infer:
    """One slot, its input filled once."""
    for slot in range(engine.slots):
        np.copyto(engine.host_input(slot), tensor)

    def run() -> Scores:
        engine.infer(0)
        return engine.host_output(0)

    return run


class InFlight(NamedTuple):
    """So many frames with every slot in flight; what lies in the slots afterwards."""

    run: Callable[[], None]
    results: Callable[[], list[Scores]]


def our_stream(engine: Engine, frames: int) -> InFlight:
    """Through ``start`` and ``wait``, as a session does."""

    def run() -> None:
        for frame in range(frames):
            if frame >= engine.slots:
                engine.wait(frame % engine.slots)
            engine.start(frame % engine.slots)
        for frame in range(max(frames - engine.slots, 0), frames):
            engine.wait(frame % engine.slots)

    return InFlight(run, lambda: [engine.host_output(slot) for slot in range(engine.slots)])


def openvino_stream(model: Any, requests: int, frames: int, tensor: Scores) -> InFlight:
    """The same by OpenVINO's queue of requests."""
    openvino = require("openvino")
    queue = openvino.AsyncInferQueue(model, requests)
    shared = openvino.Tensor(tensor, shared_memory=True)

    def run() -> None:
        for _ in range(frames):
            queue.start_async({0: shared})
        queue.wait_all()

    return InFlight(run, lambda: [np.asarray(one.get_output_tensor().data) for one in queue])


def alone(
    engines: dict[str, Engine], onnx: dict[str, Path], tensor: Scores, rounds: int
) -> tuple[list[dict[str, Any]], Classes]:
    """Rows of one inference after the other, each precision against its peers and INT8 against FP32; FP32's classes."""
    name = engines["FP32"].spec.model.input.name
    ways: dict[str, Infer] = {}
    for kind in PRECISIONS:
        ways[f"{OURS} {kind}"] = our_way(engines[kind], tensor)
        ways[f"{ORT} {kind}"] = ort_way(onnx[kind], name, tensor)
        ways[f"{OPENVINO} {kind}"] = openvino_way(onnx[kind], tensor)
    samples = turns(ways, rounds, calls=3 if IS_QUICK else 7)
    expected = ways[f"{OURS} FP32"]().argmax(1)
    agreement = {way: agreement_of(way, [infer()], expected) for way, infer in ways.items()}
    pairs = [(kind, OURS, peer, kind) for kind in PRECISIONS for peer in (ORT, OPENVINO)]
    pairs += [("INT8", OURS, ORT, "FP32"), ("INT8", OURS, OURS, "FP32")]
    rows = [row(f"{ours} {kind}", f"{peer} {other}", samples, agreement) for kind, ours, peer, other in pairs]
    return rows, expected


def row(ours: str, peer: str, samples: dict[str, list[float]], agreement: dict[str, float]) -> dict[str, Any]:
    """Our time, the peer's, the ratio of each round, and how far either result is the FP32 engine's."""
    return {
        "ours": ours,
        "peer": peer,
        "ours_ms": spread(samples[ours]),
        "peer_ms": spread(samples[peer]),
        "ratio": ratio_of(samples[peer], samples[ours]),
        "agreement": {"ours": agreement[ours], "peer": agreement[peer]},
    }


def agreement_of(way: str, results: list[Scores], expected: Classes) -> float:
    """The part of the pixels whose class is that of our FP32 engine, in the worst of the results.

    Raises:
        SystemExit: too few: a figure of such a result would mean nothing.
    """
    found = min(float(np.mean(scores.argmax(1) == expected)) for scores in results)
    least = AGREE[way.split(",")[0].split()[-1]]
    if found < least:
        raise SystemExit(f"{way}: {found:.2%} of the pixels are those of edgeseg FP32, expected {least:.1%}")
    return found


def in_flight(
    demo: Path, onnx: dict[str, Path], tensor: Scores, rounds: int, expected: Classes
) -> list[dict[str, Any]]:
    """Rows of several inferences at once: milliseconds a frame are wall time over frames."""
    rows = []
    for kind in PRECISIONS:
        with load_engine(demo / f"cpu-{kind.lower()}.engine", slots=IN_FLIGHT, threads=THREADS) as engine:
            our_way(engine, tensor)
            latency, throughput = compiled(onnx[kind], "LATENCY"), compiled(onnx[kind], "THROUGHPUT")
            most = int(throughput.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            ours = f"{OURS} {kind}, {IN_FLIGHT} in flight"
            ways = {
                ours: our_stream(engine, FRAMES),
                f"{OPENVINO} {kind}, latency, {IN_FLIGHT}": openvino_stream(latency, IN_FLIGHT, FRAMES, tensor),
                f"{OPENVINO} {kind}, throughput, {most}": openvino_stream(throughput, most, FRAMES, tensor),
            }
            samples = turns({name: way.run for name, way in ways.items()}, rounds, calls=2)
            samples = {name: [one / FRAMES for one in found] for name, found in samples.items()}
            agreement = {name: agreement_of(name, way.results(), expected) for name, way in ways.items()}
            rows += [row(ours, peer, samples, agreement) for peer in list(ways)[1:]]
    return rows


def quantised(demo: Path) -> Path:
    """The demo's net with the INT8 engine's ranges, as ONNX Runtime and OpenVINO can read it too."""
    path = ROOT / "build" / "bench" / "net.int8.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    calibration = CalibrationOptions(source=PICTURE.parent, file=demo / "net.calibration.json")
    quantize_file(demo / "net.onnx", path, "int8", calibration, SourceOptions())
    return path


def main() -> None:
    """Measure, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="where make demo has put its engines")
    parser.add_argument("--rounds", type=int, default=2 if IS_QUICK else 9)
    given = parser.parse_args()
    report = described("onnxruntime", "openvino", "numpy")
    onnx = {"FP32": given.demo / "net.onnx", "INT8": quantised(given.demo)}
    with ExitStack() as stack:
        engines = {
            kind: stack.enter_context(load_engine(given.demo / f"cpu-{kind.lower()}.engine", threads=THREADS))
            for kind in PRECISIONS
        }
        picture = np.asarray(cv2.imread(str(PICTURE)), np.uint8)
        tensor = Preprocessor(engines["FP32"].spec.model.input).tensor(picture)
        rows, expected = alone(engines, onnx, tensor, given.rounds)
    report |= {"threads": THREADS, "rounds": given.rounds, "alone": rows}
    report["in_flight"] = in_flight(given.demo, onnx, tensor, given.rounds, expected)
    print(write("engines", report))  # noqa: T201  # the run's own result


if __name__ == "__main__":
    main()
