from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from edgeseg.runtime.shared_memory import SharedReader
from edgeseg.runtime.sinks import open_sink


def test_another_process_may_read_the_newest_mask(labels: Any, make: Any) -> None:
    name = f"edgeseg-sink-{os.getpid()}"
    sink = open_sink(f"shm://{name}", labels, fps=30)
    assert sink.name == f"shm://{name}"
    for number in range(3):
        frame, mask = make(number)
        sink.write(frame, mask)
    reader = SharedReader(name)
    got = reader.newest()
    assert got is not None
    assert (got.sequence, got.arrived_s, got.form) == (2, pytest.approx(frame.arrived_s), "MASK")
    np.testing.assert_array_equal(got.mask, mask)
    sink.close()
    sink.close()
    sink.abandon()
    assert reader.is_ended
    assert not os.path.exists(f"/dev/shm/{name}")
