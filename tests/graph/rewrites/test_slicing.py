"""Slice with int32 bounds: the same slice with its steps said."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

MOST = {np.int32: 2**31 - 1, np.int64: 2**63 - 1}


def sliced(lab: Any, dtype: type, *bounds: str) -> ir.Model:
    """Rows 1 to the end; ``bounds`` says which of axes and steps are given."""
    weights = {"starts": [1], "ends": [MOST[dtype]], "axes": [2], "steps": [1]}
    names = ["starts", "ends", *bounds]
    node = helper.make_node("Slice", ["image", *names], ["out"])
    constants = {name: np.array(weights[name], dtype) for name in names}
    model: ir.Model = lab.graph_of([node], {"image": (np.float32, (1, 2, 6, 8))}, {"out": np.float32}, constants)
    return model


def test_int32_bounds_are_refused_before_and_built_after(lab: Any) -> None:
    before = sliced(lab, np.int32, "axes")
    assert "Slice steps length" in lab.refusal(before)
    after = lab.rewritten(before, "slicing")
    image = np.random.default_rng(0).normal(size=(1, 2, 6, 8)).astype(np.float32)
    np.testing.assert_array_equal(lab.run(after, image), lab.run(before, image))
    assert lab.refusal(after) == ""


@pytest.mark.parametrize(
    ("dtype", "bounds"), [(np.int64, ["axes"]), (np.int64, ["axes", "steps"]), (np.int32, ["axes", "steps"])]
)
def test_bounds_that_the_builder_takes_are_left_alone(lab: Any, dtype: type, bounds: list[str]) -> None:
    """Among them int64's largest number, torch's word for the end."""
    model = lab.rewritten(sliced(lab, dtype, *bounds))
    assert len(model.graph[0].inputs) == 3 + len(bounds)
    assert lab.refusal(model) == ""
