"""The smoothing kernel, run as C++: its rules, and what is refused."""

from __future__ import annotations

import pytest
from kernel_lab import Shim
from smooth_rules import SMOOTHING, SmoothRules, image_of

from edgeseg.errors import ShapeError
from edgeseg.runtime.kernels.smoothing import PARAMS, SmoothLaunches
from edgeseg.spec import HeadSpec


class TestSmoothing(SmoothRules):
    """As C++."""


def test_its_record_is_as_large_as_the_struct(shim: Shim) -> None:
    assert shim.size_of("smooth") == PARAMS.itemsize


def test_finished_ids_are_refused() -> None:
    ids = HeadSpec(output="y", channels=1, size_hw=(8, 12), decision="ids")
    with pytest.raises(ShapeError, match="no scores to be smoothed"):
        SmoothLaunches(image=image_of((8, 12)), head=ids, smoothing=SMOOTHING)
