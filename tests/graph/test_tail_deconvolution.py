"""FCN's way to enlarge: a deconvolution that interpolates. It fades towards the border, where Resize does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tail_lab import cut, noise, op_types, run_on

from edgeseg.graph.tail import Tail, find_tail
from edgeseg.imaging import postprocess_reference as reference
from edgeseg.imaging.postprocess import MaskMaker
from edgeseg.spec import UpsampleSpec

onnx = pytest.importorskip("onnx")
ir = pytest.importorskip("onnx_ir")
pytest.importorskip("onnxruntime")

#: float32 rounding of scores up to 10 in sums of four, by both sides
ROUNDING = 1e-4
#: of random logits, this share of the pixels may have two best scores that close
UNCLEAR = 0.01

CLASS_ENDS = ["", "argmax", "softmax", "softmax argmax", "logsoftmax argmax", "sigmoid argmax", "nhwc argmax_last"]
ONE_ENDS = ["", "sigmoid", "greater", "not_less", "sigmoid greater_half", "sigmoid not_less_half", "sigmoid round"]
STEPS: dict[str, tuple[str, list[str], dict[str, int | list[int]]]] = {
    "argmax": ("ArgMax", [], {"axis": 1, "keepdims": 0}),
    "argmax_last": ("ArgMax", [], {"axis": -1, "keepdims": 0}),
    "softmax": ("Softmax", [], {"axis": 1}),
    "logsoftmax": ("LogSoftmax", [], {"axis": 1}),
    "sigmoid": ("Sigmoid", [], {}),
    "round": ("Round", [], {}),
    "nhwc": ("Transpose", [], {"perm": [0, 2, 3, 1]}),
    "greater": ("Greater", ["zero"], {}),
    "not_less": ("GreaterOrEqual", ["zero"], {}),
    "greater_half": ("Greater", ["half"], {}),
    "not_less_half": ("GreaterOrEqual", ["half"], {}),
    "greater_fifth": ("Greater", ["fifth"], {}),
    "crop": ("Slice", ["starts", "stops", "axes"], {}),
    "double": ("Resize", ["", "", "sizes"], {"mode": "linear"}),
}


@dataclass(frozen=True)
class Net:
    """A 1x1 convolution to ``channels`` scores, a deconvolution, and an end.

    ``weights`` replaces those of bilinear interpolation, ``attributes`` the deconvolution's.
    """

    channels: int = 4
    small: tuple[int, int] = (3, 5)
    strides: tuple[int, int] = (4, 4)
    groups: int = 1
    end: str = ""
    start: str = ""
    weights: Any = None
    bias: Any = None
    attributes: Any = None
    stop: int = 10**6

    def model(self) -> Any:
        weights = deconvolution(self.channels, self.strides, self.groups) if self.weights is None else self.weights
        constants = {
            "w": np.random.default_rng(self.channels).normal(size=(self.channels, 3, 1, 1)).astype(np.float32),
            "up": weights.astype(np.float32),
            "zero": np.float32(0),
            "half": np.float32(0.5),
            "fifth": np.float32(0.2),
            "starts": np.array([0, 0]),
            "stops": np.array([self.stop, self.stop]),
            "axes": np.array([2, 3]),
            "sizes": np.array([1, self.channels, 100, 100]),
        }
        if self.bias is not None:
            constants["bias"] = np.asarray(self.bias, np.float32)
        nodes, last = [onnx.helper.make_node("Conv", ["image", "w"], ["scores"])], "scores"
        for name in [*self.start.split(), "deconvolution", *self.end.split()]:
            nodes.append(self._node(name, last, f"v{len(nodes)}"))
            last = nodes[-1].output[0]
        is_kept = {name for node in nodes for name in node.input}
        initializers = [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items() if k in is_kept]
        image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, (1, 3, *self.small))
        out = onnx.helper.make_empty_tensor_value_info(last)
        graph = onnx.helper.make_graph(nodes, "g", [image], [out], initializers)
        model = onnx.helper.make_model(graph, ir_version=9, opset_imports=[onnx.helper.make_opsetid("", 19)])
        return ir.from_proto(onnx.shape_inference.infer_shapes(model))

    def _node(self, name: str, data: str, out: str) -> Any:
        if name != "deconvolution":
            op_type, more, attributes = STEPS[name]
            inputs = [data, *more]
        else:
            op_type, inputs = "ConvTranspose", [data, "up", *(["bias"] if self.bias is not None else [])]
            pads = [stride // 2 for stride in self.strides]
            attributes = {"strides": [*self.strides], "pads": [*pads, *pads], "group": self.groups}
            attributes |= self.attributes or {}
        return onnx.helper.make_node(op_type, inputs, [out], name=f"{op_type}_{out}", **attributes)


def caffe_kernel(stride: int) -> np.ndarray:
    """Caffe's bilinear filler, for a kernel of 2 x stride, or one less where the stride is odd."""
    size = 2 * stride - stride % 2
    return 1 - np.abs(np.arange(size) / stride - (2 * stride - 1 - stride % 2) / (2 * stride))


def deconvolution(channels: int, strides: tuple[int, int], groups: int) -> np.ndarray:
    kernel = np.outer(*map(caffe_kernel, strides))
    weights = np.zeros((channels, channels // groups, *kernel.shape))
    for channel in range(channels):
        weights[channel, channel % (channels // groups)] = kernel
    return weights


@st.composite
def nets(draw: Any) -> Net:
    channels, side = draw(st.sampled_from([1, 2, 3, 4, 6])), st.integers(1, 9)
    groups = draw(st.sampled_from([one for one in (1, 2, 3, channels) if channels % one == 0]))
    strides = draw(st.tuples(st.integers(2, 9), st.integers(2, 9)))
    end = draw(st.sampled_from(ONE_ENDS if channels == 1 else CLASS_ENDS))
    return Net(channels, (draw(side), draw(side)), strides, groups, end)


def mask_of(result: np.ndarray, net: Net, size_hw: tuple[int, int]) -> np.ndarray:
    """What the net's user makes of its output."""
    if result.ndim == 4 and net.channels > 1:
        return result[0].argmax(0)
    is_score = net.end in ("", "sigmoid")
    return (result > (0.5 if net.end == "sigmoid" else 0.0) if is_score else result).reshape(size_hw)


def clear_pixels(tail: Tail, scores: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    beside = reference.beside_threshold(np.ascontiguousarray(scores[0]), tail.head.threshold)
    values = np.sort(reference.enlarged(beside, size_hw=size_hw, upsample=tail.head.upsample), axis=0)
    return values[-1] - values[-2] > ROUNDING


@settings(max_examples=300, deadline=None, derandomize=True)
@given(net=nets(), seed=st.integers(0, 10**6))
def test_the_cut_net_with_the_runtimes_tail_equals_the_uncut_net_up_to_its_border(net: Net, seed: int) -> None:
    model, image = net.model(), noise((1, 3, *net.small), seed=seed)
    size_hw = (net.small[0] * net.strides[0], net.small[1] * net.strides[1])
    result = run_on(model, image)
    tail, model = cut(model)
    scores = run_on(model, image)
    assert op_types(model) == ["Conv"]
    assert (tail.head.upsample, tail.head.uncut_hw, tail.left) == (UpsampleSpec(), size_hw, "")
    mask = MaskMaker(tail.head, threads=1).mask(scores, size_hw=size_hw)
    is_clear = clear_pixels(tail, scores, size_hw)
    np.testing.assert_array_equal(mask[is_clear], mask_of(result, net, size_hw)[is_clear])


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_few_pixels_of_random_scores_are_too_close_to_be_compared(channels: int) -> None:
    net = Net(channels, (17, 23), (8, 7))
    model, size_hw = net.model(), (136, 161)
    tail, model = cut(model)
    assert clear_pixels(tail, run_on(model, noise((1, 3, *net.small), seed=channels)), size_hw).mean() > 1 - UNCLEAR


def test_what_was_cut_is_named_with_both_sizes() -> None:
    assert find_tail(Net(end="softmax argmax").model()).head.cut == (
        "ConvTranspose bilinear 3x5 -> 12x20",
        "Softmax",
        "ArgMax",
    )


def changed(value: float, *place: int) -> np.ndarray:
    weights = deconvolution(4, (4, 4), 1)
    weights[place] += value
    return weights


@pytest.mark.parametrize(
    "net",
    [
        Net(weights=changed(2e-6, 1, 1, 0, 0)),
        Net(weights=changed(1e-9, 1, 2, 3, 3)),
        Net(weights=np.roll(deconvolution(4, (4, 4), 1), 1, axis=1)),
        Net(weights=2 * deconvolution(4, (4, 4), 1)),
        Net(weights=deconvolution(4, (4, 4), 1)[..., 1:-1, 1:-1], attributes={"pads": [1, 1, 1, 1]}),
        Net(weights=np.tile(deconvolution(2, (4, 4), 1), (2, 1, 1, 1))),
        Net(weights=deconvolution(4, (4, 4), 1)[:, :1], channels=4),
        Net(bias=[0, 0, 0, 1e-3]),
        Net(attributes={"pads": [1, 2, 3, 2]}),
        Net(attributes={"dilations": [2, 2], "pads": [6, 6, 5, 5]}),
        Net(attributes={"output_shape": [12, 20]}),
        Net(strides=(3, 3), weights=deconvolution(4, (4, 4), 1)[..., :6, :6], attributes={"output_padding": [1, 1]}),
    ],
    ids=[
        "a weight",
        "between classes",
        "classes swapped",
        "twice the scores",
        "kernel cut short",
        "fewer classes",
        "one class out of all",
        "bias",
        "shifted",
        "dilated",
        "padded by a rule",
        "half a pixel off",
    ],
)
def test_a_deconvolution_that_does_anything_else_is_a_layer_like_any_other(net: Net) -> None:
    tail = find_tail(net.model())
    assert (tail.head.cut, tail.left) == ((), "")
    assert tail.head.output == "v1"


def test_a_bias_of_zeros_is_none() -> None:
    assert find_tail(Net(bias=[0, 0, 0, 0]).model()).head.output == "scores"


def test_a_crop_that_removes_nothing_is_cut_too() -> None:
    tail = find_tail(Net(end="crop argmax", stop=20).model())
    assert tail.head.cut == ("ConvTranspose bilinear 3x5 -> 12x20", "Slice", "ArgMax")


@pytest.mark.parametrize(
    ("net", "reason", "words"),
    [
        (Net(end="crop argmax", stop=11), "Slice 'Slice_v2' (takes a part)", ("ArgMax",)),
        (Net(end="double"), "a second enlargement", ("Resize linear half_pixel 12x20 -> 100x100",)),
        (Net(start="softmax", end="argmax"), "lets probabilities fade", ("ArgMax",)),
        (Net(1, start="sigmoid", end="greater_half"), "lets probabilities fade", ("Greater 0.5",)),
        (Net(start="logsoftmax", end="argmax"), "", ("ConvTranspose bilinear 3x5 -> 12x20", "ArgMax")),
        (Net(1, end="greater_fifth"), "scores that fade towards the border", ("Greater 0.2",)),
        (Net(1, end="sigmoid greater_fifth"), "scores that fade towards the border", ("Sigmoid", "Greater 0.2")),
        (Net(attributes={"pads": [2, 2, 1, 2]}), "not times 4x4", ()),
    ],
)
def test_one_that_the_runtime_cannot_replace_stays_and_is_said(net: Net, reason: str, words: tuple[str, ...]) -> None:
    tail = find_tail(net.model())
    assert tail.head.cut == words
    assert reason in tail.left


def test_what_it_takes_for_channels_are_channels() -> None:
    """Behind a Transpose these are the rows of the convolution's map."""
    tail = find_tail(Net(5, small=(3, 4), start="nhwc", weights=deconvolution(3, (4, 4), 1)).model())
    assert tail.head.cut == ("ConvTranspose bilinear 4x5 -> 16x20",)
    assert (tail.head.channels, tail.head.layout) == (3, "NCHW")
