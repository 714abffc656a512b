"""What a graph's scores leave in: the nodes at its end, and the numbers they give."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from precision_lab import CLASSES, SIZE_HW, net, run

from edgeseg.graph.casting import lowered
from edgeseg.graph.output_type import with_scores
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.spec import HeadSpec

HEAD = HeadSpec(output="logits", channels=CLASSES, size_hw=SIZE_HW, decision="argmax")


def head(dtype: str, scale: float = 1.0) -> HeadSpec:
    return HeadSpec(
        output="logits", channels=CLASSES, size_hw=SIZE_HW, decision="argmax", scores_dtype=dtype, scale=scale
    )


def test_float32_scores_are_left_as_they_are() -> None:
    model = net()
    assert [one.op_type for one in with_scores(model, HEAD).graph] == [one.op_type for one in model.graph]


def test_float16_scores_are_cast_at_the_end_under_the_same_name() -> None:
    model = net()
    half = with_scores(model, head("float16"))
    onnx.checker.check_model(ir.to_proto(half), full_check=True)
    assert (half.graph.outputs[0].name, half.graph.outputs[0].dtype) == ("logits", ir.DataType.FLOAT16)
    np.testing.assert_array_equal(run(half), run(model).astype(np.float16))
    assert model.graph.outputs[0].dtype == ir.DataType.FLOAT


def test_a_net_in_float16_loses_its_last_cast_instead() -> None:
    narrow = lowered(net(), "fp16")
    half = with_scores(narrow, head("float16"))
    onnx.checker.check_model(ir.to_proto(half), full_check=True)
    assert len(list(half.graph)) == len(list(narrow.graph)) - 1
    assert (half.graph.outputs[0].name, half.graph.outputs[0].dtype) == ("logits", ir.DataType.FLOAT16)
    np.testing.assert_array_equal(run(half), run(narrow).astype(np.float16))


@pytest.mark.parametrize("is_half", [False, True])
def test_int8_scores_are_rounded_to_steps_of_the_scale_and_stay_in_range(is_half: bool) -> None:
    model = lowered(net(), "fp16") if is_half else net()
    exact = run(model).astype(np.float32)
    scale = float(np.float32(np.abs(exact).max() / 100))
    codes = with_scores(model, head("int8", scale))
    onnx.checker.check_model(ir.to_proto(codes), full_check=True)
    found = run(codes)
    assert found.dtype == np.int8
    assert np.abs(found * scale - exact).max() <= 0.501 * scale
    coarse = run(with_scores(model, head("int8", scale / 4)))
    assert coarse.min() == -128 or coarse.max() == 127


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_threshold_counts_in_the_scores_own_units(dtype: str) -> None:
    """Codes 5 and 6 of scale 0.5 stand for 2.5 and 3.0, on either side of 2.75."""
    scale = 0.5 if dtype == "int8" else 1.0
    one = HeadSpec(
        output="logits",
        channels=1,
        size_hw=(1, 2),
        decision="threshold",
        threshold=2.75,
        scores_dtype=dtype,  # type: ignore[arg-type]
        scale=scale,
    )
    scores = (np.array([[[[2.5, 3.0]]]]) / scale).astype(dtype)
    np.testing.assert_array_equal(MaskMaker(one, threads=1).mask(scores, size_hw=(1, 2)), [[0, 1]])
