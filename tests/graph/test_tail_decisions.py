"""What decides at a net's end: the best class, a threshold on one channel, or another that stays."""

from __future__ import annotations

import numpy as np
import pytest
from tail_lab import cut, op_types, run, scored, single

from edgeseg.errors import ModelError
from edgeseg.graph.tail import find_tail
from edgeseg.imaging.postprocess import MaskMaker

pytest.importorskip("onnx")
pytest.importorskip("onnx_ir")
pytest.importorskip("onnxruntime")

SMALL = "int64[4] sizes = {1, 1, 16, 24}"


@pytest.mark.parametrize(
    ("body", "cut_words", "threshold", "scores"),
    [
        ("out = Sigmoid(one)", ("Sigmoid",), 0.0, "logits"),
        ("p = Sigmoid(one) out = Greater(p, t)", ("Sigmoid", "Greater 0.25"), float(np.log(0.25 / 0.75)), "logits"),
        ("out = Greater(one, t)", ("Greater 0.25",), 0.25, "logits"),
        ("out = Less(t, one)", ("Less 0.25",), 0.25, "logits"),
        (
            "out = GreaterOrEqual(one, t)",
            ("GreaterOrEqual 0.25",),
            float(np.nextafter(np.float32(0.25), np.float32(0))),
            "logits",
        ),
        ("p = Sigmoid(one) out = Round(p)", ("Sigmoid", "Round"), 0.0, "logits"),
        (
            'p = Sigmoid(one) out = Resize<mode="linear">(p, , , sizes)',
            ("Resize linear half_pixel 8x12 -> 16x24",),
            0.5,
            "probabilities",
        ),
        (
            'p = Sigmoid(one) up = Resize<mode="linear">(p, , , sizes) out = Round(up)',
            ("Resize linear half_pixel 8x12 -> 16x24", "Round"),
            0.5,
            "probabilities",
        ),
        (
            'p = Sigmoid(one) up = Resize<mode="linear">(p, , , sizes) m = Greater(up, t) out = Where(m, yes, no)',
            ("Resize linear half_pixel 8x12 -> 16x24", "Greater 0.25", "Where"),
            0.25,
            "probabilities",
        ),
    ],
)
def test_one_channel_becomes_a_threshold_on_what_leaves_the_graph(
    body: str, cut_words: tuple[str, ...], threshold: float, scores: str
) -> None:
    more = f"{SMALL}, float t = {{0.25}}, float yes = {{1.0}}, float no = {{0.0}}"
    output = "bool[] out" if "out = Greater" in body or "out = Less" in body else "float[] out"
    tail, _ = cut(single(body, output=output, more=more))
    head = tail.head
    assert (head.cut, head.decision, head.scores) == (cut_words, "threshold", scores)
    assert head.threshold == pytest.approx(threshold, rel=1e-12)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("out = Less(one, t)", "below the threshold"),
        ("out = Greater(one, field)", "more than one value and single numbers"),
        ("p = Sigmoid(one) out = Greater(p, high)", "not between the probabilities"),
        ("out = ArgMax<axis=1>(one)", "over one channel"),
        ("p = Softmax<axis=1>(one) out = Greater(p, t)", "over one channel"),
        ("r = Round(one) out = Cast<to=9>(r)", "rounds what is no probability"),
    ],
)
def test_a_decision_on_one_channel_that_is_no_threshold_stays_and_is_said(body: str, reason: str) -> None:
    numbers = ", ".join(["0.5"] * 96)
    more = f"float t = {{0.25}}, float high = {{1.5}}, float[1, 1, 8, 12] field = {{{numbers}}}"
    model = single(body, output="int64[] out" if "ArgMax" in body else "bool[] out", more=more)
    nodes, expected = op_types(model), run(model)
    tail, model = cut(model)
    assert reason in tail.left
    assert op_types(model)[:2] == nodes[:2]
    assert tail.uncut.decision == "ids"
    if tail.head.decision == "ids":
        assert tail.head == tail.uncut
        np.testing.assert_array_equal(run(model), expected.astype(np.int32).reshape(1, 1, 8, 12))
    else:
        np.testing.assert_array_equal(run(model) > tail.head.threshold, expected)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("out = ArgMax<axis=1, select_last_index=1>(scores)", "last class on a tie"),
        ("out = ArgMax<axis=2>(scores)", "not over the classes"),
        ("values, out = TopK<axis=1, largest=0>(scores, k)", "others than the largest"),
        ("values, out = TopK<axis=1>(scores, three)", "others than the largest"),
        ("p = Softmax<axis=2>(scores) out = ArgMax<axis=1>(p)", "not over the classes"),
        ("m = Greater(scores, t) out = Cast<to=7>(m)", "a threshold on 4 channels"),
    ],
)
def test_a_decision_over_classes_that_is_another_one_stays_and_is_said(body: str, reason: str) -> None:
    more = "int64[1] k = {1}, int64[1] three = {3}, float t = {0.25}"
    model = scored(body, output="int64[] out", more=more)
    if "axis=1>(p)" in body:
        assert reason in find_tail(model).left
        return
    if "k)" in body or "axis=1, select" in body:
        tail = find_tail(model)
        assert (tail.head.decision, reason in tail.left) == ("ids", True)
        return
    with pytest.raises(ModelError, match=r"output 'out' is int64 .* choose with --output"):
        find_tail(model)


def test_zero_is_still_at_least_zero_where_it_is_interpolated() -> None:
    body = 'flat = Mul(one, zero) up = Resize<mode="linear">(flat, , , sizes) out = GreaterOrEqual(up, zero)'
    more = "int64[4] sizes = {1, 1, 37, 53}, float zero = {0.0}"
    model = single(body, output="bool[] out", more=more)
    assert run(model).all()
    tail, model = cut(model)
    assert MaskMaker(tail.head, threads=1).mask(run(model), size_hw=(37, 53)).all()


def test_the_unknown_end_of_a_net_that_makes_probabilities_is_told_from_logits() -> None:
    assert find_tail(single("out = HardSigmoid(one)", more="")).head.threshold == 0.5
    tail = find_tail(single("p = Sigmoid(one) out = Clip(p, low, high)", more="float low = {0.1}, float high = {0.9}"))
    assert (tail.head.scores, tail.head.threshold, tail.left) == ("probabilities", 0.5, "Clip '' (not recognised)")
