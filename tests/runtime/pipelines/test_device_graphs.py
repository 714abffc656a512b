"""The second frame of a form becomes a CUDA graph; whatever changes makes another one; a refusal is said once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from session_lab import SIZE_HW, assert_nothing_is_left, engine_on, mask_of, spec_of

from edgeseg.errors import MissingPackageError
from edgeseg.runtime.cuda import CudaContext
from edgeseg.runtime.session import Session

SIZES_HW = ((30, 40), (12, 18))


def frame_of(number: int = 0, size_hw: tuple[int, int] = SIZES_HW[0]) -> Any:
    return np.random.default_rng(number).integers(0, 256, (*size_hw, 3), np.uint8)


def launches(session: Session, frame: Any, **form: Any) -> tuple[int, int]:
    """Graphs launched, and graphs that came alive, for one frame, whose mask is right."""
    before = session.counters
    assert np.array_equal(session.segment(frame, **form), mask_of(frame, session.input_hw, spec=session.spec, **form))
    spent = session.counters - before
    return spent.graph_launches, spent.live.graph


def test_the_first_frame_is_plain_the_second_is_captured_and_launched_from_then_on(session_lab: Any) -> None:
    lab = session_lab()
    with Session(engine_on(lab, slots=1)) as session:
        assert session.graph_state.startswith("waiting")
        assert [launches(session, frame_of(number)) for number in range(4)] == [(0, 0), (1, 1), (1, 0), (1, 0)]
        assert session.graph_state == "on"
    assert_nothing_is_left(lab)


def test_every_slot_has_graphs_of_its_own(session_lab: Any) -> None:
    with Session(engine_on(session_lab(), slots=2)) as session:
        found = [launches(session, frame_of(number)) for number in range(6)]
    assert found == [(0, 0), (0, 0), (1, 1), (1, 1), (1, 0), (1, 0)]


def test_a_warm_session_launches_its_graphs_from_the_first_frame_on_and_has_counted_nothing(session_lab: Any) -> None:
    with Session(engine_on(session_lab(), slots=2)) as session:
        session.warm_up([frame_of()])
        assert (session.latency.stages(), session.counters.launches) == ((), 0)
        assert [launches(session, frame_of(number)) for number in range(3)] == [(1, 0)] * 3


def test_frames_of_two_forms_keep_a_graph_each(session_lab: Any) -> None:
    with Session(engine_on(session_lab(), slots=1)) as session:
        forms: list[tuple[Any, dict[str, Any]]] = [
            (frame_of(1), {"pixel_format": "RGB"}),
            (frame_of(0, SIZES_HW[1]), {}),
        ]
        found = [launches(session, frame, **form) for _ in range(3) for frame, form in forms]
    assert found == [(0, 0), (0, 0), (1, 1), (1, 1), (1, 0), (1, 0)]


def test_a_larger_frame_moves_the_memory_and_so_ends_the_graphs(session_lab: Any) -> None:
    lab = session_lab()
    with Session(engine_on(lab, slots=1)) as session:
        small, large = frame_of(0, SIZES_HW[1]), frame_of(1)
        found = [launches(session, one) for one in (small, small, large, small, small, large)]
    assert found == [(0, 0), (1, 1), (0, -1), (0, 0), (1, 1), (1, 1)]
    assert_nothing_is_left(lab)


def test_another_shape_of_the_engine_ends_its_graphs(session_lab: Any) -> None:
    """A context's memory is the shape's: a graph that was captured at another one must not run."""
    lab, frame = session_lab(), frame_of()
    with Session(engine_on(lab, slots=1, spec=spec_of(has_profile=True))) as session:
        found = []
        for size_hw in (SIZE_HW, SIZE_HW, (8, 8), (8, 8), SIZE_HW, SIZE_HW):
            session.resize_input(size_hw)
            found.append(launches(session, frame))
    assert found == [(0, 0), (1, 1), (0, -1), (1, 1), (0, -1), (1, 1)]
    assert_nothing_is_left(lab)


def test_a_graph_counts_what_is_in_it(session_lab: Any) -> None:
    spent = []
    for graphs in (False, True):
        with Session(engine_on(session_lab(), slots=1), graphs=graphs) as session:
            for number in range(3):
                session.segment(frame_of(number))
            session.reset_counters()
            for number in range(5):
                session.segment(frame_of(number))
            spent.append(session.counters)
    plain, graph = spent
    assert graph.graph_launches == 5 and plain.graph_launches == 0
    for name in ("copies_in", "copies_out", "bytes_in", "bytes_out", "launches", "fills", "synchronisations"):
        assert getattr(graph, name) == getattr(plain, name), name


def test_they_are_off_with_the_flag_and_where_the_engine_has_its_own(session_lab: Any) -> None:
    with Session(engine_on(session_lab()), graphs=False) as session:
        assert [launches(session, frame_of()) for _ in range(4)] == [(0, 0)] * 4
        assert session.graph_state == "off: not asked for"
    with Session(engine_on(session_lab(), no_capture="the engine captures by itself")) as session:
        assert [launches(session, frame_of()) for _ in range(4)] == [(0, 0)] * 4
        assert session.graph_state == "off: the engine captures by itself"


def test_an_engine_that_cannot_be_captured_is_said_once_and_runs_plainly(
    session_lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = session_lab()
    engine = engine_on(lab)
    whole = engine.enqueue

    def waits(slot: int, stream: Any) -> None:
        whole(slot, stream)
        lab.synchronize()  # as TensorRT does where a plugin or a data-dependent shape needs it

    monkeypatch.setattr(engine, "enqueue", waits)
    with Session(engine) as session, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert [launches(session, frame_of(number)) for number in range(6)] == [(0, 0)] * 6
        assert session.graph_state.startswith("off: the work of this stream does not become a CUDA graph")
    assert len(said) == 1 and "frames run without CUDA graphs" in str(said[0].message)
    assert_nothing_is_left(lab)


def test_without_cuda_bindings_frames_run_plainly_and_it_is_said_once(
    session_lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_: object) -> None:
        raise MissingPackageError("cuda.bindings.driver is not installed", "pip install 'edgeseg[cuda]'")

    lab = session_lab()
    engine = engine_on(lab)
    monkeypatch.delattr(engine.cuda, "bindings", raising=False)
    monkeypatch.setattr(CudaContext, "bindings", property(absent))
    with Session(engine) as session, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert [launches(session, frame_of(number)) for number in range(6)] == [(0, 0)] * 6
        assert "pip install 'edgeseg[cuda]'" in session.graph_state
    assert len(said) == 1
    assert_nothing_is_left(lab)
