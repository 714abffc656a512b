"""When memory is handed back."""

from __future__ import annotations

from loop_lab import Clock, FakeSession, Keeper, opening

from edgeseg.runtime.loop import LoopState, run_sources
from edgeseg.runtime.loop.tidying import SOON_S, Tidier


def test_memory_is_handed_back_once_after_events_that_come_together_and_never_between_them() -> None:
    clock, state, tidied = Clock(), LoopState(), list[float]()
    tidier = Tidier(state, clock=clock, tidy=lambda: tidied.append(clock()))

    def pass_time(seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            tidier.tick()
            clock.forward(0.1)

    pass_time(10 * SOON_S)
    assert tidied == []
    state.emit("source-lost")
    pass_time(SOON_S / 2)
    state.emit("source-opened")
    pass_time(10 * SOON_S)
    assert len(tidied) == 1
    for _ in range(100):
        state.emit("size-changed")
        pass_time(SOON_S / 10)
    assert 5 <= len(tidied) - 1 <= 11
    before = len(tidied)
    pass_time(SOON_S)
    assert len(tidied) - before <= 1
    pass_time(10 * SOON_S)
    assert len(tidied) - before <= 1


def test_the_loop_counts_its_events() -> None:
    heard: list[str] = []
    state = LoopState(on_event=lambda event: heard.append(event.kind))
    run_sources(FakeSession, [opening([])], [Keeper()], state=state)
    assert state.emitted == len(heard) > 0
