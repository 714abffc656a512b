"""What an engine on a real device promises to whoever drives its slots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from edgeseg.errors import EngineError
from edgeseg.runtime.engines import load_engine
from edgeseg.runtime.engines.tensorrt import TensorRTEngine
from edgeseg.sidecars import read_engine_spec
from edgeseg.spec import IOTensor

pytestmark = pytest.mark.gpu

TF32_TOLERANCE = 2e-2  # TF32 keeps 10 bits of the fraction: 72 products of values near 1 are good to about 1e-2


@pytest.fixture
def engine_file(build: Any) -> Path:
    path: Path = build("small", "fp32")
    return path


def test_two_slots_in_flight_each_compute_their_own_input(engine_file: Path, chain: Any) -> None:
    reference = ReferenceEvaluator(onnx.load(chain.onnx))
    with load_engine(engine_file, slots=2) as engine:
        model = engine.spec.model
        frames = np.random.default_rng(1).normal(size=(2, *model.input.shape)).astype(np.float32)
        for slot, frame in enumerate(frames):
            engine.host_input(slot)[:] = frame
            engine.start(slot)
        for slot, frame in enumerate(frames):
            assert engine.wait(slot) > 0
            expected = np.asarray(reference.run([model.head.output], {model.input.name: frame})[0])
            np.testing.assert_allclose(engine.host_output(slot), expected, atol=TF32_TOLERANCE)


def test_a_slot_is_started_once_and_a_closed_engine_stays_closed(engine_file: Path) -> None:
    engine = load_engine(engine_file, slots=1)
    with pytest.raises(EngineError, match="not started"):
        engine.wait(0)
    engine.start(0)
    with pytest.raises(EngineError, match="started already"):
        engine.start(0)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.start(0)


def test_a_sidecar_that_names_other_tensors_is_refused(engine_file: Path) -> None:
    spec, plan = read_engine_spec(engine_file)
    other = IOTensor(name="scores", mode="output", shape=spec.model.head.shape)
    with pytest.raises(EngineError, match=r"engine has .* where its sidecar says .*'scores'"):
        TensorRTEngine(msgspec.structs.replace(spec, io=(*spec.io, other)), plan)
