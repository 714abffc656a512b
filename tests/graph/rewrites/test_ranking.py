"""ArgMax in the middle of a graph: TensorRT takes all but that of a vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn
from torch.nn import functional

SHAPE = (1, 4, 8, 10)


class Middle(nn.Module):
    """Something is made of class ids inside the net."""

    def __init__(self, use: Any) -> None:
        super().__init__()
        self.use = use

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.use(image * 2)


USES = {
    "a table": lambda image: torch.arange(4.0)[image.argmax(1)],
    "a product": lambda image: image.argmax(1, keepdim=True).float() * image,
    "one hot": lambda image: functional.one_hot(image.argmax(1), 4).permute(0, 3, 1, 2).float() + image,
    "a mask": lambda image: torch.where(image.argmax(1, keepdim=True) == 2, image, 0.0),
    "a sum": lambda image: (image.argmax(1) + image.argmin(1) - 1).float(),
    "a gathering": lambda image: torch.gather(image, 1, image.argmax(1, keepdim=True)),
    "padded ids": lambda image: functional.pad(image.argmax(1), (1, 1, 1, 1), value=3).float(),
    "ids that leave": lambda image: image.argmax(1),
    "ids as int32": lambda image: image.argmax(1).to(torch.int32),
    "the last axis": lambda image: image.argmax(-1).float(),
    "ids of integers": lambda image: (image * 3).to(torch.int64).argmax(1).float(),
}


@pytest.mark.parametrize("use", USES)
def test_class_ids_may_be_used_in_any_way(lab: Any, use: str) -> None:
    """Built before the rewrites and after them, with the same numbers."""
    image = np.random.default_rng(0).integers(-2, 3, SHAPE).astype(np.float32)  # with ties
    before = lab.exported(Middle(USES[use]), image)
    assert lab.refusal(before) == ""
    is_computed = use in ("a mask", "one hot", "a sum")
    after = lab.rewritten(before, *(["integers"] if is_computed else []))
    np.testing.assert_array_equal(lab.run(after, image), lab.run(before, image))
    assert lab.refusal(after) == ""


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("attributes", [{}, {"keepdims": 0}, {"axis": -1}, {"select_last_index": 1}])
def test_a_vector_is_refused_before_and_built_after(lab: Any, op_type: str, attributes: dict[str, int]) -> None:
    nodes = [helper.make_node(op_type, ["scores"], ["best"], **attributes)]
    before = lab.graph_of(nodes, {"scores": (np.float32, (7,))}, {"best": np.int64})
    after = lab.rewritten(before, "ranking")
    for scores in np.float32([[3, 1, 4, 1, 5, 9, 2], [1, 0, 1, 0, 0, 1, 0]]):
        np.testing.assert_array_equal(lab.run(after, scores), lab.run(before, scores))
    assert "at least 2 dimensions" in lab.refusal(before)
    assert lab.refusal(after) == ""
