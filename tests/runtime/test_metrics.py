from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_lab import PIXELS, Clock, FakeSession, Keeper, opening

from edgeseg.latency import LatencyLog
from edgeseg.runtime.loop import LoopState, Snapshot, run_sources
from edgeseg.runtime.metrics import EventLog, health_of, is_healthy, metrics_text

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
VALUE = r"(?:NaN|[+-]Inf|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
SAMPLE = re.compile(rf"^(?P<name>{NAME})(?:\{{(?P<labels>{LABEL}(?:,{LABEL})*)\}})? (?P<value>{VALUE})$")
COMMENT = re.compile(rf"^# (?P<word>HELP|TYPE) (?P<name>{NAME}) (?P<rest>.+)$")


def parsed(text: str) -> dict[tuple[str, str], float]:
    """Samples by name and labels, read by the grammar of the text format 0.0.4; every rule of it is asserted."""
    assert text.endswith("\n")
    found: dict[tuple[str, str], float] = {}
    families: dict[str, str] = {}
    family = ""
    for line in text.split("\n")[:-1]:
        comment = COMMENT.match(line)
        if comment and comment["word"] == "HELP":
            family = comment["name"]
            assert family not in families, "a family comes once, in one piece"
        elif comment:
            assert comment["name"] == family
            families[family] = comment["rest"]
            assert comment["rest"] in ("counter", "gauge", "summary")
        else:
            sample = SAMPLE.match(line)
            assert sample, line
            suffixes = ("", "_sum", "_count") if families[family] == "summary" else ("",)
            assert sample["name"] in [family + suffix for suffix in suffixes]
            assert (families[family] == "counter") == sample["name"].endswith("_total")
            key = (sample["name"], sample["labels"] or "")
            assert key not in found, "a series comes once"
            found[key] = float(sample["value"])
    return found


def state_of(*names: str, clock: Any = None) -> LoopState:
    state = LoopState(clock=clock or Clock())
    state.begin([(name, True) for name in names], ["out"])
    return state


def test_the_metrics_of_a_run_say_what_its_snapshot_says() -> None:
    seen = run_sources(FakeSession, [opening([PIXELS] * 9), opening([PIXELS] * 2)], [Keeper()], engine="net.engine")
    found = parsed(metrics_text(seen))
    assert found["edgeseg_masks_total", 'source="0",name="script"'] == 9
    assert found["edgeseg_frames_total", 'source="1",name="script"'] == 2
    assert found["edgeseg_sink_written_total", 'sink="0",name="keeper"'] == 11
    assert found["edgeseg_engine_info", 'engine="net.engine"'] == 1
    assert found["edgeseg_stage_seconds_count", 'stage="arrival-to-mask"'] == 11
    mean_s = seen.stages["arrival-to-mask"].mean_ms / 1e3
    assert found["edgeseg_stage_seconds_sum", 'stage="arrival-to-mask"'] == pytest.approx(11 * mean_s)
    p50_s = seen.stages["arrival-to-mask"].p50_ms / 1e3
    assert found["edgeseg_stage_seconds", 'stage="arrival-to-mask",quantile="0.5"'] == pytest.approx(p50_s)


@given(st.text(), st.text())
def test_any_name_keeps_the_format_whole(source: str, sink: str) -> None:
    state = LoopState(clock=Clock())
    state.begin([(source, True)], [sink])
    state.use_engine(source, LatencyLog())
    lines = metrics_text(state.snapshot()).split("\n")
    assert all(SAMPLE.match(line) or COMMENT.match(line) for line in lines[:-1])


def test_quotes_backslashes_and_line_ends_in_labels_are_escaped() -> None:
    text = metrics_text(state_of('C:\\a "b"\nc').snapshot())
    assert 'name="C:\\\\a \\"b\\"\\nc"' in text


def test_what_has_not_been_measured_is_left_out() -> None:
    names = {name for name, _ in parsed(metrics_text(state_of("cam").snapshot()))}
    assert not names & {"edgeseg_frame_age_seconds", "edgeseg_mask_age_seconds", "edgeseg_frame_to_mask_seconds"}


def test_a_loop_is_healthy_while_frames_come_and_masks_leave() -> None:
    clock = Clock()
    state = state_of("cam", clock=clock)
    clock.forward(4)
    assert is_healthy(state.snapshot(), bound_s=5)
    clock.forward(4)
    assert len(health_of(state.snapshot(), bound_s=5).reasons) == 2  # no frame, no mask
    state.arrived(0)
    state.masked(0, age_ms=3.0)
    assert is_healthy(state.snapshot(), bound_s=5)


def test_health_says_what_is_wrong_as_json() -> None:
    clock = Clock()
    state = state_of("front", "rear", clock=clock)
    state.source_is(1, "waiting", error="the cable was pulled")
    clock.forward(9)
    state.arrived(0)
    state.masked(0, age_ms=3.0)
    state.writing(0)
    clock.forward(2)
    told = json.loads(health_of(state.snapshot(), bound_s=5).json())
    assert told == {
        "is_healthy": False,
        "reasons": ["source rear has given no frame for 11.0 s, it is waiting (the cable was pulled)"],
    }


@pytest.mark.parametrize(
    ("change", "word"),
    [({"standing": "failed", "error": "full"}, "failed"), ({"busy_s": 6.0}, "hangs in a write")],
)
def test_a_sink_that_fails_or_hangs_is_no_health(change: dict[str, Any], word: str) -> None:
    state = state_of()
    seen: Snapshot = state.snapshot()
    sick = replace(seen, sinks=(replace(seen.sinks[0], **change),))
    assert is_healthy(seen, bound_s=5)
    assert word in health_of(sick, bound_s=5).reasons[0]


def test_a_loop_whose_sources_have_ended_is_healthy() -> None:
    clock = Clock()
    state = state_of("clip", clock=clock)
    state.source_is(0, "ended")
    clock.forward(60)
    assert is_healthy(state.snapshot(), bound_s=5)


def test_every_event_is_one_json_object_on_a_line() -> None:
    stream = io.StringIO()
    state = LoopState(on_event=EventLog(stream).write)
    state.emit("source-lost", "warning", source="rtsp://a:b@c/\n", error='"x"', waited_s=None)
    state.emit("ended", masks=3)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert datetime.fromisoformat(first.pop("time")).utcoffset() == timedelta(0)
    assert first == {
        "level": "warning", "event": "source-lost", "source": "rtsp://***@c/\n", "error": '"x"', "waited_s": None,
    }  # fmt: skip
    assert (second["event"], second["masks"]) == ("ended", 3)


def test_a_log_that_cannot_be_written_is_counted_and_ends_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    log = EventLog(stream)
    LoopState(on_event=log.write).emit("started")
    assert log.lost == 1
