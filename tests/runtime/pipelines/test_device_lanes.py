"""What a benchmark times of an engine on a CUDA device, on the stand-in of its driver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from session_lab import engine_on, spec_of

from edgeseg.errors import EngineError
from edgeseg.report.frames import FrameSet
from edgeseg.report.lanes import CopiesLane, EngineLane, FrameLane, Lane
from edgeseg.runtime.session import Session

FRAMES = FrameSet(name="noise", frames=tuple(np.random.default_rng(0).integers(0, 256, (5, 30, 40, 3), dtype=np.uint8)))


def timed(session: Session, lane: Lane) -> Any:
    lane.warm_up(0.0)
    lane.take_turn(0.0, 6, zero_s=0.0)
    return lane.measurement()


@pytest.mark.parametrize("streams", [1, 2])
def test_copies_and_engine_are_stages_by_events(session_lab: Any, streams: int) -> None:
    with Session(engine_on(session_lab(), slots=2)) as session:
        one = timed(session, CopiesLane("net", session, FRAMES, streams=streams))
        assert {"enqueue", "copy-in", "engine", "copy-out", "total"} == set(one.stages)
        parts = zip(*(one.stages[stage].samples_ms for stage in ("copy-in", "engine", "copy-out")), strict=True)
        np.testing.assert_allclose(one.headline.samples_ms, [sum(part) for part in parts], atol=2e-4)
        assert (one.clock, one.buffers, one.headline.stats.count) == ("cuda-events", 2, 6)


def test_the_engine_alone_leaves_its_copies_out_and_has_no_graph(session_lab: Any) -> None:
    with Session(engine_on(session_lab(), slots=2)) as session:
        one = timed(session, EngineLane("net", session, FRAMES))
        assert {"enqueue", "engine"} == set(one.stages)
        assert (one.engine_covers, one.graph) == ("engine", "off: the engine is enqueued plainly")
        assert (one.host_wait, one.has_transfers) == ("auto", False)


def test_a_batch_counts_as_many_images(session_lab: Any) -> None:
    with Session(engine_on(session_lab(), slots=2, spec=spec_of(has_profile=True))) as session:
        one = timed(session, FrameLane("net", session, FRAMES, batch=3))
        assert (one.batch, one.headline.stats.count) == (3, 6)
        assert one.rate_hz == pytest.approx(3 * 6 / sum(one.round_s))
        assert one.graph == session.graph_state != ""
        assert one.has_transfers
        with pytest.raises(EngineError, match=r"takes 3 frame\(s\) at once, asked for is a batch of 4"):
            FrameLane("net", session, FRAMES, batch=4)
