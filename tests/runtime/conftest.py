"""Own the lab's device that most tests of the CUDA floor use: current for the test, with nothing left behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stream_lab import LabDriver, context_of

from edgeseg.runtime.cuda import CudaContext


@pytest.fixture
def lab() -> LabDriver:
    return LabDriver(seed=3)


@pytest.fixture
def context(lab: LabDriver) -> Iterator[CudaContext]:
    context = context_of(lab)
    with context.current():
        yield context
    context.release()
    assert context.counters().live.total == 0 == lab.living.total() and lab.leaks == []
