"""Own the figures of a whole session, with a torch module where the engine stands. Time no kernel alone.

- ``engine``: the module alone, by events on the device.
- ``capture to mask``: from entering ``submit`` with a frame in host memory to the mask in host memory, one frame in
  flight, by the host's clock.
- ``frames a second``: with ``depth`` frames in flight, from the first ``submit`` to the last ``result``.
- ``host``: what a frame costs the host's thread beside waiting and beside copying pixels. The frame lies on the device
  and the mask is borrowed there; after ``submit`` the device is waited for outside of the clock, so that ``borrow``
  finds the work done. The figure is the time inside ``submit`` plus the time inside ``borrow``.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_engine import TorchEngine, engine_spec, is_standin

from benchmarks.gpu.buffers import Uploader
from benchmarks.gpu.cases import CLASSES, MEAN, STD, Sizes
from benchmarks.gpu.timing import Clock
from edgeseg.latency import percentile
from edgeseg.runtime.cuda import CudaContext
from edgeseg.runtime.session import Session
from edgeseg.spec import EngineSpec, HeadSpec, InputSpec

__all__ = ["SessionBench"]

DEPTHS = (1, 2, 3)
WARM_UP = 10


@dataclass
class SessionBench:
    """Makes sessions on one device and times them.

    Args:
        cuda: its context, not current.
        clock: for the module alone.
        sizes: of frames, net and scores.
        frames: how many are timed.
    """

    cuda: CudaContext
    clock: Clock
    sizes: Sizes
    frames: int

    def rows(self) -> dict[str, Any]:
        """All figures; see above."""
        frame = np.random.default_rng(1).integers(0, 256, (*self.sizes.camera_hw, 3), np.uint8)
        return {
            "engine": self._engine(),
            "capture_to_mask": [self._latency(frame, graphs) for graphs in (False, True)],
            "throughput": [self._throughput(frame, depth) for depth in DEPTHS],
            "host": [self._host(frame, graphs) for graphs in (False, True)],
        }

    def _made(self, slots: int) -> TorchEngine:
        scores_hw = self.sizes.scores_hw[0]
        image = InputSpec(name="image", size_hw=self.sizes.net_hw, mean=MEAN, std=STD)
        head = HeadSpec(output="scores", channels=CLASSES, size_hw=scores_hw, decision="argmax", scores_dtype="float16")
        spec: EngineSpec = engine_spec(image, head)
        return TorchEngine(net(CLASSES, image.size_hw[0] // scores_hw[0]), spec, slots=slots, cuda=self.cuda)

    def _engine(self) -> dict[str, Any]:
        with contextlib.closing(self._made(1)) as engine, self.cuda.current():
            timing = self.clock.timed(lambda index, stream: engine.enqueue(0, stream), sets=1, runs=self.frames)
        return {"median_ms": timing.median_ms, "p99_ms": timing.percentile_ms(99), "count": len(timing.samples_ms)}

    def _latency(self, frame: NDArray[np.uint8], graphs: bool) -> dict[str, Any]:
        with Session(self._made(1), graphs=graphs) as session:
            out = np.empty(self.sizes.camera_hw, np.uint8)
            samples = sampled(lambda: session.segment(frame, out=out), self.frames)
            stages = {name: stage.p50_ms for name, stage in session.latency.stats().items()}
            state = session.graph_state
        return {"graphs": graphs, "graph_state": state, "stages_p50_ms": stages, **told(samples)}

    def _throughput(self, frame: NDArray[np.uint8], depth: int) -> dict[str, Any]:
        with Session(self._made(depth)) as session:
            out = np.empty(self.sizes.camera_hw, np.uint8)

            def run(frames: int) -> float:
                start_s = time.perf_counter()
                for _ in range(frames):
                    if session.pending == session.depth:
                        session.result(out=out)
                    session.submit(frame)
                while session.pending:
                    session.result(out=out)
                return frames / (time.perf_counter() - start_s)

            run(WARM_UP)
            return {"depth": depth, "frames_per_s": run(self.frames), "count": self.frames}

    def _host(self, frame: NDArray[np.uint8], graphs: bool) -> dict[str, Any]:
        with Session(self._made(1), graphs=graphs) as session:
            with self.cuda.current():
                on_device: Any = Uploader(self.cuda, self.clock.stream).put(frame)
            samples = []
            for _ in range(WARM_UP + self.frames):
                start_s = time.perf_counter()
                session.submit(on_device)
                submitted_s = time.perf_counter() - start_s
                self._wait()
                start_s = time.perf_counter()
                session.borrow()
                samples.append((submitted_s + time.perf_counter() - start_s) * 1e6)
            state, launches = session.graph_state, session.counters.graph_launches
        kept = samples[WARM_UP:]
        return {
            "graphs": graphs,
            "graph_state": state,
            "graph_launches": launches,
            "median_us": statistics.median(kept),
            "p99_us": percentile(sorted(kept), 99),
            "count": len(kept),
        }

    def _wait(self) -> None:
        """Until the device has nothing to do."""
        with self.cuda.current():
            self.cuda.driver.Context.synchronize()


def sampled(run: Callable[[], Any], count: int) -> list[float]:
    """Milliseconds of each run, by the host's clock."""
    samples = []
    for _ in range(WARM_UP + count):
        start_s = time.perf_counter()
        run()
        samples.append((time.perf_counter() - start_s) * 1e3)
    return samples[WARM_UP:]


def told(samples_ms: list[float]) -> dict[str, Any]:
    """Of host times."""
    ordered = sorted(samples_ms)
    return {"median_ms": statistics.median(ordered), "p99_ms": percentile(ordered, 99), "count": len(ordered)}


def net(classes: int, step: int) -> Callable[[Any], Any]:
    """A few convolutions from the image to scores ``step`` times smaller; random weights, float16 on a device."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    stages: list[nn.Module] = []
    width, channels = 32, 3
    for _ in range(step.bit_length() - 1):
        stages += [nn.Conv2d(channels, width, 3, 2, 1), nn.ReLU()]
        channels = width
    module = nn.Sequential(*stages, nn.Conv2d(channels, classes, 1)).eval()
    if is_standin():
        return module
    halved = module.cuda().half()
    return lambda image: halved(image.half())
