"""Times between marks, in work that is enqueued plainly and in work that is captured."""

from __future__ import annotations

import pytest
from stream_lab import LabDriver, context_of

from edgeseg.errors import EngineError, ShapeError
from edgeseg.runtime.cuda import CapturedMarks, Counters, CudaContext, DeviceMemory, Live, Marks, Stream, capture


def test_plain_marks_tell_the_time_of_what_lies_between_them(context: CudaContext) -> None:
    with Stream(context) as stream, Marks(context, 3) as marks, DeviceMemory(context, 8) as memory:
        for _ in range(2):
            marks.reach(0, stream)
            stream.fill(memory)  # in two halves
            marks.reach(1, stream)
            marks.reach(2, stream)
            marks.synchronize()
            assert marks.ms() == (3.0, 1.0)  # the scheduler's steps, the later mark's own among them
        assert context.counters() == Counters(synchronisations=2, fills=2, live=Live(stream=1, event=3, device=1))


def test_captured_marks_are_reached_anew_with_each_launch(context: CudaContext) -> None:
    with Stream(context) as stream, CapturedMarks(context, 3) as marks, DeviceMemory(context, 8) as memory:

        def work() -> None:
            marks.reach(0, stream)
            stream.fill(memory)
            marks.reach(1, stream)
            marks.reach(2, stream)

        with capture(stream, work) as graph:
            for launches in (1, 2):
                graph.launch(stream)
                marks.synchronize()
                assert marks.ms() == (3.0, 1.0)
                assert context.counters().synchronisations == launches
            assert context.counters().live == Live(stream=1, event=3, device=1, graph=1)


def test_a_launch_is_waited_for_under_every_schedule() -> None:
    """Right after a launch the events are still those of the launch before: waiting for them would not do."""
    for seed in range(30):
        context = context_of(LabDriver(seed))
        with context.current(), Stream(context) as stream, CapturedMarks(context, 2) as marks:

            def work(marks: CapturedMarks = marks, stream: Stream = stream) -> None:
                marks.reach(0, stream)
                marks.reach(1, stream)

            with capture(stream, work) as graph:
                graph.launch(stream)
                marks.synchronize()
                assert marks.ms() == (1.0,)


def test_captured_marks_outside_of_a_capture_are_refused(context: CudaContext) -> None:
    with Stream(context) as stream, CapturedMarks(context, 2) as marks:
        with pytest.raises(EngineError, match="a stream that is not capturing: take Marks there"):
            marks.reach(0, stream)
        with pytest.raises(EngineError, match=r"no mark was captured: call reach\(\)"):
            marks.synchronize()
        with pytest.raises(EngineError, match="cuEventElapsedTime failed: invalid resource handle"):
            marks.ms()


def test_plain_marks_that_were_never_reached_have_no_time(lab: LabDriver) -> None:
    context = context_of(lab)
    with pytest.raises(EngineError, match="invalid resource handle"), context.current(), Marks(context, 2) as marks:
        marks.ms()


@pytest.mark.parametrize("kind", [Marks, CapturedMarks])
@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_marks_are_refused(context: CudaContext, kind: type[Marks], count: int) -> None:
    with pytest.raises(ShapeError, match=f"{count} marks have no time between them"):
        kind(context, count)


@pytest.mark.parametrize("kind", [Marks, CapturedMarks])
def test_marks_that_are_made_in_part_leave_nothing(lab: LabDriver, kind: type[Marks]) -> None:
    context = context_of(lab)
    lab.fail(3, "out of memory")
    with pytest.raises(EngineError, match="cuEventCreate failed: out of memory"), context.current():
        kind(context, 4)
    assert context.counters().live.total == 0 == lab.living.total()


def test_closed_marks_are_refused(context: CudaContext) -> None:
    plain, captured, stream = Marks(context, 2), CapturedMarks(context, 2), Stream(context)
    for marks in (plain, captured):
        marks.close()
        marks.close()
        with pytest.raises(EngineError, match="is closed"):
            marks.ms()
    with pytest.raises(EngineError, match="this Event is closed"):
        plain.reach(0, stream)
