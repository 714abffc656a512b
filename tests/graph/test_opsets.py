"""Raising a graph's opset."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from precision_lab import net, run

from edgeseg.errors import ModelError
from edgeseg.graph.opsets import at_least


def test_a_newer_graph_is_left_as_it_is() -> None:
    model = net(opset=19)
    assert at_least(model, 13) is model


def test_an_older_graph_is_raised_and_computes_the_same() -> None:
    model = net(opset=13)
    model.graph[0].metadata_props["note"] = "kept"
    raised = at_least(model, 19)
    assert raised.opset_imports[""] == 19
    assert raised.graph[0].metadata_props["note"] == "kept"
    np.testing.assert_array_equal(run(raised), run(model))


def test_what_cannot_be_raised_is_said() -> None:
    newest = onnx.defs.onnx_opset_version()
    with pytest.raises(ModelError, match=f"opset 19 cannot be raised to {newest + 1}.*export the net"):
        at_least(net(opset=19), newest + 1)
