"""One net given out in every precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from precision_lab import net, noise_ratio_db, quantisation_of, run

from edgeseg.builder.master import Master
from edgeseg.errors import BuildError
from edgeseg.graph.qdq import has_qdq


def master(**options: Any) -> Master:
    model = net(**options)
    return Master(model=model, wide=frozenset({"stem"}), quantisation=quantisation_of(model))


def dtypes(model: Any) -> dict[str, str]:
    return {node.name: node.inputs[0].dtype.name for node in model.graph if node.op_type == "Conv"}


@pytest.mark.parametrize(
    ("kind", "high", "expected"),
    [
        ("fp32", "fp32", {"stem": "FLOAT", "block": "FLOAT"}),
        ("fp16", "fp16", {"stem": "FLOAT", "block": "FLOAT16"}),
        ("bf16", "bf16", {"stem": "BFLOAT16", "block": "BFLOAT16"}),
        ("int8", "fp32", {"stem": "FLOAT", "block": "FLOAT"}),
        ("int8", "fp16", {"stem": "FLOAT", "block": "FLOAT16"}),
        ("fp8", "fp16", {"stem": "FLOAT", "block": "FLOAT16"}),
    ],
)
def test_every_precision_is_made_of_one_net(kind: Any, high: Any, expected: dict[str, str]) -> None:
    one = master()
    made = one.graph(kind, high)
    assert {name: dtypes(made)[name] for name in expected} == expected
    assert has_qdq(made) == (kind in ("int8", "fp8"))
    assert not has_qdq(one.model)


def test_an_old_opset_is_raised_to_what_the_types_need() -> None:
    one = Master(model=net(opset=13), quantisation=quantisation_of(net(opset=13)))
    assert one.graph("fp16", "fp16").opset_imports[""] == 13
    assert one.graph("int8", "fp16").opset_imports[""] == 19
    assert one.graph("bf16", "bf16").opset_imports[""] == 22


def test_int8_on_float16_and_on_float32_quantise_the_same() -> None:
    one = master()
    exact, on_float, on_half = (
        run(one.graph(*kinds)) for kinds in (("fp32", "fp32"), ("int8", "fp32"), ("int8", "fp16"))
    )
    assert noise_ratio_db(on_float, on_half) > noise_ratio_db(exact, on_float) + 6  # less apart than both from float32


def test_kept_layers_are_told_and_not_quantised() -> None:
    one = master()
    assert one.quantised_layers() == ("stem", "block", "up", "head")
    assert one.quantised_layers(kept=("up",)) == ("stem", "block", "head")
    told = one.described("int8", "fp16", kept=("up",))
    assert (told.layers, told.quantised_layers, told.kept, told.wide) == (4, 3, ("up",), ("stem",))
    assert one.described("fp32", "fp32").quantised_layers == 0
    np.testing.assert_array_equal(run(one.graph("int8", "fp32", kept=one.quantised_layers())), run(one.model))


def test_a_name_that_is_not_quantised_cannot_be_kept() -> None:
    with pytest.raises(BuildError, match=r"'cat' is no node that would be quantised.*stem"):
        master().graph("int8", "fp32", kept=("cat",))


def test_int8_of_a_net_without_ranges_is_refused() -> None:
    with pytest.raises(BuildError, match="no calibrated ranges"):
        Master(model=net()).graph("int8", "fp32")
