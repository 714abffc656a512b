"""The tail that is cut off a graph: what enlarges, what only moves or converts, and which output it ends at."""

from __future__ import annotations

import numpy as np
import pytest
from tail_lab import RESIZE, SIZES, cut, op_types, run, scored

from edgeseg.errors import ModelError
from edgeseg.graph.tail import conform_output, find_tail
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.spec import HeadSpec, UpsampleSpec

pytest.importorskip("onnx")
pytest.importorskip("onnx_ir")
pytest.importorskip("onnxruntime")


def test_resize_softmax_and_argmax_are_cut_and_described() -> None:
    model = scored(f"{RESIZE} p = Softmax<axis=1>(up) out = ArgMax<axis=1, keepdims=0>(p)", output="int64[] out")
    expected = run(model)
    tail, model = cut(model)
    assert tail.head == HeadSpec(
        output="scores",
        channels=4,
        size_hw=(8, 12),
        decision="argmax",
        upsample=UpsampleSpec(),
        cut=("Resize linear half_pixel 8x12 -> 24x36", "Softmax", "ArgMax"),
        uncut_hw=(24, 36),
    )
    assert tail.uncut == HeadSpec(output="out", channels=1, size_hw=(24, 36), decision="ids")
    assert tail.left == ""
    assert op_types(model) == ["Conv"]
    assert list(model.graph.initializers) == ["w"]
    assert run(model).shape == tail.head.shape
    assert expected.shape == (1, 24, 36)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('mode="linear"', UpsampleSpec()),
        ('mode="linear", coordinate_transformation_mode="align_corners"', UpsampleSpec(coordinates="align_corners")),
        ('mode="linear", coordinate_transformation_mode="asymmetric"', UpsampleSpec(coordinates="asymmetric")),
        ('mode="linear", coordinate_transformation_mode="pytorch_half_pixel"', UpsampleSpec()),
        ('mode="linear", coordinate_transformation_mode="half_pixel_symmetric"', UpsampleSpec()),
        ('mode="nearest"', UpsampleSpec(mode="nearest", rounding="round_prefer_floor")),
        (
            'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"',
            UpsampleSpec(mode="nearest", coordinates="asymmetric", rounding="floor"),
        ),
        ('mode="nearest", nearest_mode="ceil"', UpsampleSpec(mode="nearest", rounding="ceil")),
    ],
)
def test_every_mode_and_coordinate_rule_of_the_runtime_is_read(attributes: str, expected: UpsampleSpec) -> None:
    tail, model = cut(scored(f"out = Resize<{attributes}>(scores, , , sizes)"))
    assert tail.head.upsample == expected
    assert op_types(model) == ["Conv"]


@pytest.mark.parametrize(
    ("resize", "reason"),
    [
        ('Resize<mode="cubic">(scores, , , sizes)', "mode cubic"),
        ('Resize<mode="linear", antialias=1>(scores, , , sizes)', "antialias"),
        ('Resize<mode="linear", exclude_outside=1>(scores, , , sizes)', "exclude_outside"),
        (
            'Resize<mode="linear", keep_aspect_ratio_policy="not_larger", axes=[2, 3]>(scores, , , uneven)',
            "keep_aspect_ratio_policy not_larger",
        ),
        (
            'Resize<mode="linear", coordinate_transformation_mode="tf_crop_and_resize">(scores, roi, , sizes)',
            "coordinate_transformation_mode tf_crop_and_resize",
        ),
        ('Resize<mode="linear">(scores, , scales)', "are not exactly"),
        ('Resize<mode="linear", axes=[1, 2, 3]>(scores, , , deeper)', "more than height and width"),
        (
            'Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel">(scores, , , flat)',
            "pytorch_half_pixel to a side of 1",
        ),
    ],
)
def test_a_resize_that_the_runtime_cannot_do_stays_and_is_said(resize: str, reason: str) -> None:
    more = (
        f"{SIZES}, int64[2] uneven = {{24, 24}}, float[8] roi = {{0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0}}, "
        "float[4] scales = {1.0, 1.0, 2.9, 2.9}, int64[3] deeper = {8, 24, 36}, int64[4] flat = {1, 4, 1, 36}"
    )
    tail, model = cut(
        scored(f"up = {resize} out = ArgMax<axis=1, keepdims=0>(up)", output="int64[] out", more=more, opset=19)
    )
    assert op_types(model) == ["Conv", "Resize"]
    assert tail.head.cut == ("ArgMax",)
    assert tail.left.startswith("Resize ")
    assert reason in tail.left


def test_scales_count_as_sizes_where_they_are_their_ratio() -> None:
    more = "float[4] scales = {1.0, 1.0, 1.5, 3.0}, float[4] axes_scales = {1.5, 3.0}"
    tail, _ = cut(scored('out = Resize<mode="linear">(scores, , scales)', more=more))
    assert tail.head.uncut_hw == (12, 36)


def test_a_computed_size_is_not_recognised_and_said() -> None:
    body = (
        "shape = Shape<start=2, end=4>(image) two = Constant<value_ints=[2, 2]>() target = Mul(shape, two) "
        'up = Resize<mode="linear", axes=[2, 3]>(scores, , , target) out = ArgMax<axis=1>(up)'
    )
    tail, model = cut(scored(body, output="int64[] out"))
    assert "its size is computed in the graph" in tail.left
    assert tail.head.size_hw == (16, 24)
    assert op_types(model)[-1] == "Resize"


def test_only_the_second_of_two_resizes_is_cut() -> None:
    more = f"{SIZES}, int64[4] half = {{1, 4, 12, 18}}"
    body = 'mid = Resize<mode="linear">(scores, , , half) out = Resize<mode="linear">(mid, , , sizes)'
    tail, model = cut(scored(body, more=more))
    assert op_types(model) == ["Conv", "Resize"]
    assert (tail.head.size_hw, tail.head.uncut_hw) == ((12, 18), (24, 36))
    assert "a second enlargement" in tail.left


def test_probabilities_that_are_interpolated_stay_probabilities() -> None:
    body = 'p = Softmax<axis=1>(scores) up = Resize<mode="linear">(p, , , sizes) out = ArgMax<axis=1>(up)'
    tail, model = cut(scored(body, output="int64[] out"))
    assert op_types(model) == ["Conv", "Softmax"]
    assert tail.head.scores == "probabilities"
    assert tail.head.cut == ("Resize linear half_pixel 8x12 -> 24x36", "ArgMax")
    assert "interpolates what Softmax made" in tail.left


def test_probabilities_enlarged_by_nearest_neighbour_are_cut_with_their_softmax() -> None:
    body = "p = Softmax<axis=1>(scores) up = Resize(p, , , sizes) out = ArgMax<axis=1>(up)"
    tail, model = cut(scored(body, output="int64[] out"))
    assert op_types(model) == ["Conv"]
    assert tail.head.scores == "logits"


def test_interpolated_log_probabilities_are_logits() -> None:
    body = 'p = LogSoftmax<axis=1>(scores) up = Resize<mode="linear">(p, , , sizes) out = ArgMax<axis=1>(up)'
    tail, model = cut(scored(body, output="int64[] out"))
    assert op_types(model) == ["Conv", "LogSoftmax"]
    assert tail.head.scores == "logits"


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ("values, out = TopK<axis=1>(scores, k)", "int64[] out"),
        ("t = Transpose<perm=[0, 2, 3, 1]>(scores) out = ArgMax<axis=-1, keepdims=0>(t)", "int64[] out"),
        ("m = ArgMax<axis=1>(scores) s = Squeeze(m) out = Cast<to=2>(s)", "uint8[] out"),
        ("first = Gather<axis=0>(scores, zero) out = ArgMax<axis=0>(first)", "int64[] out"),
        ("first = Slice(scores, from, to, along) out = Identity(first)", "float[] out"),
        ("d = Dropout(scores) h = Cast<to=10>(d) p = Softmax<axis=1>(h) out = ArgMax<axis=1>(p)", "int64[] out"),
        ("m = ArgMax<axis=1>(scores) r = Reshape(m, plain) out = Unsqueeze(r, along)", "int64[] out"),
        ("m = ArgMax<axis=1>(scores) f = Cast<to=1>(m) up = Resize(f, , , sizes) out = Cast<to=7>(up)", "int64[] out"),
    ],
)
def test_nodes_that_only_move_or_convert_are_cut_too(body: str, output: str) -> None:
    more = (
        "int64[1] k = {1}, int64 zero = {0}, int64[1] from = {0}, int64[1] to = {1}, int64[1] along = {0}, "
        "int64[2] plain = {8, 12}, int64[4] sizes = {1, 1, 16, 24}"
    )
    model = scored(body, output=output, more=more)
    run(model)
    tail, model = cut(model)
    assert op_types(model) == ["Conv"]
    assert tail.head.channels == 4
    assert tail.left == ""


def test_half_precision_scores_leave_the_cut_graph_as_float32() -> None:
    body = "h = Cast<to=10>(scores) k = Relu(h) out = ArgMax<axis=1>(k)"
    tail, model = cut(scored(body, output="int64[] out"))
    assert op_types(model) == ["Conv", "Cast", "Relu", "Cast"]
    assert [value.name for value in model.graph.outputs] == ["k"] == [tail.head.output]
    assert (run(model).dtype, run(model).shape) == (np.float32, tail.head.shape)


def test_a_graph_born_in_tensorflow_keeps_its_layout() -> None:
    body = (
        "t = Transpose<perm=[0, 2, 3, 1]>(scores) biased = Add(t, bias) "
        'up = Resize<mode="linear", coordinate_transformation_mode="asymmetric">(biased, , , sizes) '
        "p = Softmax(up) out = ArgMax<axis=3, keepdims=0>(p)"
    )
    more = "int64[4] sizes = {1, 16, 24, 4}, float[4] bias = {0.1, 0.2, 0.3, 0.4}"
    tail, model = cut(scored(body, output="int64[] out", more=more))
    assert op_types(model) == ["Conv", "Transpose", "Add"]
    assert (tail.head.layout, tail.head.shape) == ("NHWC", (1, 8, 12, 4))
    assert run(model).shape == tail.head.shape


def test_bare_scores_are_read_in_the_pictures_proportions() -> None:
    body = "t = Transpose<perm=[0, 2, 3, 1]>(scores) out = Add(t, bias)"
    tail = find_tail(scored(body, more="float[4] bias = {0.1, 0.2, 0.3, 0.4}"))
    assert (tail.head.layout, tail.head.channels, tail.head.cut) == ("NHWC", 4, ())
    assert find_tail(scored("out = Relu(scores)", more="")).head.layout == "NCHW"


def test_a_net_without_a_tail_is_left_as_it_is() -> None:
    tail, model = cut(scored("out = Relu(scores)", more=""))
    assert tail.head == tail.uncut == HeadSpec(output="out", channels=4, size_hw=(8, 12), decision="argmax")
    assert (tail.left, op_types(model)) == ("", ["Conv", "Relu"])


def test_softmax_before_opset_13_took_all_later_axes_together() -> None:
    tail, _ = cut(scored("out = Softmax<axis=1>(scores)", more="", opset=12))
    assert tail.head.cut == ()
    assert "not over the classes" in tail.left


def test_an_output_must_be_chosen_where_there_are_several() -> None:
    model = scored("out = Relu(scores) aux = Sigmoid(scores)", output="float[] out, float[] aux", more="")
    with pytest.raises(ModelError, match="2 outputs: choose one with --output NAME: out, aux"):
        find_tail(model)
    with pytest.raises(ModelError, match="no output 'auxx': choose one with --output NAME: aux, out"):
        find_tail(model, "auxx")


def test_the_outputs_that_were_not_chosen_are_dropped_with_their_nodes() -> None:
    body = f"{RESIZE} mask = ArgMax<axis=1, keepdims=0>(up) deep = Relu(image) aux = Conv(deep, v)"
    more = f"{SIZES}, float[1, 3, 1, 1] v = {{1.0, 2.0, 3.0}}"
    model = scored(body, output="float[] up, int64[] mask, float[] aux", more=more)
    tail, model = cut(model, "mask")
    assert tail.head.cut == ("Resize linear half_pixel 8x12 -> 24x36", "ArgMax")
    assert op_types(model) == ["Conv"]
    assert list(model.graph.initializers) == ["w"]


def test_scores_that_other_nodes_need_too_can_leave_the_graph() -> None:
    body = "gate = Relu(scores) both = Add(scores, gate) out = ArgMax<axis=1>(both)"
    tail, model = cut(scored(body, output="int64[] out", more=""))
    assert op_types(model) == ["Conv", "Relu", "Add"]
    assert tail.head.output == "both"


def test_more_than_255_classes_are_refused() -> None:
    model = scored("many = Tile(scores, times) out = ArgMax<axis=1>(many)", output="int64[] out",
                   more="int64[4] times = {1, 64, 1, 1}")  # fmt: skip
    with pytest.raises(ModelError, match="output 'out' has 256 classes: 1 to 255"):
        find_tail(model)


@pytest.mark.parametrize(
    ("body", "output", "shape"),
    [
        ("out = Reshape(scores, shape)", "float[] out", "1, 4, 96, 1, 1"),
        ("out = Reshape(scores, shape)", "float[] out", "2, 2, 8, 12"),
        ("b = Cast<to=7>(scores) out = Reshape(b, shape)", "int64[] out", "1, 4, 8, 12"),
    ],
)
def test_what_is_no_mask_of_one_picture_is_refused_with_its_shape(body: str, output: str, shape: str) -> None:
    rank = shape.count(",") + 1
    model = scored(body, output=output, more=f"int64[{rank}] shape = {{{shape}}}")
    with pytest.raises(ModelError, match=rf"output 'out' is \w+ \({shape}\): scores are"):
        find_tail(model)


def test_an_open_size_is_refused_with_its_names() -> None:
    model = scored("out = Relu(scores)", image="float[1, 3, height, width] image", more="")
    with pytest.raises(ModelError, match="height"):
        find_tail(model)


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ("out = ArgMax<axis=1, keepdims=0>(scores)", "int64[] out"),
        ("m = ArgMax<axis=1>(scores) s = Squeeze(m) out = Cast<to=2>(s)", "uint8[] out"),
        ("m = ArgMax<axis=1, select_last_index=1>(scores) out = Cast<to=1>(m)", "float[] out"),
        ("h = Cast<to=10>(scores) out = Squeeze(h)", "float16[] out"),
        ("t = Transpose<perm=[0, 2, 3, 1]>(scores) out = Softmax(t)", "float[] out"),
        ("out = Identity(scores)", "float[] out"),
    ],
)
def test_a_kept_tail_ends_in_four_axes_of_the_heads_dtype_under_its_own_name(body: str, output: str) -> None:
    model = scored(body, output=output, more="")
    expected = run(model)
    tail = find_tail(model)
    conform_output(model, tail)
    result = run(model)
    assert (result.shape, result.dtype) == (tail.uncut.shape, tail.uncut.dtype)
    assert [value.name for value in model.graph.outputs] == ["out"] == [tail.uncut.output]
    np.testing.assert_array_equal(result.ravel(), expected.ravel())
    if "Softmax" in body:
        assert (tail.uncut.layout, tail.uncut.scores) == ("NHWC", "probabilities")


@pytest.mark.parametrize(("opset", "op"), [(9, "Upsample"), (10, "Resize")])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_what_enlarged_before_opset_11_was_asymmetric(opset: int, op: str, mode: str) -> None:
    more = "float[4] scales = {1.0, 1.0, 3.0, 2.0}"
    body = f'up = {op}<mode="{mode}">(scores, scales) out = ArgMax<axis=1, keepdims=0>(up)'
    model = scored(body, output="int64[] out", more=more, opset=opset)
    expected = run(model)
    tail, model = cut(model)
    assert (tail.head.upsample.coordinates, op_types(model)) == ("asymmetric", ["Conv"])
    mask = MaskMaker(tail.head, threads=1).mask(run(model), size_hw=(24, 24))
    np.testing.assert_array_equal(mask, expected[0])


def test_what_shrank_before_opset_11_stays() -> None:
    tail, model = cut(scored("out = Resize(scores, scales)", more="float[4] scales = {1.0, 1.0, 0.5, 0.5}", opset=10))
    assert op_types(model) == ["Conv", "Resize"]
    assert "before opset 11" in tail.left
