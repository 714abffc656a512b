"""Several sources of a whole run through one engine that takes batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from session_lab import engine_on, mask_of, spec_of

from edgeseg.errors import EngineError
from edgeseg.runtime.service import Service, ServiceRequest
from edgeseg.runtime.session import Session
from edgeseg.runtime.sources import open_source

FRAMES = 8
SOURCES = tuple(f"test://?size={size}&frames={FRAMES}" for size in ("40x30", "64x48", "24x16"))


@pytest.fixture
def batches(session_lab: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sessions of a service are the lab's, with batches of up to 3 for the first; gets the size of every batch."""
    lab, counts, has_profiles = session_lab(), [], [True]

    class Counting(Session):
        def submit_batch(self, frames: Sequence[Any], **form: Any) -> None:
            counts.append(len(frames))
            super().submit_batch(frames, **form)

    def session(path: object, *, depth: int, **_: Any) -> Session:
        has_profile = has_profiles.pop() if has_profiles else False
        return Counting(engine_on(lab, slots=depth, spec=spec_of(has_profile=has_profile)))

    monkeypatch.setattr("edgeseg.runtime.service.Session", session)
    return counts


def test_sources_that_wait_together_are_one_batch_and_their_masks_those_of_single_frames(
    batches: list[int], tmp_path: Path
) -> None:
    sinks = (str(tmp_path / "{source}"),)
    with Service(ServiceRequest(engine=Path("net.engine"), sources=SOURCES, sinks=sinks)) as service:
        seen = service.run()
        assert "frames a run of the engine" in service.device_line
    assert [one.masks for one in seen.sources] == [one.written for one in seen.sinks] == [FRAMES] * 3
    assert batches and max(batches) == 3
    for index, name in enumerate(SOURCES):
        for frame in open_source(name):
            written = cv2.imread(str(tmp_path / str(index) / f"{frame.name}.png"), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(written, mask_of(frame.picture)), (name, frame.name)


def test_no_batch_is_larger_than_there_are_sources(batches: list[int]) -> None:
    with Service(ServiceRequest(engine=Path("net.engine"), sources=SOURCES[:1])) as service:
        service.run()
    assert batches == []


@pytest.mark.usefixtures("batches")
def test_a_new_engine_without_the_batch_that_is_in_use_is_refused() -> None:
    with Service(ServiceRequest(engine=Path("net.engine"), sources=SOURCES)) as service:
        service._next_session()
        with pytest.raises(EngineError, match="the new engine takes batches of 1, the one that runs 3"):
            service._next_session()
