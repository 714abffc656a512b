from __future__ import annotations

from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.builder.probing import Probe, float_values, in_groups

pytest.importorskip("onnxruntime", exc_type=ImportError)

SHAPE = (1, 3, 33, 65)


def value(name: str, shape: tuple[int | str, ...], dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))


@pytest.fixture(scope="module")
def model() -> ir.Model:
    """The image, its negative, and its whole numbers."""
    image, negative, whole = value("image", SHAPE), value("negative", SHAPE), value("whole", SHAPE, ir.DataType.INT64)
    nodes = [
        ir.node("Neg", [image], outputs=[negative], name="negate"),
        ir.node("Cast", [negative], {"to": int(ir.DataType.INT64)}, outputs=[whole], name="round"),
    ]
    graph = ir.Graph([image], [whole], nodes=nodes, opset_imports={"": 19}, name="net")
    return ir.Model(graph, ir_version=10)


def tensor(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def test_ranges_and_tensors_come_in_the_order_asked_for(model: ir.Model) -> None:
    given_tensor = tensor(0)
    arrays, measured = Probe(model, Path(), fetched=("negative", "image"), measured=("negative", "image")).run(
        given_tensor
    )
    for found, expected in zip(arrays, (-given_tensor, given_tensor), strict=True):
        np.testing.assert_array_equal(found, expected)
    low, high = float(given_tensor.min()), float(given_tensor.max())
    assert measured.lows.tolist() == [-high, low]
    assert measured.highs.tolist() == [-low, high]
    np.testing.assert_allclose(measured.sums, [-given_tensor.sum(), given_tensor.sum()], rtol=1e-3)


def test_a_probe_leaves_the_graph_as_it_is(model: ir.Model) -> None:
    before = ir.to_proto(model).SerializeToString()
    Probe(model, Path(), measured=("image", "negative"))
    assert ir.to_proto(model).SerializeToString() == before


@pytest.mark.parametrize("seed", range(20))
def test_sums_show_nan_and_infinity_wherever_they_stand(model: ir.Model, seed: int) -> None:
    """ReduceMin and ReduceMax do not, in ONNX Runtime."""
    probe = Probe(model, Path(), measured=("image", "negative"))
    for wild in (np.nan, np.inf, -np.inf):
        spoilt = tensor(seed)
        spoilt.flat[np.random.default_rng(seed).integers(spoilt.size)] = wild
        assert not np.isfinite(probe.run(spoilt)[1].sums).any()


def test_float_values_are_the_input_and_what_nodes_make_of_that_kind(model: ir.Model) -> None:
    assert [one.name for one in float_values(model)] == ["image", "negative"]


SIDES = st.lists(st.one_of(st.integers(0, 40), st.just("free")), min_size=1, max_size=3).map(tuple)


@given(st.lists(SIDES, max_size=12), st.integers(1, 20_000))
def test_a_group_is_within_the_limit_or_one_value(shapes: list[tuple[int | str, ...]], limit: int) -> None:
    values = [value(str(index), shape) for index, shape in enumerate(shapes)]
    groups = in_groups(values, limit)
    assert [name for group in groups for name in group] == [one.name for one in values]
    sizes = {str(i): None if "free" in shape else 4 * prod(shape) for i, shape in enumerate(shapes)}  # type: ignore[arg-type]
    for group in groups:
        known = [sizes[name] for name in group]
        assert len(group) == 1 or sum(limit if size is None else size for size in known) <= limit
    for one, two in pairwise(groups):  # no value could have been one group earlier
        known = [sizes[name] for name in (*one, two[0])]
        assert sum(limit if size is None else size for size in known) > limit
