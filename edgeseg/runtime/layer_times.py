"""Own the timing of an engine's layers: runs of a profiled engine, and what each layer is. Judge nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import EngineError
from edgeseg.runtime.engine_facts import ask_engine
from edgeseg.runtime.engines import Engine, load_engine
from edgeseg.runtime.layer_facts import LayerFact
from edgeseg.sidecars import read_engine_spec

__all__ = ["LayerTimes", "time_layers"]


@dataclass(frozen=True, kw_only=True)
class LayerTimes:
    """What the layers of one engine took.

    Attributes:
        layers: that ran, in their order; of one that the back end names in its times alone, only the name is known.
        times_ms: float64 (runs, layers), milliseconds.
        run_ms: float64 (runs,), of the same runs what the engine measures of itself.
    """

    layers: tuple[LayerFact, ...]
    times_ms: NDArray[np.float64]
    run_ms: NDArray[np.float64]


def time_layers(
    engine_path: Path,
    tensors: Sequence[NDArray[Any]],
    *,
    runs: int,
    warm_up_ms: float = 200.0,
    threads: int | None = None,
) -> LayerTimes:
    """Load an engine once more, with its layers timed, and run it.

    Args:
        engine_path: the plan, its sidecar beside it.
        tensors: inputs of the model's form, used in turn; at least one.
        runs: that count, at least one.
        warm_up_ms: runs before them, at least one.
        threads: CPU threads of a CPU back end; all cores without it.
    Raises:
        SpecError, EngineError, MissingPackageError: see ``load_engine``; or the back end tells no times.
    """
    known = {one.name: one for one in ask_engine(*read_engine_spec(engine_path)).layers}
    with load_engine(engine_path, threads=threads, profiled=True) as engine:
        _warm_up(engine, tensors[0], warm_up_ms)
        run_ms, told = [], []
        for index in range(runs):
            np.copyto(engine.host_input(0), tensors[index % len(tensors)])
            run_ms.append(engine.infer(0))
            told.append(engine.layer_times_ms(0))
    names = tuple(dict.fromkeys(name for one in told for name in one))
    if not names:
        raise EngineError(f"{engine_path}: its back end tells no layer's time", "build it with layer names kept")
    return LayerTimes(
        layers=tuple(known.get(name) or LayerFact(name=name) for name in names),
        times_ms=np.array([[one.get(name, 0.0) for name in names] for one in told]),
        run_ms=np.array(run_ms),
    )


def _warm_up(engine: Engine, tensor: NDArray[Any], duration_ms: float) -> None:
    np.copyto(engine.host_input(0), tensor)
    end_s = time.perf_counter() + duration_ms / 1e3
    engine.infer(0)
    while time.perf_counter() < end_s:
        engine.infer(0)
